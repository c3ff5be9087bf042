"""The table of what works on which ComfyUI: kept beside this file, and shown in the README. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..stages import ROOT
from .node_tests import lacking

KEPT = Path(__file__).with_name("results.json")
README = ROOT / "README.md"
BEGIN, END = "<!-- matrix: written by `python dev.py matrix` -->", "<!-- end of the matrix -->"
HEAD = ("ComfyUI", "the demo", "tests of the nodes", "what it does not have")


@dataclass(frozen=True)
class Row:
    """What was found on a version.

    demo: how its pictures compare with those of the newest version, or the sentence by which it is refused
    tests: how many ran without a failure; 0 on versions that are refused
    """

    comfyui: str
    demo: str
    tests: int = 0


def markdown(rows: Sequence[Row]) -> str:
    lines = [HEAD, ("---",) * len(HEAD), *map(_cells, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cells(row: Row) -> tuple[str, ...]:
    if not row.tests:
        return row.comfyui, row.demo, "", ""
    lacks = "; ".join(f"{each.what} (from {each.since} on)" for each in lacking(row.comfyui))
    return row.comfyui, row.demo, f"{row.tests:,} pass", lacks


def keep(row: Row) -> None:
    """Keep what was found on a version in place of what was, and show it in the README, where it has the two marks."""
    _write([*(each for each in kept() if each.comfyui != row.comfyui), row])


def forget(comfyui: str) -> None:
    """Keep nothing of a version: it is tried again, and may not work."""
    _write([each for each in kept() if each.comfyui != comfyui])


def kept() -> list[Row]:
    """What was found on each version, the newest first."""
    rows = [Row(**row) for row in json.loads(KEPT.read_text(encoding="utf-8"))] if KEPT.is_file() else []
    return sorted(rows, key=lambda row: [int(number) for number in row.comfyui.split(".")], reverse=True)


def _write(rows: Sequence[Row]) -> None:
    KEPT.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
    text = README.read_text(encoding="utf-8")
    if BEGIN in text and END in text:
        README.write_text(with_table(text, kept()), encoding="utf-8")


def with_table(text: str, rows: Sequence[Row]) -> str:
    """A text whose part between the two marks is the table."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{markdown(rows)}\n{END}{rest.partition(END)[2]}"
