"""Queue the prompts, look at the server after each turn, and say whether it held. Standard library only."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from devtools.comfyui import Server

from ..stand_ins import PHOTOGRAPHS
from .bad import put_cut_file
from .plan import KINDS, Kind, Turn, drawing, first_of, turns
from .process import use_of, wait_until_idle
from .prompts import Prompt
from .running import Outcome, clear_history, forget, pictures, run_turn, trim
from .verdicts import Mark, Record, Repeat

WRITTEN = ("output", "temp", "models/image_prompts/*_?????_.safetensors", "user/**/libraries/sampled")
EVERY = 10  # prompts between two looks at the server: after each, all models are made anew
DRAWINGS = 6  # to draw from: so few that all features are known, and kept, before the memory is compared

TRIMMING = Path(__file__).with_name("trimming.py")


def prepare(base: Path) -> None:
    """Remove what an earlier soak has written, write the file that is cut short, and add what trims the memory."""
    for pattern in WRITTEN:
        for place in base.glob(pattern):
            shutil.rmtree(place) if place.is_dir() else place.unlink()
    put_cut_file(base / "models" / "ipadapter")
    shutil.copy(TRIMMING, base / "custom_nodes" / "soak_trimming.py")


def pictures_of(base: Path) -> list[str]:
    """The pictures to draw from, as LoadImage names them."""
    drawings = sorted(path.name for path in (base / "input" / "drawings").glob("*.png"))
    return [*PHOTOGRAPHS, *(f"drawings/{name}" for name in drawings[:: max(1, len(drawings) // DRAWINGS)][:DRAWINGS])]


class Soak:
    """A soak of a server that runs.

    looked: called after each look at the server
    trims: whether the server was prepared, and returns freed memory to the system before each look
    """

    def __init__(self, server: Server, looked: Callable[[Mark], None] = lambda _: None, trims: bool = False):
        assert server.process is not None
        self.server, self.pid, self.looked, self.trims = server, server.process.pid, looked, trims
        self.record, self.next_mark = Record(), 0

    def run(self, count: int, seed: int, kinds: Sequence[Kind] = KINDS) -> Record:
        """Queue `count` prompts: first those that are repeated at the end, then turns of all kinds.

        Nothing is let go of before there was a prompt of each kind: never again are so many models there at once, and
        how much of the memory they leave in pieces is known from the start.
        """
        draw = drawing(seed, pictures_of(self.server.base))
        firsts = first_of(kinds, draw)
        before = [self.shown(prompt) for prompt in firsts]
        for number, turn in enumerate(turns(kinds, draw, count - 2 * len(firsts)), 1):
            self.take(turn)
            if number >= len(kinds) and len(self.record.outcomes) >= self.next_mark:
                self.mark()
        for prompt, (first, _) in zip(firsts, before, strict=True):
            again, cached = self.shown(prompt)
            self.record.repeats.append(Repeat(prompt.kind, first, again, cached))
        return self.record

    def shown(self, prompt: Prompt) -> tuple[list[bytes], int]:
        """The pictures of a prompt that runs anew, and how many of its nodes did not."""
        forget(self.server)
        wait_until_idle(self.pid)
        (outcome,) = self.take([prompt])
        return pictures(self.server, outcome), outcome.cached

    def take(self, turn: Turn) -> list[Outcome]:
        start = time.monotonic()
        outcomes = run_turn(self.server, turn)
        kind, seconds = turn[0].kind, self.record.seconds
        seconds[kind] = seconds.get(kind, 0.0) + time.monotonic() - start
        self.record.outcomes += outcomes
        return outcomes

    def mark(self) -> None:
        """Note what the server uses when it is idle and has let go of what it keeps by design."""
        self.next_mark = len(self.record.outcomes) + EVERY
        clear_history(self.server)
        forget(self.server)
        wait_until_idle(self.pid)
        if self.trims:
            trim(self.server)
            wait_until_idle(self.pid)
        mark = Mark(len(self.record.outcomes), use_of(self.pid))
        self.record.marks.append(mark)
        self.looked(mark)
