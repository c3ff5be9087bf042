"""Folders of many model files, a slow disk to read them from, and an index of them that is built anew."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from image_prompt.devtools.published import VIT_H, VIT_L, bigger, layouts, shapes, write_header
from image_prompt.model_files.folders import ModelFolders
from image_prompt.model_files.index import Index

MIX = {"ipadapter": 0.02, "clip_vision": 0.01, "checkpoints": 0.07, "diffusion_models": 0.05, "loras": 0.85}
IN_A_FOLDER = 100  # files; the rest of a type lies in sub-folders of as many


def unet(blocks: int) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of a UNet checkpoint, as many as a published one has."""
    tensors = {
        f"model.diffusion_model.input_blocks.{block}.{part}.weight": (320, 320)
        for block in range(blocks)
        for part in range(60)
    }
    return {**tensors, "first_stage_model.decoder.conv_in.weight": (4, 4, 3, 3)}


def templates(folder: Path) -> dict[str, list[Path]]:
    """A few files of each type, to which the others are links."""
    adapters = [
        write_header(folder / f"{name}.safetensors", shapes(name))
        for name, layout in layouts().items()
        if "family" in layout
    ]
    encoders = {"h": shapes(VIT_H), "l": shapes(VIT_L), "g": bigger()}
    models = [write_header(folder / f"model{blocks}.safetensors", unet(blocks)) for blocks in (12, 40)]
    loras = ["ip-adapter-faceid_sd15_lora", "ip-adapter-faceid_sdxl_lora"]
    return {
        "ipadapter": adapters,
        "clip_vision": [write_header(folder / f"{name}.safetensors", tensors) for name, tensors in encoders.items()],
        "checkpoints": models,
        "diffusion_models": models,
        "loras": [
            write_header(folder / f"{name}.safetensors", {f"{key}.x": shape for key, shape in shapes(name).items()})
            for name in loras
        ],
    }


def fill(root: Path, count: int) -> None:
    """Put about `count` files into the folders of a models/ folder, and each template at least once."""
    for type, files in templates(root.parent / "templates").items():
        for number in range(max(len(files), round(count * MIX[type]))):
            folder = root / type / str(number // IN_A_FOLDER) if number >= IN_A_FOLDER else root / type
            folder.mkdir(parents=True, exist_ok=True)
            os.link(files[number % len(files)], folder / f"{number}.safetensors")


class SlowEntry:
    """A directory entry whose status has to be asked for."""

    def __init__(self, entry: os.DirEntry[str], wait: Callable[[], None]):
        self._entry, self._wait = entry, wait
        self.name, self.path = entry.name, entry.path
        self.is_dir, self.is_file, self.is_symlink = entry.is_dir, entry.is_file, entry.is_symlink

    def stat(self) -> os.stat_result:
        self._wait()
        return self._entry.stat()


class SlowListing(list[SlowEntry]):
    def __enter__(self) -> SlowListing:
        return self

    def __exit__(self, *error: object) -> None:
        pass


@contextmanager
def slow_disk(seconds: float) -> Iterator[None]:
    """A delay before each listing, stat and open of this process."""

    def wait() -> None:
        time.sleep(seconds)

    def slowly(function: Callable[..., object]) -> Callable[..., object]:
        return lambda *args, **options: (wait(), function(*args, **options))[1]

    known = {name: getattr(os, name) for name in ("stat", "lstat", "open", "scandir")}
    scandir = known["scandir"]
    slow = {name: slowly(function) for name, function in known.items()} | {
        "scandir": slowly(lambda path: SlowListing(SlowEntry(entry, wait) for entry in scandir(path)))
    }
    try:
        for name, function in slow.items():
            setattr(os, name, function)
        yield
    finally:
        for name, function in known.items():
            setattr(os, name, function)


def needed(index: Index) -> None:
    index.files("ipadapter")
    index.files("clip_vision")


def build(index: Index) -> tuple[float, float]:
    """Seconds until what is needed has been read, and until all has."""
    begin = time.perf_counter()
    needed(index)
    first = time.perf_counter() - begin
    index.files()
    return first, time.perf_counter() - begin


def first_look(root: Path, cache: Path, what: str, delay: float) -> None:
    """Build the index of a folder that nobody has read. what: "needed" or "all"; delay: of the disk, in seconds."""
    cache.unlink(missing_ok=True)
    index = Index(ModelFolders.from_root(root), cache)
    try:
        with slow_disk(delay) if delay else nullcontext():
            needed(index)
            if what == "all":
                index.files()
            else:
                index.close()  # or the rest is read meanwhile
    finally:
        index.close()
