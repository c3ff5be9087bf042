"""What image prompts mean, in the demo world: references whose combinations no model has seen, fixed seeds.

The judge is demo/measure.py, which reads attributes off the pixels and knows no model. Every threshold lies well below
what was measured (`-s` prints it) and well above chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pytest
import torch
from safetensors import safe_open
from studio import (
    adapter,
    apply,
    apply_references,
    between,
    checkpoints,
    encode,
    encoder,
    generate,
    half_mask,
    held_out,
    in_areas,
    pictures,
    reference,
)
from torch import Tensor

from image_prompt.demo.measure import distance as measured_distance
from image_prompt.demo.measure import matches, measure, measure_half
from image_prompt.demo.nodes.checkpoint import MODELS
from image_prompt.demo.world import BACKGROUNDS, SHAPES, SIZE, Scene, draw
from image_prompt.nodes.applying.apply import ApplyImagePrompt
from image_prompt.nodes.encoding.encode import EncodeImagePrompt
from image_prompt.nodes.influence.record_influence import RecordInfluence

SCENES = held_out(seed=101)
OTHERS = held_out(seed=202)
MANY_SCENES, MANY_OTHERS = held_out(seed=101, count=64), held_out(seed=202, count=64)  # where the difference is small
ATTRIBUTES = ("colour", "shape", "texture", "background", "position", "size")
CHANCE = {"colour": 1 / 6, "shape": 1 / 6, "texture": 1 / 4, "background": 1 / 4, "position": 1 / 5, "size": 1 / 2}
PAIR = "a shape and a shape"
FIFTHS = 10  # steps, of which the first two are a fifth


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def report(request):
    """Print the numbers for the README, which `pytest -s` shows."""
    rows: list[str] = []
    yield rows.append
    print("\n" + "\n".join(rows))


def table(pictures: Tensor, scenes: Sequence[Scene]) -> dict[str, float]:
    """The share of the pictures that match their reference, by attribute."""
    return table_of(measure(pictures), scenes)


def table_of(readings: Sequence[dict[str, str]], scenes: Sequence[Scene]) -> dict[str, float]:
    return {attribute: matches(readings, scenes, attribute) for attribute in ATTRIBUTES}


def shown(numbers: dict[str, float], digits: int = 2) -> str:
    return "  ".join(f"{name} {value:.{digits}f}" for name, value in numbers.items())


def distance(a: Tensor, b: Tensor) -> float:
    """The mean difference of two batches of pictures, between 0 and 1."""
    return measured_distance(a, b).mean().item()


@cache
def text_only(prompt: str = "a shape") -> Tensor:
    return generate(checkpoints()[0], prompt)


@cache
def with_adapter(name: str, weight: float = 1.0, start: float = 0.0, end: float = 1.0) -> Tensor:
    return generate(apply(name, SCENES, weight=weight, start=start, end=end))


@cache
def originals() -> Tensor:
    return draw([(scene,) for scene in SCENES])


def test_text_alone_is_at_chance(report):
    found = table(text_only(), SCENES)
    report(f"text alone: {shown(found)}")
    for name, share in found.items():
        assert share < CHANCE[name] + 0.2, name


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("base", {"colour": 0.9, "background": 0.9, "position": 0.8, "size": 0.75, "shape": 0.5, "texture": 0.45}),
        ("plus", {"colour": 0.9, "background": 0.9, "position": 0.8, "size": 0.75, "shape": 0.45, "texture": 0.5}),
    ],
)
def test_the_picture_takes_after_its_reference(name, least, report):
    found = table(with_adapter(name), SCENES)
    report(f"{name}, weight 1: {shown(found)}")
    for attribute, share in least.items():
        assert found[attribute] > share, attribute


def test_the_picture_comes_near_its_reference(report):
    found = {name: distance(with_adapter(name), originals()) for name in ("base", "plus")}
    alone = distance(text_only(), originals())
    report(f"distance to the reference: {shown(found, 3)}  text alone {alone:.3f}")
    assert max(found.values()) < 0.2 * alone


def test_plus_keeps_more_of_two_objects_than_base(report):
    """One embedding must describe both objects, while 16 tokens can keep them apart."""
    references = draw(list(zip(SCENES, OTHERS, strict=True)))
    far, colours = {}, {}
    for name in ("base", "plus"):
        made = generate(apply(name, references.movedim(1, -1)), PAIR)
        halves = [
            matches(measure_half(made, side), scenes, "colour")
            for side, scenes in (("left", SCENES), ("right", OTHERS))
        ]
        far[name], colours[name] = distance(made, references), sum(halves) / 2
    report(f"references of two objects: distance {shown(far, 3)}; halves with their colour: {shown(colours)}")
    assert far["plus"] < 0.9 * far["base"]
    assert colours["plus"] > colours["base"] + 0.15


def test_similarity_grows_with_the_weight_and_a_negative_one_moves_away(report):
    weights = (-0.5, 0.0, 0.3, 1.0)
    found = [distance(text_only() if weight == 0 else with_adapter("plus", weight), originals()) for weight in weights]
    report("distance by weight: " + "  ".join(f"{w}: {d:.3f}" for w, d in zip(weights, found, strict=True)))
    assert found == sorted(found, reverse=True)
    assert found[0] > found[1] + 0.01
    assert found[1] > 5 * found[-1]


def test_weight_zero_is_no_node():
    prompt = {"count": 4, "steps": 3}
    plain = generate(checkpoints()[0], **prompt)
    assert torch.equal(generate(apply("plus", SCENES[:4], weight=0.0), **prompt), plain)


def other_shapes() -> list[str]:
    """For each reference a shape that it has not."""
    return [next(s for s in SHAPES[i % 6 :] + SHAPES if s != scene.shape) for i, scene in enumerate(SCENES)]


@cache
def with_other_shapes(how: str) -> list[dict[str, str]]:
    """What is measured where the text names another shape than the reference has, and the reference acts so."""
    if how == "text alone":
        model = checkpoints()[0]
    elif how == "first steps":
        model = apply_references("plus", reference(SCENES, "0:1 hold, 0.2:0"))
    else:
        model = apply("plus", SCENES, layers=how)
    return measure(generate(model, [f"a {shape}" for shape in other_shapes()], steps=FIFTHS))


def obeyed(readings: Sequence[dict[str, str]]) -> float:
    """The share of the pictures with the shape that the text names."""
    return sum(r["shape"] == shape for r, shape in zip(readings, other_shapes(), strict=True)) / len(readings)


def test_the_text_gives_the_shape_and_the_image_the_colour(report):
    found = {
        "text alone": with_other_shapes("text alone"),
        "style layers": with_other_shapes("style"),
        "all layers": with_other_shapes("all"),
    }
    shape = {name: obeyed(readings) for name, readings in found.items()}
    report(f"a text with another shape, which comes: {shown(shape)}")
    style = table_of(found["style layers"], SCENES)
    report(f"style layers, and another shape in the text: {shown(style)}")
    assert shape["style layers"] > max(shape["all layers"], style["shape"], CHANCE["shape"]) + 0.12
    assert style["colour"] > 0.75
    assert style["texture"] > CHANCE["texture"] + 0.15


def test_a_schedule_lets_the_text_choose_the_shape(report):
    """Keyframes let the reference act in the first fifth of sampling, where colours are settled and shapes are not."""
    hows = ("text alone", "all", "first steps")
    shape = {how: obeyed(with_other_shapes(how)) for how in hows}
    report(f"keyframes, and another shape in the text, which comes: {shown(shape)}")
    early = table_of(with_other_shapes("first steps"), SCENES)
    report(f"keyframes for the first fifth, and another shape in the text: {shown(early)}")
    assert shape["first steps"] > max(shape["all"], CHANCE["shape"]) + 0.06
    assert early["colour"] > 0.75 and early["background"] > 0.75
    assert early["shape"] < shape["first steps"]


def test_style_comes_from_one_picture_and_composition_from_another(report):
    style, composition = reference(MANY_SCENES, layers="style"), reference(MANY_OTHERS, layers="composition")
    for name in ("base", "plus"):
        readings = measure(generate(apply_references(name, style, composition), count=64))
        of_style, of_composition = (table_of(readings, scenes) for scenes in (MANY_SCENES, MANY_OTHERS))
        report(f"{name}, style of one: {shown(of_style)}\n{name}, composition of another: {shown(of_composition)}")
        for attribute, least in {"colour": 0.55, "background": 0.8}.items():
            assert of_style[attribute] > least
            assert of_composition[attribute] < CHANCE[attribute] + 0.2
        for attribute, least in {"position": 0.8, "shape": 0.45}.items():
            assert of_composition[attribute] > least
            assert of_style[attribute] < CHANCE[attribute] + 0.2


def test_composition_is_place_and_shape_and_no_colour(report):
    found = table(generate(apply("plus", SCENES, layers="composition")), SCENES)
    report(f"composition layers: {shown(found)}")
    assert found["position"] > 0.75
    assert found["shape"] > CHANCE["shape"] + 0.15
    for name in ("colour", "background"):
        assert found[name] < CHANCE[name] + 0.25, name


def test_a_mask_confines_the_influence(report):
    """The text leaves the left half open and says what is in the right one."""
    prompts = [f"a shape and {scene.caption(('size', 'colour', 'shape', 'background'))}" for scene in OTHERS]
    plain = generate(checkpoints()[0], prompts)
    made = generate(apply("plus", SCENES, mask=half_mask("left")), prompts)
    for attribute in ("colour", "background"):
        inside = matches(measure_half(made, "left"), SCENES, attribute)
        before = matches(measure_half(plain, "right"), OTHERS, attribute)
        outside = matches(measure_half(made, "right"), OTHERS, attribute)
        leaked = matches(measure_half(made, "right"), SCENES, attribute)
        report(
            f"left mask, {attribute}: inside of the image {inside:.2f}; outside of the text {outside:.2f} "
            f"(without the image {before:.2f}), of the image {leaked:.2f}"
        )
        assert inside > 0.7
        assert outside > before - 0.2
        assert leaked < CHANCE[attribute] + 0.15
    left, right = (distance(made[..., half], plain[..., half]) for half in (slice(None, 32), slice(32, None)))
    report(f"left mask: distance from the text's own picture {left:.3f} inside, {right:.3f} outside")
    assert right < 0.5 * left


def test_the_influence_map_of_a_masked_reference_lies_in_its_mask(report):
    """The edge of the masks lies between tokens in all layers, so nothing leaks."""
    model = apply("plus", OTHERS[:8], mask=half_mask("right"), model=apply("plus", SCENES[:8], mask=half_mask("left")))
    watched, influence = RecordInfluence.execute(model).args
    generate(watched, PAIR, count=8)
    for side, values in zip(("left", "right"), influence.record.maps, strict=True):
        halves = [half.mean().item() for half in values.chunk(2, dim=-1)]
        own, other = halves if side == "left" else halves[::-1]
        report(f"influence of the reference masked to the {side} half: {own:.3f} inside, {other:.4f} outside")
        assert own > 1.0
        assert other == 0.0


def test_two_references_with_two_masks_each_rule_their_half(report):
    model = apply("plus", SCENES, mask=half_mask("left"))
    made = generate(apply("plus", OTHERS, mask=half_mask("right"), model=model), PAIR)
    for side, own, other in (("left", SCENES, OTHERS), ("right", OTHERS, SCENES)):
        readings = measure_half(made, side)
        found = {name: (matches(readings, own, name), matches(readings, other, name)) for name in ("colour", "shape")}
        report(f"two masks, {side} half: " + "  ".join(f"{n} own {a:.2f} other {b:.2f}" for n, (a, b) in found.items()))
        assert found["colour"][0] > 0.7
        assert found["colour"][1] < 0.4
        assert found["shape"][0] > found["shape"][1] + 0.1


def test_two_references_in_two_areas_each_rule_their_half(report):
    """Two conditionings share the picture, each with a reference; no mask says where these act."""
    count = 32
    model, areas = in_areas("plus", reference(SCENES[:count]), reference(OTHERS[:count]))
    made = generate(model, count=count, positive=areas)
    for side, own, other in (("left", SCENES, OTHERS), ("right", OTHERS, SCENES)):
        readings = measure_half(made, side)
        for attribute in ("colour", "background"):
            right, wrong = (matches(readings, scenes[:count], attribute) for scenes in (own, other))
            report(f"two areas, {side} half, {attribute}: own {right:.2f} other {wrong:.2f}")
            assert right > 0.75
            assert wrong < CHANCE[attribute] + 0.25


def test_tiles_of_a_wide_reference_show_what_a_centre_crop_misses(report):
    """The references are three squares wide: an object at one end, and nothing but its background elsewhere."""
    scenes = SCENES[:12]
    found: dict[str, list[dict[str, str]]] = {"center": [], "tiles": []}
    for number, scene in enumerate(scenes):
        beside = torch.tensor(BACKGROUNDS[scene.background]).expand(1, SIZE, 2 * SIZE, 3)
        parts = [pictures([scene]), beside]
        wide = torch.cat(parts if number % 2 else parts[::-1], dim=2)
        for crop, readings in found.items():
            features = EncodeImagePrompt.execute(encoder(), wide, crop, tiles=1).args[0]
            model = ApplyImagePrompt.execute(checkpoints()[0], adapter("plus"), features).args[0]
            readings += measure(generate(model, count=1, steps=6))
    shares = {crop: matches(readings, scenes, "colour") for crop, readings in found.items()}
    report(f"an object at the end of a wide reference, its colour: {shown(shares)}")
    assert shares["center"] < CHANCE["colour"] + 0.25
    assert shares["tiles"] > 0.75


def test_early_and_late_act_differently(report):
    early, late = (table(with_adapter("plus", 1.0, *span), SCENES) for span in ((0.0, 0.4), (0.4, 1.0)))
    report(f"first 40 % of sampling: {shown(early)}\nlast 60 %: {shown(late)}")
    assert early["colour"] > late["colour"] + 0.1  # the first steps settle the large areas
    assert early["background"] > late["background"] + 0.2
    assert late["shape"] > CHANCE["shape"] + 0.2  # and the later ones what is drawn on them


def test_a_negative_image_moves_the_result_away_from_it(report):
    """The result moves away from this negative, not just anywhere: the negative of the next row moves it elsewhere."""
    others = MANY_OTHERS
    negatives = {"neutral": None, "its own": others, "the next one's": others[1:] + others[:1]}
    found = {
        name: distance(
            generate(apply("plus", MANY_SCENES, weight=0.6, negative=negative), count=64),
            draw([(scene,) for scene in others]),
        )
        for name, negative in negatives.items()
    }
    report("distance to a negative image, by the one that was given: " + shown(found, 3))
    assert found["its own"] > found["neutral"] + 0.01
    assert found["its own"] > found["the next one's"] + 0.005


@pytest.mark.parametrize("name", ["base", "plus"])
def test_an_interpolation_leaves_one_reference_and_comes_near_the_other(name, report):
    """The one adapter reads a vector of each reference, the other a sequence."""
    steps, count = (0.0, 0.25, 0.5, 0.75, 1.0), 12
    first, second = SCENES[:count], OTHERS[:count]
    made = [generate(between(name, first, second, step), count=count) for step in steps]
    left, near = (
        [distance(picture, draw([(scene,) for scene in scenes])) for picture in made] for scenes in (first, second)
    )
    told = "  ".join(f"{step}: {a:.3f} {b:.3f}" for step, a, b in zip(steps, left, near, strict=True))
    report(f"{name}, distance to the first and to the second reference, by interpolation: {told}")
    assert left == sorted(left)
    assert near == sorted(near, reverse=True)
    for start, middle, end in (left[::2], near[::-2]):
        assert 2 * start < middle < 0.85 * end


def test_the_small_clip_finds_the_caption(report):
    """The caption is found among 64 by the features that the encoder node gives."""
    _, clip, _ = checkpoints()
    scenes = list({scene.caption(): scene for scene in MANY_SCENES + MANY_OTHERS}.values())[:64]
    image = encode(pictures(scenes)).image_embeds
    tower = clip.cond_stage_model.clip_l
    captions = [clip.tokenize(scene.caption())["l"] for scene in scenes]
    words = torch.cat([tower.transformer(torch.tensor([[token for token, _ in rows[0]]]))[2] for rows in captions])
    similarity = torch.nn.functional.normalize(image, dim=-1) @ torch.nn.functional.normalize(words, dim=-1).T
    top = (similarity.argmax(1) == torch.arange(len(scenes))).float().mean().item()
    report(f"captions found among {len(scenes)}: {top:.2f}")
    assert len(scenes) == 64
    assert top > 0.6


def test_the_autoencoder_keeps_the_picture(report):
    vae = checkpoints()[2]
    lost = distance(vae.decode(vae.encode(pictures(SCENES))).movedim(-1, 1).clamp(0, 1), originals())
    report(f"what the autoencoder alone loses: {lost:.3f}")
    assert lost < 0.05


def test_the_world_is_small_enough_to_ship():
    files = [file for file in MODELS.rglob("*") if file.is_file()]
    assert len(files) == 6
    assert sum(file.stat().st_size for file in files) < 30e6


def test_the_adapters_are_found_to_be_what_they_are():
    assert adapter("base").module.family.name == "base"
    assert adapter("plus").module.family.name == "plus"
    assert adapter("base").module.base_model == adapter("plus").module.base_model == "SD1.5"


@pytest.mark.parametrize("file", sorted(MODELS.rglob("*.safetensors")), ids=str)
def test_the_files_say_what_they_are(file):
    with safe_open(file, "pt") as opened:
        said = opened.metadata()
        kinds = {opened.get_slice(key).get_dtype() for key in opened.keys()}
    assert {"what", "training commit", "data seed", "training"} <= said.keys()
    assert said["licence"] == "Apache-2.0"
    assert kinds <= {"F16", "I64"}
