"""What similarity means, in the demo world: texts find pictures, and choose among those that are sampled.

The judge is demo/measure.py, which reads attributes off the pixels and knows no model. Every threshold lies well below
what was measured (`-s` prints it) and well above chance.
"""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import combinations

import pytest
import torch
from PIL import Image
from studio import apply, checkpoints, generate, held_out, pictures
from torch import Tensor

from image_prompt.demo import full_clip
from image_prompt.demo.measure import measure
from image_prompt.demo.sheet import to_image
from image_prompt.demo.world import VALUES, Scene, World, draw
from image_prompt.references.duplicates import dhash, unique
from image_prompt.references.embedder import Embedder
from image_prompt.references.embedding import Embedding
from image_prompt.references.library import Library, NewPicture, Writer
from image_prompt.references.search import search
from image_prompt.references.similarity import cosines, probabilities

COUNT = 64
BATCH, STEPS = 8, 5  # pictures to choose from; few steps, which leave more to choose
GROUPS = 6
LIBRARY, NEAREST = 120, 5
LARGER, SMALLER = 256, 180  # sides of pictures
SAME = 4  # bits in which the hashes of the same picture differ at most
MENTIONED = ("colour", "background", "size")  # of which the small CLIP is sure


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def report(request):
    """Print the numbers for demo/README.md, which `pytest -s` shows."""
    rows: list[str] = []
    yield rows.append
    print("\n" + "\n".join(rows))


