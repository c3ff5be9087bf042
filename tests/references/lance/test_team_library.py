"""A LanceDB table searched as a library, in a folder and on an object store: equal to the library that it came from."""

import json
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
import pytest
import torch

from image_prompt.devtools.object_store import object_store
from image_prompt.references.embedding import Embedding
from image_prompt.references.exports import export_lance, store
from image_prompt.references.lance import LanceLibrary, connect
from image_prompt.references.library import Library, Writer
from image_prompt.references.search import LocalLibrary, Searchable, open_library
from image_prompt.references.space import Space

from ..library.stores import ROOT, SPACE, picture, vectors

COUNT = 2000
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "not a secret", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Of 2,000 pictures below two roots, some of them there several times."""
    folder = tmp_path_factory.mktemp("libraries") / "cats"
    made = vectors(COUNT, 1)
    made[np.arange(0, COUNT, 5)] = made[7]
    numbers = range(1, COUNT + 1)
    pictures = [picture(each, ROOT if each % 2 else ROOT / "more", rating=each % 3 - 1) for each in numbers]
    pictures[0] = replace(pictures[0], text='it\'s a "Bär"', metadata={"prompt": 'a "red" ÄPFEL', "seed": 1 << 60})
    pictures[1] = replace(pictures[1], hash64=None, kind="features")
    with Writer.open(folder, SPACE, "00ff") as writer:
        writer.add(pictures, made)
        writer.remove([pictures[each].path for each in range(100, 120)])
    with Library.open(folder) as opened:
        yield opened


@pytest.fixture(scope="module", params=["folder", "folder with an index", "object store"])
def team(request, library, tmp_path_factory):
    """The same library as a table elsewhere."""
    folder, options = tmp_path_factory.mktemp("team"), {}
    index_from = 500 if request.param == "folder with an index" else COUNT + 1
    if request.param != "object store":
        uri = str(folder / "tables")
        yield shared(library, folder / "team cats", uri, options, index_from)
        return
    with pytest.MonkeyPatch.context() as patch, object_store("team") as address:
        for name, value in {**KEYS, "TEAM_ENDPOINT": address, "TEAM_HTTP": "true"}.items():
            patch.setenv(name, value)
        options = {"aws_endpoint": "TEAM_ENDPOINT", "allow_http": "TEAM_HTTP"}
        yield shared(library, folder / "team cats", "s3://team/libraries", options, index_from)


def shared(library, folder: Path, uri: str, options: dict[str, str], index_from: int) -> LanceLibrary:
    export_lance(library, uri, "cats", storage_options=options, index_from=index_from)
    connect(folder, uri, "cats", storage_options=options, roots={1: "/elsewhere"})
    return LanceLibrary.open(folder)


def query(count: int, space: Space = SPACE) -> Embedding:
    return Embedding.of_vectors(torch.from_numpy(vectors(count, 2)), space, "text")


FILTERS = [
    {},
    {"rating": 0},
    {"rating": 1, "folder": "folder 1"},
    {"folder": str(ROOT / "more")},
    {"folder": str(ROOT / "more" / "folder 2")},
    {"folder": "nowhere"},
    {"text": "000"},
    {"text": "BäR"},
    {"text": "it's a \"b"},
    {"text": '"RED"'},
    {"text": "50%_"},
]


@pytest.mark.parametrize("filters", FILTERS)
def test_a_search_equals_that_of_the_library(library, team, filters):
    local: Searchable = LocalLibrary(library)
    asked = query(3)
    for options in ({"k": 1}, {"k": 25}, {"k": 25, "minimum": 0.3}):
        expected, found = local.search(asked, **options, **filters), team.search(asked, **options, **filters)
        assert [[(hit.id, hit.rank) for hit in hits] for hits in found] == [
            [(hit.id, hit.rank) for hit in hits] for hits in expected
        ]
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose([hit.score for hit in ours], [hit.score for hit in theirs], atol=1e-6)


def test_many_equal_pictures_are_found_by_their_ids(library, team):
    """There are 400 of one picture, more than the candidates of one look."""
    ids = library.ids()
    same = ids[(library.vectors() == library.vectors()[ids == 8]).all(axis=1)]
    assert len(same) > 390
    asked = Embedding.of_vectors(torch.from_numpy(library.vectors()[ids == 8]), SPACE, "image")
    [hits] = team.search(asked, 50)
    assert [hit.id for hit in hits] == same[:50].tolist()


class Off:
    """A lancedb.Table on a processor that sums in fp16: its scores are off by up to 0.0015."""

    def __init__(self, library):
        self.ids, self.vectors = library.ids(), library.vectors()
        self.off = np.random.default_rng(0).uniform(-0.0015, 0.0015, len(self.ids))

    def search(self, vector, vector_column_name):
        self.scores = (self.vectors.astype(np.float64) * vector).sum(axis=1) + self.off
        return self

    def limit(self, count):
        self.count = count
        return self

    def distance_type(self, kind):
        assert kind == "dot"
        return self

    def bypass_vector_index(self):
        return self

    def select(self, columns):
        return self

    def to_arrow(self):
        best = np.argsort(-self.scores)[: self.count]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(self.vectors[best].reshape(-1)), 16)
        return pa.table({"id": self.ids[best], "vector": vectors, "_distance": 1 - self.scores[best]})


def test_a_search_is_exact_where_lancedb_is_not(library, team, monkeypatch):
    monkeypatch.setattr(team, "_table", Off(library))
    repeated = Embedding.of_vectors(torch.from_numpy(library.vectors()[[7]]), SPACE, "image")
    for asked in (query(5), repeated):
        for options in ({"k": 1}, {"k": 50}, {"k": 50, "minimum": 0.5}):
            found, expected = team.search(asked, **options), LocalLibrary(library).search(asked, **options)
            assert [[hit.id for hit in hits] for hits in found] == [[hit.id for hit in hits] for hits in expected]


def test_a_library_is_opened_as_any_other(team):
    opened = open_library(team.folder)
    assert isinstance(opened, LanceLibrary) and opened.search(query(1)) == team.search(query(1))


def test_an_index_finds_nearly_the_same_with_exact_scores(library, team):
    asked = query(20)
    expected, found = team.search(asked, 10), team.search(asked, 10, exact=False)
    both = [len({hit.id for hit in a} & {hit.id for hit in b}) for a, b in zip(expected, found, strict=True)]
    assert sum(both) >= 190  # of 200
    scores = {(row, hit.id): hit.score for row, hits in enumerate(expected) for hit in hits}
    for row, hits in enumerate(found):
        assert all(hit.score == scores.get((row, hit.id), hit.score) for hit in hits)


def test_pictures_and_vectors_are_those_of_the_library(library, team):
    ids = library.ids()[[5, 0, 1, 5, -1]].tolist()
    assert team.pictures(ids) == library.pictures(ids) and team.picture(ids[1]) == library.picture(ids[1])
    np.testing.assert_array_equal(team.vectors_of(ids), library.vectors_of(ids).astype(np.float32))
    assert team.vectors_of([]).shape == (0, 16) and team.pictures([]) == []
    assert team.newest(3) == library.ids()[:-4:-1].tolist() and team.newest(0) == []
    assert team.newest(9, rating=1) == LocalLibrary(library).newest(9, rating=1) != team.newest(9)
    for path in (library.picture(4).path, "it's none"):
        assert team.named(path) == LocalLibrary(library).named(path)
    assert team.newest(1, folder="folder 1") == LocalLibrary(library).newest(1, folder="folder 1")
    assert (team.name, team.space, team.count, team.encoder_sha256) == ("team cats", SPACE, library.count, "00ff")
    with pytest.raises(KeyError, match='no picture 101 in the library "team cats"'):
        team.pictures([1, 101])
    with pytest.raises(ValueError, match="has no picture 101: it was removed"):
        team.vectors_of([1, 101])


def test_a_picture_is_found_below_a_root_of_this_machine_alone(library, team):
    here, elsewhere = (library.picture(number) for number in (3, 4))
    assert team.path_of(here) == Path("/elsewhere") / here.path
    with pytest.raises(ValueError, match=r"04.png is below /pictures/more where .* with the root 2=FOLDER"):
        team.path_of(elsewhere)
    for path in ("../../etc/passwd", "/etc/passwd", "a/../../b"):
        with pytest.raises(ValueError, match="is no path below a root"):
            team.path_of(replace(here, path=path))


@pytest.mark.parametrize(
    "asked, options, named",
    [
        (
            query(1, Space("CLIP ViT-H/14", 16)),
            {},
            'The library "team cats" was made with CLIP ViT-B/32 .* by CLIP ViT-H',
        ),
        (query(1), {"k": 0}, "0 nearest pictures cannot be found"),
        (query(1), {"minimum": float("nan")}, "a number from -1 to 1, not nan"),
    ],
)
def test_what_cannot_be_searched_for_is_refused_as_in_libraries(library, team, asked, options, named):
    for each in (team, LocalLibrary(library)):
        with pytest.raises(ValueError, match=named.replace("team cats", each.name)):
            each.search(asked, **options)


def test_no_value_of_a_variable_is_written(team):
    written = (team.folder / "library.json").read_text()
    assert os.listdir(team.folder) == ["library.json"]
    assert not any(value in written for value in (KEYS["AWS_SECRET_ACCESS_KEY"], "127.0.0.1"))


@pytest.fixture
def tables(library, tmp_path) -> str:
    """A folder with a table `cats`."""
    export_lance(library, str(tmp_path / "tables"), "cats")
    return str(tmp_path / "tables")


def test_a_library_stays_as_it_was_opened_and_its_generation_grows(library, tables, tmp_path):
    connect(tmp_path / "team", tables, "cats")
    before = LanceLibrary.open(tmp_path / "team")
    lancedb.connect(tables).open_table("cats").delete("id > 10")
    after = LanceLibrary.open(tmp_path / "team")
    assert (before.count, len(before.newest(5000)), after.count) == (library.count, library.count, 10)
    assert after.generation > before.generation
    export_lance(library, tables, "cats", force=True)
    again = LanceLibrary.open(tmp_path / "team")
    assert again.generation > after.generation and again.search(query(1)) == before.search(query(1))


def test_a_library_can_be_read_where_nothing_can_be_written(tables, tmp_path):
    before = {path: path.read_bytes() for path in Path(tables).rglob("*") if path.is_file()}
    connect(tmp_path / "team", tables, "cats")
    LanceLibrary.open(tmp_path / "team").search(query(1), exact=False)
    assert {path: path.read_bytes() for path in Path(tables).rglob("*") if path.is_file()} == before


def test_a_table_that_is_gone_is_told_with_what_to_do(tables, tmp_path):
    connect(tmp_path / "team", tables, "cats")
    opened = LanceLibrary.open(tmp_path / "team")
    lancedb.connect(tables).drop_table("cats")
    gone = '"cats" in .*tables cannot be opened: it is not there. Look whether .* export it again, or connect'
    with pytest.raises(ValueError, match=gone):
        LanceLibrary.open(tmp_path / "team")
    with pytest.raises(ValueError, match="cannot be used: it is not there. Check the address"):
        opened.search(query(1))
    for folder, table in ((tables, "dogs"), (str(tmp_path / "no such"), "cats")):
        with pytest.raises(ValueError, match="cannot be opened: it is not there"):
            connect(tmp_path / "other", folder, table)
    assert sorted(os.listdir(tmp_path)) == ["tables", "team"]


def test_a_table_of_another_encoder_takes_no_librarys_place(tables, tmp_path):
    connect(tmp_path / "team", tables, "cats")
    other = Space("CLIP ViT-H/14", 16)
    with Writer.open(tmp_path / "dogs", other) as writer:
        writer.add([picture(1)], vectors(1))
    with Library.open(tmp_path / "dogs") as dogs:
        export_lance(dogs, tables, "cats", force=True)
    named = r'"team" was connected to a table of CLIP ViT-B/32 .*"cats" in .* is of CLIP ViT-H/14 .* Connect .* anew'
    with pytest.raises(ValueError, match=named):
        LanceLibrary.open(tmp_path / "team")
    connect(tmp_path / "team", tables, "cats")
    assert LanceLibrary.open(tmp_path / "team").space == other


def stranger(tables: str, change) -> None:
    """Write the table `odd`: `cats`, changed."""
    opened = lancedb.connect(tables)
    opened.create_table("odd", data=change(opened.open_table("cats").to_arrow()))


def said(table: pa.Table, **more) -> pa.Table:
    about = {**json.loads(table.schema.metadata[b"image_prompt"]), **more}
    return table.replace_schema_metadata({b"image_prompt": json.dumps(about).encode()})


@pytest.mark.parametrize(
    "change, named",
    [
        (lambda table: table.replace_schema_metadata(None), "was not exported from a library: it does not say which"),
        (lambda table: table.replace_schema_metadata({b"image_prompt": b"[1]"}), "does not say which encoder"),
        (lambda table: said(table, space={"encoder": 3}), "does not say which encoder"),
        (lambda table: said(table, format=9), "is of the format 9, and this is 1: update Image Prompt"),
        (lambda table: table.drop_columns(["path"]), "it has no column path. Export a library with `library export`"),
        (lambda table: table.set_column(0, "id", table.column("path")), "its column id is of the type string"),
        (lambda table: said(table, space=Space("x", 8).as_json()), r"its vectors are .* and not of x \(8 numbers\)"),
    ],
)
def test_a_table_of_somebody_else_is_refused(tables, tmp_path, change, named):
    stranger(tables, change)
    with pytest.raises(ValueError, match=named):
        connect(tmp_path / "team", tables, "odd")
    assert os.listdir(tmp_path) == ["tables"]


def test_a_damaged_vector_is_an_error_and_no_hit(tables, tmp_path):
    lancedb.connect(tables).open_table("cats").update(where="id = 9", values={"vector": [3.0] * 16})
    connect(tmp_path / "team", tables, "cats")
    with pytest.raises(ValueError, match="cats.* is damaged: it holds a vector that is longer than 1"):
        LanceLibrary.open(tmp_path / "team").search(Embedding.of_vectors(torch.ones(1, 16), SPACE, "text"))


def test_a_library_of_this_machine_is_not_replaced(library, tables):
    before = {path: path.read_bytes() for path in library.folder.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match='There is a library "cats" already, with pictures of its own'):
        connect(library.folder, tables, "cats")
    assert {path: path.read_bytes() for path in library.folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "uri, table, options, named",
    [
        ("", "cats", {}, "Where the table is has to be given"),
        (
            "https://example.com/a",
            "cats",
            {},
            "is no place of LanceDB tables: give a folder, or an address that begins",
        ),
        ("db://team", "cats", {}, "is no place of LanceDB tables"),
        ("s3://key:secret@team/a", "cats", {}, "is kept in a file and so holds no keys"),
        ("s3://team/a?key=secret", "cats", {}, "is kept in a file and so holds no keys"),
        ("s3://team/a", "../cats", {}, "cannot be the name of a table"),
        (
            "s3://team/a",
            "cats",
            {"aws_secret_access_key": "wJalrXUtnFEMI/K7MDENG"},
            "is not the name of an environment",
        ),
        ("s3://team/a", "cats", {"aws_access_key_id": "AKIAIOSFODNN7"}, "is not the name of an environment variable"),
    ],
)
def test_what_could_hold_a_secret_or_leads_nowhere_is_refused(tmp_path, uri, table, options, named):
    with pytest.raises(ValueError, match=named) as refused:
        connect(tmp_path / "team", uri, table, storage_options=options)
    assert not any(secret in str(refused.value) for secret in ("secret@", "key=", *options.values()))
    assert os.listdir(tmp_path) == []


def test_roots_are_whole_paths_of_roots_that_there_are(tables, tmp_path):
    for roots, named in (
        ({1: "pictures"}, "no whole path"),
        ({7: "/a"}, r"has no root 7: its roots are 1 \(/pictures\)"),
    ):
        with pytest.raises(ValueError, match=named):
            connect(tmp_path / "team", tables, "cats", roots=roots)


@pytest.mark.parametrize(
    "change, named",
    [
        (lambda data: b"{", "is damaged .* Connect it anew"),
        (lambda data: data | {"uri": None}, "is damaged: .* Connect it anew"),
        (lambda data: {"format": 1, "kind": "lance"}, "is damaged: 'uri' is missing"),
        (lambda data: data | {"roots": {"1": "a"}}, "is damaged: The folder a of the root 1 is no whole path"),
        (lambda data: data | {"format": 2}, "is of the format 2, and this is 1: update Image Prompt"),
        (lambda data: data | {"kind": "x"}, "is not connected to a LanceDB table"),
        (lambda data: data | {"storage_options": {"a": "NOT_SET"}}, "variable NOT_SET is not set"),
    ],
)
def test_a_damaged_pointer_is_told(tables, tmp_path, change, named):
    connect(tmp_path / "team", tables, "cats")
    path = tmp_path / "team" / "library.json"
    changed = change(json.loads(path.read_text()))
    path.write_bytes(changed if isinstance(changed, bytes) else json.dumps(changed).encode())
    with pytest.raises(ValueError, match=named):
        LanceLibrary.open(tmp_path / "team")
    with pytest.raises(FileNotFoundError, match="There is no library none"):
        LanceLibrary.open(tmp_path / "none")


def test_without_lancedb_the_pip_line_is_told(tables, tmp_path, monkeypatch):
    connect(tmp_path / "team", tables, "cats")
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(ValueError, match="The library of a team needs lancedb, .* `python -m pip install lancedb`"):
        LanceLibrary.open(tmp_path / "team")


def test_a_store_that_never_answers_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "OPENING", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        for name, value in {**KEYS, "AT": f"http://127.0.0.1:{silent.getsockname()[1]}", "HTTP": "true"}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ValueError, match="s3://team/a cannot be used: it did not answer within 0.3 seconds"):
            connect(
                tmp_path / "team", "s3://team/a", "cats", storage_options={"aws_endpoint": "AT", "allow_http": "HTTP"}
            )
    assert os.listdir(tmp_path) == []


def test_a_store_that_cannot_be_reached_is_told_soon(tmp_path, monkeypatch):
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        for name, value in {**KEYS, "AT": f"http://127.0.0.1:{taken.getsockname()[1]}", "HTTP": "true"}.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ValueError, match="s3://team/a cannot be .*: nothing answers at its address") as told:
            connect(
                tmp_path / "team", "s3://team/a", "cats", storage_options={"aws_endpoint": "AT", "allow_http": "HTTP"}
            )
        assert "max_retries: 1" in str(told.value.__cause__) and "retry_timeout: 5s" in str(told.value.__cause__)
