"""Whatever is damaged in a library is found, and mended without losing what is known of a picture."""

import os
import re
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from image_prompt.references.library import Library, Writer, check, part_writer, reader
from image_prompt.references.library.parts import Part, part_path, read_part, write_part

from .stores import SPACE, pictures, vectors


@pytest.fixture
def library(tmp_path, monkeypatch):
    """40 pictures in parts of 16."""
    for module in (part_writer, reader):
        monkeypatch.setattr(module, "ROWS", 16)
    with Writer.open(tmp_path / "a", SPACE) as writer:
        writer.add(pictures(*range(40)), vectors(40))
        writer.rate("folder 2/00017.png", 1)
    return tmp_path / "a"


def change(library, statement):
    with closing(sqlite3.connect(library / "pictures.sqlite")) as connection, connection:
        connection.execute(statement)


def missing(library):
    part_path(library, 1).unlink()


def cut(library):
    os.truncate(part_path(library, 1), 500)


def empty(library):
    os.truncate(part_path(library, 1), 0)


def flip(library):
    path = part_path(library, 1)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


def shorter(library):
    part = read_part(library, 1, mapped=False)
    write_part(library, 1, Part(part.vectors[:15], part.ids[:15]))


def other_width(library):
    part = read_part(library, 1, mapped=False)
    write_part(library, 1, Part(np.ascontiguousarray(part.vectors[:, :8]), part.ids))


def no_part(library):
    part_path(library, 1).write_bytes(part_path(library, 1).read_bytes().replace(b'"ids"', b'"ibs"'))


def forgotten(library):
    change(library, "DELETE FROM parts WHERE number = 1")


def longer_vectors(library):
    """As a broken writer would have written them, with their right hash."""
    part = read_part(library, 1, mapped=False)
    part.vectors[3] *= 2
    part.vectors[5] = np.nan
    write_part(library, 1, part)
    change(library, f"UPDATE parts SET sha256 = '{part.sha256(16).hex()}' WHERE number = 1")


def beyond(library):
    change(library, "UPDATE pictures SET row = 99 WHERE id = 20")


def swapped(library):
    change(library, "UPDATE pictures SET row = 9 - row WHERE id IN (20, 23)")


def all_pictures(opened):
    opened.pictures(opened.ids())


def paths(opened):
    return [opened.path_of(each) for each in opened.pictures(opened.ids())]


def column(name):
    return lambda opened: opened.column(name)


WHOLE = range(17, 33)  # ids in the middle part


@pytest.mark.parametrize(
    "damage, what, lost",
    [
        (missing, "part-00001.safetensors is missing, with the vectors of 16 pictures", WHOLE),
        (cut, "part-00001.safetensors .*500", WHOLE),
        (empty, "part-00001.safetensors is damaged", WHOLE),
        (flip, "part-00001.safetensors was changed: its SHA-256 is another", WHOLE),
        (shorter, r"part-00001.safetensors has the shape \(15, 16\), and \(16, 16\) is known of it", WHOLE),
        (other_width, r"part-00001.safetensors has the shape \(16, 8\), and \(16, 16\)", WHOLE),
        (no_part, "part-00001.safetensors does not hold ids and vectors", WHOLE),
        (forgotten, "16 pictures in parts of which nothing is known", WHOLE),
        (longer_vectors, "part-00001.safetensors has no vectors of length 1 for 2 pictures", (20, 22)),
        (beyond, "no vectors of length 1 for 1 picture$", (20,)),
        (swapped, "no vectors of length 1 for 2 pictures", (20, 23)),
    ],
)
def test_damage_is_found_and_mended(library, damage, what, lost):
    with Library.open(library) as opened:
        before = {each.id: each for each in opened.pictures(opened.ids())}
        old = opened.vectors().copy()
    assert check(library).clean
    damage(library)
    found = check(library)
    assert not found.clean
    [problem] = found.problems
    assert problem.ids == tuple(lost) and re.search(what, problem.what), problem

    mended = check(library, repair=True)
    assert mended.clean and what_of(mended)[:1] == what_of(found) and mended.waiting == len(lost)
    assert check(library).clean and check(library).waiting == len(lost)
    with Library.open(library) as opened:
        left = [id for id in before if id not in lost]
        assert opened.ids().tolist() == left
        np.testing.assert_array_equal(opened.vectors(), old[np.array(left) - 1])
        assert opened.pictures(before) == list(before.values())  # of the others, all but the vector is kept

    with Writer.open(library) as writer:
        writer.add(pictures(*range(40)), vectors(40))
        writer.compact()
    assert check(library).clean and check(library).waiting == 0
    with Library.open(library) as opened:
        assert {each.id: each for each in opened.pictures(opened.ids())} == before  # the rating of 17 too
        np.testing.assert_array_equal(opened.vectors(), old)


