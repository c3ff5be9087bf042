"""The nodes of the working tree beside those of a commit, in alternating processes.

    python dev.py bench [names] --compare COMMIT [--only TEXT] [--turns N] [--rounds N]

names: of encode, apply, sampling, unet and index; without any, all but index.

Three processes are started: the commit, the working tree, and the commit again. They take turns, one computing at a
time, and are started anew for each round. "ratio" is the median over all turns of the tree's time to that of the
commit (both its processes) in the same turn: above 1 the tree is slower. "itself" is that of the commit's second
process to its first: the 95 % interval of its median, by drawing rounds and turns again. A ratio is beyond noise when
it lies outside that interval and the interval's inverse.

Every workload goes through node ids, input names and sockets, on the CPU, with model files of published key names and
shapes and random values. "encode" and "apply" are one call of the node, "unet" is a whole sampling step with the
adapter, "sampling" what the adapter adds to one evaluation of a UNet that does nearly nothing else. "index" is a first
look at folders of model files, which have published headers and a hole for data, on this disk and with 1 ms before each
listing, stat and open. It goes through no node, and is measured only where it is named: a turn takes seconds.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parts import host

DEV = Path(os.environ.get("IMAGE_PROMPT_DEV") or host.ROOT / ".dev").resolve()
DRAWS = 2000
NAMED_ONLY = "index"
LOG_LINES = 15
FACE, PLUS, PLUS_XL = "ip-adapter-full-face_sd15", "ip-adapter-plus_sd15", "ip-adapter-plus_sdxl_vit-h"
BASE, BASE_XL = "ip-adapter_sd15", "ip-adapter_sdxl_vit-h"


def _sampling(base: str, adapter: str, dtype: str, size: int, steps: int, **more: Any) -> dict[str, Any]:
    return {"base": base, "adapter": adapter, "dtype": dtype, "size": size, "steps": steps, **more}


ROWS: dict[str, dict[str, dict[str, Any]]] = {  # benchmark: title: arguments of its function in parts/workloads.py
    "encode": {
        "ViT-B/32 fp32, 1 picture": {"encoder": "ViT-B/32", "dtype": "fp32", "pictures": 1},
        "ViT-B/32 fp32, 8 pictures": {"encoder": "ViT-B/32", "dtype": "fp32", "pictures": 8},
        "ViT-B/32 bf16, 1 picture": {"encoder": "ViT-B/32", "dtype": "bf16", "pictures": 1},
        "ViT-B/32 bf16, 8 pictures": {"encoder": "ViT-B/32", "dtype": "bf16", "pictures": 8},
        "ViT-L/14 fp32, 1 picture": {"encoder": "ViT-L/14", "dtype": "fp32", "pictures": 1},
        "ViT-L/14 bf16, 1 picture": {"encoder": "ViT-L/14", "dtype": "bf16", "pictures": 1},
    },
    "apply": {
        "SD1.5 plus": {"base": "SD1.5", "adapter": PLUS},
        "SDXL base": {"base": "SDXL", "adapter": BASE_XL},
        "SDXL plus": {"base": "SDXL", "adapter": PLUS_XL},
    },
    "sampling": {
        "SD1.5 64x64 fp32, 4 tokens": _sampling("SD1.5", BASE, "fp32", 64, 4),
        "SD1.5 64x64 fp32, 16 tokens": _sampling("SD1.5", PLUS, "fp32", 64, 4),
        "SD1.5 64x64 fp32, 16 tokens, mask": _sampling("SD1.5", PLUS, "fp32", 64, 4, masked=True),
        "SD1.5 64x64 fp32, 16 tokens, 3 adapters": _sampling("SD1.5", PLUS, "fp32", 64, 2, adapters=3),
        "SD1.5 64x64 fp32, 257 tokens": _sampling("SD1.5", FACE, "fp32", 64, 2),
        "SDXL 128x128 fp32, 16 tokens": _sampling("SDXL", PLUS_XL, "fp32", 128, 1),
        "SDXL 32x32 fp32, 4 tokens": _sampling("SDXL", BASE_XL, "fp32", 32, 8),
        "SDXL 32x32 fp32, 16 tokens": _sampling("SDXL", PLUS_XL, "fp32", 32, 8),
        "SDXL 32x32 bf16, 4 tokens": _sampling("SDXL", BASE_XL, "bf16", 32, 8),
        "SDXL 32x32 bf16, 16 tokens": _sampling("SDXL", PLUS_XL, "bf16", 32, 8),
    },
    "unet": {
        "SD1.5 32x32 bf16, 16 tokens": {"base": "SD1.5", "adapter": PLUS, "dtype": "bf16", "size": 32},
        "SDXL 32x32 bf16, 16 tokens": {"base": "SDXL", "adapter": PLUS_XL, "dtype": "bf16", "size": 32},
    },
    NAMED_ONLY: {
        "5,000 files, what is needed": {"what": "needed", "files": 5000},
        "5,000 files, what is needed, processor": {"what": "needed", "files": 5000, "clock": "process_time"},
        "1,000 files, all": {"what": "all", "files": 1000},
        "1,000 files, all, processor": {"what": "all", "files": 1000, "clock": "process_time"},
        "1,000 files, all, slow disk": {"what": "all", "files": 1000, "delay": 0.001},
        "5,000 files, all": {"what": "all", "files": 5000},
        "5,000 files, all, slow disk": {"what": "all", "files": 5000, "delay": 0.001},
    },
}


# ---------------------------------------------------------------------------------------------------------- statistics


@dataclass(frozen=True)
class Turn:
    """Seconds of the commit, of the tree, and of the commit's second process, one after the other."""

    commit: float
    tree: float
    again: float

    @property
    def ratio(self) -> float:
        return self.tree / ((self.commit + self.again) / 2)  # what drifts evenly cancels: the tree's turn is between

    @property
    def itself(self) -> float:
        return self.again / self.commit


