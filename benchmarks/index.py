"""The index of model files: first look, restart and lookups, on this disk and on a slow one.

    python benchmarks/index.py [--quick] [--files N] [--delay MS] [--comfyui PATH]

The files have published headers and a hole for data; many are links to one of them, but each is opened and read. The
slow disk is this one with a delay before each listing, stat and open. "needed" is when the folders that a lookup asks
for have been read, "all" when everything has; a restart finds the file in which the index is kept. Lookups are the
medians (and slowest) of resolving an adapter and its encoder while nothing changes.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import _host as host


def arguments():
    parser = host.arguments(__doc__)
    parser.add_argument("--files", type=int, help="how many; default 5,000, or 500 with --quick")
    parser.add_argument("--delay", type=float, default=1.0, help="of the slow disk, in milliseconds")
    return parser.parse_args()


OPTIONS = arguments()
host.start(OPTIONS)

from image_prompt.devtools.published import VIT_H, VIT_L, bigger, layouts, shapes, write_header  # noqa: E402
from image_prompt.model_files.catalogue import Catalogue  # noqa: E402
from image_prompt.model_files.folders import ModelFolders  # noqa: E402
from image_prompt.model_files.index import Index  # noqa: E402
from image_prompt.model_files.matching import Need, resolve, table  # noqa: E402

CATALOGUE = Catalogue.load()
LOOKUPS = 200
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
    for type, files in templates(root.parent / "templates").items():
        for number in range(round(count * MIX[type])):
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


def lookups(index: Index) -> list[float]:
    adapter = Need("adapter", "plus", "SDXL")

    def look_up() -> None:
        found = resolve(adapter, index, CATALOGUE).found
        assert found and found.identity
        assert resolve(Need.encoder_of(found.identity), index, CATALOGUE).found

    look_up()
    return sorted(host.seconds(look_up) for _ in range(LOOKUPS))


def measure(root: Path, title: str) -> str:
    """One line of the table; also checks that no header is read twice."""
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "index.json"
        index = Index(ModelFolders.from_root(root), cache)
        cold, cold_all = build(index)
        times = lookups(index)
        report = host.seconds(lambda: table(index, CATALOGUE, wait=False))
        index.close()
        files, stats = len(index.files(wait=False)), index.stats()
        assert stats["headers_read"] == files
        size = cache.stat().st_size
        again = Index(ModelFolders.from_root(root), cache)
        warm, warm_all = build(again)
        again.close()
        assert again.stats()["headers_read"] == 0
    return (
        f"| {title} | {files:,} | {cold:.2f} s | {cold_all:.1f} s | {warm:.2f} s | {warm_all:.2f} s | "
        f"{1000 * statistics.median(times):.1f} ms ({1000 * times[-1]:.0f} ms) | {1000 * report:.0f} ms | "
        f"{size / 1e6:.1f} MB |"
    )


def main() -> None:
    count = OPTIONS.files or (500 if OPTIONS.quick else 5000)
    print(
        "| disk | files | cold, needed | cold, all | restart, needed | restart, all | lookup of two | whole table | "
        "kept in |"
    )
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "models"
        fill(root, count)
        print(measure(root, "this one"), flush=True)
        with slow_disk(OPTIONS.delay / 1000):
            print(measure(root, f"slow, {OPTIONS.delay:g} ms"), flush=True)


if __name__ == "__main__":
    main()
