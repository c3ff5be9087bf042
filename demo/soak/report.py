"""The report of a soak, as Markdown. Standard library only."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .process import Use
from .verdicts import Mark, Record, Verdict

MARKS = 10
MEASURED = """\
`python dev.py soak` queues prompts through HTTP, in turns of one to four of a kind, from a deck that holds every kind
and is shuffled again whenever it is used up; first comes a prompt of each kind. Pictures are eight, and a library is
given few, because what is known of them is kept by design. After these, and then after every tenth prompt or so,
ComfyUI is told to let go of what it keeps by design: its last 10,000 prompts (`POST /history`), the models, and the
results of nodes (`POST /free`). Once it has not worked for 0.5 s, glibc returns what was freed to the system
(`malloc_trim`: how much it keeps otherwise differs from run to run), and the memory, open files and threads are read
from `/proc`. The medians after prompts 101 to 200 are compared with those after the last 100 (of fewer than 1,000
prompts: tenths). The prompts that are repeated run anew from end to end, at the start and at the end: `POST /free`
comes before each, and no node's result may have been kept. A prompt is lost unless it ends as it was to: in the
history, with the words that it was to have; one that was deleted while it waited is nowhere."""


@dataclass(frozen=True)
class Setting:
    comfyui: str
    arguments: Sequence[str]
    environment: Sequence[str]
    seed: int
    seconds: float


def report(record: Record, verdicts: Sequence[Verdict], setting: Setting) -> str:
    return "\n\n".join(
        [
            "# Soak: many prompts on one server",
            MEASURED,
            "\n".join(told(record, setting)),
            "\n".join(verdict_rows(verdicts)),
            "\n".join(mark_rows(record.marks)),
            "\n".join(kind_rows(record)),
        ]
    )


def told(record: Record, setting: Setting) -> Iterable[str]:
    total = len(record.outcomes)
    yield f"- {total} prompts, seed {setting.seed}, in {setting.seconds:.0f} s ({setting.seconds / total:.2f} s each)"
    yield f"- ComfyUI {setting.comfyui}, {' '.join(setting.arguments)}"
    yield f"- environment of the server: {' '.join(setting.environment) or 'as it was'}"
    yield f"- {platform.system()} {platform.machine()}, {os.cpu_count()} cores, {' '.join(platform.libc_ver())}"


def verdict_rows(verdicts: Sequence[Verdict]) -> Iterable[str]:
    yield from ("| criterion | verdict | |", "|---|---|---|")
    for each in verdicts:
        yield f"| {each.criterion} | {'holds' if each.holds else '**FAILS**'} | {each.says} |"


def mark_rows(marks: Sequence[Mark]) -> Iterable[str]:
    yield from ("| after prompts | resident, MiB | peak, MiB | open files | threads |", "|--:" * 5 + "|")
    for mark in at_marks(marks):
        yield use_row(str(mark.prompts), mark.use)


def at_marks(marks: Sequence[Mark]) -> list[Mark]:
    """The first mark, those at every tenth of the prompts, and the last."""
    step = max(1, marks[-1].prompts // MARKS)
    found = [marks[0]]
    for mark in marks[1:]:
        if mark.prompts // step > found[-1].prompts // step or mark is marks[-1]:
            found.append(mark)
    return found


def use_row(name: str, use: Use) -> str:
    return f"| {name} | {use.resident:.1f} | {use.peak:.1f} | {use.files} | {use.threads} |"


def kind_rows(record: Record) -> Iterable[str]:
    counts: Counter[str] = Counter(outcome.prompt.kind for outcome in record.outcomes)
    fates: dict[str, Counter[str]] = {}
    for outcome in record.outcomes:
        fates.setdefault(outcome.prompt.kind, Counter())[outcome.fate.value] += 1
    yield from ("| kind | prompts | seconds | ended as |", "|---|--:|--:|---|")
    for kind, count in sorted(counts.items()):
        ends = ", ".join(f"{number} {fate}" for fate, number in fates[kind].most_common())
        yield f"| {kind} | {count} | {record.seconds.get(kind, 0.0):.1f} | {ends} |"