@dataclass(frozen=True)
class Result:
    commit: float
    tree: float
    ratio: float
    itself: tuple[float, float]

    @property
    def verdict(self) -> str:
        low, high = min(self.itself[0], 1 / self.itself[1]), max(self.itself[1], 1 / self.itself[0])
        return "slower beyond noise" if self.ratio > high else "faster beyond noise" if self.ratio < low else "as fast"


def result(rounds: Sequence[Sequence[Turn]]) -> Result:
    turns = [turn for each in rounds for turn in each]
    return Result(
        statistics.median((turn.commit + turn.again) / 2 for turn in turns),
        statistics.median(turn.tree for turn in turns),
        statistics.median(turn.ratio for turn in turns),
        interval([[turn.itself for turn in each] for each in rounds]),
    )


def interval(rounds: Sequence[Sequence[float]]) -> tuple[float, float]:
    """The middle 95 % of the medians of rounds and turns drawn again: processes differ more than turns do."""
    draw = random.Random(0)
    medians = sorted(
        statistics.median(x for each in draw.choices(rounds, k=len(rounds)) for x in draw.choices(each, k=len(each)))
        for _ in range(DRAWS)
    )
    return medians[round(0.025 * DRAWS)], medians[round(0.975 * DRAWS) - 1]


# ------------------------------------------------------------------------------------------------- the commit's files


def check_out(commit: str, folder: Path, repository: Path = host.ROOT) -> str:
    """Write the files of a commit to a new folder, leaving the repository alone; return its short name."""

    def git(*arguments: str) -> bytes:
        return subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, check=True).stdout

    try:
        name = git("rev-parse", "--short", "--verify", "--end-of-options", f"{commit}^{{commit}}").decode().strip()
    except subprocess.CalledProcessError as error:
        sys.exit(f"--compare: there is no commit {commit} here ({error.stderr.decode().strip()}).")
    with tarfile.open(fileobj=io.BytesIO(git("archive", "--format=tar", name))) as tar:
        tar.extractall(folder, filter="data")
    return name


