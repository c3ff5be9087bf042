"""The nodes that fill a library, search it, rate in it, and tell what its pictures were made with."""

import asyncio
import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import comfy.model_management
import comfy.utils
import folder_paths
import nodes
import numpy as np
import pytest
import tiny
import torch
from comfy.model_management import InterruptProcessingException
from execution import PromptQueue, validate_inputs
from PIL import Image

from image_prompt.model_files.pictures import read_text
from image_prompt.nodes.embeddings.pictures import embed_pictures, embed_squares
from image_prompt.nodes.embeddings.text_half import TextHalf
from image_prompt.nodes.encoding.encode import EncodeImagePrompt
from image_prompt.nodes.encoding.saving.library import SaveImagePromptFeatures
from image_prompt.nodes.panels.references import NotListed
from image_prompt.nodes.reference_library import adding, answers
from image_prompt.nodes.reference_library.add import AddToLibrary
from image_prompt.nodes.reference_library.advise import AdviseFromLibrary
from image_prompt.nodes.reference_library.answers import listed_libraries, search_answer
from image_prompt.nodes.reference_library.letterbox import letterboxed
from image_prompt.nodes.reference_library.libraries import folder, names, opened
from image_prompt.nodes.reference_library.nearest import NearestReference
from image_prompt.nodes.reference_library.rate import RateInLibrary
from image_prompt.nodes.reference_library.thumbnails import thumbnail
from image_prompt.nodes.serving import idle
from image_prompt.references.exports import export_lance
from image_prompt.references.lance import connect
from image_prompt.references.library import Library, NewPicture, Writer, check
from image_prompt.references.search.finding import named

A1111 = "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 64x64, Model: dream"


@pytest.fixture(autouse=True)
def output_folder(tmp_path, monkeypatch):
    """A folder of pictures that were saved before, of which each says what made it."""
    from PIL.PngImagePlugin import PngInfo

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path / "output"))
    (tmp_path / "output" / "cats").mkdir(parents=True)
    for number in range(3):
        texts = PngInfo()
        texts.add_text("parameters", A1111)
        pixels = torch.rand(30, 20 + number, 3, generator=torch.Generator().manual_seed(number))
        image = Image.fromarray((pixels * 255).to(torch.uint8).numpy())
        image.save(tmp_path / "output" / "cats" / f"{number}.png", pnginfo=texts)
    return tmp_path / "output"


@pytest.fixture
def images():
    """Six pictures (48, 64)."""
    return torch.rand(6, 48, 64, 3, generator=torch.Generator().manual_seed(3)).mul(255).round().div(255)


def add(encoder, library="cats", **inputs) -> list[str]:
    return AddToLibrary.execute(encoder, library, **inputs).args[0].splitlines()


def nearest(library="cats", **inputs):
    return NearestReference.execute(library, **inputs).args


def test_neighbours_are_those_of_a_brute_force_in_float64(encoder, images):
    paths = add(encoder, images=images)
    query = embed_pictures(encoder, images[2:3].flip(2))
    _, found, scores, embedding, _ = nearest(query=query, k=6)
    vectors = embed_pictures(encoder, images).vectors.double().numpy()
    expected = vectors @ query.vectors[0].double().numpy()
    order = np.argsort(-expected)
    assert found.splitlines() == [paths[number] for number in order]
    np.testing.assert_allclose(scores, expected[order], atol=1e-3)  # the library keeps fp16
    assert embedding.space == query.space and len(embedding) == 6
    assert check(folder() / "cats").clean


def test_features_are_those_of_the_pictures_themselves(encoder, images):
    paths = add(encoder, images=images)
    image, found, _, _, features = nearest(picture=paths[4], k=2, clip_vision=encoder)
    place = [paths.index(path) for path in found.splitlines()]
    assert place[0] == 4
    torch.testing.assert_close(image, images[place], atol=0, rtol=0)  # a PNG keeps 8 bits
    expected = EncodeImagePrompt.execute(encoder, images[place]).args[0]
    for field in ("image_embeds", "penultimate_hidden_states"):
        torch.testing.assert_close(getattr(features, field), getattr(expected, field), atol=0, rtol=0)
    assert nearest(picture=paths[4])[4] is None  # without an encoder


