"""What is written into a library is read from it, by what is known of pictures and by their vectors."""

import gc
import sqlite3

import numpy as np
import pytest
from safetensors.numpy import load_file

from image_prompt.references.library import (
    Library,
    Writer,
    check,
    check_name,
    database,
    libraries_folder,
    library_names,
)

from .stores import ROOT, SPACE, picture, pictures, vectors


def test_pictures_are_read_as_they_were_added(tmp_path):
    made = vectors(3)
    added = [
        picture(1, text="a cat", metadata={"model": "x", "seed": 1 << 60}, hash64=(1 << 64) - 1, rating=1),
        picture(2, kind="features", hash64=None),
        picture(3, metadata={"prompt": "ein Bär"}),
    ]
    with Writer.open(tmp_path / "a", SPACE, "00ff") as writer:
        assert writer.add(added, made) == [1, 2, 3]
    with Library.open(tmp_path / "a") as library:
        assert (library.name, library.space, library.encoder_sha256, library.count) == ("a", SPACE, "00ff", 3)
        assert library.ids().tolist() == [1, 2, 3] and library.ids().dtype == np.int64
        assert library.vectors().dtype == np.float16
        np.testing.assert_array_equal(library.vectors(), made.astype(np.float16))
        for known, given in zip(library.pictures([3, 1, 2]), [added[2], added[0], added[1]], strict=True):
            assert all(getattr(known, name) == value for name, value in vars(given).items() if name != "root")
            assert library.path_of(known) == ROOT / given.path
        with pytest.raises(KeyError, match='no picture 4 in the library "a"'):
            library.picture(4)


def test_a_library_that_nobody_uses_any_more_keeps_no_file_open(tmp_path):
    with Writer.open(tmp_path / "a", SPACE) as writer:
        writer.add(pictures(0), vectors(1))
    library = Library.open(tmp_path / "a")
    connection = library._connection
    assert connection.execute("SELECT 1").fetchone()
    gc.disable()  # a connection is a cycle, which the garbage collector finds late
    try:
        del library
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")
    finally:
        gc.enable()


def test_safetensors_reads_the_parts(tmp_path):
    """Every part but the last has 4,096 rows, however many come at once."""
    made = vectors(4100)
    with Writer.open(tmp_path / "a", SPACE) as writer:
        for start, end in ((0, 1), (1, 4000), (4000, 4100)):
            writer.add(pictures(*range(start, end)), made[start:end])
    parts = [load_file(path) for path in sorted((tmp_path / "a" / "vectors").iterdir())]
    assert [len(part["ids"]) for part in parts] == [4096, 4]
    np.testing.assert_array_equal(np.concatenate([part["ids"] for part in parts]), np.arange(1, 4101))
    np.testing.assert_array_equal(np.concatenate([part["vectors"] for part in parts]), made.astype(np.float16))
    assert check(tmp_path / "a").clean


@pytest.mark.parametrize("name", ["", "..", ".a", "a/b", "a\\b", "C:", "con", "NUL.txt", "a.", " a", "a\n", "x" * 101])
def test_names_that_lead_elsewhere_are_refused(name):
    with pytest.raises(ValueError, match="cannot be the name of a library"):
        check_name(name)


def test_libraries_are_listed_by_name(tmp_path):
    folder = libraries_folder(tmp_path)
    assert folder == tmp_path / "image-prompt" / "libraries" and library_names(folder) == []
    for name in ("b", "Größe 2", "a.b"):
        Writer.open(folder / check_name(name), SPACE).close()
    (folder / "no library").mkdir()
    assert library_names(folder) == ["Größe 2", "a.b", "b"]


def test_a_writer_is_not_held_up_by_who_reads_an_older_state(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "PATIENCE", 3600.0)  # seconds, for which the test would wait
    with Writer.open(tmp_path / "a", SPACE) as writer:
        writer.add(pictures(1), vectors(1))
    with Library.open(tmp_path / "a") as old:
        with Writer.open(tmp_path / "a") as writer:
            writer.add(pictures(2), vectors(1, seed=1))
        with Library.open(tmp_path / "a") as new:
            assert (old.count, new.count) == (1, 2)
            assert (old.named(picture(2).path), new.named(picture(2).path)) == ([], [2])
