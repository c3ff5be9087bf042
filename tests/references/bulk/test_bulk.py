"""Machines that share the work make the library that one machine makes, whoever does what and when."""

import dataclasses
import errno
import hashlib
import json
import os
import shutil

import numpy as np
import pytest
import torch

from image_prompt.clip_vision import VisionFeatures, save_features
from image_prompt.references.bulk import Maker, Place, begin, collect, embed_share, place
from image_prompt.references.bulk.part import Row, pack, unpack
from image_prompt.references.digests import sha256_of
from image_prompt.references.filling import fill
from image_prompt.references.library import Library, NotWritten, Writer, check
from image_prompt.references.library.parts import packed
from image_prompt.references.space import Space
from image_prompt.tensor_files import UnusableFile, whole_files

from ..filling.fakes import SPACE, FakeEncoder, everything, read, write

MAKER = Maker(SPACE, "f" * 64)
BATCH, SHARD = 4, 8


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    write(folder, **{f"{number % 3}__{number:02}": f"picture {number}" for number in range(30)})
    write(folder, bad="bad picture", **{"1__odd": "odd picture"})
    return folder


@pytest.fixture
def here(tmp_path, photos):
    return Place(photos, tmp_path / "bulk", tmp_path / "library")


def begun(here, maker=MAKER, **options):
    return begin(here, maker, **{"batch": BATCH, "shard": SHARD, **options})


def plain(library, photos):
    return fill(library, photos, FakeEncoder(), read=read, batch=BATCH, encoder_sha256=MAKER.sha256)


def embed(here, plan, share=(1, 1), encoder=None, **options):
    return embed_share(here, plan, encoder or FakeEncoder(), share, read=read, **options)


def all_of(here, plan):
    embed(here, plan)
    return collect(here, plan)


def test_shards_in_any_order_and_twice_have_the_same_bytes_and_fill_the_library_of_one_machine(here, photos, tmp_path):
    expected = plain(tmp_path / "whole", photos)
    plan, seen = begun(here).plan, []
    assert (plan.shards, len(plan.entries)) == (4, 32)
    assert embed(here, plan, (3, 3)) == 1 and here.missing(plan) == [0, 1, 3]
    assert collect(here, plan).state == "missing" and collect(here, plan).missing == 3
    assert embed(here, plan, (1, 3), on_progress=lambda *numbers: seen.append(numbers)) == 2
    assert seen == [(0, 16), (4, 16), (8, 16), (12, 16), (16, 16)]
    first = {path.name: path.read_bytes() for path in here.parts.iterdir()}
    for number in (3, 0):
        here.part(plan, number).unlink()
    assert [embed(here, plan, share) for share in ((1, 1), (1, 1))] == [3, 0]
    assert {name: (here.parts / name).read_bytes() for name in first} == first
    done = collect(here, plan)
    assert (done.state, done.filled.added, done.filled.failed) == ("collected", 30, expected.failed)
    assert everything(here.library) == everything(tmp_path / "whole") and check(here.library).clean
    assert not (here.library / place.MARK).exists()
    assert (here.library / "library.json").read_bytes() == (tmp_path / "whole" / "library.json").read_bytes()
    assert not here.parts.exists()


def test_groups_that_end_with_a_shard_change_the_vectors_and_nothing_else(here, photos, tmp_path):
    plain(tmp_path / "whole", photos)
    other = dataclasses.replace(here, parts=tmp_path / "other bulk", library=tmp_path / "other")
    for each in (here, other):
        plan = begun(each, shard=6).plan
        for share in ((2, 2), (1, 2)) if each is other else ((1, 1),):
            embed(each, plan, share)
        collect(each, plan)
    assert everything(here.library) == everything(other.library)
    ours, theirs = Library.open(here.library), Library.open(tmp_path / "whole")
    assert ours.column("path") == theirs.column("path") and (ours.vectors() != theirs.vectors()).any()