def test_a_saved_picture_holds_the_workflow(encoder, images):
    hidden = type("Hidden", (), {"prompt": {"1": {"class_type": "A"}}, "extra_pnginfo": {"workflow": {"nodes": []}}})
    with adding.writer_of("cats", encoder) as writer:
        added = adding.add_images(writer, encoder, images[:1], "center", "", 0, hidden)
        (path,) = adding.names_of_added(writer, added)
    file = folder() / "cats" / "pictures" / path
    assert json.loads(read_text(file, "prompt") or "") == hidden.prompt
    assert json.loads(read_text(file, "workflow") or "") == hidden.extra_pnginfo["workflow"]


def test_files_stay_where_they_are_with_what_made_them(encoder, output_folder):
    before = {path: path.read_bytes() for path in output_folder.rglob("*.png")}
    assert add(encoder, files="cats\n cats/0.png\n", text="mine", rating=1) == [f"cats/{n}.png" for n in range(3)]
    library = opened("cats")
    pictures = [library.picture(id) for id in library.newest(9)]
    assert {(each.text, each.rating, each.metadata["model"], each.kind) for each in pictures} == {
        ("mine", 1, "dream", "image")
    }
    assert [(each.width, each.height) for each in pictures] == [(22, 30), (21, 30), (20, 30)]
    assert before == {path: path.read_bytes() for path in output_folder.rglob("*.png")}
    assert not (folder() / "cats" / "pictures").exists()