@pytest.fixture(scope="module")
def embedder(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    full_clip.write_full_clip(models)
    with Embedder(models / full_clip.FILE, "cpu") as embedder:
        yield embedder


@pytest.fixture(scope="module")
def unseen() -> list[Scene]:
    """Scenes with different captions, whose combinations no model was trained on."""
    return list({scene.caption(): scene for scene in held_out(seed=101, count=100)}.values())[:COUNT]


def seen(seed: int, count: int) -> list[Scene]:
    world = World(seed)
    return [world.scene() for _ in range(count)]


def chance(attribute: str) -> float:
    return 1 / len(VALUES[attribute])


def captions_of(attribute: str) -> dict[str, str]:
    """{value: the text that says it and nothing else}"""
    (scene,) = seen(0, 1)
    return {value: replace(scene, **{attribute: value}).caption([attribute]) for value in VALUES[attribute]}


# ----------------------------------------------------------------------------------------------------- text and picture


def test_a_text_finds_its_picture_and_a_picture_its_text(embedder, unseen, report):
    similarity = cosines(
        embedder.embed_texts([scene.caption() for scene in unseen]), embedder.embed_images(pictures(unseen))
    )
    own = torch.arange(COUNT)
    found = {
        "text finds picture": (similarity.argmax(1) == own).float().mean().item(),
        "picture finds text": (similarity.argmax(0) == own).float().mean().item(),
    }
    others = similarity[~torch.eye(COUNT, dtype=torch.bool)]
    report(
        f"among {COUNT} (chance {1 / COUNT:.3f}): {found}; cosine of a pair {similarity.diag().mean():.2f}, of others "
        f"{others.mean():.2f}"
    )
    assert min(found.values()) > 0.85
    assert similarity.diag().mean() > others.mean() + 0.5


@pytest.mark.parametrize("attribute", MENTIONED)
def test_the_likeliest_text_says_what_a_picture_shows(attribute, embedder, unseen, report):
    """As in zero-shot classification by CLIP: one text for each value, and the likeliest for each picture."""
    texts = captions_of(attribute)
    likely = probabilities(embedder.embed_texts(list(texts.values())), embedder.embed_images(pictures(unseen)))
    torch.testing.assert_close(likely.sum(0), torch.ones(COUNT))
    said = [list(texts)[number] for number in likely.argmax(0).tolist()]
    right = sum(word == getattr(scene, attribute) for word, scene in zip(said, unseen, strict=True)) / COUNT
    report(f"{attribute} named by the likeliest text: {right:.2f} (chance {chance(attribute):.2f})")
    assert right > 0.8


# ------------------------------------------------------------------------------------------------- nearest references


@pytest.fixture(scope="module")
def library(embedder, tmp_path_factory):
    """A library of pictures of the world, each with its caption as what is known of it."""
    folder = tmp_path_factory.mktemp("libraries") / "world"
    scenes = seen(9, LIBRARY)
    with Writer.open(folder, embedder.space) as writer:
        rows = [
            NewPicture(folder, f"{number:03}.png", 0, 0, "0" * 64, text=s.caption()) for number, s in enumerate(scenes)
        ]
        writer.add(rows, embedder.embed_images(pictures(scenes)).vectors.numpy())
    with Library.open(folder) as library:
        yield library, scenes


def nearest(library: tuple[Library, list[Scene]], query: Embedding, k: int) -> list[list[Scene]]:
    """The scenes of the pictures that are nearest to each vector of the query."""
    opened, scenes = library
    ids = [[hit.id for hit in hits] for hits in search(opened, query, k)]
    return [[scenes[int(picture.path.split(".")[0])] for picture in opened.pictures(each)] for each in ids]


@pytest.mark.parametrize("attribute", MENTIONED)
def test_the_nearest_references_have_what_the_text_asks_for(attribute, library, embedder, report):
    texts = captions_of(attribute)
    found = zip(texts, nearest(library, embedder.embed_texts(list(texts.values())), NEAREST), strict=True)
    right = [getattr(scene, attribute) == value for value, scenes in found for scene in scenes]
    share = sum(right) / len(right)
    report(f"{attribute} of a text: {share:.2f} of the {NEAREST} nearest of {LIBRARY} (chance {chance(attribute):.2f})")
    assert share > 0.85


def test_a_picture_of_the_library_is_nearest_to_itself(library, embedder):
    _, scenes = library
    found = nearest(library, embedder.embed_images(pictures(scenes)), 1)
    assert [scene for (scene,) in found] == scenes


def test_the_nearest_reference_gives_its_colour_to_what_is_sampled(library, embedder, report):
    """A text finds the reference, and the prompt leaves the colour open."""
    texts = captions_of("colour")
    references = [scenes[0] for scenes in nearest(library, embedder.embed_texts(list(texts.values())), 1)]
    made = generate(apply("plus", references), count=len(references), steps=STEPS)
    right = sum(reading["colour"] == value for reading, value in zip(measure(made), texts, strict=True)) / len(texts)
    report(f"colour of a text, by its nearest reference: {right:.2f} of the pictures (chance {chance('colour'):.2f})")
    assert right > 0.6


# --------------------------------------------------------------------------------------------------------- duplicates


def saved_anew(picture: Image.Image) -> Image.Image:
    """The picture in another size, as it comes back from a JPEG file."""
    file = io.BytesIO()
    picture.resize((SMALLER, SMALLER), Image.Resampling.BICUBIC).save(file, "JPEG", quality=80)
    return Image.open(file).convert("RGB")


def test_unique_keeps_one_of_each_pair(embedder, unseen, report):
    """The first of each, wherever its copy is. The hash alone, which knows no colours, would join others too."""
    drawn = [to_image(picture).resize((LARGER, LARGER)) for picture in draw([(scene,) for scene in unseen])]
    both = drawn + [saved_anew(picture) for picture in drawn]
    order = torch.randperm(2 * COUNT).tolist()
    images = [both[number] for number in order]
    vectors, hashes = embedder.embed_images(images).vectors, [dhash(image) for image in images]
    places = [order.index(number) for number in range(2 * COUNT)]
    pairs = {tuple(sorted(pair)) for pair in zip(places[:COUNT], places[COUNT:], strict=True)}
    kept, groups = unique(vectors, hashes)
    cosine = [float(vectors[a] @ vectors[b]) for a, b in pairs]
    report(f"re-encoded pairs: cosine {min(cosine):.4f} or more; kept {len(kept)} of {2 * COUNT}")
    assert {(group.kept, *group.others) for group in groups} == pairs
    assert kept == sorted(first for first, _ in pairs)
    assert min((hashes[a] ^ hashes[b]).bit_count() for a, b in combinations(kept, 2)) <= SAME


# ----------------------------------------------------------------------------------------------------------- best of N


def best_of(reference: Embedding, sampled: Embedding) -> list[int]:
    """Of each group of pictures that follow each other, the number of that which is most like the reference."""
    groups = cosines(reference, sampled).squeeze(0).unflatten(0, (-1, BATCH))
    return [group * BATCH + best for group, best in enumerate(groups.argmax(1).tolist())]


@pytest.fixture(scope="module")
def undecided() -> Tensor:
    """Pictures of "a shape", (GROUPS * BATCH, 3, 64, 64)."""
    with torch.inference_mode():
        return generate(checkpoints()[0], count=GROUPS * BATCH, steps=STEPS)


@pytest.mark.parametrize("attribute", ["colour", "background"])
def test_the_best_of_eight_has_what_the_text_asks_for(attribute, undecided, embedder, report):
    """The prompt leaves it open, and the text chooses."""
    readings, sampled = measure(undecided), embedder.embed_images(undecided.movedim(1, -1))
    right, all_right = [], []
    for value, text in captions_of(attribute).items():
        right += [readings[best][attribute] == value for best in best_of(embedder.embed_texts(text), sampled)]
        all_right += [reading[attribute] == value for reading in readings]
    best, share = sum(right) / len(right), sum(all_right) / len(all_right)
    report(f"{attribute} of a text: {share:.2f} of all pictures, {best:.2f} of the best of {BATCH}")
    assert best > share + 0.3


def test_the_best_of_eight_follows_its_prompt_more_often(embedder, report):
    """Each prompt says everything, and chooses among its own pictures: right are those with all six attributes."""
    scenes = seen(77, GROUPS)
    prompts = [scene.caption() for scene in scenes]
    made = generate(
        checkpoints()[0], [each for each in prompts for _ in range(BATCH)], count=GROUPS * BATCH, steps=STEPS
    )
    sampled = embedder.embed_images(made.movedim(1, -1))
    right = torch.tensor([is_right(reading, scenes[n // BATCH]) for n, reading in enumerate(measure(made))]).float()
    similarity = (embedder.embed_texts(prompts).vectors[:, None] * sampled.vectors.unflatten(0, (-1, BATCH))).sum(-1)
    right, rows = right.unflatten(0, (-1, BATCH)), torch.arange(len(scenes))
    best, worst = (right[rows, numbers].mean().item() for numbers in (similarity.argmax(1), similarity.argmin(1)))
    share = right.mean().item()
    report(
        f"all attributes of a prompt: {share:.2f} of all pictures, {best:.2f} of the best of {BATCH}, {worst:.2f} of "
        "the worst"
    )
    assert best > share + 0.1
    assert worst < share


def is_right(reading: dict[str, str], scene: Scene) -> bool:
    return all(reading[name] == getattr(scene, name) for name in VALUES)
