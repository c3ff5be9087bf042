"""Adding, removing, rating and compacting in any order, with readers and other writers meanwhile."""

import os
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from image_prompt.references.library import Library, NotWritten, Writer, check, database, part_writer, reader
from image_prompt.references.library.reader import generation
from image_prompt.references.space import Space

from .stores import ROOT, SPACE, picture, pictures, vectors


@pytest.fixture
def small_parts(monkeypatch):
    for module in (part_writer, reader):
        monkeypatch.setattr(module, "ROWS", 16)


def same(library: Library, kept: dict[str, np.ndarray]) -> None:
    """A library holds these and nothing else: nearest by numpy over what is left is nearest in the library's rows."""
    known = {each.path: each for each in library.pictures(library.ids())}
    assert known.keys() == kept.keys() and library.count == len(kept)
    found = library.vectors()
    assert found.shape == (len(kept), SPACE.dimension)
    expected = np.array([kept[each.path] for each in library.pictures(library.ids())]).reshape(found.shape)
    np.testing.assert_array_equal(found, expected.astype(np.float16))
    for query in vectors(3, seed=9).astype(np.float64):
        if kept:
            scores = {
                path: float(vector.astype(np.float16).astype(np.float64) @ query) for path, vector in kept.items()
            }
            nearest = library.ids()[int(np.argmax(found.astype(np.float64) @ query))]
            assert library.picture(nearest).path == max(scores, key=scores.__getitem__)


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_changes_leaves_what_numpy_has(tmp_path, small_parts, seed):
    draw = np.random.default_rng(seed)
    kept: dict[str, np.ndarray] = {}
    ids: dict[str, int] = {}
    snapshots: list[tuple[Library, dict[str, np.ndarray]]] = []
    writer = Writer.open(tmp_path / "a", SPACE)
    last = writer.generation
    for step in range(40):
        what = draw.choice(["add", "add", "remove", "rate", "compact", "reopen", "snapshot", "fail"])
        if what == "add":
            chosen = [picture(number) for number in draw.choice(120, draw.integers(1, 40), replace=False)]
            new = vectors(len(chosen), seed=1000 * seed + step)
            added = writer.add(chosen, new)
            kept |= {each.path: vector for each, vector in zip(chosen, new, strict=True)}
            assert all(ids.setdefault(each.path, id) == id for each, id in zip(chosen, added, strict=True))
        elif what == "remove" and kept:
            gone = list(draw.choice(sorted(kept), draw.integers(1, len(kept) + 1), replace=False))
            assert writer.remove([path if draw.random() < 0.5 else ROOT / path for path in gone]) == len(gone)
            for path in gone:
                del kept[path], ids[path]
        elif what == "rate" and kept:
            writer.rate(str(draw.choice(sorted(kept))), int(draw.integers(-1, 2)))
        elif what == "compact":
            rows = sum(count for (count,) in writer.rows.ask("SELECT rows FROM parts"))
            assert writer.compact() == rows - len(kept) and writer.dead == 0
        elif what == "reopen":
            writer.close()
            writer = Writer.open(tmp_path / "a")
        elif what == "fail":
            writer.fail(ROOT / f"broken {step}.png", "It is broken.")
        elif what == "snapshot":
            snapshots.append((Library.open(tmp_path / "a"), dict(kept)))
        assert writer.generation >= last
        last = writer.generation
        if step % 4 == 0:
            with Library.open(tmp_path / "a") as library:
                assert library.generation == generation(tmp_path / "a") == last
                same(library, kept)
    writer.close()
    report = check(tmp_path / "a")
    assert report.clean and not report.left_over and report.pictures == len(kept)
    assert len(set(ids.values())) == len(ids)
    for library, then in snapshots:  # whatever happened since, parts that were compacted away included
        same(library, then)
        library.close()


def test_a_compaction_between_rows_and_files_is_waited_for(tmp_path, small_parts, monkeypatch):
    with Writer.open(tmp_path / "a", SPACE) as writer:
        writer.add(pictures(*range(40)), vectors(40))
        read, compacted = reader.read_part, []

        def late(*arguments, **named):
            if not compacted:
                writer.remove([picture(0).path])
                compacted.append(writer.compact())
            return read(*arguments, **named)

        monkeypatch.setattr(reader, "read_part", late)
        with Library.open(tmp_path / "a") as library:
            assert compacted == [1] and library.count == 39
            np.testing.assert_array_equal(library.vectors(), vectors(40)[1:].astype(np.float16))