def test_a_file_that_cannot_be_read_is_told_and_the_others_are_added(encoder, output_folder):
    (output_folder / "cats" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    paths, report = AddToLibrary.execute(encoder, "cats", files="cats").args
    assert len(paths.splitlines()) == 3 and "1 of 4 could not be read: cats/broken.png" in report
    assert str(output_folder) not in report
    with Library.open(folder() / "cats") as library:
        assert [(each.root, each.path) for each in library.errors()] == [(1, "cats/broken.png")]
        assert library.roots == {1: output_folder}
    (output_folder / "cats" / "broken.png").write_bytes((output_folder / "cats" / "0.png").read_bytes())
    add(encoder, files="cats/broken.png")
    with Library.open(folder() / "cats") as library:
        assert library.errors() == []


def test_a_file_that_goes_while_it_is_read_takes_no_other_s_vector(encoder, output_folder, monkeypatch):
    def gone(path):
        if path.name == "1.png":
            raise FileNotFoundError(2, "No such file", str(path))
        return {}

    monkeypatch.setattr(adding, "generation", gone)
    assert add(encoder, files="cats") == ["cats/0.png", "cats/2.png"]
    for path in ("cats/0.png", "cats/2.png"):
        assert nearest(picture=path, k=1, clip_vision=encoder)[1] == path
        pixels = adding.to_rgb(output_folder / path, adding.BLACK)[0].movedim(1, -1) / 255
        vectors = embed_pictures(encoder, pixels).vectors
        torch.testing.assert_close(nearest(picture=path, k=1)[3].vectors, vectors, atol=2e-3, rtol=0)


def test_what_is_new_in_a_folder_is_added_when_it_runs_again(output_folder):
    def seen(files="cats"):
        return AddToLibrary.fingerprint_inputs(files=files)

    before = seen()
    assert seen() == before != seen("cats/1.png") and seen(None) == seen("")
    (output_folder / "cats" / "3.png").write_bytes((output_folder / "cats" / "0.png").read_bytes())
    assert seen() != before
    assert seen("../secret.png") != seen("../secret.png")  # it runs, and says why


def test_a_picture_of_16_bits_is_as_bright_in_small(tmp_path):
    values = np.linspace(0, 65535, 400 * 300).round().astype(np.uint16).reshape(300, 400)
    Image.fromarray(values).save(tmp_path / "deep.png")
    with Image.open(io.BytesIO(thumbnail(tmp_path / "deep.png", "image"))) as small:
        found = np.asarray(small.convert("L").resize((4, 3), Image.Resampling.BOX), np.float32)
    expected = values.reshape(3, 100, 4, 100).mean(axis=(1, 3)) / 257
    np.testing.assert_allclose(found, expected, atol=2)


@pytest.mark.parametrize(
    "files", ["../secret.png", "/etc/passwd", "cats/../../secret.png", "link.png", "../secret.png [input]", "a\0b.png"]
)
def test_files_outside_of_comfyui_s_folders_are_refused(encoder, output_folder, files):
    secret = output_folder.parent / "secret.png"
    Image.new("RGB", (4, 4)).save(secret)
    (output_folder / "link.png").symlink_to(secret)
    with pytest.raises(ValueError, match="leads out of ComfyUI's"):
        add(encoder, files=files)
    assert names() == []


def test_ratings_put_good_pictures_first_and_leave_bad_ones_out(encoder, images):
    paths = add(encoder, images=images)
    plain = nearest(picture=paths[0], k=6)[1].splitlines()
    assert RateInLibrary.execute("cats", plain[3], 1).args[0] == "1 picture of cats rated 1"
    RateInLibrary.execute("cats", f"{plain[1]}\n{plain[1]}\n", -1)
    preferred = nearest(picture=paths[0], k=3, prefer_rated=True)[1].splitlines()
    assert preferred == [plain[3], plain[0], plain[2]]
    everything = nearest(picture=paths[0], k=6, prefer_rated=True)[1].splitlines()
    assert everything == [plain[3], plain[0], plain[2], *plain[4:]]
    assert nearest(picture=paths[0], k=6)[1].splitlines() == plain
    with pytest.raises(ValueError, match="holds no picture 'no.png'"):
        RateInLibrary.execute("cats", f"{plain[2]}\nno.png", 1)
    assert opened("cats").newest(9, rating=1) == opened("cats").named(plain[3])


def test_pictures_of_one_path_below_several_roots_are_told_apart(encoder, output_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(folder_paths, "input_directory", str(tmp_path / "input"))
    shutil.copytree(output_folder, tmp_path / "input")
    (output_folder / "cats" / "2.png").unlink()
    Image.new("RGB", (30, 20), "red").save(tmp_path / "input" / "cats" / "1.png")
    assert add(encoder, files="cats") == ["cats/0.png", "cats/1.png"]
    assert add(encoder, files="cats [input]") == ["2:cats/0.png", "2:cats/1.png", "cats/2.png"]
    found = {each["path"]: each["id"] for each in search_answer({"library": "cats"})["found"]}
    assert set(found) == {"1:cats/0.png", "1:cats/1.png", "2:cats/0.png", "2:cats/1.png", "cats/2.png"}
    for name, id in found.items():
        first = nearest(picture=name, k=1)
        assert named(opened("cats"), name).id == id
        assert first[1] == name or name[1:] == ":cats/0.png" == first[1][1:]  # equal files are equally near
    assert RateInLibrary.execute("cats", "2:cats/1.png\ncats/2.png", 1).args[0] == "2 pictures of cats rated 1"
    assert opened("cats").newest(9, rating=1) == sorted((found["2:cats/1.png"], found["cats/2.png"]), reverse=True)
    for refused in (lambda: nearest(picture="cats/1.png"), lambda: RateInLibrary.execute("cats", "cats/1.png", 1)):
        with pytest.raises(ValueError, match="holds 2 pictures 'cats/1.png'.* one of 1:cats/1.png, 2:cats/1.png"):
            refused()
    with Library.open(folder() / "cats") as library:
        export_lance(library, str(tmp_path / "tables"), "team")
        connect(folder() / "team", str(tmp_path / "tables"), "team", roots=library.roots)
    assert {each["path"] for each in search_answer({"library": "team"})["found"]} == set(found)


def test_a_path_that_looks_like_the_name_of_another_picture_has_its_own(encoder, images, tmp_path):
    paths, embedding = ["a.png", "1:a.png"], embed_pictures(encoder, images[:2])
    rows = [NewPicture(tmp_path, path, 1, 1, "0" * 64) for path in paths]
    with Writer.open(folder() / "cats", embedding.space) as writer:
        names = adding.names_of_added(writer, writer.add(rows, embedding.vectors.numpy()))
    assert names == ["a.png", "1:1:a.png"]
    assert [named(opened("cats"), name).path for name in names] == paths


def test_advice_counts_good_or_near_pictures(encoder, images):
    add(encoder, files="cats")
    with pytest.raises(ValueError, match="No picture of the library cats is rated 1: connect a query, or rate some"):
        AdviseFromLibrary.execute("cats")
    RateInLibrary.execute("cats", "cats/1.png", 1)
    (text,) = AdviseFromLibrary.execute("cats").args
    assert "1 of 1 pictures say what they were made with" in text
    assert "Model:\n  dream: 1 of 1, 1 rated good (cats/1.png)" in text
    (text,) = AdviseFromLibrary.execute("cats", embed_pictures(encoder, images[:1]), k=2).args
    assert "  dream: 2 of 2, 1 rated good (cats/1.png, cats/" in text


def test_the_fingerprint_follows_the_library(encoder, images):
    add(encoder, images=images[:1])
    seen = [NearestReference.fingerprint_inputs("cats"), NearestReference.fingerprint_inputs("cats")]
    add(encoder, images=images[1:2])
    seen.append(NearestReference.fingerprint_inputs("cats"))
    RateInLibrary.execute("cats", "picture_00001_.png", 1)
    seen.append(NearestReference.fingerprint_inputs("cats"))
    assert seen[0] == seen[1] and len({*seen}) == 3
    assert NearestReference.fingerprint_inputs("none") != seen[0]


def test_a_rating_is_made_again_once_another_one_was(encoder, images):
    """ComfyUI keeps results of earlier runs too: good, bad and good again would leave it bad."""
    (path,) = add(encoder, images=images[:1])

    def rated(rating):
        seen = RateInLibrary.fingerprint_inputs("cats")
        RateInLibrary.execute("cats", path, rating)
        return seen

    assert rated(1) != rated(-1) != rated(1)
    assert rated(1) == rated(1)  # changes nothing


def test_a_library_that_is_made_anew_is_another_one(encoder, images):
    seen = []
    for number in range(2):
        shutil.rmtree(folder() / "cats", ignore_errors=True)
        add(encoder, images=images[number : number + 1])
        image = nearest(picture="picture_00001_.png", k=1)[0]
        torch.testing.assert_close(image, images[number : number + 1], atol=0, rtol=0)
        torch.testing.assert_close(
            nearest(picture="picture_00001_.png", k=1)[3].vectors,
            embed_pictures(encoder, images[number : number + 1]).vectors,
            atol=2e-3,
            rtol=0,
        )
        seen.append(NearestReference.fingerprint_inputs("cats"))
    assert seen[0] != seen[1]


def test_listing_libraries_closes_none_that_is_searched(encoder, images):
    for name in ("a", "b", "c"):
        add(encoder, name, images=images[:1])
    library = opened("a")
    assert [each["count"] for each in listed_libraries()["libraries"]] == [1, 1, 1]
    NearestReference.fingerprint_inputs(None)
    assert opened("a") is library


def test_no_text_is_searched_beside_a_workflow(encoder, images, monkeypatch):
    paths, queue = add(encoder, images=images), PromptQueue(SimpleNamespace(queue_updated=lambda: None))
    vectors = embed_pictures(encoder, images[4:5])
    half = TextHalf.__new__(TextHalf)
    half.space, half.model = vectors.space, None
    monkeypatch.setattr(answers, "all_shared", lambda: [("half", half)])
    monkeypatch.setattr(answers, "embed_text", lambda *_: vectors)
    monkeypatch.setattr(answers, "prompt_server", lambda: SimpleNamespace(prompt_queue=queue))

    def first(**asked):
        return search_answer({"library": "cats", **asked})["found"][0]["path"]

    assert first(text="a cat") == paths[4]
    queue.put((0, "1", {}, {}, []))
    assert first(text="a cat") == paths[4]  # it waits still
    _, number = queue.get()
    with pytest.raises(answers.NotReady, match="A workflow is running"):
        first(text="a cat")
    assert first() == paths[5]
    queue.task_done(number, {}, None)
    assert first(text="a cat") == paths[4]


def test_a_search_by_text_takes_no_cancel_away_from_a_prompt(encoder, images, monkeypatch):
    add(encoder, images=images)
    queue, half = PromptQueue(SimpleNamespace(queue_updated=lambda: None)), TextHalf.__new__(TextHalf)
    half.space, half.model = embed_pictures(encoder, images[:1]).space, None
    for module in (answers, idle):
        monkeypatch.setattr(module, "prompt_server", lambda: SimpleNamespace(prompt_queue=queue))
    monkeypatch.setattr(answers, "all_shared", lambda: [("half", half)])

    def embed(*_):
        """A prompt has begun, and is cancelled, before the first of core's layers is computed."""
        queue.put((0, "1", {}, {}, []))
        queue.get()
        comfy.model_management.interrupt_current_processing()
        comfy.model_management.throw_exception_if_processing_interrupted()

    monkeypatch.setattr(answers, "embed_text", embed)
    try:
        with pytest.raises(answers.NotReady, match="in use by a workflow"):
            search_answer({"library": "cats", "text": "a cat"})
        assert comfy.model_management.processing_interrupted()
    finally:
        comfy.model_management.interrupt_current_processing(False)


def test_saved_features_of_a_library_go_on_without_an_encoder(encoder, images, folders):
    features = EncodeImagePrompt.execute(encoder, images[:2]).args[0]
    (name, _) = (SaveImagePromptFeatures.execute(features, "two", images[:2]).args[0], None)
    root, embedding = folders / "image_prompts", embed_pictures(encoder, images[:1])
    with Writer.open(folder() / "kept", embedding.space) as writer:
        status = (root / name).stat()
        row = NewPicture(root, name, status.st_size, status.st_mtime_ns, "0" * 64, kind="features")
        writer.add([row], embedding.vectors.numpy())
    image, path, scores, _, found = nearest("kept", query=embedding)
    assert (path, len(image)) == (name, 1) and scores[0] == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close(found.image_embeds, features.image_embeds, atol=0, rtol=0)


def test_pictures_that_are_gone_are_left_out_and_told(encoder, images):
    paths = add(encoder, images=images)
    own = folder() / "cats" / "pictures"
    (own / paths[1]).unlink()
    result = NearestReference.execute("cats", picture=paths[0], k=6)
    assert len(result.args[0]) == len(result.args[2]) == 5 and paths[1] not in result.args[1]
    assert f"{paths[1]}: There is no picture" in result.ui["image_prompt_said"][0]
    assert str(folder()) not in result.ui["image_prompt_said"][0]
    for path in paths:
        (own / path).unlink(missing_ok=True)
    with pytest.raises(ValueError, match="None of the 4 pictures that the library cats found could be read"):
        nearest(picture=paths[0])


@pytest.mark.parametrize("of_files", [True, False])
def test_progress_grows_from_the_first_picture_to_the_last(encoder, images, monkeypatch, of_files):
    seen = []
    monkeypatch.setattr(adding, "AT_ONCE", 2)
    monkeypatch.setattr(comfy.utils, "PROGRESS_THROTTLE_MIN_INTERVAL", 0)
    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", lambda done, of, *_, **__: seen.append((done, of)))
    add(encoder, **({"files": "cats"} if of_files else {"images": images}))
    assert seen == ([(2, 3), (3, 3)] if of_files else [(2, 6), (4, 6), (6, 6)])


def test_cancel_keeps_what_was_added_and_no_more(encoder, images, monkeypatch):
    monkeypatch.setattr(adding, "AT_ONCE", 2)
    embedded = iter(range(9))

    def embed(encoder, seen, **options):
        if next(embedded) == 1:  # the pictures of the second pair are saved already
            raise InterruptProcessingException
        return embed_squares(encoder, seen, **options)

    monkeypatch.setattr(adding, "embed_squares", embed)
    with pytest.raises(InterruptProcessingException):
        add(encoder, images=images)
    library = opened("cats")
    saved = {path.name for path in (folder() / "cats" / "pictures").iterdir()}
    assert library.count == 2 and saved == {library.picture(id).path for id in library.newest(9)}


def test_one_writer_at_a_time(encoder, images, monkeypatch):
    monkeypatch.setattr(adding, "PATIENCE", 0.0)
    add(encoder, images=images[:1])
    with Writer.open(folder() / "cats"), pytest.raises(ValueError, match="is being written by another program"):
        add(encoder, images=images[1:])
    assert opened("cats").count == 1 and len([*(folder() / "cats" / "pictures").iterdir()]) == 1


@pytest.mark.parametrize("waiting", ["until the other is done", "until Cancel"])
def test_a_node_waits_for_another_program_that_writes_to_the_library(encoder, images, monkeypatch, waiting):
    add(encoder, images=images[:1])
    other = Writer.open(folder() / "cats")
    if waiting == "until Cancel":
        monkeypatch.setattr(adding.time, "sleep", lambda _: comfy.model_management.interrupt_current_processing())
        with other, pytest.raises(InterruptProcessingException):
            add(encoder, images=images[1:])
    else:
        monkeypatch.setattr(adding.time, "sleep", lambda _: other.close())
        add(encoder, images=images[1:])
    assert opened("cats").count == (1 if waiting == "until Cancel" else len(images))


def test_another_encoder_is_refused_with_both_names(encoder, images):
    add(encoder, images=images[:1])
    other = tiny.encoder(projection=48)
    with pytest.raises(ValueError, match=r'The library "cats" was made with .* and the clip_vision is'):
        add(other, images=images)
    with pytest.raises(ValueError, match="do not compare"):
        nearest(query=embed_pictures(other, images[:1]))


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"library": "none"}, "The library is the text 'none': choose one that is there .cats., or make one"),
        ({"library": "../cats"}, "The library is"),
        ({"library": None}, "The library is nothing"),
        ({}, "There is nothing to search: connect Embed Text to query"),
        ({"query": 3}, "The input query is 3: connect the output of Embed Text"),
        ({"picture": "no.png"}, "holds no picture 'no.png'"),
        ({"picture": "picture_00001_.png", "k": 0}, "The k is 0"),
        ({"picture": "picture_00001_.png", "minimum": float("nan")}, "The minimum is nan"),
        ({"picture": "picture_00001_.png", "folder": "dogs"}, "has no picture in the folder 'dogs'"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_words(encoder, images, inputs, words):
    add(encoder, images=images[:1])
    with pytest.raises(ValueError, match=words):
        NearestReference.execute(**{"library": "cats", **inputs})


def test_a_library_is_made_with_its_first_picture(encoder, images, output_folder, monkeypatch):
    for number in range(3):
        (output_folder / "cats" / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    assert AddToLibrary.execute(encoder, "cats", files="cats").args[0] == ""
    with monkeypatch.context() as patch, pytest.raises(InterruptProcessingException):
        patch.setattr(adding, "embed_squares", raising(InterruptProcessingException()))
        add(encoder, images=images)
    with pytest.raises(ValueError):
        add(encoder, images=images * torch.nan)
    assert not (folder() / "cats").exists()
    add(encoder, files="cats", images=images[:1])
    with Library.open(folder() / "cats") as library:
        assert library.count == 1
        assert [each.path for each in library.errors()] == [f"cats/{number}.png" for number in range(3)]


def raising(error):
    def call(*_, **__):
        raise error

    return call


def test_a_table_that_changes_while_it_is_searched_is_told_in_words(encoder, images, tmp_path):
    import lancedb

    add(encoder, images=images, rating=1)
    with Library.open(folder() / "cats") as library:
        export_lance(library, str(tmp_path / "tables"), "team")
        connect(folder() / "team", str(tmp_path / "tables"), "team", roots=library.roots)
    team = opened("team")
    ids = team.newest(6)

    def search_and_lose(*_, **__):
        lancedb.connect(str(tmp_path / "tables")).open_table("team").delete(f"id = {ids[0]}")
        team._table.checkout_latest()
        return ids

    team.newest = search_and_lose
    with pytest.raises(NotListed, match="The library team has changed while it was searched: search again."):
        search_answer({"library": "team"})


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"library": "../x", "files": "cats"}, "cannot be the name of a library"),
        ({"library": "", "files": "cats"}, "cannot be the name of a library"),
        ({}, "There is nothing to add: connect images, or name files"),
        ({"files": "no.png"}, "There is no picture 'no.png' in ComfyUI's output folder"),
        ({"files": "x" * 5000}, "There is no picture 'xxx"),
        ({"files": "cats", "rating": 0.5}, "The rating is 0.5: it is -1 .bad., 0"),
        ({"files": "cats", "text": 3}, "The text is 3"),
    ],
)
def test_what_cannot_be_added_is_refused_in_words(encoder, inputs, words):
    with pytest.raises(ValueError, match=words):
        AddToLibrary.execute(**{"clip_vision": encoder, "library": "cats", **inputs})
    assert names() == [] and not Path(folder() / "x").exists()


