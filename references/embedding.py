"""Where pictures and texts lie: vectors, and the space that they live in. Letters: N vectors, D numbers of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from .space import Space

SHORTEST = 1e-6  # a vector that is shorter has no direction


@dataclass(frozen=True)
class Logit:
    """How an encoder of texts and pictures makes a logit of a cosine: `scale * cosine + bias`.

    scale: e to the `logit_scale` of the file
    pairs: whether each pair is judged on its own, by a sigmoid (SigLIP, https://arxiv.org/abs/2303.15343, section 3.2);
        otherwise a softmax over the texts (CLIP, https://arxiv.org/abs/2103.00020, section 2.3)
    """

    scale: float
    bias: float = 0.0
    pairs: bool = False


@dataclass(frozen=True, eq=False)
class Embedding:
    """Vectors (N, D) of length 1, fp32, of pictures or of texts.

    of: "text" or "image", what the vectors are of
    logit: of the encoder, where its file says it
    """

    vectors: Tensor
    space: Space
    of: str
    logit: Logit | None = None

    @classmethod
    def of_vectors(cls, vectors: Tensor, space: Space, of: str, logit: Logit | None = None) -> Embedding:
        """Normalise vectors (N, D) of any float dtype.

        Raises:
            ValueError: another shape, no finite numbers, or a vector without a direction.
        """
        if vectors.ndim != 2 or vectors.shape[1] != space.dimension or not len(vectors):
            raise ValueError(
                f"Vectors of {space.encoder} have the shape (N, {space.dimension}) with N > 0, not "
                f"{tuple(vectors.shape)}."
            )
        vectors = vectors.detach().to("cpu", torch.float32)
        lengths = vectors.square().sum(dim=1).sqrt()
        if (wrong := _first(torch.logical_not(torch.isfinite(lengths) & (lengths > SHORTEST)))) is not None:
            raise ValueError(
                f"The vector of {of} {wrong + 1} of {len(vectors)} has no direction: it is zero or holds no finite "
                "numbers. The encoder's file may be damaged: get it again."
            )
        return cls(F.normalize(vectors, dim=1), space, of, logit)

    def __len__(self) -> int:
        return len(self.vectors)

    def rows(self, numbers: Sequence[int]) -> Embedding:
        return replace(self, vectors=self.vectors[list(numbers)])

    def mean(self) -> Embedding:
        """The direction between all vectors, (1, D). ValueError if they cancel out."""
        return self.of_vectors(self.vectors.mean(dim=0, keepdim=True), self.space, self.of, self.logit)

    def shortened(self, dimensions: int) -> Embedding:
        """The first numbers of each vector, of length 1 again, in the space of so many numbers.

        Only encoders that were trained for it keep their meaning so (https://arxiv.org/abs/2205.13147).

        Raises:
            ValueError: the vectors have fewer, or what is left of one has no direction.
        """
        given = cast(object, dimensions)
        if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= self.space.dimension:
            raise ValueError(
                f"Vectors of {self.space.encoder} have {self.space.dimension} numbers: they cannot be shortened to "
                f"{dimensions!r:.80}."
            )
        space = replace(self.space, dimension=dimensions)
        return self.of_vectors(self.vectors[:, :dimensions], space, self.of, self.logit)


def _first(where: Tensor) -> int | None:
    """The first number of a row that is True; None if there is none."""
    return int(where.int().argmax()) if bool(where.any()) else None