def test_only_what_a_library_lacks_is_planned(here, photos, tmp_path):
    """Moved, changed, touched, vanished, and failed files are those of a plain run, in its order."""
    for library in (here.library, tmp_path / "whole"):
        plain(library, photos)
    write(photos, **{"0__03": "changed", "new": "new", "bad": "good"})
    os.rename(photos / "1" / "01.png", photos / "moved.png")
    os.utime(photos / "2" / "02.png", ns=(10**18, 10**18))
    os.unlink(photos / "2" / "05.png")
    expected, made = plain(tmp_path / "whole", photos), begun(here)
    assert [each.path for each in made.plan.entries] == ["0/03.png", "2/02.png", "bad.png", "new.png", "1/odd.png"]
    assert (made.filled.moved, made.filled.gone) == (expected.moved, expected.gone)
    done = all_of(here, made.plan).filled
    assert (done.added, done.replaced, done.unchanged) == (2, 1, 1) and done.failed == expected.failed
    assert everything(here.library) == everything(tmp_path / "whole")


def test_where_nothing_is_new_there_is_no_plan(here, photos):
    (photos / "1" / "odd.png").unlink()
    (photos / "bad.png").unlink()
    plain(here.library, photos)
    before = everything(here.library)
    here.parts.mkdir()
    (here.parts / f"part-{'0' * 12}-00003.safetensors").write_text("what a kill has left")
    (here.parts / "part-of-me.png").write_text("of somebody else")
    made = begun(here)
    assert (made.plan, made.filled.unchanged) == (None, 30) and everything(here.library) == before
    assert os.listdir(here.parts) == ["part-of-me.png"]


@pytest.mark.parametrize(
    "maker, options, expected",
    [
        ({"space": Space("CLIP ViT-H/14", 8)}, {}, r"made with CLIP ViT-B/32 \(8 numbers\), and this is CLIP ViT-H/14"),
        ({"sha256": "e" * 64}, {}, "another file of CLIP ViT-B/32 .*begins with ffffffffffff, .* with eeeeeeeeeeee"),
        ({"crop": "none"}, {}, 'it crops pictures by "center", and this by "none"'),
        ({"max_pixels": 4096}, {}, "its pictures have None pixels at most, and 4096 are asked for"),
        ({}, {"shard": 16}, "it has 8 pictures a shard, and 16 are asked for"),
    ],
)
def test_another_plan_is_refused(here, maker, options, expected):
    plan = begun(here).plan
    with pytest.raises(ValueError, match=f"There is another plan in .*bulk: .*{expected}.* delete that folder"):
        begun(here, dataclasses.replace(MAKER, **maker), **options)
    assert begun(here, shard=None).plan == plan and begun(here).filled is None


