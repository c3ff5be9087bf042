"""Weights over the steps of sampling: curves, and keyframes that are typed in as `0:1.0, 0.3:0.2 ease in, 0.8:0`."""

from __future__ import annotations

from dataclasses import dataclass

from .strength import ALWAYS, CURVES, Course, Curve, Keyframe
from .weight_text import number, quoted, weight, written

NAMED: dict[str, Curve] = {curve: curve for curve in CURVES}
KEYFRAMES = "keyframes as point:weight with commas between them, such as 0:1, 0.5:0"
TENTHS = tuple(tenth / 10 for tenth in range(11))


@dataclass(frozen=True)
class StepWeights:
    """Factors on the weight of an image prompt over sampling. A value: equal ones do the same.

    courses: one for all pictures of a batch, or one for each
    """

    courses: tuple[Course, ...] = (ALWAYS,)


def step_curve(curve: str, first: float, last: float, start: float = 0.0, end: float = 1.0) -> StepWeights:
    """A curve from a first to a last weight between two points of sampling, before and after which these hold.

    curve: a key of `CURVES`; "hold" switches from the first to the last at the end

    Raises:
        ValueError: there is no such curve, or it does not start before it ends.
    """
    if curve not in NAMED:
        raise ValueError(f"There is no curve {quoted(curve)}: choose one of {', '.join(CURVES)}.")
    if not start < end:
        raise ValueError(f"The curve starts at {start:g} and ends at {end:g}: it must start before it ends.")
    return StepWeights((Course(keyframes=(Keyframe(start, first, NAMED[curve]), Keyframe(end, last))),))


def parse_step_weights(text: str) -> StepWeights:
    """Step weights that are typed in: `point:weight` keyframes with commas between them, or one number for always.

    The name of a curve after a weight says how it gets to the next keyframe; without one, it is linear. Several lines
    are the courses of the pictures of a batch.

    Raises:
        ValueError: the text says something else, or the keyframes are out of order.
    """
    lines = text.strip().split("\n")
    if len(lines) == 1:
        return StepWeights((_course(lines[0], ""),))
    return StepWeights(tuple(_course(line, f"Line {n}: ") for n, line in enumerate(lines, 1)))


def _course(line: str, where: str) -> Course:
    if ":" not in line:
        word = line.strip()
        if len(word.replace(",", " ").split()) > 1:
            raise ValueError(
                f"{where}{quoted(word)} is not one weight: write one number for all of sampling, or {KEYFRAMES}. "
                "For pictures of a batch, write one line for each."
            )
        return Course(keyframes=(Keyframe(0.0, weight(word, f"{where}The step weight")),))
    keyframes = tuple(_keyframe(word.strip(), where) for word in line.split(","))
    for before, after in zip(keyframes, keyframes[1:]):
        if not before.progress < after.progress:
            raise ValueError(
                f"{where}A keyframe at {after.progress:g} comes after one at {before.progress:g}: write keyframes in "
                "the order of sampling, each at another point. For a jump, put the curve hold after the one before."
            )
    if line.rstrip()[-1].isalpha():
        raise ValueError(
            f"{where}The last keyframe has the curve {keyframes[-1].curve!r}, and there is none to which it leads: "
            "write a curve after the keyframe from which it starts."
        )
    return Course(keyframes=keyframes)


def _keyframe(word: str, where: str) -> Keyframe:
    if not word:
        raise ValueError(
            f"{where}There is a comma without a keyframe before or after it: write all keyframes of a picture in one "
            "line, for each line is another picture of the batch."
        )
    point, colon, rest = word.partition(":")
    if not colon:
        raise ValueError(f"{where}{quoted(word)} is no keyframe: write {KEYFRAMES}.")
    factor, _, name = rest.strip().partition(" ")
    if ":" in name:
        raise ValueError(f"{where}There is no comma between the keyframes in {quoted(word)}: write {KEYFRAMES}.")
    curve = NAMED.get(" ".join(name.split()) or "linear")
    if curve is None:
        raise ValueError(f"{where}There is no curve {quoted(name.strip())}: choose one of {', '.join(CURVES)}.")
    at = number(point.strip(), 0.0, 1.0, f"{where}The point of a keyframe")
    return Keyframe(at, weight(factor, f"{where}The step weight at {at:g}"), curve)


def step_text(weights: StepWeights) -> str:
    """The text that says these weights, as `parse_step_weights` reads it."""
    return "\n".join(_text(course) for course in weights.courses)


def _text(course: Course) -> str:
    words = [f"{written(each.progress)}:{written(each.factor)}" for each in course.keyframes]
    curves = [f" {each.curve}" if each.curve != "linear" else "" for each in course.keyframes[:-1]]
    return ", ".join(word + curve for word, curve in zip(words, [*curves, ""])) or "1"


def step_table(weights: StepWeights) -> str:
    """The weight at every tenth of sampling: a column for all pictures, or one for each."""
    courses = weights.courses
    names = [f"{n:>8}" for n in range(1, len(courses) + 1)] if len(courses) > 1 else ["     all"]
    rows = [f"{at:<7.1f}" + "".join(f"{course.at(at):>8.3f}" for course in courses) for at in TENTHS]
    return "\n".join(["picture" + "".join(names), *rows])
