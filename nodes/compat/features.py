"""The features that an adapter reads, as cubiq/ComfyUI_IPAdapter_plus makes them of pictures.

Letters: B pictures, S the side of the square picture that an encoder reads, N references, D and W feature widths.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from comfy.clip_model import clip_preprocess

from ...ip_adapter import Features, IPAdapter
from .. import input_checks
from ..encoding.adapter_features import checked_features
from ..encoding.encoder import Encoder
from ..encoding.sources import SOURCES, Faces, Given
from .formulas.combining import combined, held
from .formulas.pictures import checked, square
from .formulas.tiles import merged_embeds, merged_tokens, quartered, stretched

MERGED: Mapping[str, Callable[[torch.Tensor, int], torch.Tensor]] = {  # feature -> how that of tiles becomes one
    "penultimate": merged_tokens,
    "image_embeds": merged_embeds,
}
BLACK = ("penultimate",)  # features whose negative is that of a black picture; that of all others is zero
MOST_TILES = 16


def picture_features(
    adapter: IPAdapter,
    encoder: Encoder,
    image: Any,
    name: str = "image",
    *,
    mask: torch.Tensor | None = None,
    tiles: int = 1,
    ratio: float = 1.0,
    faces: Faces | None = None,
) -> Features:
    """The features of pictures (B, H, W, C), each (B, D) or (B, N, W).

    name: of the input, for messages
    mask: (M, H, W), by which the pixels are multiplied after they are normalised
    tiles: into how many tiles along each side pictures are cut to be seen more closely; 1: not at all
    ratio: how much of the features is that of the whole picture, the rest is that of the tiles; for one picture, its
        factor, and the tiles are a second reference
    faces: what adapters for faces read besides

    Raises:
        ValueError: there is no picture; tiles of such features cannot be put together.
    """
    given = as_seen(encoder, image, name, mask, faces)
    whole = {reads.name: SOURCES[reads.name](given) for reads in adapter.reads}
    tiles = min(tiles, MOST_TILES)
    if tiles > 1:
        closer = as_seen(encoder, quartered(given.image, tiles), name, faces=faces)
        whole = {feature: _closer(feature, each, closer, tiles, ratio) for feature, each in whole.items()}
    return checked_features(adapter, whole, name)


def as_seen(
    encoder: Encoder, image: Any, name: str, mask: torch.Tensor | None = None, faces: Faces | None = None
) -> Given:
    """Pictures (B, H, W, C) as core prepares them for an encoder. `name`, `mask`: as in `picture_features`."""
    image = _colours(checked(input_checks.image(image, name), name)).float().cpu()
    size, mean, std = encoder.image_size, list(encoder.image_mean), list(encoder.image_std)
    pixels = clip_preprocess(image, size=size, mean=mean, std=std, crop=True).float()
    pixels = pixels if mask is None else pixels * _square(mask, size, len(pixels))
    return Given(encoder, pixels, image, faces or Faces())


def _closer(feature: str, whole: torch.Tensor, given: Given, tiles: int, ratio: float) -> torch.Tensor:
    merged = MERGED[feature](SOURCES[feature](given), tiles).to(whole)
    if len(whole) == 1:
        return torch.cat([whole * ratio, merged])
    return whole * ratio + merged * (1.0 - ratio)


def negative_features(
    adapter: IPAdapter, encoder: Callable[[], Encoder], like: Features, image: Any = None, *, faces: Faces | None = None
) -> Features:
    """The features of the negative images, or where there are none, of a black picture or zeros.

    encoder: gives the encoder, and is called only if it is needed
    like: the features of the references
    """
    if image is not None:
        return picture_features(adapter, encoder(), image, "image_negative", faces=faces)
    return {name: _neutral(name, encoder, each) for name, each in like.items()}


def _neutral(feature: str, encoder: Callable[[], Encoder], like: torch.Tensor) -> torch.Tensor:
    return black_feature(feature, encoder()).to(like) if feature in BLACK else torch.zeros_like(like[:1])


def black_feature(feature: str, encoder: Encoder) -> torch.Tensor:
    """A feature of a black picture, (1, ...)."""
    black = torch.zeros(1, encoder.image_size, encoder.image_size, 3)
    return SOURCES[feature](as_seen(encoder, black, "black picture"))


def combined_pair(cond: Features, uncond: Features, method: str, by_picture: bool) -> tuple[Features, Features]:
    """The references combined into one by a method, with as many negative images as references.

    by_picture: whether each reference is for the picture of its number, so that none is combined
    """
    rows = len(next(iter(cond.values())))
    if rows == 1 or by_picture or method == "concat":
        return cond, {name: _negatives(each, rows) for name, each in uncond.items()}
    return {name: combined(each, method) for name, each in cond.items()}, _first(uncond)


def _negatives(uncond: torch.Tensor, rows: int) -> torch.Tensor:
    """As many negative images as references; a single one says the same as its copies."""
    return uncond if len(uncond) == 1 else held(uncond, rows)


def _first(features: Features) -> Features:
    return {name: each[:1] for name, each in features.items()}


def _square(mask: torch.Tensor, size: int, pictures: int) -> torch.Tensor:
    """A mask as large as the pixels of an encoder: (M, H, W) -> (1 or pictures, 1, S, S)."""
    found = stretched(square(mask), size, size).unsqueeze(1)
    return found if len(found) == 1 else held(found, pictures)


def _colours(image: torch.Tensor) -> torch.Tensor:
    """A picture without alpha, and grey in three channels."""
    return image[..., :3] if image.shape[-1] >= 3 else image[..., :1].expand(*image.shape[:-1], 3)
