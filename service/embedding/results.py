"""What a service of embeddings answers. Letters: A, B inputs that are compared."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...references.embedding import Embedding


@dataclass(frozen=True, eq=False)
class Embedded:
    """Vectors in the order of the inputs.

    embedding: of "image" if any input has a picture
    of: of each input, as `Input.of` says it
    tokens: that the encoder read, of all inputs
    warnings: sentences, of which each begins with its input: "Input 3: ..."
    """

    embedding: Embedding
    of: tuple[str, ...]
    tokens: int
    warnings: tuple[str, ...] = ()

    @property
    def numbers(self) -> int:
        return self.embedding.vectors.numel()


@dataclass(frozen=True, eq=False)
class Compared:
    """How alike inputs are.

    cosines: (A, B), -1..1
    probabilities: (A, B), 0..1, where all of A are texts, all of B pictures, and the file says the logit scale
    tokens, warnings: as `Embedded` has them; "Input 3 of a: ..."
    """

    cosines: Tensor
    probabilities: Tensor | None
    tokens: int
    warnings: tuple[str, ...] = ()

    @property
    def numbers(self) -> int:
        return self.cosines.numel()
