"""A library is what the folder or the list is: new, changed, moved and vanished files, and what cannot be read."""

import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from image_prompt.clip_vision import VisionFeatures, save_features
from image_prompt.devtools.stages import ROOT
from image_prompt.references.embedder import Embedder
from image_prompt.references.filling import Content, fill, filler, groups
from image_prompt.references.filling.listing import list_entries
from image_prompt.references.library import Library, Writer, check
from image_prompt.references.space import Space

from .fakes import FakeEncoder, everything, read, write


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    write(folder, b="bee", cats__tom="tom", cats__tim="tim", a="ant", zoo__x="ox")
    return folder


@pytest.fixture
def library(tmp_path):
    return tmp_path / "library"


def filled(library, source, encoder=None, **options):
    return fill(library, source, encoder or FakeEncoder(), read=read, **options)


def names(library):
    with Library.open(library) as opened:
        return {picture.path: picture for picture in opened.pictures(opened.ids())}


def test_a_folder_is_added_in_the_order_of_its_paths(library, photos):
    encoder, seen = FakeEncoder(), []
    (photos / "notes.txt").write_text("no picture")
    write(photos, **{".hidden": "x", "cats__._tom": "x"})
    done = filled(library, photos, encoder, batch=2, on_progress=lambda *numbers: seen.append(numbers))
    assert (done.added, done.unchanged, done.failed, done.stopped) == (5, 0, [], False)
    assert encoder.batches == [[b"ant", b"bee"], [b"tim", b"tom"], [b"ox"]]
    assert seen == [(2, 5), (4, 5), (5, 5)]
    with Library.open(library) as opened:
        pictures = opened.pictures(opened.ids())
        assert [each.path for each in pictures] == ["a.png", "b.png", "cats/tim.png", "cats/tom.png", "zoo/x.png"]
        assert [opened.path_of(each).read_text() for each in pictures] == ["ant", "bee", "tim", "tom", "ox"]
        assert pictures[3].metadata == {"data": "tom"} and pictures[3].size == 3
        expected = [
            encoder.vector(*pair) for batch in encoder.batches for pair in zip(batch, [batch] * 2, strict=False)
        ]
        np.testing.assert_array_equal(opened.vectors(), np.array(expected, np.float16))


def test_what_has_not_changed_is_not_read_again(library, photos, monkeypatch):
    filled(library, photos)
    before, encoder = everything(library), FakeEncoder()
    monkeypatch.setattr(groups, "open", None, raising=False)
    done = filled(library, photos, encoder)
    assert (done.unchanged, done.added, encoder.batches) == (5, 0, [])
    assert everything(library) == before


def test_moved_changed_touched_and_vanished_files_are_told_apart(library, photos):
    filled(library, photos)
    with Writer.open(library) as writer:
        for path in ("cats/tom.png", "a.png", "b.png"):
            writer.rate(path, 1)
    old = names(library)
    (photos / "dogs").mkdir()
    os.rename(photos / "cats" / "tom.png", photos / "dogs" / "rex.png")
    write(photos, a="ape", cats__tim="tim")
    os.utime(photos / "b.png", ns=(1, 1))
    os.unlink(photos / "zoo" / "x.png")

    encoder = FakeEncoder()
    done = filled(library, photos, encoder)
    assert encoder.batches == [[b"ape"]]
    assert (done.replaced, done.added) == (1, 0)
    assert done.moved == [(photos / "cats" / "tom.png", photos / "dogs" / "rex.png")]
    assert done.gone == [photos / "zoo" / "x.png"] and not done.pruned
    new = names(library)
    assert sorted(new) == ["a.png", "b.png", "cats/tim.png", "dogs/rex.png", "zoo/x.png"]
    assert (new["dogs/rex.png"].id, new["dogs/rex.png"].rating) == (old["cats/tom.png"].id, 1)
    assert (new["b.png"].mtime_ns, new["b.png"].rating) == (1, 1)
    assert (new["a.png"].metadata, new["a.png"].rating) == ({"data": "ape"}, 0)  # another picture is not rated

    done = filled(library, photos, prune=True)
    assert (done.gone, done.pruned, done.unchanged) == ([photos / "zoo" / "x.png"], True, 4)
    assert "zoo/x.png" not in names(library) and check(library).clean