class Encoder:
    """Stands for what loads an encoder."""

    RETURN_TYPES, FUNCTION = ("CLIP_VISION",), "load"

    @classmethod
    def INPUT_TYPES(cls):
        return {}


@pytest.mark.parametrize("node", [NearestReference, AdviseFromLibrary, RateInLibrary, AddToLibrary])
def test_a_library_may_be_made_by_the_workflow_that_names_it(node, monkeypatch):
    monkeypatch.setitem(nodes.NODE_CLASS_MAPPINGS, "Encoder", Encoder)
    monkeypatch.setitem(nodes.NODE_CLASS_MAPPINGS, "Node", node)

    def refused(library):
        inputs = {"library": library, "clip_vision": ["2", 0]}
        prompt = {"1": {"class_type": "Node", "inputs": inputs}, "2": {"class_type": "Encoder", "inputs": {}}}
        return [each["details"] for each in asyncio.run(validate_inputs("prompt", prompt, "1", {}))[1]]

    assert refused("a new one") == []
    (why,) = refused("../x")
    assert "'../x' cannot be the name of a library: it holds a character of paths. A name is 1 to 100" in why


def test_a_picture_of_another_shape_lies_between_bars():
    wide = torch.full((1, 3, 10, 40), 255, dtype=torch.uint8)
    found = letterboxed(wide, (20, 20))
    assert found.shape == (1, 20, 20, 3)
    rows = found[0, :, :, 0].mean(1)
    assert [int(row) for row in rows] == [0] * 7 + [1] * 5 + [0] * 8