def what_of(report):
    return [problem.what for problem in (*report.problems, *report.mended)]


def test_what_a_killed_writer_left_is_no_damage_and_is_removed(library):
    for name in ("part-00003.safetensors", "part-00002.safetensors.unfinished"):
        (library / "vectors" / name).write_bytes(b"half")
    found = check(library)
    assert found.clean and found.left_over == ("part-00002.safetensors.unfinished", "part-00003.safetensors")
    assert check(library, repair=True).left_over == ()
    assert what_of(check(library, repair=True)) == []


def test_a_damaged_part_is_set_aside_and_not_removed(library):
    flip(library)
    damaged = part_path(library, 1).read_bytes()
    check(library, repair=True)
    assert (library / "vectors" / "part-00001.safetensors.damaged").read_bytes() == damaged
    Writer.open(library).close()
    assert (library / "vectors" / "part-00001.safetensors.damaged").exists()


def test_a_library_that_cannot_be_read_says_how_to_look(library):
    missing(library)
    with pytest.raises(ValueError, match='"a" is damaged: part-00001.safetensors is missing. See `library check a`'):
        Library.open(library)


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_a_damaged_database_is_never_mended_by_guessing(library, size):
    os.truncate(library / "pictures.sqlite", size)
    before = sorted(os.listdir(library / "vectors"))
    for repair in (False, True):
        with pytest.raises(ValueError, match='of the library "a" (cannot be mended|is damaged)|"a" is damaged'):
            check(library, repair)
    with pytest.raises(ValueError, match='"a" is damaged'):
        Library.open(library)
    assert sorted(os.listdir(library / "vectors")) == before


@pytest.mark.parametrize(
    "statements, what",
    [
        (["DROP TABLE details"], ["the table details is missing", "40 pictures without a row of text and metadata"]),
        (["DELETE FROM details WHERE id > 38"], ["2 pictures without a row of text and metadata"]),
        (["UPDATE details SET metadata = '{no' WHERE id = 5"], ["1 picture with metadata that are no JSON"]),
        (["UPDATE details SET metadata = '[1]' WHERE id = 5"], ["1 picture with metadata that are no JSON"]),
        (["UPDATE pictures SET root = 7 WHERE id < 4"], ["3 pictures below the root 7, of which nothing is known"]),
        (
            ["DROP TABLE roots"],
            ["the table roots is missing", "40 pictures below the root 1, of which nothing is known"],
        ),
        (
            ["UPDATE pictures SET path = '../../x.png' WHERE id = 5"],
            ["1 picture of which the path is none below a root"],
        ),
        (["UPDATE pictures SET path = '/x.png' WHERE id = 5"], ["1 picture of which the path is none below a root"]),
        (["DROP TABLE errors"], ["the table errors is missing"]),
        (
            ["INSERT INTO errors VALUES (9, 'a.png', 'It is broken.', 0, 0)"],
            ["errors below the root 9, of which nothing is known"],
        ),
        (
            ["UPDATE pictures SET path = x'00ff' WHERE id = 5"],
            ["1 picture of which the path is none below a root"],
        ),
        (["UPDATE pictures SET size = 'a' WHERE id < 4"], ["the size of 3 rows of the table pictures cannot be read"]),
        (
            ["UPDATE pictures SET hash64 = 0.5 WHERE id = 4"],
            ["the hash64 of 1 row of the table pictures cannot be read"],
        ),
        (
            ["UPDATE pictures SET sha256 = x'00' WHERE id = 4"],
            ["the sha256 of 1 row of the table pictures cannot be read"],
        ),
        (["UPDATE details SET text = x'00' WHERE id = 4"], ["the text of 1 row of the table details cannot be read"]),
        (["UPDATE roots SET path = x'00'"], ["the folder of 1 row of the table roots cannot be read"]),
        (
            ["INSERT INTO errors VALUES (1, 'a.png', x'00', 0, 0)"],
            ["what is said of 1 row of the table errors cannot be read"],
        ),
    ],
)
def test_what_is_known_of_pictures_is_made_readable_and_stays(library, statements, what):
    with Library.open(library) as opened:
        old, ratings = opened.vectors().copy(), opened.column("rating")
    for statement in statements:
        change(library, statement)
    found = check(library)
    assert what_of(found) == (what[:1] if "DROP" in statements[0] else what)
    mended = check(library, repair=True)
    assert mended.clean and what_of(mended) == what and not mended.waiting
    assert check(library).clean
    with Library.open(library) as opened:
        every = opened.pictures(opened.ids())
        assert all(opened.path_of(each).is_absolute() for each in every) and len(every) == 40
        assert all(each.root in opened.roots for each in opened.errors())
        assert opened.column("rating") == ratings
        np.testing.assert_array_equal(opened.vectors(), old)