def test_only_one_writes(tmp_path):
    """A lock file that a process left is no lock."""
    with Writer.open(tmp_path / "a", SPACE) as writer:
        with pytest.raises(NotWritten, match=rf'"a" is being written by another program \(process {os.getpid()}\)'):
            Writer.open(tmp_path / "a")
        with pytest.raises(NotWritten, match="Wait until it is done, or end it"):
            check(tmp_path / "a", repair=True)
        writer.add(pictures(1), vectors(1))
    assert (tmp_path / "a" / "writer.lock").exists()
    (tmp_path / "a" / "writer.lock").write_text("1\n")
    Writer.open(tmp_path / "a").close()


def test_a_drive_without_locks_is_not_written_to(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    import errno

    def none(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", none)
    with pytest.raises(NotWritten, match="on a drive without locks"):
        Writer.open(tmp_path / "a", SPACE)


@pytest.mark.parametrize("left", ["closed", "killed"])
def test_a_library_is_read_where_nothing_may_be_written(tmp_path, monkeypatch, left):
    """SQLite makes files beside its own, even to read; and a killed writer leaves its log."""
    writer = Writer.open(tmp_path / "a", SPACE)
    writer.add(pictures(*range(5)), vectors(5))
    if left == "killed":
        shutil.copytree(tmp_path / "a", tmp_path / "b")
    writer.close()
    folder = tmp_path / ("b" if left == "killed" else "a")
    log = folder / "pictures.sqlite-wal"
    assert (log.exists() and log.stat().st_size > 0) == (left == "killed")
    (folder / "pictures.sqlite-shm").unlink(missing_ok=True)
    connect = database._connect

    def refuse(path, how):
        if path.is_relative_to(folder) and "immutable" not in how:
            raise sqlite3.OperationalError("unable to open database file")
        return connect(path, how)

    monkeypatch.setattr(database, "_connect", refuse)
    before = sorted(os.listdir(folder))
    with Library.open(folder) as library:
        assert library.count == 5 and library.picture(1).path == picture(0).path
    assert check(folder).clean and sorted(os.listdir(folder)) == before
    with pytest.raises(NotWritten, match="unable to open database file. What it held before is kept"):
        Writer.open(folder)


def test_a_folder_that_may_not_be_written_to_is_named(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(NotWritten, match='"a" could not be written: Permission denied'):
        Writer.open(tmp_path / "a", SPACE)


def test_pictures_are_chosen_by_folder_rating_and_text(tmp_path):
    other = Path("/pictures/folder 1/deep")
    given = [
        *pictures(*range(6)),
        picture(6, text="100% Wool_y", metadata={"prompt": 'a "red" Bär\nsub\\ink'}),
        picture(7, root=other, path="x.png"),
        picture(8, path="folder 10/x.png"),
    ]
    with Writer.open(tmp_path / "a", SPACE) as writer:
        writer.add(given, vectors(9))
        writer.rate("folder 1/00001.png", 1)
        writer.rate(other / "x.png", -1)
    with Library.open(tmp_path / "a") as library:

        def chosen(**wanted):
            return (library.ids()[library.where(**wanted)] - 1).tolist()

        assert chosen() == list(range(9))
        assert chosen(folder="folder 1") == [1, 4]
        assert chosen(folder=str(ROOT / "folder 1")) == [1, 4, 7]
        assert chosen(folder=str(ROOT)) == list(range(9)) and chosen(folder=str(other)) == [7]
        assert chosen(folder="nowhere") == [] == chosen(folder="/nowhere")
        assert chosen(rating=1) == [1] and chosen(rating=0) == [0, 1, 2, 3, 4, 5, 6, 8] and len(chosen(rating=-1)) == 9
        assert chosen(text="00003") == [3] and chosen(text="100% wool_y") == [6] == chosen(text="L_y")
        assert chosen(text="%") == [6] and chosen(text='"red"') == [6] and chosen(text="'; DROP TABLE") == []
        assert chosen(text='"RED" bär\nSUB\\ink') == [6] and chosen(text="x" * 60_000) == [] == chosen(text="\ud800")
        assert chosen(folder="\udcff") == [] == library.named("\udcff")
        assert chosen(folder="folder 1", rating=1, text="0000") == [1]
        assert library.column("path")[8] == "folder 10/x.png" and library.column("metadata")[6] == {
            "prompt": 'a "red" Bär\nsub\\ink'
        }
        np.testing.assert_array_equal(library.vectors_of([9, 2]), vectors(9)[[8, 1]].astype(np.float16))
        with pytest.raises(KeyError, match="no picture 12"):
            library.vectors_of([1, 12])
        with pytest.raises(ValueError, match="'nothing' is no field"):
            library.column("nothing")


def test_a_database_that_breaks_while_it_is_read_is_called_damaged(tmp_path):
    with Writer.open(tmp_path / "a", SPACE) as writer:
        writer.add(pictures(1), vectors(1))
        writer.rows.do("DROP TABLE details")
    with (
        Library.open(tmp_path / "a") as library,
        pytest.raises(ValueError, match='"a" is damaged.* See `library check'),
    ):
        library.picture(1)


def test_a_path_never_leaves_its_root(tmp_path):
    with Writer.open(tmp_path / "a", SPACE) as writer:
        for path in ("../x.png", "/x.png", "a/../../x.png", "a//b.png", "./a.png", ""):
            with pytest.raises(ValueError, match="no path below a root"):
                writer.add([picture(1, path=path)], vectors(1))
        writer.add(pictures(1), vectors(1))
        writer.rows.do("UPDATE pictures SET path = '../../etc/passwd'")
    with Library.open(tmp_path / "a") as library, pytest.raises(ValueError, match="no path below a root"):
        library.path_of(library.picture(1))


@pytest.mark.parametrize(
    "given, new, match",
    [
        (pictures(1, 2), vectors(1), r"shape \(2, 16\), not \(1, 16\)"),
        (pictures(1), vectors(1, dimension=8), r"shape \(1, 16\), not \(1, 8\)"),
        (pictures(1, 2), vectors(2) * [[1], [1.5]], r"folder 2/00002.png has the length 1.5, not 1"),
        (pictures(1), vectors(1) * np.nan, "has the length nan"),
        (pictures(1, 1), vectors(2), "A picture was given twice"),
        ([picture(1, rating=2)], vectors(1), "the rating one of"),
        ([picture(1, hash64=-1)], vectors(1), "a hash64 is in"),
        ([picture(1, root=Path("here"))], vectors(1), "is not a whole path"),
    ],
)
def test_what_cannot_be_kept_changes_nothing(tmp_path, given, new, match):
    with Writer.open(tmp_path / "a", SPACE) as writer:
        with pytest.raises(ValueError, match=match):
            writer.add(given, new)
        assert writer.generation == 0 and not list((tmp_path / "a" / "vectors").iterdir())


def test_a_rating_is_of_one_picture_that_is_there(tmp_path):
    with Writer.open(tmp_path / "a", SPACE) as writer:
        writer.add([*pictures(1), picture(1, root=Path("/other"))], vectors(2))
        with pytest.raises(KeyError, match='no picture x.png in the library "a"'):
            writer.rate("x.png", 1)
        with pytest.raises(ValueError, match="below several roots of the library: give the whole path"):
            writer.rate(picture(1).path, 1)
        with pytest.raises(ValueError, match=r"-1 \(bad\), 0 \(none\) or 1 \(good\), not 5"):
            writer.rate(ROOT / picture(1).path, 5)
        writer.rate(ROOT / picture(1).path, 1)
        assert [rating for (rating,) in writer.rows.ask("SELECT rating FROM pictures ORDER BY id")] == [1, 0]
        writer.rate(picture(1).path, -1, root=2)
        assert [rating for (rating,) in writer.rows.ask("SELECT rating FROM pictures ORDER BY id")] == [1, -1]
        with pytest.raises(KeyError, match="no picture"):
            writer.rate(picture(1).path, 1, root=3)


def test_what_is_no_library_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no library a. Make it with"):
        Library.open(tmp_path / "a")
    with pytest.raises(FileNotFoundError, match="There is no library a"):
        Writer.open(tmp_path / "a")
    Writer.open(tmp_path / "a", SPACE).close()
    with pytest.raises(ValueError, match=r"made with CLIP ViT-B/32 \(16 numbers\), and this is CLIP ViT-L/14 \(768"):
        Writer.open(tmp_path / "a", Space("CLIP ViT-L/14", 768))
    for text, match in (
        ('{"format": 2}', 'library "a" is of the format 2, and this is 1: update'),
        ('{"format": 1, "kind": "lance"}', r"connected to a table elsewhere \(lance\)"),
        ('{"format": 1, "space": 3}', "does not say which encoder"),
        ("[" * 100_000, "is damaged"),
        ("[]", "is of the format None"),
    ):
        (tmp_path / "a" / "library.json").write_text(text)
        for opened in (Library.open, Writer.open, check):
            with pytest.raises(ValueError, match=match):
                opened(tmp_path / "a")