@contextmanager
def emptied(folder: Path) -> Iterator[Path]:
    """An empty folder for this run. What a run left that was killed is deleted by the next."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ----------------------------------------------------------------------------------------------------------- processes


class WorkerError(Exception):
    """A side could not do a row; the message says why."""


class Worker:
    """A process of _worker.py."""

    def __init__(self, command: Sequence[str], log: Path):
        self.log = log
        with open(log, "ab") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def prepare(self, row: dict[str, Any]) -> None:
        self._ask(json.dumps(row))

    def turn(self) -> float:
        return self._ask("")["seconds"]

    def _ask(self, line: str) -> dict[str, Any]:
        try:
            print(line, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # it has ended: there is no answer either
        answer = self.process.stdout.readline()
        if not answer:
            lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
            raise WorkerError("\n  ".join([f"the process ended with exit code {self.process.wait()}:", *lines]))
        if "error" in (found := json.loads(answer)):
            raise WorkerError(found["error"])
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextmanager
def sides(trees: Sequence[Path], options: argparse.Namespace, folder: Path) -> Iterator[list[Worker]]:
    """One process for each tree, importing at the same time."""
    (folder / "base").mkdir(exist_ok=True)
    script = Path(__file__).with_name("_worker.py")
    arguments = ["--comfyui", options.comfyui, "--threads", str(options.threads), "--base", str(folder / "base")]
    with ExitStack() as stack:
        workers = []
        for number, tree in enumerate(trees):
            command = [sys.executable, str(script), "--tree", str(tree), *arguments]
            workers.append(Worker(command, folder / f"{number}.log"))
            stack.callback(workers[-1].close)
        yield workers


# ---------------------------------------------------------------------------------------------------------- comparison


def take_turns(workers: Sequence[Any], row: dict[str, Any], count: int) -> list[Turn]:
    """The commit, the tree, the commit again, and so on."""
    for worker in workers:
        worker.prepare(row)
    return [Turn(*(worker.turn() for worker in workers)) for _ in range(count)]


def compare(
    rows: dict[str, dict[str, Any]],
    start: Callable[[], Any],
    rounds: int,
    turns: int,
    say: Callable[[str], None],
) -> tuple[dict[str, Result], dict[str, str]]:
    """The result of each row, or why there is none. `start()` gives the three processes, anew for each round."""
    found: dict[str, list[list[Turn]]] = {title: [] for title in rows}
    failed: dict[str, str] = {}
    for number in range(rounds):
        with start() as workers:
            for title, row in rows.items():
                if title in failed:
                    continue
                say(f"round {number + 1} of {rounds}: {title}")
                try:
                    found[title].append(take_turns(workers, row, turns))
                except WorkerError as error:
                    failed[title] = str(error)
    return {title: result(each) for title, each in found.items() if title not in failed}, failed


def line(title: str, found: Result) -> str:
    times = f"{found.commit * 1e3:.1f} | {found.tree * 1e3:.1f} | {found.ratio:.3f}"
    return f"| {title} | {times} | {found.itself[0]:.3f} to {found.itself[1]:.3f} | {found.verdict} |"


def arguments() -> argparse.Namespace:
    parser = host.arguments(__doc__)
    parser.add_argument("names", nargs="*", metavar="benchmark", help=", ".join(ROWS))
    parser.add_argument("--compare", required=True, metavar="COMMIT")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose title has it")
    parser.add_argument("--turns", type=int, default=36, help="of each row, in all rounds together")
    parser.add_argument("--rounds", type=int, default=3, help="of fresh processes")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in ROWS]:
        parser.error(f"{', '.join(unknown)} cannot be compared. There are: {', '.join(ROWS)}.")
    if options.quick:
        options.turns, options.rounds = 3, 1
    return options


def main() -> int:
    options = arguments()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # let every `finally` run
    code = 0
    with emptied(DEV / "compare") as folder:
        commit = check_out(options.compare, folder / "tree")
        trees = (folder / "tree", host.ROOT, folder / "tree")
        print(
            f"| | {commit}, ms | this tree, ms | ratio | {commit} to itself | |\n|---|---:|---:|---:|---:|---|",
            flush=True,
        )
        for name in options.names or [name for name in ROWS if name != NAMED_ONLY]:
            rows = {title: {"name": name, **row} for title, row in ROWS[name].items() if options.only in title}
            if not rows:
                continue
            found, failed = compare(
                rows,
                lambda: sides(trees, options, folder),
                options.rounds,
                -(-options.turns // options.rounds),
                lambda text: print(f"{name}, {text}", file=sys.stderr, flush=True),
            )
            for title, each in found.items():
                print(line(f"{name}: {title}", each), flush=True)
            for title, why in failed.items():
                code = 1
                print(f"| {name}: {title} | not measured: {why} | | | | |", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
