"""Readers of catalogues, of folders and settings, of the index, and of reference libraries."""

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow
from shapes import json_with, safetensors_with, texts_of
from target import Target, file_in, unshaped

from image_prompt.model_files.catalogue import BrokenCatalogue, Catalogue
from image_prompt.model_files.catalogue.catalogue_file import RULES as FIELDS
from image_prompt.model_files.folders.extra_paths import read_extra_paths
from image_prompt.model_files.index import index_cache
from image_prompt.references.bulk.maker import Maker
from image_prompt.references.bulk.part import Row, pack, unpack
from image_prompt.references.bulk.plan import Entry, Plan
from image_prompt.references.comparison.labels import read_labels
from image_prompt.references.exports.arrow import COLUMNS, KEY, VECTOR
from image_prompt.references.filling.listing import list_entries, read_list
from image_prompt.references.lance import about as lance_about
from image_prompt.references.lance.pointer import read_pointer
from image_prompt.references.library import Library, NewPicture, Writer
from image_prompt.references.library.about import ABOUT, About, read_about, write_about
from image_prompt.references.library.database import DATABASE
from image_prompt.references.library.parts import Part, part_path, read_part, write_part
from image_prompt.references.space import Space

SPACE = Space("CLIP ViT-B/32", 4, "f" * 16)
IN_RULES = b"RULES OF THE INDEX"  # stands in an input for what changes with every change of the pack


# ------------------------------------------------------------------------------------------------- folders and settings


def extra_paths(data: bytes, folder: Path) -> None:
    for each in read_extra_paths(str(file_in(folder, "extra_model_paths.yaml", data))):
        assert isinstance(each.type, str) and isinstance(each.path, str)


YAML = b"""# comment
comfyui:
    base_path: ~/ComfyUI
    is_default: true
    loras: |
        models/loras
        /other
    "clip_vision": 'x'   # more
again: &a {ipadapter: y}
third: *a
"""
YAML_WORDS = (
    "base_path: ",
    "is_default: ",
    "&a ",
    "*a",
    "<<: *a",
    "!!python/object:os.system ",
    "!!binary ",
    "0x" + "f" * 4000,
)
YAML_WORDS += (
    "2020-99-99",
    "1_0",
    "? ",
    "- ",
    "|\n",
    ">\n",
    "{",
    "[",
    "\t",
    "---\n",
    "...\n",
    '"\\ud800"',
    "'",
    "%YAML 9",
    "~",
)


def catalogue(data: bytes, folder: Path) -> None:
    known = Catalogue.load(file_in(folder, "mine.json", data))
    for entry in known.entries:
        assert known.named(entry.files[0])
    json.dumps([entry.to_dict() for entry in known.entries[-3:]])


ENTRIES = [
    {
        **{
            "id": "mine",
            "title": "Mine",
            "kind": "adapter",
            "family": "plus",
            "base_model": "SD1.5",
            "encoder": "ViT-H",
        },
        **{"purposes": ["plus"], "folder": "ipadapter", "files": ["mine.safetensors", "a/mine.safetensors"]},
        **{"size": 3, "sha256": "0" * 64, "url": "https://a.b/c", "licence": "MIT", "commercial": None},
    },
    {"id": "ip-adapter_sd15", "companion": "", "face_pack": "", "page": "https://huggingface.co/a/b", "size": None},
]


def index(data: bytes, folder: Path) -> None:
    path = file_in(folder, "index.json", data.replace(IN_RULES, index_cache.RULES.encode()))
    index_cache.count(path)
    for known in index_cache.load(path).values():
        if known.identity:
            json.dumps(known.identity.to_dict())
            hash(known.identity)
    for trial in index_cache.load_imports(path).values():
        assert isinstance(trial.time, (int, float)) and trial.problem + trial.state is not None
    index_cache.save_import(path, "a", index_cache.ImportTrial("s", "", 1.0))
    assert "a" in index_cache.load_imports(path)


KNOWN = [3, 4, ["adapter", "plus", "SD1.5", "ViT-H", True, "", ["other"]], ""]
INDEX = {
    "rules": IN_RULES.decode(),
    "files": {"/a": KNOWN, "/b": [1, 2, None, "broken"]},
    "imports": {"m": ["s", "p", 1.5]},
}


# ------------------------------------------------------------------------------------------------------- what is listed


def listed(data: bytes, folder: Path) -> None:
    found = read_list(folder, list_entries(file_in(folder, "list.json", data)), ())
    json.dumps([vars(each) for each in found.order.values()]).encode()


LIST = [
    {"path": "list.json", "text": "a cat", "metadata": {"album": 3}, "more": None},
    "dogs/rex.jpg",
    {"path": "/x/y"},
]


def labels(data: bytes, folder: Path) -> None:
    for path, label in read_labels(file_in(folder, "labels.json", data)).items():
        assert isinstance(path, str) and label.strip()


# ------------------------------------------------------------------------------------------------------------ libraries


def about(data: bytes, folder: Path) -> None:
    """library.json, of a library of this machine and of one that is elsewhere."""
    file_in(folder, ABOUT, data)
    try:
        hash(read_about(folder).space)
        return
    except ValueError as error:
        assert str(error).isprintable(), error
    hash(read_pointer(folder).space)


def abouts() -> Iterable[bytes]:
    with TemporaryDirectory() as folder:
        write_about(Path(folder), About(SPACE, "0" * 64, "/encoder"))
        yield (Path(folder) / ABOUT).read_bytes()
    said = {
        "format": 1,
        "kind": "lance",
        "uri": "s3://bucket/a",
        "table": "t",
        "storage_options": {"aws_region": "AWS_REGION"},
    }
    yield json.dumps({**said, "roots": {"1": "/pictures"}, "space": SPACE.as_json()}).encode()


