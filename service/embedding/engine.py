"""The threads of a service: some prepare inputs, one loads models, computes batches and lets models go."""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from ...references.inputs import Input
from ..activity import Activity
from .line import Line, Piece, Request
from .loaded_models import Loaded, LoadedModels
from .model import Busy, Model

CLOSED = "This service was closed: make a new one."
STRIPES = 61  # locks of pictures


class Engine:
    """Computes requests. Any thread may use it. Its threads begin with the first request and end with `close`.

    models: those that are loaded; nobody else uses it
    batch_size: inputs that are computed at once, at most
    workers: threads that prepare inputs
    """

    def __init__(self, models: LoadedModels, batch_size: int, workers: int, activity: Activity) -> None:
        self.activity, self._models, self._line = activity, models, Line(batch_size)
        self._waiting = deque[Request]()  # for their models, in the order in which they came
        self._sizes = Counter[int]()
        self._unloaded = list[threading.Event]()
        self._closed = False
        self._lock = threading.RLock()
        self._to_compute, self._to_prepare = threading.Condition(self._lock), threading.Condition(self._lock)
        self._pictures = [threading.Lock() for _ in range(STRIPES)]
        self._workers = [threading.Thread(target=self._prepare_all, daemon=True) for _ in range(workers)]
        self._thread = threading.Thread(target=self._run, daemon=True)

    def submit(self, request: Request) -> None:
        """Begin a request, whose future gets its result. ValueError if the engine was closed."""
        request.future.add_done_callback(lambda _: self._leave(request))
        with self._lock:
            if self._closed:
                raise ValueError(CLOSED)
            if not self._thread.is_alive():
                for thread in (self._thread, *self._workers):
                    thread.start()
            self._waiting.append(request)
            outcomes = self._admit()
            if self._waiting:
                self._to_compute.notify()
        _report(outcomes)

    def unload(self) -> None:
        """Let go of all models, those in use as soon as the requests that use them are done."""
        with self._lock:
            if self._closed:
                raise ValueError(CLOSED)
            self._models.retire()
            self._unloaded.append(done := threading.Event())
            self._to_compute.notify()
            is_running = self._thread.is_alive()
        if is_running:
            done.wait()

    def close(self) -> None:
        """End with the batch that is computed now; requests that are not done by then fail."""
        with self._lock:
            self._closed = True
            self._to_compute.notify_all()
            self._to_prepare.notify_all()
            is_running = self._thread.is_alive()
        if is_running and threading.current_thread() not in (self._thread, *self._workers):  # a garbage collection is
            self._thread.join()  # anywhere

    def info(self) -> dict[str, Any]:
        """The loaded models by their names, what waits, and how often batches of each size were computed."""
        with self._lock:
            return {
                "loaded": {loaded.name: loaded.model.info() for loaded in self._models if not loaded.retired},
                "requests": len(self._waiting) + len(self._line),
                "inputs_ready": self._line.inputs_ready,
                "batch_sizes": {str(size): count for size, count in sorted(self._sizes.items())},
            }

    # ------------------------------------------------------------------------------------------- one thread computes

    def _run(self) -> None:
        while (job := self._next_job()) is not None:
            job()
            del job  # it holds what it computed
        for worker in self._workers:
            worker.join()
        with self._lock:
            left = [*self._waiting, *self._line]
        for request in left:
            self._fail(request, ValueError(CLOSED))
        with self._lock:
            self._models.retire()
            for done in self._unloaded:
                done.set()
        self._let_go([loaded.model for loaded in self._models])

    def _next_job(self) -> Callable[[], object] | None:
        """What the computing thread does next; None when it is to end."""
        with self._lock:
            while not self._closed:
                if outcomes := self._admit():
                    return partial(_report, outcomes)
                if surplus := self._models.surplus(bool(self._waiting)):
                    return partial(self._let_go, surplus)
                self._tell_unloaded()
                if self._waiting and not self._models.is_full:
                    return partial(self._load, self._waiting[0].name)
                if batch := self._line.next_batch():
                    self._wake_worker()
                    return partial(self._compute, batch)
                self._to_compute.wait(self._models.seconds_left())
        return None

    def _let_go(self, models: Iterable[Model]) -> None:
        for model in models:
            try:
                model.close()
            except Exception:  # nobody waits for it who could be told
                logging.getLogger(__name__).exception("A model could not be closed.")
            self.activity.count("models unloaded")

    def _tell_unloaded(self) -> None:
        if self._unloaded and not any(loaded.retired for loaded in self._models):
            for done in self._unloaded:
                done.set()
            self._unloaded.clear()

    def _load(self, name: str) -> None:
        try:
            with self.activity.timed("load"):
                model = self._models.models.load(name)
        except BaseException as error:
            with self._lock:
                failed = [request for request in self._waiting if request.name == name]
            for request in failed:
                self._fail(request, error)
            return
        with self._lock:
            loaded = self._models.put(name, model)
            outcomes = self._admit(loaded)
        _report(outcomes)

    def _compute(self, batch: Sequence[Piece]) -> None:
        model = batch[0].request.model.model
        try:
            with self.activity.timed("compute"):
                vectors = model.compute([piece.prepared for piece in batch])
            found = list(zip(batch, vectors, strict=True))
        except BaseException as error:
            for request in dict.fromkeys(piece.request for piece in batch):
                self._fail(request, error)
            return
        with self._lock:
            self._line.computed(batch)
            self._wake_worker()  # another request is the first
            self._sizes[len(batch)] += 1
            left = [(piece, vector) for piece, vector in found if not piece.request.is_over]
            for piece, vector in left:
                piece.request.vectors[piece.number] = vector
            done = [each for each in dict.fromkeys(piece.request for piece, _ in left) if each.is_computed]
        for request in done:
            self._finish(request)

    # ---------------------------------------------------------------------------------------------- several prepare

    def _prepare_all(self) -> None:
        while self._prepare_next():
            pass

    def _prepare_next(self) -> bool:
        """Prepare an input as soon as there is one. False if the engine is to end."""
        with self._lock:
            while (found := self._line.next_to_prepare()) is None and not self._closed:
                self._to_prepare.wait()
            if found is None or self._closed:
                return False
            self._wake_worker()  # one wakes the next: there may be less to do than there are workers
            request, number, given = found
            loaded = request.model
            self._models.take(loaded)  # the request may be cancelled meanwhile
        self._prepare(request, number, given, loaded.model)
        with self._lock:
            self._models.release(loaded)
            self._to_compute.notify()
        return True

    def _prepare(self, request: Request, number: int, given: Input, model: Model) -> None:
        try:
            with self._alone(given.image), self.activity.timed("prepare"):
                prepared = model.prepare(given, request.wish)
        except BaseException as error:
            is_of_input = isinstance(error, ValueError) and not isinstance(error, Busy)
            self._fail(request, ValueError(f"{request.labels[number]}: {error}") if is_of_input else error)
        else:
            with self._lock:
                if not request.is_over:
                    request.put(number, prepared)

    def _wake_worker(self) -> None:
        if self._line.is_unread:
            self._to_prepare.notify()

    def _alone(self, image: object) -> AbstractContextManager[Any]:
        """One thread reads a picture at a time: PIL may have opened it and not read it, and it may be given twice."""
        return nullcontext() if image is None else self._pictures[id(image) % STRIPES]

    # ------------------------------------------------------------------------------------------ begin and end of one

    def _admit(self, just_loaded: Loaded | None = None) -> list[Callable[[], object]]:
        """Let requests begin whose model is loaded, until one comes whose model is not: those behind it wait with it,
        as it would otherwise never get the place of another. Returns what is to be done without the lock.
        """
        outcomes: list[Callable[[], object]] = []
        while self._waiting:
            request = self._waiting[0]
            try:
                is_it = just_loaded is not None and just_loaded.name == request.name
                loaded = just_loaded if is_it else self._models.find(request.name)
                if loaded is None:
                    break
                loaded.model.space_of(request.wish)
            except Exception as error:
                outcomes.append(partial(self._fail, request, error))
            else:
                self._models.take(loaded)
                request.loaded = loaded
                self._line.add(request)
                if request.is_computed:  # nothing is asked of it
                    outcomes.append(partial(self._finish, request))
            self._waiting.popleft()
        self._wake_worker()
        return outcomes

    def _finish(self, request: Request) -> None:
        try:
            result = request.finish(request)
        except Exception as error:
            self._fail(request, error)
        else:
            if self._leave(request) and request.future.set_running_or_notify_cancel():
                request.future.set_result(result)

    def _fail(self, request: Request, error: BaseException) -> None:
        if self._leave(request) and request.future.set_running_or_notify_cancel():
            self.activity.count("requests failed")
            request.future.set_exception(_for_others(error))

    def _leave(self, request: Request) -> bool:
        """End with a request: it is computed no further. False if that was done before."""
        with self._lock:
            if request.is_over:
                return False
            request.is_over = True
            self._line.remove(request)
            if request in self._waiting:
                self._waiting.remove(request)
            if request.loaded is not None:
                self._models.release(request.loaded)
            request.let_go()
            self._to_compute.notify()
            self._wake_worker()
            return True


def _for_others(error: BaseException) -> Exception:
    """An error that may be raised in another thread. Panics of Rust, and ComfyUI's Cancel, are none that end one."""
    if isinstance(error, Exception):
        return error
    found = RuntimeError(f"{type(error).__name__}: {error}")
    found.__cause__ = error
    return found


def _report(outcomes: Sequence[Callable[[], object]]) -> None:
    for outcome in outcomes:
        outcome()
