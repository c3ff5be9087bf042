"""The reference library: search, storing, opening, and looking for what is new.

    python benchmarks/references.py [--quick] [--threads N]

All times are ratios of things that take turns in one process, with one thread and vectors of 1024 numbers unless said.
Search: beside `torch.mv` in fp16 and `topk`, over random vectors that are in memory; 64 queries are given at once, and
compared with as many of those. Storing: `fill` beside a loop that opens the same pictures of 512x512 (PNG with the
metadata of ComfyUI) and encodes them with a ViT-B/32 of random weights. Opening: a library of 100,000 pictures on disk.
Resume: `fill` over 100,000 files that did not change, beside a walk with `scandir` and `stat`. A service of embeddings,
and HTTP: beside `embed_images` of the encoder alone; 16 clients that ask for one picture after another: beside one that
asks for all at once (`parts/service.py`). Ray: parts of pictures as for storing, beside the loop of `embed --shard 1/1`
(`parts/bulk.py`).
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from parts import host

K, WIDTH, CLUSTERS = 10, 1024, 200
SEARCH, STORE, RESUME, OPEN_SECONDS = 1.2, 1.05, 2.0, 0.2  # at most
QUERIES = 64
BATCH = 32


def arguments():
    parser = host.arguments(__doc__)
    parser.set_defaults(threads=1)
    parser.add_argument("--counts", nargs="+", type=int, help="of vectors; default 10,000, 100,000 and 1,000,000")
    parser.add_argument(
        "--files", type=int, help="of the library that is opened; default 100,000, or 5,000 with --quick"
    )
    return parser.parse_args()


OPTIONS = arguments()
host.import_pack(host.ROOT)

import numpy as np  # noqa: E402
import torch  # noqa: E402
from parts import bulk, files, service  # noqa: E402
from PIL import Image  # noqa: E402
from PIL.PngImagePlugin import PngInfo  # noqa: E402

from image_prompt.references.embedder import Embedder  # noqa: E402
from image_prompt.references.embedding import Embedding  # noqa: E402
from image_prompt.references.filling import fill  # noqa: E402
from image_prompt.references.library import Library, NewPicture, Writer  # noqa: E402
from image_prompt.references.search import Searcher  # noqa: E402
from image_prompt.references.space import Space  # noqa: E402

SPACE = Space("CLIP ViT-H/14", WIDTH, "00ff")


class Rows:
    """A library in memory."""

    name, space = "benchmark", SPACE

    def __init__(self, count: int):
        generator = torch.Generator().manual_seed(0)
        centres = torch.randn(CLUSTERS, WIDTH, generator=generator) + torch.randn(WIDTH, generator=generator)
        self.rows = torch.empty(count, WIDTH, dtype=torch.float16)
        for begin in range(0, count, 10_000):
            some = torch.randn(min(10_000, count - begin), WIDTH, generator=generator) * 0.5
            some += centres[torch.randint(0, CLUSTERS, (len(some),), generator=generator)]
            self.rows[begin : begin + len(some)] = torch.nn.functional.normalize(some, dim=1)

    def ids(self) -> np.ndarray:
        return np.arange(len(self.rows))

    def vectors(self) -> np.ndarray:
        return self.rows.numpy()


class NoEmbedder:
    """Nothing is new, so nothing is embedded."""

    space = SPACE

    def embed_images(self, pictures: object) -> Embedding:
        raise AssertionError("an unchanged picture was embedded")


def search(count: int, budget: float) -> None:
    library = Rows(count)
    generator = torch.Generator().manual_seed(1)
    queries = library.rows[:QUERIES].float() + 0.02 * torch.randn(min(QUERIES, count), WIDTH, generator=generator)
    queries = Embedding.of_vectors(queries, SPACE, "image")
    one, half = queries.rows([0]), queries.vectors.half()
    searcher, rows = Searcher(library), library.rows
    mask = np.arange(count) % 10 == 0
    assert searcher.search(one)[0][0].id == 0

    def bare(number: int = 0) -> None:
        torch.mv(rows, half[number]).topk(K)

    cases: dict[str, Callable[[], object]] = {
        "bare": bare,
        "one": lambda: searcher.search(one, K),
        "masked": lambda: searcher.search(one, K, mask=mask),
        "many": lambda: searcher.search(queries, K),
    }
    took = host.interleaved(cases, budget, least=7)
    ratio = {name: seconds / took["bare"] for name, seconds in took.items()}
    print(
        f"| {count:,} | {1000 * took['bare']:.1f} | {ratio['one']:.2f} | {SEARCH} | {ratio['masked']:.2f} | "
        f"{ratio['many'] / len(queries):.2f} |",
        flush=True,
    )


def draw(folder: Path, count: int) -> list[Path]:
    """PNG files as ComfyUI saves them."""
    rng, info = np.random.default_rng(0), PngInfo()
    info.add_text(
        "prompt", json.dumps({"3": {"class_type": "KSampler", "inputs": {"seed": 1, "steps": 20, "cfg": 7.0}}})
    )
    paths = []
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).resize((512, 512))
        grainy = np.asarray(coarse, np.int16) + rng.integers(-8, 8, (512, 512, 3))
        paths.append(folder / f"{number}.png")
        Image.fromarray(grainy.clip(0, 255).astype(np.uint8)).save(paths[-1], pnginfo=info, compress_level=4)
    return paths


def store(folder: Path, count: int, turns: int) -> None:
    """The same pictures are opened and encoded by both."""
    encoder = folder / "encoder.safetensors"
    files.write(encoder, files.vision_shapes("ViT-B/32"))
    (folder / "pictures").mkdir()
    paths = draw(folder / "pictures", count)
    times: dict[str, list[tuple[float, float]]] = {"loop": [], "fill": []}  # on the clock, and of the processor
    with Embedder(encoder, "cpu") as embedder:

        def loop() -> None:
            for begin in range(0, count, BATCH):
                embedder.embed_images([Image.open(path) for path in paths[begin : begin + BATCH]])

        for turn in range(1 + turns):
            library = folder / f"library{turn}"
            cases = {"loop": loop, "fill": lambda: fill(library, folder / "pictures", embedder, batch=BATCH)}
            for name, case in cases.items():
                begin = time.process_time()
                seconds = host.seconds(case)
                if turn:  # the first turn warms up
                    times[name].append((seconds, time.process_time() - begin))
            assert Library.open(library).count == count
    for number, title in enumerate(("", ", processor time")):
        loop_s, fill_s = (statistics.median(each[number] for each in times[name]) for name in ("loop", "fill"))
        ratio = f"{fill_s / loop_s:.3f} | {STORE}"
        print(f"| storing {count} pictures{title} | {loop_s:.2f} s | {fill_s:.2f} s | {ratio} |", flush=True)


def ray(folder: Path, count: int, turns: int) -> None:
    """The same pictures again and again, under other names."""
    encoder, pictures = folder / "encoder.safetensors", folder / "pictures"
    files.write(encoder, files.vision_shapes("ViT-B/32"))
    pictures.mkdir()
    drawn = draw(pictures, 32)
    for number in range(len(drawn), count):
        os.link(drawn[number % len(drawn)], pictures / f"{number}.png")
    bulk.measure(folder, encoder, pictures, turns)


def make_library(folder: Path, count: int) -> tuple[Path, Path]:
    """A library of files that are there, and their folder. What is in the files is never read."""
    library, pictures = folder / "large", folder / "files"
    rows = Rows(min(count, 10_000)).rows.float().numpy()
    with Writer.open(library, SPACE) as writer:
        for begin in range(0, count, 1000):
            inside = pictures / f"{begin // 1000:04}"
            inside.mkdir(parents=True)
            new = []
            for number in range(begin, min(begin + 1000, count)):
                path = inside / f"{number:06}.png"
                path.write_bytes(b"picture")
                status = path.stat()
                below = path.relative_to(pictures).as_posix()
                new.append(NewPicture(pictures, below, status.st_size, status.st_mtime_ns, f"{number:064x}", 512, 512))
            writer.add(new, rows[np.arange(begin, begin + len(new)) % len(rows)])
    return library, pictures


def look(folder: Path) -> int:
    """The size and the time of each file below a folder, the bare way."""
    count, folders = 0, [str(folder)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir():
                    folders.append(entry.path)
                else:
                    status = entry.stat()
                    count += bool(status.st_size and status.st_mtime_ns)
    return count


def large(folder: Path, count: int, turns: int) -> None:
    library, pictures = make_library(folder, count)
    opened = statistics.median(host.seconds(lambda: Library.open(library).close()) for _ in range(turns))
    print(f"| opening a library of {count:,} | - | {opened:.3f} s | - | {OPEN_SECONDS} s |", flush=True)
    assert look(pictures) == count
    assert fill(library, pictures, NoEmbedder()).unchanged == count
    took = host.interleaved(
        {"look": lambda: look(pictures), "fill": lambda: fill(library, pictures, NoEmbedder())}, 0, least=turns
    )
    ratio = took["fill"] / took["look"]
    print(
        f"| nothing new of {count:,} | {took['look']:.2f} s | {took['fill']:.2f} s | {ratio:.2f} | {RESUME} |",
        flush=True,
    )


def main() -> None:
    torch.set_num_threads(OPTIONS.threads)
    print(
        f"{OPTIONS.threads} thread(s)\n\n| vectors | mv + topk, ms | search | at most | a tenth of them | each of 64 |"
    )
    print("|---:|---:|---:|---:|---:|---:|", flush=True)
    for count in OPTIONS.counts or ([10_000] if OPTIONS.quick else [10_000, 100_000, 1_000_000]):
        search(count, 1 if OPTIONS.quick else 20)
    print("\n| | bare | library | ratio | at most |\n|---|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        store(Path(folder), 32 if OPTIONS.quick else 64, 2 if OPTIONS.quick else 5)
        large(Path(folder), OPTIONS.files or (5000 if OPTIONS.quick else 100_000), 3 if OPTIONS.quick else 7)
        service.measure(Path(folder), 2 if OPTIONS.quick else 7)
    print(
        "\n| actors of Ray | plain loop, pictures/s | Ray | ratio | at least |\n|---:|---:|---:|---:|---:|", flush=True
    )
    with tempfile.TemporaryDirectory() as folder:
        ray(Path(folder), 512 if OPTIONS.quick else 1024, 1 if OPTIONS.quick else 3)


if __name__ == "__main__":
    main()