def test_a_plan_of_other_pictures_is_refused_and_one_of_some_that_changed_is_not(here, photos, tmp_path):
    plan = begun(here).plan
    shutil.copytree(photos, tmp_path / "mounted elsewhere")
    for path in (tmp_path / "mounted elsewhere").rglob("*.png"):
        os.utime(path, (int(path.stat().st_mtime) // 2 * 2,) * 2)  # as a drive with coarse times has it
    there = dataclasses.replace(here, source=tmp_path / "mounted elsewhere", library=None)
    assert begun(there).plan == plan
    write(tmp_path / "others", **{f"{number}": "x" for number in range(9)})
    with pytest.raises(
        ValueError, match="32 of 32 of its pictures .* are not in others as they were then, such as 0/00"
    ):
        begun(dataclasses.replace(here, source=tmp_path / "others"))
    write(photos, **{"0__00": "changed", "1__01": "changed too"})
    assert begun(here).plan == plan


@pytest.mark.parametrize(
    "text, expected",
    [
        ("{", "is damaged"),
        ("[]", "is of the format None, and this is 1: use one version of Image Prompt on all machines"),
        ('{"format": 2}', "is of the format 2"),
        ('{"format": 1}', "is damaged"),
    ],
)
def test_what_is_no_plan_is_refused(here, text, expected):
    here.parts.mkdir()
    (here.parts / "plan.json").write_text(text)
    with pytest.raises(ValueError, match=f"The plan.json in .* {expected}"):
        begun(here)


def test_a_plan_leads_nowhere_else(here, photos):
    plan = begun(here).plan
    text = (here.parts / "plan.json").read_text()
    (here.parts / "plan.json").write_text(text.replace('"0/00.png"', '"../library/library.json"'))
    with pytest.raises(ValueError, match="is no path below a root"):
        embed(here, here.read_plan())
    assert plan.to_bytes().decode() == text and json.loads(text)["roots"] == {"1": "."}


@pytest.mark.parametrize("has_links", [True, False])
def test_the_first_plan_stays(here, monkeypatch, has_links):
    if not has_links:
        monkeypatch.setattr(place.os, "link", lambda *_: (_ for _ in ()).throw(OSError(errno.EPERM, "no links")))
    plan = begun(here).plan
    assert not here.write_plan(dataclasses.replace(plan, shard=2))
    assert here.read_plan() == plan and os.listdir(here.parts) == ["plan.json"]


def test_a_picture_that_changed_since_the_plan_is_an_error_until_the_next_run(here, photos, tmp_path):
    plan = begun(here).plan
    write(photos, **{"0__00": "changed"})
    os.unlink(photos / "1" / "01.png")
    done = all_of(here, plan)
    reasons = {path.name: why for path, why in done.filled.failed}
    assert sorted(reasons) == ["00.png", "01.png", "bad.png", "odd.png"]
    assert "has changed since the plan was made" in reasons["00.png"] and "No such file" in reasons["01.png"]
    with Library.open(here.library) as library:
        assert {each.path: each.reason for each in library.errors()} == {
            path.relative_to(photos).as_posix(): why for path, why in done.filled.failed
        }
    assert plain(here.library, photos).added == 1


def test_the_parts_are_collected_where_the_library_is(here, photos, tmp_path):
    """Each machine may have its own libraries: the plan has only what one of them lacks."""
    plain(here.library, photos / "2")
    plan = begun(here).plan
    assert plan.roots == {1: "2", 2: "."} or set(plan.roots.values()) == {"."}
    others = [dataclasses.replace(here, library=library) for library in (None, tmp_path / "mine")]
    write(tmp_path / "photos of another", a="a")
    plain(tmp_path / "mine", tmp_path / "photos of another")
    before = everything(tmp_path / "mine")
    for other in others:
        assert begun(other).plan == plan
        embed(other, plan)
        assert collect(other, plan).state == "elsewhere"
    assert everything(tmp_path / "mine") == before
    assert collect(here, plan).state == "collected" and not here.parts.exists()
    assert Library.open(here.library).count == 30
    assert [collect(other, plan).state for other in others] == ["collected", "collected"]
    with pytest.raises(ValueError, match="There is no plan in .*bulk, and no library on this machine"):
        begun(others[0])


def test_of_two_libraries_the_one_whose_machine_wrote_the_plan_gets_the_parts(here, tmp_path, monkeypatch):
    """Both lack the same pictures, so that they would make the same plan at once."""
    other, write_plan = dataclasses.replace(here, library=tmp_path / "mine"), Place.write_plan

    def second(place, plan):
        monkeypatch.undo()
        assert write_plan(here, begun(here).plan) is False
        return write_plan(place, plan)

    monkeypatch.setattr(Place, "write_plan", second)
    plan = begun(other).plan
    embed(other, plan)
    assert [collect(place, plan).state for place in (other, here)] == ["elsewhere", "collected"]
    assert Library.open(here.library).count == 30


def test_somebody_else_who_writes_the_library_is_waited_for_with_the_plan_and_not_with_the_parts(
    here, photos, monkeypatch
):
    asked = []
    monkeypatch.setitem(begin.__globals__, "LOOK_AGAIN", 0.0)
    plain(here.library, photos / "2")

    def wait():
        asked.append(1)
        if len(asked) == 3:
            writing.close()

    writing = Writer.open(here.library)
    plan = begun(here, on_wait=wait).plan
    assert len(asked) == 3
    embed(here, plan)
    with Writer.open(here.library):
        assert collect(here, plan).state == "busy"
    here.clear()
    monkeypatch.setitem(begin.__globals__, "PATIENCE", 0.0)
    with Writer.open(here.library), pytest.raises(NotWritten, match="is being written by another program"):
        begun(here)


def test_a_damaged_part_is_made_anew(here, photos, tmp_path):
    plain(tmp_path / "whole", photos)
    plan = begun(here).plan
    embed(here, plan)
    path = here.part(plan, 2)
    for data in (b"", path.read_bytes()[:-2], here.part(plan, 3).read_bytes().replace(b'"height":1', b'"height":"')):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=f"{path.name} .* It was removed: do the same again"):
            collect(here, plan)
        assert here.missing(plan) == [2]
        embed(here, plan)
    collect(here, plan)
    assert everything(here.library) == everything(tmp_path / "whole")


def test_a_part_keeps_what_is_zero_apart_from_what_is_not_there():
    """The hash of a picture of one colour is 0; that of saved features is none."""
    rows = [Row(sha256="a", width=9, height=9, hash64=0), Row(sha256="b", kind="features"), Row(touched=True)]
    data = pack(rows, np.ones((2, 8), np.float16))
    assert unpack(data, 3, 8)[0] == rows


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("error", 3),
        ("touched", 1),
        ("sha256", None),
        ("width", "9"),
        ("height", 9.5),
        ("hash64", "0"),
        ("kind", []),
        ("metadata", None),
        ("metadata", "a" * 5000),
        ("colour", "red"),
        ("b" * 5000, "red"),
    ],
)
def test_a_part_whose_rows_hold_values_of_another_type_is_damaged(name, value):
    row = Row(sha256="a", width=9, height=9, hash64=0)
    whole = pack([row], np.ones((1, 8), np.float16))
    assert unpack(whole, 1, 8)[0] == [row]
    text = json.dumps([{**row.as_json(), name: value}]).encode()
    data = b"".join(packed({"rows": np.frombuffer(text, np.uint8), "vectors": np.ones((1, 8), np.float16)}))
    with pytest.raises(UnusableFile, match=f"is damaged: its rows are not what they should be .*{name[:20]}") as raised:
        unpack(data, 1, 8)
    assert len(str(raised.value)) < 200