def test_nothing_is_removed_when_all_is_gone_or_a_folder_cannot_be_read(library, photos, monkeypatch):
    filled(library, photos)
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("cats"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", refuse)
        done = filled(library, photos, prune=True)
    assert done.gone == [] and done.failed == [(photos / "cats", "The folder cannot be read: Permission denied.")]
    assert filled(library, photos).failed == [] and len(names(library)) == 5
    with Library.open(library) as opened:
        assert opened.errors() == []

    shutil.rmtree(photos)
    photos.mkdir()
    with pytest.raises(ValueError, match="None of the 5 pictures .* is there any more. If they are on a drive"):
        filled(library, photos, prune=True)
    assert len(names(library)) == 5


def test_what_cannot_be_read_is_an_error_and_no_end(library, photos):
    write(photos, aa="bad picture", cats__odd="odd picture")
    os.symlink(photos / "nowhere", photos / "link.png")
    done = filled(library, photos)
    reasons = [(photos / "aa.png", "The picture aa.png is bad."), (photos / "cats" / "odd.png", "An odd picture.")]
    assert (done.added, done.failed) == (5, reasons)
    with Library.open(library) as opened:
        assert [(each.path, each.reason) for each in opened.errors()] == [
            ("aa.png", "The picture aa.png is bad."),
            ("cats/odd.png", "An odd picture."),
        ]
    before = everything(library)
    assert filled(library, photos).failed == reasons and everything(library) == before

    write(photos, aa="good", new="new")
    os.unlink(photos / "cats" / "odd.png")
    encoder = FakeEncoder()
    assert filled(library, photos, encoder).failed == []
    assert encoder.batches == [[b"good", b"new"]]
    with Library.open(library) as opened:
        assert opened.errors() == [] and opened.count == 7


@pytest.mark.skipif(os.name == "nt", reason="names are text on Windows")
def test_times_in_the_far_future_are_kept_as_they_can_be(library, photos):
    os.utime(photos / "a.png", (12_000_000_000, 12_000_000_000))
    if (photos / "a.png").stat().st_mtime < 12_000_000_000:
        pytest.skip("this file system knows no such times")
    (photos.parent / "list.json").write_text('["photos/a.png"]')
    assert filled(library, photos).added == 5
    assert filled(library, photos).unchanged == 5
    assert filled(library, photos.parent / "list.json").unchanged == 1


def test_a_file_too_large_for_memory_is_an_error(library, photos):
    with open(photos / "huge.png", "wb") as file:
        file.truncate(groups.LARGEST + 1)
    done = filled(library, photos)
    assert done.added == 5 and [path.name for path, _ in done.failed] == ["huge.png"]
    assert "1,073,741,825 bytes" in done.failed[0][1]


def test_a_name_that_is_no_text_is_an_error(library, photos):
    with open(os.fsencode(photos) + b"/\xff.png", "w") as file:
        file.write("x")
    assert [why for _, why in filled(library, photos).failed] == [
        "Its name is not text (UTF-8), so that it cannot be kept: give it another one."
    ]
    before = everything(library)
    filled(library, photos)
    assert everything(library) == before


def test_a_list_says_the_text_and_the_metadata_of_its_pictures(library, photos, tmp_path):
    away = tmp_path / "away" / "far"
    write(away, star="star")
    path = tmp_path / "photos" / "list.json"
    entries = [
        {"path": "zoo/x.png", "text": "an ox", "metadata": {"album": 3}, "camera": "X100"},
        str(away / "star.png"),
        {"path": "a.png"},
        {"path": "zoo/x.png", "text": "listed again"},
        {"path": "absent.png"},
    ]
    path.write_text(json.dumps(entries))
    encoder = FakeEncoder()
    done = filled(library, path, encoder)
    assert encoder.batches == [[b"ox", b"star", b"ant"]] and done.gone == []
    assert done.failed == [(photos / "absent.png", "It is not there, or cannot be read: No such file or directory.")]
    known = names(library)
    assert (known["zoo/x.png"].text, known["zoo/x.png"].metadata) == (
        "an ox",
        {"data": "ox", "album": 3, "camera": "X100"},
    )
    with Library.open(library) as opened:
        assert sorted(opened.roots.values()) == [away, photos]

    before = everything(library)
    filled(library, path)
    assert everything(library) == before
    path.write_text(json.dumps([{"path": "a.png", "text": "an ant"}, {"path": "zoo/x.png", "metadata": {"album": 4}}]))
    assert filled(library, path).unchanged == 2
    known = names(library)
    assert (known["a.png"].text, known["zoo/x.png"].text) == ("an ant", "an ox")
    assert known["zoo/x.png"].metadata["album"] == 4 and len(known) == 3


def test_halves_of_surrogates_and_numbers_that_are_none_are_kept_as_they_can_be(library, photos, tmp_path):
    metadata = {"model": "a\ud800", "cfg": float("nan")}
    entries = [{"path": "photos/a.png", "text": "one \ud800", "metadata": metadata}, "photos/\ud800.png"]
    (tmp_path / "list.json").write_text(json.dumps(entries))
    done = filled(library, tmp_path / "list.json")
    assert done.added == 1 and [why for _, why in done.failed] == ["Its name is not text, so that no file can have it."]
    with Library.open(library) as opened:
        [picture] = opened.pictures(opened.ids())
        assert picture.text == "one ?" and picture.metadata == {"data": "ant", "model": "a?", "cfg": None}
        generation = opened.generation
    filled(library, tmp_path / "list.json")
    with Library.open(library) as opened:
        assert opened.generation == generation


def test_what_a_strange_picture_says_of_itself_ends_nothing(library, photos):
    def told(path, data, space):
        return Content(data, None, 1, 1, None, {"model": "\ud800"})

    assert fill(library, photos, FakeEncoder(), read=told).added == 5
    assert names(library)["a.png"].metadata == {"model": "?"}


@pytest.mark.parametrize(
    "text, match",
    [
        ("{}", "no list of pictures"),
        ("[", "no list of pictures: Expecting value"),
        ('["a.png", {"text": "x"}]', "Entry 2 of list.json does not say which picture"),
        ('[{"path": "a.png", "text": 3}]', "Entry 1 of list.json"),
    ],
)
def test_what_is_no_list_is_refused_before_a_library_is_made(library, tmp_path, text, match):
    (tmp_path / "list.json").write_text(text)
    with pytest.raises(ValueError, match=match):
        filled(library, tmp_path / "list.json")
    with pytest.raises(ValueError, match="is not there"):
        filled(library, tmp_path / "nowhere")
    assert not library.exists()


def test_folders_inside_and_around_a_known_one_share_their_pictures(library, photos):
    filled(library, photos / "cats")
    assert sorted(names(library)) == ["tim.png", "tom.png"]
    done = filled(library, photos)
    assert (done.unchanged, done.added) == (2, 3)
    os.unlink(photos / "a.png")
    os.unlink(photos / "cats" / "tom.png")
    assert filled(library, photos / "cats").gone == [photos / "cats" / "tom.png"]
    assert filled(library, photos).gone == [photos / "a.png", photos / "cats" / "tom.png"]
    assert filled(library, photos / "zoo").gone == []


def test_links_are_followed_once(library, photos, tmp_path):
    os.symlink(photos, photos / "cats" / "loop")
    write(tmp_path / "elsewhere", far="far")
    os.symlink(tmp_path / "elsewhere", photos / "link")
    assert filled(library, photos).added == 6
    assert "link/far.png" in names(library)


@pytest.mark.parametrize("every", [0.0, 10.0])
def test_a_stopped_run_goes_on_to_the_same_bytes(library, photos, tmp_path, monkeypatch, every):
    write(photos, **{f"more__{number:03}": f"{'bad' if number % 7 == 0 else 'm'}{number}" for number in range(30)})
    filled(tmp_path / "whole", photos, batch=4)
    monkeypatch.setattr(filler, "EVERY", every)
    for asked in range(1, 12):
        answers = iter([False] * asked * 3)
        done = filled(library, photos, batch=4, should_stop=lambda answers=answers: next(answers, True))
        assert check(library).clean
        if not done.stopped:
            break
    assert asked > 3 and everything(library) == everything(tmp_path / "whole")


@pytest.mark.parametrize("error", [RuntimeError("a kernel failed"), KeyboardInterrupt()])
def test_a_run_that_ends_with_an_error_keeps_what_was_done(library, photos, tmp_path, error):
    write(photos, **{f"more__{number:03}": f"{'bad' if number % 5 == 2 else 'm'}{number}" for number in range(20)})
    filled(tmp_path / "whole", photos, batch=4)

    class Breaks(FakeEncoder):
        def embed_images(self, pictures):
            if len(self.batches) == 3:
                raise error
            return super().embed_images(pictures)

    with pytest.raises(type(error)):
        filled(library, photos, Breaks(), batch=4)
    with Library.open(library) as opened:
        assert opened.count + len(opened.errors()) == 12
    filled(library, photos, batch=4)
    assert everything(library) == everything(tmp_path / "whole")


def test_a_library_of_another_space_is_refused(library, photos):
    filled(library, photos)
    other = FakeEncoder()
    other.space = Space("CLIP ViT-H/14", 8)
    with pytest.raises(ValueError, match='"library" was made with CLIP ViT-B/32 .* and this is CLIP ViT-H/14'):
        filled(library, photos, other)


def test_pictures_that_lost_their_vectors_are_embedded_again(library, photos):
    filled(library, photos)
    with Writer.open(library) as writer:
        writer.rate("a.png", -1)
    before = names(library)
    os.unlink(library / "vectors" / "part-00000.safetensors")
    assert not check(library).clean and check(library, repair=True).waiting == 5
    assert filled(library, photos).replaced == 5
    assert names(library) == before and check(library).clean


@pytest.mark.parametrize("levels", [100, 101, 900])
@pytest.mark.parametrize("of", ["metadata", "more"])
def test_metadata_of_a_list_nest_so_deep_that_they_are_read_again_anywhere(tmp_path, of, levels):
    text = f"{'[' * (levels - 1)}0{']' * (levels - 1)}"
    said = f'"metadata": {{"a": {text}}}' if of == "metadata" else f'"a": {text}'
    (tmp_path / "list.json").write_text(f'["b.png", {{"path": "c.png", {said}}}]')
    if levels <= 100:
        (_, bare), (name, kept) = list_entries(tmp_path / "list.json")
        assert (bare.metadata, name, json.dumps(kept.metadata)) == ({}, "c.png", f'{{"a": {text}}}')
    else:
        with pytest.raises(ValueError, match="metadata of entry 2 of list.json nest too deep: 100 levels are the most"):
            list_entries(tmp_path / "list.json")


def test_saved_features_are_added_without_an_encoder(library, tmp_path):
    folder = tmp_path / "features"
    folder.mkdir()
    drawn = torch.randn(5, 6)
    save_features(folder / "two.safetensors", VisionFeatures(image_embeds=drawn[:2], encoder="CLIP ViT-B/32"))
    save_features(folder / "one.safetensors", VisionFeatures(image_embeds=drawn[2:3], encoder="CLIP ViT-B/32"))
    save_features(folder / "other.safetensors", VisionFeatures(image_embeds=drawn[3:4], encoder="CLIP ViT-H/14"))
    save_features(folder / "last.safetensors", VisionFeatures(penultimate=drawn[None], encoder="CLIP ViT-B/32"))
    shutil.copy(ROOT / "demo" / "models" / "clip_vision" / "demo_world.safetensors", folder / "model.safetensors")
    done = fill(library, folder, None)
    assert [(path.name, why) for path, why in done.failed] == [
        ("last.safetensors", "It holds no image_embeds: save the features of the whole picture."),
        (
            "other.safetensors",
            "Its features are of CLIP ViT-H/14 (6 numbers), and the library is of CLIP ViT-B/32 (6 numbers).",
        ),
    ]
    with Library.open(library) as opened:
        one, two = opened.pictures(opened.ids())
        assert (one.path, one.kind, two.metadata) == ("one.safetensors", "features", {"pictures": 2})
        mean = sum(row / row.norm() for row in drawn[:2].double())
        expected = torch.stack([drawn[2].double() / drawn[2].norm(), mean / mean.norm()])
        np.testing.assert_allclose(opened.vectors(), expected, atol=1e-3)
    assert fill(library, folder, None).unchanged == 2

    write(folder, cat="cat")
    with pytest.raises(ValueError, match="There are pictures in .*: give an image encoder"):
        fill(library, folder, None)


def test_pictures_are_embedded_as_the_embedder_does(library, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    pixels = torch.randint(0, 256, (3, 40, 30, 3), dtype=torch.uint8).numpy()
    turned = Image.Exif()
    turned[0x0112] = 6
    for number, array in enumerate(pixels):
        Image.fromarray(array).save(folder / f"{number}.png", exif=turned if number == 1 else None)
    (folder / "3.jpg").write_bytes(b"no picture")
    (folder / "4.png").write_bytes((folder / "2.png").read_bytes()[:200])
    embedder = Embedder(ROOT / "demo" / "models" / "clip_vision" / "demo_world.safetensors", "cpu")
    done = fill(library, folder, embedder)
    assert [path.name for path, _ in done.failed] == ["3.jpg", "4.png"]
    assert done.failed[0][1] == "It is not a picture that PIL can read: give a PNG, JPEG or WebP file."
    expected = embedder.embed_images([folder / f"{number}.png" for number in range(3)]).vectors
    with Library.open(library) as opened:
        assert opened.space == embedder.space
        np.testing.assert_allclose(opened.vectors(), expected, atol=1e-3)
        known = opened.pictures(opened.ids())
        assert [(each.width, each.height) for each in known] == [(30, 40), (40, 30), (30, 40)]
        assert len({each.hash64 for each in known}) == 3


class SmallMemory(FakeEncoder):
    """Has room for two pictures, but none for a huge one; or fails as a bug would."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def embed_images(self, pictures):
        if len(pictures) > 2 or b"huge" in pictures:
            self.batches.append(list(pictures))
            raise self.error
        return super().embed_images(pictures)


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")]
)
def test_a_batch_that_does_not_fit_into_memory_is_halved(library, photos, error):
    write(photos, d="huge")
    encoder = SmallMemory(error)
    done = filled(library, photos, encoder)
    assert [len(batch) for batch in encoder.batches] == [6, 3, 2, 1, 3, 2, 1, 1, 1]
    assert done.added == 5 and done.failed == [(photos / "d.png", groups.FULL)]


def test_another_error_of_torch_ends_the_run(library, photos):
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        filled(library, photos, SmallMemory(RuntimeError("mat1 and mat2 shapes cannot be multiplied")))


def test_pictures_of_a_lost_root_are_found_again_by_their_content(library, photos):
    filled(library, photos)
    with Writer.open(library) as writer:
        writer.rate("a.png", 1)
        writer.rows.do("DELETE FROM roots")
        writer.rows.do("UPDATE pictures SET path = '../x' WHERE path = 'b.png'")
    assert check(library, repair=True).clean
    done = filled(library, photos)
    assert (len(done.moved), done.added, len(done.gone)) == (5, 0, 0)
    assert sorted(names(library)) == ["a.png", "b.png", "cats/tim.png", "cats/tom.png", "zoo/x.png"]
    assert names(library)["a.png"].rating == 1
