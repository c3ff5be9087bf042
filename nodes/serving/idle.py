"""The service computes while ComfyUI runs nothing, and gives way to a prompt. None of its parts makes a prompt wait."""

import time
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
                yield
                return
        if time.monotonic() > end:
            raise Busy("ComfyUI is moving models: ask again in a moment.", 1)
        time.sleep(PAUSE)


def unless_moved(compute: Callable[[], T]) -> T:
    """`compute()`. Raises Busy where it fails because of a prompt that began meanwhile, or of what fills the memory."""
    begun = _prompts_begun()
    try:
        return compute()
    except Exception as error:
        if comfy.model_management.is_oom(error):
            raise Busy("The memory of the device is full: ask again later, or for less at once.", AGAIN) from error
        if not isinstance(error, RuntimeError) or _prompts_begun() == begun:
            raise
        raise Busy("A prompt has begun, and needs the memory: ask again once it has ended.", AGAIN) from error


def _queue() -> Any:
    return getattr(prompt_server(), "prompt_queue", None)


def _prompts_begun() -> int:
    return getattr(_queue(), "task_counter", 0)


def _worker_sleeps(queue: Any) -> bool:
    """Whether ComfyUI's worker waits for a prompt. It is also what cleans up after one, and unloads for POST /free,
    which `currently_running` does not tell; while the mutex is held, it goes on sleeping."""
    waiting = getattr(getattr(queue, "not_empty", None), "_waiters", None)  # of Python's Condition
    return waiting is None or len(waiting) > 0
