"""Count what pictures were made with. Nothing is learned: each count names the pictures that it counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Protocol, cast

from .numbers import number
from .words import rows


class Made(Protocol):
    """A picture of a library: its path, what it was made with as `generation` says it, and its rating (-1, 0, 1)."""

    @property
    def path(self) -> str: ...
    @property
    def metadata(self) -> Any: ...
    @property
    def rating(self) -> int: ...


@dataclass(frozen=True)
class Value:
    """One thing that pictures were made with.

    liked: how many of them are rated 1
    weights: (lowest, median, highest) that it was used with; None where it has none
    sources: the paths of all of them, in the order given
    """

    value: str
    count: int
    liked: int
    weights: tuple[float, float, float] | None
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Topic:
    """What pictures say of one thing, the commonest value first. said: how many say it at all"""

    name: str
    title: str
    said: int
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Advice:
    """pictures: how many were looked at; described: how many of them say what made them"""

    pictures: int
    described: int
    topics: tuple[Topic, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


Uses = list[tuple[str, float | None]]  # a value, and the weight that it is used with


def advise(pictures: Sequence[Made]) -> Advice:
    """What these pictures were made with, as counts. Topics of which no picture says anything are not there."""
    said = [(picture, _metadata(picture)) for picture in pictures]
    topics = [_topic(name, title, uses, said) for name, title, uses in TOPICS]
    described = sum(any(uses(metadata) for _, _, uses in TOPICS) for _, metadata in said)
    return Advice(len(pictures), described, tuple(topic for topic in topics if topic.values))


def _topic(name: str, title: str, uses: Callable[[dict[str, Any]], Uses], said: Sequence[Any]) -> Topic:
    found: dict[str, list[tuple[Made, list[float]]]] = {}
    for picture, metadata in said:
        here: dict[str, list[float]] = {}  # a picture counts once, also if it takes a value twice
        for value, weight in uses(metadata):
            here.setdefault(value, []).extend([] if weight is None else [weight])
        for value, weights in here.items():
            found.setdefault(value, []).append((picture, weights))
    values = sorted((_value(value, rows) for value, rows in found.items()), key=lambda each: (-each.count, -each.liked))
    return Topic(name, title, len({id(picture) for rows in found.values() for picture, _ in rows}), tuple(values))


def _value(value: str, rows: Sequence[tuple[Made, list[float]]]) -> Value:
    weights = [weight for _, each in rows for weight in each]
    spread = (min(weights), float(median(weights)), max(weights)) if weights else None
    liked = sum(picture.rating > 0 for picture, _ in rows)
    return Value(value, len(rows), liked, spread, tuple(picture.path for picture, _ in rows))


def _metadata(picture: Made) -> dict[str, Any]:
    metadata: object = picture.metadata
    return cast("dict[str, Any]", metadata) if isinstance(metadata, dict) else {}


def _word(name: str) -> Callable[[dict[str, Any]], Uses]:
    def uses(metadata: dict[str, Any]) -> Uses:
        value = metadata.get(name)
        return [(value, None)] if isinstance(value, str) and value else []

    return uses


def _number(name: str) -> Callable[[dict[str, Any]], Uses]:
    def uses(metadata: dict[str, Any]) -> Uses:
        value = number(metadata.get(name))
        return [] if value is None else [(f"{value:g}", None)]

    return uses


def _rows(name: str, words: Callable[[dict[str, Any]], Iterable[Any]]) -> Callable[[dict[str, Any]], Uses]:
    """Rows such as LoRAs: what they are called by `words`, each with its weight."""

    def uses(metadata: dict[str, Any]) -> Uses:
        said = [(", ".join(str(word) for word in words(row) if word), row) for row in rows(metadata, name)]
        return [(value, number(row.get("weight"))) for value, row in said if value]

    return uses


def _size(metadata: dict[str, Any]) -> Uses:
    size = metadata.get("size")
    return [("x".join(map(str, cast("list[Any]", size))), None)] if isinstance(size, list) and size else []


TOPICS = (  # as JSON calls it, as people read it, and what metadata says of it
    ("model", "Model", _word("model")),
    ("loras", "LoRAs", _rows("loras", lambda row: [row.get("name")])),
    ("sampler", "Sampler", _word("sampler")),
    ("scheduler", "Scheduler", _word("scheduler")),
    ("steps", "Steps", _number("steps")),
    ("cfg", "CFG", _number("cfg")),
    ("guidance", "Guidance", _number("guidance")),
    ("size", "Size", _size),
    (
        "image_prompts",
        "Image prompts",
        _rows("image_prompts", lambda row: [row.get("adapter") or row.get("node"), row.get("layers")]),
    ),
)
