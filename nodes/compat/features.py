"""The features that an adapter reads, as cubiq/ComfyUI_IPAdapter_plus makes them of pictures.

Letters: B pictures, S the side of the square picture that an encoder reads, N references, D and W feature widths.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from comfy.clip_model import clip_preprocess

from ...ip_adapter import Features, IPAdapter
from .. import input_checks
from ..encoding.adapter_features import checked_features
from ..encoding.encoder import Encoder
from ..encoding.faces.faces_in_pictures import Looked
from ..encoding.sources import SOURCES, Given
from .faces import Faces
from .formulas.combining import combined, held
from .formulas.pictures import checked, colours, square
from .formulas.tiles import merged_embeds, merged_tokens, quartered, stretched

MERGED: Mapping[str, Callable[[torch.Tensor, int], torch.Tensor]] = {  # feature -> how that of tiles becomes one
    "penultimate": merged_tokens,
    "image_embeds": merged_embeds,
}
HIDDEN = "penultimate"
OF_CROPS = ("face_penultimate", "face_box_penultimate")  # features that are the hidden states of the crops of faces
RAW = "face_embeds_raw"
IDENTITIES = ("face_embeds", RAW)
MOST_TILES = 16

MakeEncoder = Callable[[], Encoder]  # called only where an encoder is needed


def picture_features(
    adapter: IPAdapter,
    encoder: MakeEncoder,
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
    faces: how faces are found, for adapters that read them

    Raises:
        ValueError: there is no picture, or no face in one; tiles of such features cannot be put together.
    """
    if adapter.family.reads_faces:
        found = _face_features(adapter, encoder, image, name, tiles, ratio, faces or Faces())
    else:
        found = _image_features(adapter, encoder, image, name, tiles, ratio, mask)
    return checked_features(adapter, found, name)


def _face_features(
    adapter: IPAdapter, encoder: MakeEncoder, image: Any, name: str, tiles: int, ratio: float, faces: Faces
) -> Features:
    """The features of the face in each picture, and where tiles are a second reference, the same face again."""
    names = [reads.name for reads in adapter.reads]
    if odd := [each for each in names if each not in (*IDENTITIES, *OF_CROPS)]:
        raise ValueError(
            f"{adapter.title} reads {' and '.join(odd)}, which this node does not make: use Encode Face Prompt and "
            "Apply IP-Adapter, or the nodes of its own pack."
        )
    looked = faces.look_for_all(image, name)
    crops = faces.crops(looked, adapter)
    raw = RAW in names and not adapter.family.through_model  # for Kolors, the other pack takes the normalised one too
    identity = _identity(looked, raw)
    hidden = _hidden(encoder(), crops, name, tiles, ratio) if any(each in OF_CROPS for each in names) else identity
    return {each: hidden if each in OF_CROPS else held(identity, len(hidden)) for each in names}


def _identity(looked: Sequence[Looked], raw: bool) -> torch.Tensor:
    faces = [face for each in looked for face in each.chosen]
    return torch.from_numpy(np.stack([face.embedding if raw else face.normed for face in faces])).float()


def _hidden(encoder: Encoder, image: torch.Tensor, name: str, tiles: int = 1, ratio: float = 1.0) -> torch.Tensor:
    """The hidden states of pictures. The arguments are those of `picture_features`."""
    given = as_seen(encoder, image, name)
    return _with_tiles(HIDDEN, SOURCES[HIDDEN](given), given, tiles, ratio)


def _image_features(
    adapter: IPAdapter,
    encoder: MakeEncoder,
    image: Any,
    name: str,
    tiles: int,
    ratio: float,
    mask: torch.Tensor | None,
) -> Features:
    given = as_seen(encoder(), image, name, mask)
    names = [reads.name for reads in adapter.reads]
    return {each: _with_tiles(each, SOURCES[each](given), given, tiles, ratio) for each in names}


def as_seen(encoder: Encoder, image: Any, name: str, mask: torch.Tensor | None = None) -> Given:
    """Pictures (B, H, W, C) as core prepares them for an encoder. `name`, `mask`: as in `picture_features`."""
    image = colours(checked(input_checks.image(image, name), name)).float().cpu()
    size, mean, std = encoder.image_size, list(encoder.image_mean), list(encoder.image_std)
    pixels = clip_preprocess(image, size=size, mean=mean, std=std, crop=True).float()
    pixels = pixels if mask is None else pixels * _square(mask, size, len(pixels))
    return Given(encoder, pixels, image)


def _with_tiles(feature: str, whole: torch.Tensor, given: Given, tiles: int, ratio: float) -> torch.Tensor:
    """A feature of pictures, and of what is seen of them more closely."""
    tiles = min(tiles, MOST_TILES)
    if tiles <= 1:
        return whole
    closer = as_seen(given.encoder, quartered(given.image, tiles), "tiles")
    merged = MERGED[feature](SOURCES[feature](closer), tiles).to(whole)
    if len(whole) == 1:
        return torch.cat([whole * ratio, merged])
    return whole * ratio + merged * (1.0 - ratio)


def negative_features(adapter: IPAdapter, encoder: MakeEncoder, like: Features, image: Any = None) -> Features:
    """The features of the negative images, or where there are none, of a black picture or zeros.

    Nobody looks for faces in negative images: the identity that goes with them is zero.

    like: the features of the references
    """
    if image is not None:
        checked(input_checks.image(image, "image_negative"), "image_negative")
    if adapter.family.reads_faces:
        return _faceless(encoder, like, image)
    if image is not None:
        return picture_features(adapter, encoder, image, "image_negative")
    return {name: _neutral(name, encoder, each) for name, each in like.items()}


def _faceless(encoder: MakeEncoder, like: Features, image: Any) -> Features:
    names = [name for name in like if name in OF_CROPS]
    if names and image is not None:
        hidden = _hidden(encoder(), image, "image_negative")
    else:
        hidden = black_feature(HIDDEN, encoder()) if names else torch.zeros(1)
    return {
        name: hidden.to(each) if name in names else each.new_zeros(len(hidden), *each.shape[1:])
        for name, each in like.items()
    }


def _neutral(feature: str, encoder: MakeEncoder, like: torch.Tensor) -> torch.Tensor:
    """The negative of a feature is zero, but that of hidden states is that of a black picture."""
    return black_feature(feature, encoder()).to(like) if feature == HIDDEN else torch.zeros_like(like[:1])


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