def test_the_library_of_a_team_is_searched_and_never_written(encoder, images, tmp_path):
    paths = add(encoder, images=images, rating=1)
    query = embed_pictures(encoder, images[3:4])
    own = nearest(query=query, k=3, clip_vision=encoder)
    with Library.open(folder() / "cats") as library:
        export_lance(library, str(tmp_path / "tables"), "team")
        connect(folder() / "team", str(tmp_path / "tables"), "team", roots=library.roots)
    image, found, scores, embedding, features = nearest("team", query=query, k=3, clip_vision=encoder)
    assert found == own[1] and scores == pytest.approx(own[2], abs=1e-6)
    torch.testing.assert_close(image, own[0], atol=0, rtol=0)
    torch.testing.assert_close(embedding.vectors, own[3].vectors, atol=0, rtol=0)
    torch.testing.assert_close(features.image_embeds, own[4].image_embeds, atol=0, rtol=0)
    assert nearest("team", picture=paths[2], k=1)[1] == paths[2]
    assert "6 pictures" in AdviseFromLibrary.execute("team").args[0]
    for write in (lambda: add(encoder, "team", images=images), lambda: RateInLibrary.execute("team", paths[0], 1)):
        with pytest.raises(ValueError, match='The library "team" is connected to a table elsewhere'):
            write()
