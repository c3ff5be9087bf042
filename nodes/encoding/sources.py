"""Where the features come from that adapters read, by their names.

Letters: B pictures, S the side of the square picture that an encoder reads.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch

from .encoder import Encoder, encode_pixel_values
from .features import ENCODED


@dataclass(frozen=True, eq=False)
class Given:
    """What features are made of.

    encoder: the image encoder
    pixel_values: the pictures as it reads them, (B, 3, S, S)
    image: the pictures as the node was given them, (B, H, W, C) in 0..1
    """

    encoder: Encoder
    pixel_values: torch.Tensor
    image: torch.Tensor


def _encoded(field: str, given: Given) -> torch.Tensor:
    return encode_pixel_values(given.encoder, given.pixel_values, (field,))[field]


SOURCES: Mapping[str, Callable[[Given], torch.Tensor]] = {
    feature: partial(_encoded, field) for feature, field in ENCODED.items()
}
