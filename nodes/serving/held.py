"""What the service has loaded is let go once ComfyUI has unloaded it: its memory is ComfyUI's, as that of nodes is."""

import threading
import time
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import comfy.model_management
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP

from ...service.embedding.model import Busy
from .idle import is_moving_here, note_unloaded, while_idle

PAUSE = 1.0  # seconds until letting go is tried again
T = TypeVar("T")
_all: "weakref.WeakSet[Held[Any]]" = weakref.WeakSet()
_changing = threading.Lock()


class Held(Generic[T]):
    """Holds something loaded until ComfyUI unloads models of the service, for POST /free or for what a prompt needs.

    ComfyUI knows patchers by weak references and does not expect that one goes while it unloads them. So they are let
    go a moment later: when nobody uses them, and nothing runs. What was never on the device goes with the others.
    """

    def __init__(self, what: T) -> None:
        self._what: T | None = what
        self._patchers: list[ModelPatcher] = []
        self._using = threading.Lock()
        self._going = set[bool]()  # the ways in which a thread waits to let go of it
        self._key = f"image_prompt.serving.{id(self)}"  # of its callbacks
        with _changing:
            _all.add(self)

    @property
    def is_there(self) -> bool:
        return self._what is not None

    def now(self) -> T:
        """What is held, for what is done in a moment and without its weights. Raises Busy if it was let go."""
        if (what := self._what) is None:
            raise Busy("ComfyUI has just unloaded this encoder: ask again.", 1)
        return what

    @contextmanager
    def used(self) -> Generator[T]:
        """What is held, which one thread uses at a time. Raises Busy if it was let go."""
        with self._using:
            yield self.now()

    def watch(self, patcher: ModelPatcher) -> None:
        """Let go once this, or another that is watched, is unloaded. Raises Busy while a prompt runs."""
        with while_idle():
            self._patchers.append(patcher)
            patcher.add_callback_with_key(CallbacksMP.ON_DETACH, self._key, _when_detached)

    def let_go(self) -> None:
        """Let go of it as soon as nothing uses it. Returns at once."""
        self._begin_to_let_go(False)

    def let_go_if_unloaded(self) -> None:
        """As `let_go`, unless it is loaded again by then. Returns at once."""
        self._begin_to_let_go(True)

    def _begin_to_let_go(self, unless_loaded: bool) -> None:
        """One thread waits, however often a prompt after another unloads it."""
        with _changing:
            if unless_loaded in self._going:
                return
            self._going.add(unless_loaded)
        threading.Thread(target=self._let_go, args=(unless_loaded,), daemon=True).start()

    def _let_go(self, unless_loaded: bool) -> None:
        while True:
            try:
                with self._using, while_idle():
                    with _changing:
                        self._going.discard(unless_loaded)  # what is unloaded later begins another
                    if not (unless_loaded and self._is_loaded()):
                        self._drop()
                    return
            except Busy:
                time.sleep(PAUSE)

    def _is_loaded(self) -> bool:
        loaded = comfy.model_management.loaded_models()
        return any(each is patcher for each in loaded for patcher in self._patchers)

    def _drop(self) -> None:
        for patcher in self._patchers:
            patcher.remove_callbacks_with_key(CallbacksMP.ON_DETACH, self._key)
        self._what = None
        self._patchers.clear()


def _when_detached(patcher: ModelPatcher, unpatch_all: bool) -> None:
    """Let go of all that is unloaded, unless the service itself needs the memory, for another encoder."""
    if unpatch_all and not is_moving_here():  # not all: it stays loaded, as loading it again detaches it first
        note_unloaded()
        with _changing:
            there = [held for held in _all if held.is_there]
        for held in there:
            held.let_go_if_unloaded()
