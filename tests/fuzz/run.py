"""Fuzz the readers of foreign files: each gets a fixed number of inputs, in a process of its own.

    python dev.py fuzz                              all of them, half an hour on a quiet core
    python dev.py fuzz migration "saved features"   some of them
    python dev.py fuzz --runs 1000                  fewer inputs for each
    python dev.py fuzz migration --input FILE       one kept input again

What a reader must not do is a finding: its input is kept in .dev/fuzz, with its traceback in the log beside it, and the
fuzzer goes on. A hang or a crash ends the process of its reader, and the input is kept too. Whatever is found is
mended, and its input goes into tests/fuzz/found, in the folder of its reader, which test_found.py reads again.
"""

import argparse
import hashlib
import importlib
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

HERE = Path(__file__).resolve().parent
SHARED_MEMORY = Path("/dev/shm")
SECONDS, MEGABYTES = 60, 4096  # of the clock and of memory for one input; torch and ComfyUI need about 1000
STATE = re.compile(
    r"^#(\d+)\s+(?:DONE|pulse|NEW|REDUCE|INITED|RELOAD)\s+cov: (\d+) ft: (\d+) corp: (\d+)", re.MULTILINE
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="READER")
    parser.add_argument("--runs", type=int, metavar="N", help="inputs for each reader; by default as its table says")
    parser.add_argument(
        "--seed", type=int, metavar="N", default=1, help="other inputs for another number; by default 1"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", default=HERE.parents[1] / ".dev" / "fuzz" / "findings")
    parser.add_argument("--input", type=Path, metavar="FILE", help="read this, without a fuzzer")
    given = parser.parse_args()
    load()
    atheris = None if given.input else importlib.import_module("atheris")
    targets = _instrumented(atheris) if atheris else importlib.import_module("targets").TARGETS
    if unknown := [name for name in given.targets if name not in targets]:
        parser.error(f"there is no reader {unknown[0]!r}. There are: {', '.join(targets)}.")
    if given.input:
        return _again(targets, given)
    rows = [_fuzzed(atheris, name, targets[name], given) for name in given.targets or targets]
    print(f"{sum(row.runs for row in rows):,} inputs, {sum(row.findings for row in rows)} findings", flush=True)
    return int(any(row.findings for row in rows))


def load() -> None:
    """Make the helpers importable, as conftest.py does for pytest."""
    sys.path[:0] = [str(HERE.parent)]
    import conftest

    sys.path += [str(HERE), str(HERE.parent / "tensor_files"), str(HERE.parent / "migration")]
    assert conftest


def _instrumented(atheris: Any) -> dict[str, Any]:
    """All targets, with the pack instrumented, so that the fuzzer sees which branches an input takes."""
    with atheris.instrument_imports(include=["image_prompt"]):
        return importlib.import_module("targets").TARGETS


def _again(targets: dict[str, Any], given: argparse.Namespace) -> int:
    from judging import judge

    with tempfile.TemporaryDirectory() as folder:
        for name in given.targets:
            next(iter(targets[name].seeds()))  # what is made once is not made while it is watched
            judge(targets[name], given.input.read_bytes(), Path(folder).resolve())
            print(f"{name}: as it should be")
    return 0


@dataclass(frozen=True)
class Row:
    """What came of fuzzing a reader."""

    runs: int
    findings: int


def _fuzzed(atheris: Any, name: str, target: Any, given: argparse.Namespace) -> Row:
    """Fuzz a reader in a process of its own, and tell in a line what came of it."""
    keep, start = given.keep / name.replace(" ", "-"), time.monotonic()
    shutil.rmtree(keep, ignore_errors=True)
    keep.mkdir(parents=True)
    log = keep / "log.txt"
    memory = SHARED_MEMORY if SHARED_MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(dir=memory, prefix="fuzz-") as made:
        child = os.fork()  # so that all is imported once
        if child == 0:
            _redirect(log)
            _fuzz(atheris, target, given, keep, Path(made).resolve())
        _, status = os.waitpid(child, 0)
    found = sorted(path for path in keep.iterdir() if path != log)
    states = STATE.findall(log.read_text(errors="replace"))
    runs, covered, features, corpus = map(int, states[-1]) if states else (0, 0, 0, 0)
    seconds = time.monotonic() - start
    what = f"{covered:>6,} branches {features:>6,} features {corpus:>5,} kept {seconds:>6.0f} s"
    print(f"{name:<28}{runs:>9,} inputs {what}")
    for path in found:
        print(f'  FOUND: python dev.py fuzz "{name}" --input {path}')
    failed = status != 0 and not found
    if failed:
        print(f"  FAILED: the end of {log} says why")
    sys.stdout.flush()
    return Row(runs, len(found) + failed)


def _redirect(log: Path) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(file, number)


def _fuzz(atheris: Any, target: Any, given: argparse.Namespace, keep: Path, folder: Path) -> None:
    """Fuzz a reader. It ends the process."""
    from judging import judge

    reading, seeds, seen = folder / "reading", folder / "seeds", set[str]()
    reading.mkdir()
    seeds.mkdir()

    def one(data: bytes) -> None:
        try:
            judge(target, data, reading)
        except Exception as error:  # whatever it is, it is a finding
            where = _where(error)
            if where not in seen:
                seen.add(where)
                _keep(keep, data, where, error)

    def changed(data: bytes, most: int, seed: int) -> bytes:
        return target.change(data, most, Random(seed), atheris.Mutate)

    for number, data in enumerate(target.seeds()):
        (seeds / f"{number:03}").write_bytes(data[: target.longest])
    options = [f"-runs={given.runs or target.runs}", f"-seed={given.seed}", f"-timeout={SECONDS}"]
    options += [f"-rss_limit_mb={MEGABYTES}", "-verbosity=1", f"-max_len={target.longest}", f"-artifact_prefix={keep}/"]
    atheris.Setup(["fuzz", str(seeds), *options, *_dictionary(target.words, folder)], one, custom_mutator=changed)
    atheris.Fuzz()


def _where(error: BaseException) -> str:
    """The two innermost places of an error, which tell findings apart."""
    places = traceback.extract_tb((error.__cause__ or error).__traceback__)[-1:-3:-1]
    return " < ".join([type(error).__name__, *(f"{Path(each.filename).name}:{each.lineno}" for each in places)])


def _keep(keep: Path, data: bytes, where: str, error: Exception) -> None:
    path = keep / f"{type(error).__name__}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    print(f"FINDING {type(error).__name__}: {str(error)[:300]!r} at {where}: {path.name}", flush=True)
    traceback.print_exc()


def _dictionary(words: tuple[str, ...], folder: Path) -> list[str]:
    if not words:
        return []
    quoted = ("".join(f"\\x{byte:02x}" for byte in word.encode()) for word in words)
    (folder / "words").write_text("".join(f'"{word}"\n' for word in quoted))
    return [f"-dict={folder / 'words'}"]


if __name__ == "__main__":
    sys.exit(main())
