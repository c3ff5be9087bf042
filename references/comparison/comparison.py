"""Compare encoders on pictures of which it is known what they show."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..embedder import filled
from ..space import Space
from .embedding import Clock, Embedded, embed_all
from .labels import Labelled
from .recall import chance
from .ways import Way, ways_of

if TYPE_CHECKING:
    from ..embedders import AnyEmbedder

KS = (1, 5, 10)

Opened = Callable[[], "AbstractContextManager[AnyEmbedder]"]  # an encoder that is closed at the end
OnProgress = Callable[[str, int, int], object]


@dataclass(frozen=True)
class Comparison:
    """What was found.

    labels: {label: how many pictures have it}; each is one query
    queries: of each label
    pictures: how many were searched: those that every encoder could read
    spaces: {name of an encoder: the space of its vectors}
    ways: how well each way finds them
    failed: {path: why it is left out}
    captions: how many pictures have one; they are a way only where all have
    cut: {name of an encoder: how many captions are longer than it reads}
    """

    labels: dict[str, int]
    queries: tuple[str, ...]
    pictures: int
    spaces: dict[str, Space]
    ways: tuple[Way, ...]
    failed: dict[str, str]
    captions: int
    cut: dict[str, int]

    def chance(self, k: int) -> float:
        """The recall at k of a random order."""
        return chance(list(self.labels.values()), self.pictures, k)

    def as_json(self) -> dict[str, Any]:
        return {
            "pictures": self.pictures,
            "labels": self.labels,
            "queries": list(self.queries),
            "encoders": {name: space.as_json() for name, space in self.spaces.items()},
            "ways": [_as_json(way, list(self.labels)) for way in self.ways],
            "chance": {str(k): round(self.chance(k), 6) for k in KS},
            "captions": {"pictures": self.captions, "cut": self.cut},
        }


def compare(
    encoders: Sequence[tuple[str, Opened]],
    pictures: Sequence[Labelled],
    template: str = "{}",
    *,
    on_progress: OnProgress | None = None,
    clock: Clock = time.perf_counter,
) -> Comparison:
    """Ask each encoder, one after the other, for the pictures of each label.

    Recall at k is the share of labels of which a picture is among the first k that their query finds. All ways search
    the same pictures: those that every encoder could read.

    encoders: (the name that is shown, what opens it)
    pictures: of two labels or more, each of another path
    template: what the query of a label is, with {} for the label
    on_progress: called with the name of an encoder, how many pictures are done, and how many there are

    Raises:
        ValueError: less than two labels have a picture that can be read, the template has no {}, or as an encoder.
    """
    labels = sorted({each.label for each in pictures})
    queries = filled(template, labels)
    captions = sum(bool(each.caption) for each in pictures)
    encoded = list[tuple[str, Embedded]]()
    for name, opened in encoders:

        def progress(done: int, total: int, name: str = name) -> None:
            if on_progress:
                on_progress(name, done, total)

        wanted = bool(captions) and captions == len(pictures)
        with opened() as embedder:
            made = embed_all(embedder, pictures, queries, captions=wanted, on_progress=progress, clock=clock)
        encoded.append((name, made))
    return _compared(encoded, pictures, labels, queries, captions, clock)


def _compared(
    encoded: Sequence[tuple[str, Embedded]],
    pictures: Sequence[Labelled],
    labels: Sequence[str],
    queries: Sequence[str],
    captions: int,
    clock: Clock,
) -> Comparison:
    failed = {pictures[number].path: why for _, made in encoded for number, why in made.failed.items()}
    numbers = [number for number, each in enumerate(pictures) if each.path not in failed]
    right = [{place for place, number in enumerate(numbers) if pictures[number].label == label} for label in labels]
    asked = [number for number, those in enumerate(right) if those]
    if len(asked) < 2:
        raise ValueError(
            f"{len(failed):,} of {len(pictures):,} pictures could not be read, and the others have less than two "
            f"labels. The first reason: {next(iter(failed.values()))}"
        )
    some = [(name, made.of_queries(asked)) for name, made in encoded]
    return Comparison(
        {labels[each]: len(right[each]) for each in asked},
        tuple(queries[each] for each in asked),
        len(numbers),
        {name: made.space for name, made in encoded},
        tuple(ways_of(some, numbers, [right[each] for each in asked], clock)),
        failed,
        captions,
        {name: made.cut for name, made in encoded if made.cut},
    )


def _as_json(way: Way, labels: Sequence[str]) -> dict[str, Any]:
    return {
        "way": way.name,
        "of": list(way.parts),
        "recall": {str(k): round(way.recall(k), 6) for k in KS},
        "milliseconds": {"picture": round(way.picture_ms, 3), "query": round(way.query_ms, 3)},
        "bytes": way.size,
        "first_ranks": dict(zip(labels, way.firsts, strict=True)),
    }
