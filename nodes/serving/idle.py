"""The service computes while ComfyUI runs nothing, and gives way to a prompt. None of its parts makes a prompt wait."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import comfy.model_management

from ...service.embedding.model import Busy
from ..folders import prompt_server

AGAIN = 5  # seconds until it is worth to ask again
PATIENCE = 2.0  # seconds in which ComfyUI cleans up after a prompt
PAUSE = 0.02
T = TypeVar("T")
_here = threading.local()  # of each thread: whether it moves weights for the service
_happened = Counter[str]()


def check_idle() -> None:
    """Raises Busy while a prompt runs, or waits to be run."""
    queue = _queue()
    if getattr(queue, "currently_running", None) or getattr(queue, "queue", None):
        raise Busy("ComfyUI runs a prompt, which comes first: ask again once it has ended.", AGAIN)


@contextmanager
def while_idle() -> Generator[None]:
    """Nothing begins to run inside, nor does ComfyUI unload models: for what moves weights, which takes moments.

    Not for computing, nor for reading files: the event loop waits when a prompt is queued meanwhile.

    Raises:
        Busy: a prompt runs, or waits to be run.
    """
    queue, end = _queue(), time.monotonic() + PATIENCE
    while True:
        with getattr(queue, "mutex", nullcontext()):
            check_idle()
            if _worker_sleeps(queue):
                _here.is_moving = True
                try:
                    yield
                finally:
                    _here.is_moving = False
                return
        if time.monotonic() > end:
            raise Busy("ComfyUI is moving models: ask again in a moment.", 1)
        time.sleep(PAUSE)


def is_moving_here() -> bool:
    """Whether this thread is inside `while_idle`."""
    return getattr(_here, "is_moving", False)


def note_unloaded() -> None:
    """Take note that ComfyUI has unloaded a model of the service, for something else than the service."""
    _happened["unloaded"] += 1


def unless_moved(compute: Callable[[], T]) -> T:
    """`compute()`. Raises Busy where it fails while ComfyUI took the memory: for a prompt, or because it is full."""
    before = _state()
    try:
        return _uncancelled(compute)
    except Exception as error:
        if comfy.model_management.is_oom(error):
            raise Busy("The memory of the device is full: ask again later, or for less at once.", AGAIN) from error
        if not isinstance(error, RuntimeError) or _state() == before:
            raise
        raise Busy("A prompt has begun, or models were unloaded, meanwhile: ask again.", AGAIN) from error


def _uncancelled(compute: Callable[[], T]) -> T:
    """Cancel is a flag. Core's layers look at it in any thread, and the first that does takes it away and is ended.

    Here it is either meant for a prompt that has begun meanwhile, or it is left from when none ran.
    """
    while True:
        try:
            return compute()
        except comfy.model_management.InterruptProcessingException:
            if getattr(_queue(), "currently_running", None):
                comfy.model_management.interrupt_current_processing()
                raise Busy("A prompt has begun, and was cancelled: ask again.", 1) from None


def _state() -> tuple[int, int]:
    """A value that differs once a prompt has begun, or a model was unloaded."""
    return getattr(_queue(), "task_counter", 0), _happened["unloaded"]


def _queue() -> Any:
    return getattr(prompt_server(), "prompt_queue", None)


def _worker_sleeps(queue: Any) -> bool:
    """Whether ComfyUI's worker waits for a prompt. It is also what cleans up after one, and unloads for POST /free,
    which `currently_running` does not tell; while the mutex is held, it goes on sleeping."""
    waiting = getattr(getattr(queue, "not_empty", None), "_waiters", None)  # of Python's Condition
    return waiting is None or len(waiting) > 0
