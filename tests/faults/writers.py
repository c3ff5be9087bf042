"""All that writes files of the pack, each as a small thing to do that begins from a known state."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fakes  # of tests/references/filling
import numpy as np
import torch

from image_prompt.clip_vision import VisionFeatures, save_features
from image_prompt.command_line import migrate
from image_prompt.model_files.catalogue import Entry
from image_prompt.model_files.download import Manner, download
from image_prompt.model_files.folders import numbered_names
from image_prompt.model_files.index import index_cache, take_over
from image_prompt.references.bulk import Maker, Place, begin, collect, embed_share
from image_prompt.references.exports.target import fill_folder
from image_prompt.references.filling import fill, filler
from image_prompt.references.library import Library, NewPicture, Writer, check
from image_prompt.tensor_files.whole_files import NameTaken

filler.EVERY = 0.0
MAKER = Maker(fakes.SPACE, "")
NAME = "ip-adapter_test.safetensors"
CONTENT = random.Random(0).randbytes(200_000)


@dataclass(frozen=True)
class Writing:
    """begin: makes the state before, in an empty folder
    write: what meets the fault; done again, it completes what is missing
    found: what a reader finds, and that raises an error for a half file
    stays: patterns of names that an error may leave behind, for the next write to go on from
    may_be_away: whether a kill may leave nothing where the next write finds it again
    """

    begin: Callable[[Path], object]
    write: Callable[[Path], object]
    found: Callable[[Path], Any]
    stays: tuple[str, ...] = ()
    may_be_away: bool = False


# -------------------------------------------------------------------------------------------------------------- index


def known(*names: str) -> dict[str, index_cache.Known]:
    return {name: index_cache.Known(1, 1, None, f"the file {name} {'x' * 3000}") for name in names}


def write_index(folder: Path) -> None:
    """As a start does it that has found a new file."""
    index_cache.save(take_over(folder / "index.json"), known("b"))


def index_files(folder: Path) -> list[str]:
    """An index that is whole, or that is not there."""
    path = folder / "index.json"
    if path.exists():
        json.loads(path.read_bytes())
    return sorted(index_cache.load(path))


# ----------------------------------------------------------------------------------------------------------- features


def features(number: int = 0) -> VisionFeatures:
    return VisionFeatures(image_embeds=torch.full((1, 5000), number + 1.0), encoder="CLIP ViT-H/14")


def save_numbered(folder: Path, number: int = 0) -> str:
    """As the nodes save features."""
    for path in numbered_names(str(folder), "cat", ".safetensors"):
        try:
            save_features(path, features(number))
        except NameTaken:
            continue
        return path
    raise AssertionError("There is no number left.")


def write_features(folder: Path) -> None:
    """As a node that is run again after a kill, and sees where the file has come to be whole."""
    if next(numbered_names(str(folder), "cat", ".safetensors")).endswith("00001_.safetensors"):
        save_numbered(folder)


def features_files(folder: Path) -> list[str]:
    from image_prompt.clip_vision import load_features

    files = sorted(folder.glob("*.safetensors"))
    return [file.name for file in files if len(load_features(file).features)]


# ----------------------------------------------------------------------------------------------------------- download


def entry(url: str) -> Entry:
    import hashlib

    texts = ("test", "Test", "adapter", "base", "SD1.5", "", (), "ipadapter", (NAME,))
    return Entry(*texts, size=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest(), url=url)


def write_download(url: str) -> Callable[[Path], object]:
    return lambda folder: download(entry(url), folder, manner=Manner(pause=0, tries=2, timeout=20))


def downloaded(folder: Path) -> list[str]:
    path = folder / NAME
    assert not path.exists() or path.read_bytes() == CONTENT
    return [path.name] if path.exists() else []


# ---------------------------------------------------------------------------------------------------------- libraries


def picture(number: int) -> NewPicture:
    return NewPicture("/pictures", f"{number}.png", 1, 1, f"{number:064x}", text=f"{number} {'x' * 3000}")


def vector(number: int) -> np.ndarray:
    return np.eye(fakes.SPACE.dimension, dtype=np.float32)[[number % fakes.SPACE.dimension]]


def add(folder: Path, number: int) -> None:
    with Writer.open(folder / "cats", fakes.SPACE) as writer:
        writer.add([picture(number)], vector(number))


def library_pictures(folder: Path) -> list[str]:
    """Those of a library that is clean, or none."""
    library = folder / "cats"
    if not (library / "library.json").exists():
        return []
    assert check(library).clean
    with Library.open(library) as opened:
        assert len(opened.vectors()) == opened.count
        return sorted(each.path for each in opened.pictures(opened.ids()))


def begin_filling(folder: Path) -> None:
    fakes.write(folder / "photos", a="a")
    write_filling(folder)
    fakes.write(folder / "photos", b="b" * 3000, c="c")


def write_filling(folder: Path) -> None:
    fill(folder / "cats", folder / "photos", fakes.FakeEncoder(), read=fakes.read)


def write_bulk(folder: Path) -> None:
    """As one of several machines does it that share the work, and there is only this one."""
    place = Place(folder / "photos", folder / "bulk", folder / "cats")
    if plan := begin(place, MAKER, shard=1, batch=1).plan:
        embed_share(place, plan, fakes.FakeEncoder(), (1, 1), read=fakes.read)
        collect(place, plan)


# -------------------------------------------------------------------------------------------------- files of commands


def write_export(content: str) -> Callable[[Path], object]:
    def fill_it(part: Path) -> None:
        (part / "a.json").write_text(content * 5000)
        (part / "b.json").write_text(content)

    return lambda folder: fill_folder(folder / "export", ("a.json", "b.json"), fill_it, force=True)


def exported(folder: Path) -> list[str]:
    parts = sorted((folder / "export").glob("*"))
    if parts:
        assert (len(parts), len(parts[0].read_text())) == (2, 5000)
    return [path.read_text()[0] for path in parts]


def write_workflow(folder: Path) -> None:
    migrate.write(folder / "graph.json", json.dumps(["new"] * 2000), force=True)


def workflow(folder: Path) -> list[str]:
    return json.loads((folder / "graph.json").read_text())


def writings(url: str) -> dict[str, Writing]:
    """url: of a server of `CONTENT`"""
    nothing = lambda folder: None  # noqa: E731
    return {
        "index": Writing(lambda folder: index_cache.save(folder / "index.json", known("a")), write_index, index_files),
        "features": Writing(nothing, write_features, features_files),
        "download": Writing(nothing, write_download(url), downloaded, (rf"{NAME}\.part(\.info)?",)),
        "new library": Writing(nothing, lambda folder: add(folder, 1), library_pictures),
        "library": Writing(lambda folder: add(folder, 1), lambda folder: add(folder, 2), library_pictures),
        "filling": Writing(begin_filling, write_filling, library_pictures),
        "bulk": Writing(begin_filling, write_bulk, library_pictures, (r"bulk/(plan\.json|part-.*)|cats/bulk\.txt",)),
        "export": Writing(write_export("1"), write_export("2"), exported, may_be_away=True),
        "workflow": Writing(lambda folder: (folder / "graph.json").write_text("[]"), write_workflow, workflow),
    }