def test_a_full_disk_leaves_the_parts_that_there_are(here, photos, tmp_path, monkeypatch):
    plan = begun(here).plan
    embed(here, plan, (1, 2))
    with monkeypatch.context() as patched:
        patched.setattr(
            whole_files.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left"))
        )
        with pytest.raises(NotWritten, match="bulk could not be written: No space left. What is in it stays."):
            embed(here, plan)
    assert len(os.listdir(here.parts)) == 3 and here.missing(plan) == [1, 3]


def test_a_part_that_comes_when_all_is_collected_is_left_out(here):
    plan = begun(here).plan
    embed(here, plan)
    data = here.part(plan, 0).read_bytes()
    collect(here, plan)
    here.write_part(plan, 0, data)
    assert not here.parts.exists() and embed(here, plan) == 0


def test_saved_features_and_pictures_below_known_folders_are_parts_too(here, photos, tmp_path):
    drawn = torch.randn(1, 8)
    save_features(photos / "1" / "a.safetensors", VisionFeatures(image_embeds=drawn, encoder=SPACE.encoder))

    def reads(path, data, space):
        from image_prompt.references.filling import read_file

        return read_file(path, data, space) if path.suffix == ".safetensors" else read(path, data, space)

    for library in (here.library, tmp_path / "whole"):
        fill(library, photos / "2", FakeEncoder(), read=reads, batch=BATCH)
        write(photos, **{"2__more": "more"}) if library != here.library else None
    fill(tmp_path / "whole", photos, FakeEncoder(), read=reads, batch=BATCH)
    plan = begun(here).plan
    assert plan.roots == {1: "2", 2: "."}
    embed_share(here, plan, FakeEncoder(), read=reads)
    collect(here, plan)
    assert everything(here.library) == everything(tmp_path / "whole")
    with Library.open(here.library) as library:
        assert "features" in library.column("kind")


def test_the_files_of_a_folder_tell_encoders_apart(tmp_path):
    folder = tmp_path / "encoder"
    (folder / ".cache").mkdir(parents=True)
    (folder / "config.json").write_text("a")
    (folder / "model.safetensors").write_text("b")
    before = sha256_of(folder)
    for name in (".cache/x.json", "README.md", ".gitattributes"):
        (folder / name).write_text("x")
    assert sha256_of(folder) == before and sha256_of(folder / "config.json") == hashlib.sha256(b"a").hexdigest()
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    assert sha256_of(folder) != before
