"""The command `python dev.py soak`. Standard library only."""

from __future__ import annotations

import time
from collections.abc import Callable

from devtools.comfyui import Server, ServerError
from devtools.stages import ROOT, Progress, StageError

from .process import check_system
from .report import Setting, report
from .soak import Soak, prepare
from .verdicts import Mark, judge

PROMPTS, LONG = 1000, 10_000
FEWEST = 100
LINES = 20  # printed while it runs
ARGUMENTS = ("--disable-metadata", "--cache-lru", "300")  # equal pictures are equal files; see report.py
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # of tiny models: more only wait for each other
    "MALLOC_MMAP_THRESHOLD_": "131072",  # bytes; both are glibc's own values, which grow while it runs unless they are
    "MALLOC_TRIM_THRESHOLD_": "131072",  # given, and then what was freed stays with the process
}
REPORT = "soak.md"


def teller(prompts: int) -> Callable[[Mark], None]:
    """What prints a line after every twentieth of the prompts."""
    told, start = 0, time.monotonic()

    def tell(mark: Mark) -> None:
        nonlocal told
        if mark.prompts * LINES // prompts > told:
            told, use = mark.prompts * LINES // prompts, mark.use
            seconds = time.monotonic() - start
            using = f"{use.resident:.1f} MiB, {use.files} open files, {use.threads} threads"
            print(f"{mark.prompts} prompts in {seconds:.0f} s: {using}", flush=True)

    return tell


def check(prompts: int) -> None:
    """StageError if a soak of so many prompts cannot be judged, or not on this system."""
    if prompts < FEWEST:
        raise StageError(
            "soak", f"--prompts {prompts}: at least {FEWEST} are needed to compare the start with the end."
        )
    check_system()


def soak(server: Server, prompts: int, seed: int) -> int:
    """Run it on a server that is not started yet, print and keep the report; 1 if a criterion fails."""
    prepare(server.base)
    start = time.monotonic()
    with server:
        try:
            server.wait_until_ready(Progress("start ComfyUI", server.log))
            record = Soak(server, teller(prompts), trims=True).run(prompts, seed)
            comfyui = server.get("/system_stats")["system"]["comfyui_version"]
        except (ServerError, OSError) as error:
            raise StageError("soak", str(error), server.log) from error
    verdicts = judge(record)
    environment = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
    arguments = server.command[server.command.index("--disable-auto-launch") + 1 :]
    text = report(record, verdicts, Setting(comfyui, arguments, environment, seed, time.monotonic() - start))
    kept = (ROOT / "benchmarks" if prompts >= PROMPTS else server.base) / REPORT
    kept.write_text(text + "\n", encoding="utf-8")
    print(f"{text}\n\nreport: {kept}", flush=True)
    if failed := [verdict.criterion for verdict in verdicts if not verdict.holds]:
        print(f"Failed: {', '.join(failed)}.", flush=True)
    return int(bool(failed))
