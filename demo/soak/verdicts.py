"""What a soak has recorded, and whether it holds what it must. Standard library only."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .process import Use
from .running import Outcome

ALLOWED = 0.01  # of the resident memory
WINDOW = 100  # prompts; of a soak of less than 1,000, a tenth
SHOWN = 5  # lost prompts that are named


@dataclass(frozen=True)
class Mark:
    """What the idle server used once so many prompts had ended."""

    prompts: int
    use: Use


@dataclass(frozen=True)
class Repeat:
    """A prompt's pictures at the start and at the end, and how many nodes did not run anew."""

    kind: str
    first: Sequence[bytes]
    again: Sequence[bytes]
    cached: int


@dataclass
class Record:
    """seconds: of each kind, all its turns together"""

    marks: list[Mark] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    repeats: list[Repeat] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    criterion: str
    holds: bool
    says: str


def judge(record: Record) -> list[Verdict]:
    """A verdict on each criterion. ValueError if there are too few marks to compare."""
    early, late = windows(record.marks, min(WINDOW, len(record.outcomes) // 10))
    return [
        of_memory(early, late),
        of_count("open files", lambda use: use.files, early, late),
        of_count("threads", lambda use: use.threads, early, late),
        of_repeats(record.repeats),
        of_prompts(record.outcomes),
    ]


def windows(marks: Sequence[Mark], width: int) -> tuple[list[Use], list[Use]]:
    """What was used after a warm-up, and at the end: with a width of 100, after prompts 101 to 200 and the last 100."""
    last = marks[-1].prompts if marks else 0
    early = [mark.use for mark in marks if width < mark.prompts <= 2 * width]
    late = [mark.use for mark in marks if mark.prompts > last - width]
    if not early or not late:
        raise ValueError(f"{last} prompts are too few to compare the start with the end: queue more with --prompts N.")
    return early, late


def of_memory(early: Sequence[Use], late: Sequence[Use]) -> Verdict:
    before, after = (statistics.median(use.resident for use in each) for each in (early, late))
    change = after / before - 1
    says = f"{before:.1f} MiB early, {after:.1f} MiB at the end: {change:+.2%}; less than {ALLOWED:.0%} is allowed"
    return Verdict("resident memory", abs(change) < ALLOWED, says)


def of_count(what: str, of: Callable[[Use], int], early: Sequence[Use], late: Sequence[Use]) -> Verdict:
    before, after = (statistics.median_high([of(use) for use in each]) for each in (early, late))
    return Verdict(what, before == after, f"{before} early, {after} at the end")


def of_repeats(repeats: Sequence[Repeat]) -> Verdict:
    """Whether repeated prompts ran anew, had pictures, and gave the same ones."""
    problems = [
        *(f"{each.kind}: shows no picture" for each in repeats if not each.first),
        *(f"{each.kind}: {each.cached} nodes did not run anew" for each in repeats if each.cached),
        *(f"{each.kind}: other pictures" for each in repeats if list(each.first) != list(each.again)),
    ]
    if not repeats:
        problems.append("no prompt was repeated")
    says = "; ".join(problems or [f"at the start and at the end: {', '.join(each.kind for each in repeats)}"])
    return Verdict("the same bits", not problems, says)


def of_prompts(outcomes: Sequence[Outcome]) -> Verdict:
    """Whether each prompt ended as it was to end, with the words it was to have."""
    wrong = [outcome for outcome in outcomes if not outcome.as_expected]
    named = [f"{each.prompt.kind}: {expected_of(each)}, {each.fate.value}: {each.said}" for each in wrong[:SHOWN]]
    says = f"{len(wrong)} of {len(outcomes)}: " + "; ".join(named) if wrong else f"all {len(outcomes)} as expected"
    return Verdict("no prompt is lost", not wrong and bool(outcomes), says)


def expected_of(outcome: Outcome) -> str:
    words = f" with '{outcome.prompt.says}'" if outcome.prompt.says else ""
    return f"expected {outcome.prompt.fate.value}{words}"