def table_about(data: bytes, folder: Path) -> None:
    lance_about.read_about(table_schema(data), "The table")


@cache
def table_fields() -> list[Any]:
    fields = [pyarrow.field(name, getattr(pyarrow, kind)()) for name, kind in COLUMNS.items()]
    return [*fields, pyarrow.field(VECTOR, pyarrow.list_(pyarrow.float16(), SPACE.dimension))]


def table_schema(data: bytes) -> Any:
    return pyarrow.schema(table_fields(), {KEY: data})


TABLE = {"format": 1, "space": SPACE.as_json(), "encoder_sha256": "0" * 64, "exported": 5, "roots": {"1": "/a"}}


def part(data: bytes, folder: Path) -> None:
    path = part_path(folder, 0)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    for mapped in (False, True):
        found = read_part(folder, 0, mapped)
        assert found.vectors.shape[0] == found.ids.shape[0]
        found.sha256(1)


def parts() -> Iterable[bytes]:
    with TemporaryDirectory() as folder:
        part_path(Path(folder), 0).parent.mkdir()
        for rows in (0, 3):
            write_part(Path(folder), 0, Part(np.ones((rows, 4), np.float16), np.arange(rows)))
            yield part_path(Path(folder), 0).read_bytes()


def bulk_part(data: bytes, folder: Path) -> None:
    rows, vectors = unpack(data, 3, 4)
    assert len(rows) == 3 and vectors.shape == (sum(row.has_vector for row in rows), 4)


def bulk_parts() -> Iterable[bytes]:
    rows = [Row(sha256="0" * 64, width=1, height=2, hash64=3, metadata={"a": 1}), Row(error="no"), Row(touched=True)]
    yield pack(rows, np.ones((1, 4), np.float16))


def plan(data: bytes, folder: Path) -> None:
    try:
        found = Plan.from_bytes(data)
        for number in range(min(found.shards, 3)):
            found.files(number, folder)
        found.to_bytes()
    except ValueError as error:
        str(error).encode()
        raise


def plans() -> Iterable[bytes]:
    entries = [Entry(1, "a/b.png", 3, 4), Entry(1, "c.png", 3, 4, True, "0" * 64)]
    yield Plan(Maker(SPACE, "0" * 64, "center", None), 2, 4, {1: "pictures"}, entries).to_bytes()
    yield Plan(Maker(SPACE, "", "pad", 1000), 2, 4, {1: "pictures", 2: "."}, []).to_bytes()


@cache
def small_library() -> tuple[dict[str, bytes], bytes]:
    """The files of a library, and its database."""
    with TemporaryDirectory() as place:
        folder = Path(place) / "small"
        with Writer.open(folder, SPACE) as writer:
            made = [
                NewPicture(Path("/p"), path=f"{n}.png", size=n, mtime_ns=n, sha256=f"{n:064x}", text="t")
                for n in range(3)
            ]
            writer.add(made, np.eye(3, 4, dtype=np.float32))
        database = (folder / DATABASE).read_bytes()
        others = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    return {name: data for name, data in others.items() if not name.startswith(DATABASE)}, database


def library(data: bytes, folder: Path) -> None:
    """A library whose database is damaged: what is told of it, and what of its pictures."""
    inside = folder / "small"
    for name, content in small_library()[0].items():
        (inside / name).parent.mkdir(parents=True, exist_ok=True)
        (inside / name).write_bytes(content)
    file_in(inside, DATABASE, data)
    try:
        with Library.open(inside) as found:
            found.pictures(found.ids())
            found.vectors()
            found.errors()
            found.waiting()
    finally:
        for each in sorted(inside.rglob("*"), reverse=True):
            each.rmdir() if each.is_dir() else each.unlink()


in_part = safetensors_with("ids", "vectors", "rows", "I64", "F16", "U8", "__metadata__")

TARGETS: dict[str, Target] = {
    "extra_model_paths.yaml": Target(
        extra_paths, lambda: [YAML], texts_of(*YAML_WORDS), words=("base_path", "is_default")
    ),
    "catalogue": Target(
        catalogue,
        lambda: [json.dumps({"entries": ENTRIES}).encode(), b'{"entries": []}'],
        json_with(*FIELDS, "mine", "ip-adapter_sd15", "lora", "face pack", "https://a.b"),
        (BrokenCatalogue,),
        runs=10_000,
    ),
    "index": Target(index, lambda: [json.dumps(INDEX).encode()], json_with(*INDEX), ()),
    "list of pictures": Target(
        listed, lambda: [json.dumps(LIST).encode(), b"[]"], json_with("path", "text", "metadata")
    ),
    "labels": Target(labels, lambda: [b'{"cats/tom.png": "cat", "rex.jpg": "dog"}'], json_with("cat")),
    "library.json": Target(
        about,
        abouts,
        json_with(
            "format", "space", "kind", "lance", "uri", "table", "roots", "storage_options", "dimension", "s3://a/b"
        ),
    ),
    "table of a team": Target(table_about, lambda: [json.dumps(TABLE).encode()], json_with(*TABLE)),
    "part of a library": Target(part, parts, in_part),
    "part of a bulk": Target(bulk_part, bulk_parts, in_part),
    "plan of a bulk": Target(
        plan, plans, json_with("files", "roots", "batch", "shard", "encoder", "crop", "max_pixels", "a.png")
    ),
    "database of a library": Target(library, lambda: [small_library()[1]], unshaped, longest=1 << 16, runs=5_000),
}
