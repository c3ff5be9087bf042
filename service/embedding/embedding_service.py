"""Embeddings for programs that keep running. Letters: A, B inputs that are compared."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, cast

import torch

from ...references.embedding import Embedding
from ...references.inputs import Input
from ...references.similarity import cosines, probabilities
from ...references.space import Space
from ..activity import Activity
from .engine import Engine
from .line import Request
from .loaded_models import LoadedModels
from .model import Models, UnknownModel, Wish
from .results import Compared, Embedded

ALL = Wish()
LARGEST_WORKERS = 256  # threads
LONGEST = 365 * 24 * 3600  # seconds: threads cannot wait for ever so long
MOST_WORKERS = 4


class EmbeddingService:
    """Embeds texts and pictures for all that ask, with one loaded model each. Any thread may use it; `with` closes it.

        with EmbeddingService(FileModels(["CLIP-ViT-B-32.safetensors"])) as service:
            embedded = service.embed("CLIP-ViT-B-32.safetensors", [Input("a red bicycle"), Input(image="photo.jpg")])

    A model is loaded when it is first asked for, and anew when its file changed. Requests that come while others are
    computed are joined into one batch; nothing waits for others to come.

    models: that may be asked for, by name
    batch_size: inputs that are computed at once, at most
    workers: threads that decode pictures and tokenise texts, ahead of the computation; None: one for each core, four
        at most, as more get into each other's way
    most_loaded: models that are loaded at once, at most; the one that was not used for the longest time gives way
    unload_after: seconds without use after which a model is let go; None: never for that reason
    """

    def __init__(
        self,
        models: Models,
        *,
        batch_size: int = 32,
        workers: int | None = None,
        most_loaded: int = 2,
        unload_after: float | None = None,
    ) -> None:
        workers = min(MOST_WORKERS, os.cpu_count() or 1) if workers is None else workers
        for what, number in (("batch_size", batch_size), ("workers", workers), ("most_loaded", most_loaded)):
            _check_count(what, number)
        if workers > LARGEST_WORKERS:
            raise ValueError(f"workers is {workers:,}: each is a thread, and {LARGEST_WORKERS} are the most.")
        if unload_after is not None and not 0 < unload_after <= LONGEST:
            raise ValueError(
                f"unload_after is {unload_after!r}: give seconds above 0, {LONGEST:,} at most, or None to keep models "
                "loaded."
            )
        self._models = models
        self._settings = {
            "batch_size": batch_size,
            "workers": workers,
            "most_loaded": most_loaded,
            "unload_after": unload_after,
        }
        self._engine = Engine(LoadedModels(models, most_loaded, unload_after), batch_size, workers, Activity())
        self._close = weakref.finalize(self, self._engine.close)  # also when the program ends

    def __enter__(self) -> EmbeddingService:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def names(self) -> list[str]:
        """The models that may be asked for."""
        return list(self._models.names())

    def embed(self, name: str, inputs: Sequence[Input], wish: Wish = ALL) -> Embedded:
        """The vectors of inputs, in their order.

        Raises:
            UnknownModel: no model has this name; the text lists those there are.
            Busy: it cannot be computed now.
            ValueError: the model's file cannot be used, it cannot do what is wished, an input cannot be read
                ("Input 3: ..."), or the service was closed.
        """
        return _result(self.submit(name, inputs, wish))

    def submit(self, name: str, inputs: Sequence[Input], wish: Wish = ALL) -> Future[Embedded]:
        """As `embed`, without waiting. A future that is cancelled is not computed any further.

        What `embed` raises about its arguments is raised now, the rest by the future.
        """
        checked = _checked(inputs)
        return self._submit(name, checked, wish, [f"Input {number + 1}" for number in range(len(checked))], _embedded)

    def compare(self, name: str, a: Sequence[Input], b: Sequence[Input], wish: Wish = ALL) -> Compared:
        """How alike each of `a` and each of `b` are. Raises what `embed` does ("Input 3 of a: ...")."""
        return _result(self.submit_comparison(name, a, b, wish))

    def submit_comparison(
        self, name: str, a: Sequence[Input], b: Sequence[Input], wish: Wish = ALL
    ) -> Future[Compared]:
        """As `compare`, without waiting, as `submit`."""
        given = {"a": _checked(a, " of a"), "b": _checked(b, " of b")}
        labels = [f"Input {number + 1} of {which}" for which, some in given.items() for number in range(len(some))]
        count = len(given["a"])
        return self._submit(
            name, [*given["a"], *given["b"]], wish, labels, lambda request: _compared(_embedded(request), count)
        )

    def space_of(self, name: str, wish: Wish = ALL) -> Space:
        """The space of what a model embeds so; loads the model. Raises what `embed` does."""
        return _result(self._submit(name, [], wish, [], lambda request: request.model.model.space_of(wish)))

    def info(self) -> dict[str, Any]:
        """Plain data, without paths: the models, which of them are loaded, and what was done, in seconds."""
        found = self._engine.info()
        loaded = found.pop("loaded")
        names = dict.fromkeys([*self.names(), *loaded])
        return {
            "models": [{"name": name, "loaded": name in loaded, **loaded.get(name, {})} for name in names],
            **self._settings,
            **found,
            "activity": self._engine.activity.summary(),
        }

    def unload(self) -> None:
        """Let go of all models, those in use as soon as the requests that came before are done. They load anew."""
        self._engine.unload()

    def close(self) -> None:
        """End with what is computed now, and let go of all models. Requests that wait, and later ones, fail."""
        self._close()

    def _submit(
        self, name: str, inputs: list[Input], wish: Wish, labels: list[str], finish: Callable[[Request], Any]
    ) -> Future[Any]:
        if name not in (names := self.names()):
            known = f"There are: {', '.join(names)}." if names else "There is none."
            raise UnknownModel(f"No encoder is called {name!r}. {known}")
        request = Request(name, inputs, wish, labels, finish)
        self._engine.submit(request)
        activity = self._engine.activity
        activity.count("requests")
        for of in ("text", "image"):
            if count := request.of.count(of):
                activity.count({"text": "texts", "image": "pictures"}[of], count)
        return request.future


def _result(future: Future[Any]) -> Any:
    try:
        return future.result()
    finally:
        future.cancel()  # where the wait was interrupted


def _embedded(request: Request) -> Embedded:
    """The vectors of a request that is computed."""
    model, wish, of = request.model.model, request.wish, request.of
    vectors = torch.stack([request.vectors[number] for number in range(len(of))])
    whole = model.space_of(replace(wish, dimensions=None))
    embedding = Embedding.of_vectors(vectors, whole, "image" if "image" in of else "text", model.logit)
    return Embedded(
        embedding if wish.dimensions is None else embedding.shortened(wish.dimensions),
        of,
        request.tokens,
        tuple(request.warnings[number] for number in sorted(request.warnings)),
    )


def _compared(both: Embedded, count: int) -> Compared:
    """Of inputs of which the first so many are compared with the others."""
    kinds = (both.of[:count], both.of[count:])
    a, b = (
        replace(both.embedding.rows(range(*ends)), of="image" if "image" in of else "text")
        for of, ends in zip(kinds, ((0, count), (count, len(both.of))))
    )
    are_likely = set(kinds[0]) == {"text"} and set(kinds[1]) == {"image"} and a.logit is not None
    return Compared(cosines(a, b), probabilities(a, b) if are_likely else None, both.tokens, both.warnings)


def _checked(inputs: object, where: str = "") -> list[Input]:
    several = list(cast("Sequence[object]", inputs)) if isinstance(inputs, (list, tuple)) else None
    if several is None or not all(isinstance(each, Input) for each in several):
        raise ValueError(
            f"The inputs{where} are no list of Input: give [Input('a red bicycle'), Input(image='photo.jpg')]."
        )
    if not several:
        raise ValueError(f"There are no inputs{where}: give one or more.")
    return cast("list[Input]", several)


def _check_count(what: str, number: object) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError(f"{what} is {number!r}: give a whole number, 1 or more.")
