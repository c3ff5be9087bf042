"""The index of model files: first look, restart and lookups, on this disk and on a slow one.

    python benchmarks/index.py [--quick] [--files N] [--delay MS] [--comfyui PATH]

The files have published headers and a hole for data; many are links to one of them, but each is opened and read. The
slow disk is this one with a delay before each listing, stat and open. "needed" is when the folders that a lookup asks
for have been read, "all" when everything has; a restart finds the file in which the index is kept. Lookups are the
medians (and slowest) of resolving an adapter and its encoder while nothing changes.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from parts import host


def arguments():
    parser = host.arguments(__doc__)
    parser.add_argument("--files", type=int, help="how many; default 5,000, or 500 with --quick")
    parser.add_argument("--delay", type=float, default=1.0, help="of the slow disk, in milliseconds")
    return parser.parse_args()


OPTIONS = arguments()
host.start(OPTIONS)

from parts.model_folders import build, fill, slow_disk  # noqa: E402

from image_prompt.model_files.catalogue import Catalogue  # noqa: E402
from image_prompt.model_files.folders import ModelFolders  # noqa: E402
from image_prompt.model_files.index import Index  # noqa: E402
from image_prompt.model_files.matching import Need, resolve, table  # noqa: E402

CATALOGUE = Catalogue.load()
LOOKUPS = 200


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
