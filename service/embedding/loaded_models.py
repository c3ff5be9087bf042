"""Which models are loaded, who uses them, and which are to be let go. No locks: its caller has one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .model import Model, Models


@dataclass(eq=False)
class Loaded:
    """A model that is loaded.

    users: how many need it now
    used: when it was used last
    retired: nobody is given it any more, as its file changed, or all were to be unloaded
    """

    name: str
    model: Model
    used: float
    users: int = 0
    retired: bool = False


class LoadedModels:
    """At most so many models at once, of which those give way that were not used for the longest time.

    most: how many are loaded at once
    unload_after: seconds without use after which a model is let go; None: only when another needs its place
    clock: gives the time in seconds
    """

    def __init__(
        self, models: Models, most: int, unload_after: float | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.models, self._most, self._unload_after, self._clock = models, most, unload_after, clock
        self._loaded: list[Loaded] = []  # in the order of their last use

    def __iter__(self) -> Iterator[Loaded]:
        return iter(self._loaded)

    @property
    def is_full(self) -> bool:
        return len(self._loaded) >= self._most

    def find(self, name: str) -> Loaded | None:
        """The loaded model of a name; None if there is none, or its file changed."""
        known = next((loaded for loaded in self._loaded if loaded.name == name and not loaded.retired), None)
        if known is not None and not self.models.is_current(name, known.model):
            known.retired = True
            return None
        return known

    def put(self, name: str, model: Model) -> Loaded:
        self._loaded.append(loaded := Loaded(name, model, self._clock()))
        return loaded

    def take(self, loaded: Loaded) -> None:
        """Use a model, until it is released."""
        loaded.users += 1
        self._loaded.remove(loaded)
        self._loaded.append(loaded)

    def release(self, loaded: Loaded) -> None:
        loaded.users -= 1
        loaded.used = self._clock()

    def retire(self) -> None:
        """Let go of all models as soon as nobody needs them."""
        for loaded in self._loaded:
            loaded.retired = True

    def surplus(self, for_another: bool) -> list[Model]:
        """The models that are to be closed now. They are no longer known here.

        for_another: whether another model is to be loaded
        """
        idle = [loaded for loaded in self._loaded if not loaded.users]
        surplus = [loaded for loaded in idle if loaded.retired or self._seconds_left(loaded) <= 0]
        if for_another and not surplus and idle and self.is_full:
            surplus = idle[:1]
        self._loaded = [loaded for loaded in self._loaded if loaded not in surplus]
        return [loaded.model for loaded in surplus]

    def seconds_left(self) -> float | None:
        """After how many seconds one of them has not been used for too long; None if this cannot be."""
        if self._unload_after is None:
            return None
        return min((self._seconds_left(loaded) for loaded in self._loaded if not loaded.users), default=None)

    def _seconds_left(self, loaded: Loaded) -> float:
        return float("inf") if self._unload_after is None else loaded.used + self._unload_after - self._clock()