@pytest.mark.parametrize(
    ("statement", "read", "why"),
    [
        (
            "UPDATE state SET value = 'a' WHERE name = 'generation'",
            Library.open,
            "does not hold the state of a library",
        ),
        ("DELETE FROM state WHERE name = 'next_id'", Library.open, "does not hold the state of a library"),
        ("UPDATE roots SET path = x'00'", Library.open, "does not say which folders the roots are"),
        ("UPDATE pictures SET part = 'a' WHERE id = 5", Library.open, "where the vectors of all pictures are"),
        ("UPDATE pictures SET part = 1.5 WHERE id = 5", Library.open, "where the vectors of all pictures are"),
        ("UPDATE pictures SET part = 1 << 45 WHERE id = 5", Library.open, "where the vectors of all pictures are"),
        ("UPDATE pictures SET row = NULL WHERE id = 5", Library.open, "where the vectors of all pictures are"),
        ("UPDATE pictures SET row = -1 WHERE id = 5", Library.open, "where the vectors of all pictures are"),
        ("DELETE FROM details WHERE id = 5", all_pictures, "holds no text and metadata of the picture 5"),
        ("DELETE FROM details WHERE id = 5", column("text"), "the text of a picture cannot be read"),
        ("UPDATE details SET text = x'00' WHERE id = 5", column("text"), "the text of a picture cannot be read"),
        ("UPDATE details SET metadata = '{no' WHERE id = 5", all_pictures, "the metadata of a picture cannot be read"),
        ("UPDATE details SET metadata = '[]' WHERE id = 5", column("metadata"), "the metadata of a picture cannot be"),
        ("UPDATE pictures SET size = 'a' WHERE id = 5", all_pictures, "the size of a picture cannot be read"),
        ("UPDATE pictures SET hash64 = 'a' WHERE id = 5", column("hash64"), "the hash64 of a picture cannot be read"),
        ("UPDATE pictures SET root = 7 WHERE id = 5", paths, "does not say which folder the root 7 is"),
        ("INSERT INTO errors VALUES (1, 'a.png', x'00', 0, 0)", Library.errors, "the reason of a picture cannot be"),
    ],
)
def test_values_that_no_library_writes_are_called_damaged(library, statement, read, why):
    change(library, statement)
    with pytest.raises(ValueError, match=f'The library "a" is damaged: .*pictures.sqlite .*{why}'):
        if read is Library.open:
            Library.open(library)
        else:
            with Library.open(library) as opened:
                read(opened)


@pytest.mark.parametrize("row", ["'a'", "-1", "0.5"])
def test_a_picture_in_no_row_of_its_part_waits(library, row):
    change(library, f"UPDATE pictures SET row = {row} WHERE id = 20")
    assert what_of(check(library)) == ["1 picture in no row of a part"]
    assert check(library, repair=True).waiting == 1 and check(library).clean


def test_what_a_database_says_of_its_parts_is_never_guessed(library):
    change(library, "UPDATE parts SET rows = 'a' WHERE number = 1")
    with pytest.raises(ValueError, match='of the library "a" cannot be mended .it does not say how long the parts are'):
        check(library, repair=True)


def test_metadata_and_paths_that_cannot_be_read_are_kept_as_they_were(library):
    change(library, "UPDATE details SET metadata = '{no' WHERE id = 5")
    change(library, "UPDATE pictures SET path = '../x/./y.png' WHERE id = 6")
    check(library, repair=True)
    with Library.open(library) as opened:
        assert opened.picture(5).metadata == {"metadata that could not be read": "{no"}
        assert opened.picture(6).path == "damaged path/6/x/y.png"


@pytest.mark.parametrize("repair", [False, True])
def test_a_wrong_width_in_library_json_sets_no_part_aside(library, repair):
    about = library / "library.json"
    good = about.read_text()
    about.write_text(good.replace('"dimension": 16', '"dimension": 8'))
    before = {path: path.read_bytes() for path in (library / "vectors").iterdir()}
    with pytest.raises(ValueError, match='"a" says that a vector has 8 numbers, and part-00000.safetensors, .* has 16'):
        check(library, repair)
    assert {path: path.read_bytes() for path in (library / "vectors").iterdir()} == before
    about.write_text(good)
    assert check(library).clean and check(library).pictures == 40
