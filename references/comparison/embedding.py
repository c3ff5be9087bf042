"""Embed what is compared with one encoder, and take the time. Letters: N pictures, L queries, D numbers of a vector."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..filling.reading import read_file
from ..inputs import Input
from ..queries import embed_query
from ..space import Space
from .labels import Labelled

if TYPE_CHECKING:
    from ..embedders import AnyEmbedder

BATCH = 16  # pictures that are embedded at once, where the encoder takes several
PIXELS = 100_000_000  # of the pictures that are embedded at once

OnProgress = Callable[[int, int], object]
Clock = Callable[[], float]  # seconds
Vectors = dict[int, Tensor]  # {number of the picture: (D,) fp32, of length 1}


@dataclass(frozen=True, eq=False)
class Embedded:
    """What one encoder made.

    pictures, captions: the vectors of the pictures, and of what is said of them; no captions where none were wanted
    failed: {number of the picture: why it has no vector}
    cut: how many captions are longer than the encoder reads
    queries: (L, D)
    seconds: {"picture", "caption" or "query": how long one took}; of each query, and of each batch of the others as
        its time divided by how many are in it. Loading the encoder, opening files, and a first picture and text, with
        which more than themselves is made ready, are not counted
    """

    space: Space
    pictures: Vectors
    captions: Vectors
    failed: dict[int, str]
    cut: int
    queries: Tensor
    seconds: dict[str, list[float]]

    def of_queries(self, numbers: Sequence[int]) -> Embedded:
        """With some of the queries only."""
        seconds = {**self.seconds, "query": [self.seconds["query"][each] for each in numbers]}
        return replace(self, queries=self.queries[list(numbers)], seconds=seconds)


def embed_all(
    embedder: AnyEmbedder,
    pictures: Sequence[Labelled],
    queries: Sequence[str],
    *,
    captions: bool = False,
    on_progress: OnProgress | None = None,
    clock: Clock = time.perf_counter,
) -> Embedded:
    """Embed all pictures and queries, and the captions where they are wanted: each picture has one then.

    on_progress: called with how many pictures are done, and how many there are

    Raises:
        ValueError: as the encoder's own; not where a picture cannot be read.
    """
    seconds: dict[str, list[float]] = {"picture": [], "caption": [], "query": []}
    found, failed = _pictures(embedder, pictures, seconds["picture"], on_progress, clock)
    texts = [each.caption for each in pictures] if captions else []
    said = _captions(embedder, texts, seconds["caption"], clock)
    cut = len(embedder.too_long(texts)) if texts else 0
    asked = _queries(embedder, queries, seconds["query"], clock)
    return Embedded(embedder.space, found, said, failed, cut, asked, seconds)


def _pictures(
    embedder: AnyEmbedder,
    pictures: Sequence[Labelled],
    seconds: list[float],
    on_progress: OnProgress | None,
    clock: Clock,
) -> tuple[Vectors, dict[int, str]]:
    found, failed = Vectors(), dict[int, str]()
    for batch in _batches(pictures, embedder.space, _batch_of(embedder), failed):
        if not found:
            _embedded(embedder, batch[:1], {})
        begun = clock()
        vectors = _embedded(embedder, batch, failed)
        if vectors:
            seconds.append((clock() - begun) / len(batch))
        found |= vectors
        if on_progress:
            on_progress(len(found) + len(failed), len(pictures))
    return found, failed


def _batch_of(embedder: AnyEmbedder) -> int:
    """How many it embeds at once: a vision-language model reads one after the other, and takes long for each."""
    from ..vision_language import VisionLanguageEncoder

    return 1 if isinstance(embedder, VisionLanguageEncoder) else BATCH


def _batches(
    pictures: Sequence[Labelled], space: Space, most: int, failed: dict[int, str]
) -> Generator[list[tuple[int, Any]], None, None]:
    """(number, picture of PIL) of those that are embedded at once. Others are put into `failed`, with the reason."""
    batch, pixels = list[tuple[int, Any]](), 0
    for number, each in enumerate(pictures):
        try:
            content = read_file(each.whole, each.whole.read_bytes(), space)
        except OSError as error:
            failed[number] = f"It could not be read: {error.strerror or error}."
            continue
        except ValueError as error:
            failed[number] = str(error)
            continue
        batch.append((number, content.picture))
        pixels += content.width * content.height
        if len(batch) == most or pixels >= PIXELS:
            yield batch
            batch, pixels = [], 0
    if batch:
        yield batch


def _embedded(embedder: AnyEmbedder, batch: Sequence[tuple[int, Any]], failed: dict[int, str]) -> Vectors:
    """Of a batch; one by one where the encoder refuses one of them, which is put into `failed`."""
    try:
        vectors = embedder.embed_images([picture for _, picture in batch]).vectors
        return {number: vector for (number, _), vector in zip(batch, vectors, strict=True)}
    except ValueError as error:
        if len(batch) == 1:
            failed[batch[0][0]] = str(error)
            return {}
    return {number: vector for each in batch for number, vector in _embedded(embedder, [each], failed).items()}


def _captions(embedder: AnyEmbedder, texts: Sequence[str], seconds: list[float], clock: Clock) -> Vectors:
    found = Vectors()
    most = _batch_of(embedder)
    for start in range(0, len(texts), most):
        some = texts[start : start + most]
        if not start:
            embedder.embed_texts(some[:1])
        begun = clock()
        vectors = embedder.embed_texts(some).vectors
        seconds.append((clock() - begun) / len(some))
        found |= dict(enumerate(vectors, start))
    return found


def _queries(embedder: AnyEmbedder, queries: Sequence[str], seconds: list[float], clock: Clock) -> Tensor:
    embed_query(embedder, Input(queries[0]))
    rows = list[Tensor]()
    for query in queries:
        begun = clock()
        rows.append(embed_query(embedder, Input(query)).vectors)
        seconds.append(clock() - begun)
    return torch.cat(rows)
