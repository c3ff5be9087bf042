"""Requests that wait, and which of their inputs are prepared and computed next. No locks: its caller has one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...references.inputs import Input
from .loaded_models import Loaded
from .model import Prepared, Wish

AHEAD = 2  # batches


class Request:
    """What was asked for at once, and how far it is.

    labels: how each input is called in sentences, such as "Input 3"
    finish: makes the result when all vectors are there
    of: of each input, as `Input.of` says it
    loaded: the model, from when it is there
    tokens, vectors, warnings: of the inputs that are prepared and computed so far
    is_over: it has its result, failed, or was cancelled
    """

    def __init__(
        self,
        name: str,
        inputs: Sequence[Input],
        wish: Wish,
        labels: Sequence[str],
        finish: Callable[[Request], object],
    ) -> None:
        self.name, self.wish, self.labels, self.finish = name, wish, labels, finish
        self.of = tuple(given.of for given in inputs)
        self.future: Future[Any] = Future()
        self.loaded: Loaded | None = None
        self.is_over = False
        self.tokens, self.vectors, self.warnings = 0, dict[int, Tensor](), dict[int, str]()
        self._prepared: dict[int, Prepared] = {}
        self._unread, self._ready, self._reading = deque(enumerate(inputs)), deque[int](), 0

    @property
    def is_computed(self) -> bool:
        return len(self.vectors) == len(self.of)

    @property
    def inputs_ready(self) -> int:
        return len(self._ready)

    @property
    def inputs_ahead(self) -> int:
        """How many inputs are prepared or being so, ahead of the computation."""
        return self._reading + len(self._ready)

    @property
    def is_unread(self) -> bool:
        """Whether inputs of it are still to be prepared."""
        return bool(self._unread)

    @property
    def model(self) -> Loaded:
        assert self.loaded is not None
        return self.loaded

    def next_to_prepare(self, ahead: int) -> tuple[int, Input] | None:
        """The next input to prepare and its number, at most so many ahead. It is not held any more: a picture that is
        decoded is larger than what is prepared of it."""
        if not self._unread or self.inputs_ahead >= ahead:
            return None
        self._reading += 1
        return self._unread.popleft()

    def put(self, number: int, prepared: Prepared) -> None:
        """Keep an input that was prepared, until it is taken."""
        self._reading -= 1
        self._ready.append(number)
        self._prepared[number] = prepared
        self.tokens += prepared.tokens
        if prepared.warning:
            self.warnings[number] = f"{self.labels[number]}: {prepared.warning}"

    def is_ready(self, batch_size: int) -> bool:
        """Whether nothing more of it would be in its batch if that began later."""
        if not self._ready:
            return False
        is_alone = self._prepared[self._ready[0]].batch is None
        return is_alone or not self._reading and (not self._unread or len(self._ready) >= batch_size)

    def next_key(self) -> Hashable:
        return self._key(self._ready[0])

    def take(self, key: Hashable, at_most: int) -> list[Piece]:
        """Inputs that are ready, and may be in a batch of this key."""
        taken = [number for number in self._ready if self._key(number) == key][:at_most]
        self._ready = deque(number for number in self._ready if number not in taken)
        return [Piece(self, number, self._prepared.pop(number)) for number in taken]

    def let_go(self) -> None:
        """Forget what it holds: who has its future may keep it."""
        for kept in (self._unread, self._ready, self._prepared, self.vectors, self.warnings):
            kept.clear()

    def _key(self, number: int) -> Hashable:
        prepared = self._prepared[number]
        return self.model, prepared if prepared.batch is None else prepared.batch


@dataclass(frozen=True, eq=False)
class Piece:
    """One input of a request, in a batch."""

    request: Request
    number: int
    prepared: Prepared


class Line:
    """Requests take turns: one that had inputs in a batch goes behind those that had none.

    So a request of many inputs holds up one of few for a batch, and none waits for ever. However many there are, no
    more than about two batches are prepared ahead.
    """

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._requests: list[Request] = []

    def __iter__(self) -> Iterator[Request]:
        return iter(self._requests)

    def __len__(self) -> int:
        return len(self._requests)

    @property
    def inputs_ready(self) -> int:
        """How many inputs are prepared and wait for the computation."""
        return sum(request.inputs_ready for request in self._requests)

    @property
    def is_unread(self) -> bool:
        """Whether inputs are still to be prepared, perhaps not yet."""
        return any(request.is_unread for request in self._requests)

    def add(self, request: Request) -> None:
        self._requests.append(request)

    def remove(self, request: Request) -> None:
        if request in self._requests:
            self._requests.remove(request)

    def next_to_prepare(self) -> tuple[Request, int, Input] | None:
        is_much = sum(request.inputs_ahead for request in self._requests) >= AHEAD * self._batch_size
        for request in self._requests[:1] if is_much else self._requests:  # the first gets on, whatever others hold
            if (found := request.next_to_prepare(self._batch_size)) is not None:
                return request, *found
        return None

    def next_batch(self) -> list[Piece]:
        """Inputs to compute at once; none as long as no request is ready."""
        lead = next((request for request in self._requests if request.is_ready(self._batch_size)), None)
        if lead is None:
            return []
        key, batch = lead.next_key(), list[Piece]()
        for request in [lead, *(other for other in self._requests if other is not lead)]:
            batch += request.take(key, self._batch_size - len(batch))
        return batch

    def computed(self, batch: Sequence[Piece]) -> None:
        """Let requests that had inputs in a batch go behind the others, also behind those that came meanwhile."""
        served = {piece.request for piece in batch}
        self._requests.sort(key=lambda request: request in served)  # stable: the others keep their order
