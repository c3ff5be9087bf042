"""What the service asks of an encoder. Letters: n inputs, D numbers of a vector."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from ...references.embedding import Logit
from ...references.inputs import Input
from ...references.space import Space


@dataclass(frozen=True)
class Wish:
    """How inputs are embedded.

    dimensions: only the first so many numbers, made of length 1 again; None for all. Only models that were trained for
        it do this
    instruction: what a vision-language model is asked to do with the input; None for its default
    pooling: "last" or "mean", of a vision-language model; None for its default
    """

    dimensions: int | None = None
    instruction: str | None = None
    pooling: str | None = None


@dataclass(frozen=True, eq=False)
class Prepared:
    """An input as the encoder reads it.

    batch: only inputs whose `batch` is equal are computed at once; None: it is computed alone
    value: what `compute` takes, such as pixel values or the ids of tokens
    tokens: how many the encoder reads: of the text, and of the patches of the picture
    warning: a sentence where a part of the input is not seen; otherwise empty
    """

    batch: Hashable
    value: Any
    tokens: int
    warning: str = ""


class Model(Protocol):
    """A loaded encoder. One thread calls `compute` and `close`. The rest is called by any thread, also meanwhile."""

    @property
    def space(self) -> Space:
        """Of the whole vectors, by the default pooling."""
        ...

    @property
    def logit(self) -> Logit | None: ...

    def space_of(self, wish: Wish) -> Space:
        """The space of what is embedded so.

        Raises:
            ValueError: the encoder cannot do what is wished, and what it can do.
        """
        ...

    def prepare(self, given: Input, wish: Wish) -> Prepared:
        """Prepare an input for `compute`, in a thread beside it.

        Raises:
            ValueError: the encoder does not read such an input, or cannot do what is wished.
            Busy: it cannot be prepared now.
        """
        ...

    def compute(self, prepared: Sequence[Prepared]) -> Tensor:
        """(n, D) of length 1, fp32 on the CPU, of inputs with an equal `batch`; not yet shortened.

        Raises:
            Busy: it cannot be computed now.
        """
        ...

    def info(self) -> dict[str, Any]:
        """Plain data, without any path."""
        ...

    def close(self) -> None: ...


class Models(Protocol):
    """The encoders that may be asked for, by name. The thread that computes calls `load`, any thread the rest."""

    def names(self) -> Sequence[str]: ...

    def load(self, name: str) -> Model:
        """Load an encoder, one of `names`. The service keeps what it loaded.

        Raises:
            ValueError: its file cannot be used, and why.
            Busy: it cannot be loaded now.
        """
        ...

    def is_current(self, name: str, model: Model) -> bool:
        """Whether the file of a loaded encoder is still the one that it was loaded from."""
        ...


class Busy(ValueError):
    """What is asked for cannot be computed now, and may be later.

    seconds: after which to ask again
    """

    def __init__(self, why: str, seconds: int = 5) -> None:
        super().__init__(why)
        self.seconds = seconds


class UnknownModel(ValueError):
    """No encoder of this name is listed."""
