"""Exports of a library, as numpy, pyarrow and lancedb read them."""

import json
import os
import sys
from dataclasses import asdict

import lancedb
import numpy as np
import pyarrow.parquet as pq
import pytest

from image_prompt.references.exports import export_lance, export_numpy, export_parquet, source
from image_prompt.references.library import Library, Writer
from image_prompt.references.space import Space

from ..library.stores import SPACE, picture, vectors

COUNT = 1000
HARD = {"text": "it's \"Ä\n猫", "metadata": {"prompt": "Bär", "seed": 1 << 60, "loras": [{"name": "a", "weight": 0.5}]}}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Of 1,000 pictures, some removed, of two roots."""
    folder = tmp_path_factory.mktemp("libraries") / "cats"
    root = folder.parent / "more pictures"
    with Writer.open(folder, SPACE, "00ff") as writer:
        given = [picture(1, **HARD, hash64=(1 << 64) - 1, rating=-1), picture(2, root, hash64=None, kind="features")]
        writer.add(given + [picture(number, rating=number % 3 - 1) for number in range(3, COUNT)], vectors(COUNT - 1))
        writer.remove([picture(number).path for number in range(10, 20)])
    with Library.open(folder) as opened:
        yield opened


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(source, "AT_ONCE", 100)


def known(library) -> list[dict]:
    return [asdict(each) for each in library.pictures(library.ids())]


def assert_is_about(said: dict, library) -> None:
    assert said["format"] == 1 and said["library"] == "cats" and said["encoder_sha256"] == "00ff"
    assert Space.from_json(said["space"]) == SPACE and said["generation"] == library.generation
    assert (
        said["roots"] == {str(number): str(path) for number, path in library.roots.items()} and len(said["roots"]) == 2
    )


def assert_equals(table, library, dtype) -> None:
    """table: of pyarrow"""
    rows = table.drop_columns(["vector"]).to_pylist()
    assert [{**row, "metadata": json.loads(row["metadata"])} for row in rows] == known(library)
    found = np.stack(table.column("vector").to_numpy())
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, library.vectors().astype(dtype))
    assert_is_about(json.loads(table.schema.metadata[b"image_prompt"]), library)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_pyarrow_reads_the_parquet(library, tmp_path, dtype):
    told = []
    folder = export_parquet(library, tmp_path / "a", dtype=dtype, on_progress=lambda *counts: told.append(counts))
    file = pq.ParquetFile(folder / "pictures.parquet")
    assert_equals(file.read(), library, dtype)
    assert file.num_row_groups == len(told) == 10 and told[-1] == (COUNT - 11, COUNT - 11)
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_numpy_reads_the_array_and_json_its_metadata(library, tmp_path, dtype):
    folder = export_numpy(library, tmp_path / "a", dtype=dtype)
    array, said = np.load(folder / "embeddings.npy"), json.loads((folder / "metadata.json").read_text("utf-8"))
    assert array.dtype == dtype and (said["dtype"], said["count"]) == (dtype, len(array))
    np.testing.assert_array_equal(array, library.vectors().astype(dtype))
    assert said["entries"] == [{**each, "embedding_index": row} for row, each in enumerate(known(library))]
    assert_is_about(said, library)


@pytest.mark.parametrize("indexed", [False, True])
def test_lancedb_reads_the_table(library, tmp_path, indexed):
    export_lance(library, str(tmp_path), "cats", index_from=500 if indexed else 2000)
    table = lancedb.connect(tmp_path).open_table("cats")
    assert_equals(table.to_arrow(), library, "float16")
    assert sorted(each.columns for each in table.list_indices()) == [["id"], ["vector"]] * indexed
    assert len(table.list_versions()) == 1


def test_an_empty_library_is_exported(tmp_path):
    Writer.open(tmp_path / "none", SPACE).close()
    with Library.open(tmp_path / "none") as library:
        assert pq.read_table(export_parquet(library, tmp_path / "a")).num_rows == 0
        assert np.load(export_numpy(library, tmp_path / "b") / "embeddings.npy").shape == (0, 16)
        assert json.loads((tmp_path / "b" / "metadata.json").read_text())["entries"] == []
        export_lance(library, str(tmp_path), "c", index_from=0)
        assert lancedb.connect(tmp_path).open_table("c").count_rows() == 0


EXPORTS = [export_parquet, export_numpy]


@pytest.mark.parametrize("export", EXPORTS)
def test_a_folder_that_is_there_is_replaced_only_when_told_and_only_if_it_is_an_export(library, tmp_path, export):
    folder = export(library, tmp_path / "a")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match="holds an export already: give a new folder, or --force"):
        export(library, folder)
    next(iter(before)).write_bytes(b"old")
    export(library, folder, force=True)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    (folder / "mine.txt").touch()
    (tmp_path / "file").touch()
    for target, named in ((folder, "holds other files, such as mine.txt"), (tmp_path / "file", "is no folder")):
        with pytest.raises(ValueError, match=named):
            export(library, target, force=True)
    assert sorted(os.listdir(tmp_path)) == ["a", "file"]


class Failing:
    """A library of which the disk fails half way."""

    def __init__(self, library):
        self.library = library

    def __getattr__(self, name):
        return getattr(self.library, name)

    def vectors_of(self, ids):
        if ids[0] > 500:
            raise OSError("the disk failed")
        return self.library.vectors_of(ids)


@pytest.mark.parametrize("export", EXPORTS)
def test_an_export_that_fails_leaves_what_was_there(library, tmp_path, export):
    with pytest.raises(ValueError, match="could not be written: the disk failed. What was there before is kept"):
        export(Failing(library), tmp_path / "a")
    assert os.listdir(tmp_path) == []
    folder = export(library, tmp_path / "a")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match="could not be written: the disk failed. What was there before is kept"):
        export(Failing(library), folder, force=True)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before and os.listdir(tmp_path) == ["a"]


def test_a_table_that_is_there_is_replaced_only_when_told_and_whole(library, tmp_path):
    with pytest.raises(OSError, match="the disk failed"):
        export_lance(Failing(library), str(tmp_path), "cats")
    assert os.listdir(tmp_path) == []
    (tmp_path / "cats.lance" / "data").mkdir(parents=True)  # a killed export leaves this
    export_lance(library, str(tmp_path), "cats")
    with pytest.raises(ValueError, match='"cats" in .* is there already: give another name, or --force'):
        export_lance(library, str(tmp_path), "cats")
    reader = lancedb.connect(tmp_path).open_table("cats")
    with pytest.raises(OSError, match="the disk failed"):
        export_lance(Failing(library), str(tmp_path), "cats", force=True)
    assert lancedb.connect(tmp_path).open_table("cats").version == reader.version
    export_lance(library, str(tmp_path), "cats", force=True)
    assert lancedb.connect(tmp_path).open_table("cats").version > reader.version
    assert reader.count_rows() == len(reader.to_arrow()) == library.count  # who searched the old one still does


def test_what_a_killed_export_left_is_no_obstacle(library, tmp_path):
    (tmp_path / "a.part").mkdir()
    (tmp_path / "a.part" / "pictures.parquet").write_bytes(b"half")
    export_parquet(library, tmp_path / "a")
    assert os.listdir(tmp_path) == ["a"]
    (tmp_path / "a.part").mkdir()
    (tmp_path / "a.part" / "mine.txt").touch()
    with pytest.raises(ValueError, match="a.part holds mine.txt, and is in the way: move it"):
        export_parquet(library, tmp_path / "a", force=True)
    assert (tmp_path / "a.part" / "mine.txt").exists()


@pytest.mark.parametrize(
    "package, export, named",
    [
        ("pyarrow", lambda library, folder: export_parquet(library, folder), "Export as parquet needs pyarrow, which"),
        ("lancedb", lambda library, folder: export_lance(library, str(folder), "a"), "Export to LanceDB needs lancedb"),
    ],
)
def test_a_missing_package_is_named_with_what_to_do(library, tmp_path, monkeypatch, package, export, named):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=f"{named}.*is not installed: `python -m pip install {package}`"):
        export(library, tmp_path / "a")
    assert os.listdir(tmp_path) == []


def test_other_dtypes_are_refused(library, tmp_path):
    for export in EXPORTS:
        with pytest.raises(ValueError, match="float16 or float32, not 'int8'"):
            export(library, tmp_path / "a", dtype="int8")
