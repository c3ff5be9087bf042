"""Where the features come from that adapters read, by their names.

Letters: B pictures, S the side of the square picture that an encoder reads.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from .encoder import Encoder, encode_pixel_values
from .features import ENCODED


@dataclass(frozen=True, eq=False)
class Faces:
    """What adapters for faces read beside an image encoder.

    finder: what finds faces in pictures, or None
    settings: numbers that nodes were given for them, by the names of the inputs
    found: the faces that were found, (1, side, side, 3) each, to which whoever finds one adds it
    """

    finder: Any = None
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    found: list[torch.Tensor] = field(default_factory=list[torch.Tensor])

    @property
    def pictures(self) -> torch.Tensor | None:
        """The faces that were found, as one batch; None if there are none."""
        return torch.cat(self.found) if self.found else None


@dataclass(frozen=True, eq=False)
class Given:
    """What features are made of.

    encoder: the image encoder
    pixel_values: the pictures as it reads them, (B, 3, S, S)
    image: the pictures as the node was given them, (B, H, W, C) in 0..1
    faces: what adapters for faces read besides
    """

    encoder: Encoder
    pixel_values: torch.Tensor
    image: torch.Tensor
    faces: Faces


def _encoded(field: str, given: Given) -> torch.Tensor:
    return encode_pixel_values(given.encoder, given.pixel_values, (field,))[field]


SOURCES: Mapping[str, Callable[[Given], torch.Tensor]] = {
    feature: partial(_encoded, field) for feature, field in ENCODED.items()
}
