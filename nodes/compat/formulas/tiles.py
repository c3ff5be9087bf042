"""Cut pictures into tiles, and join what an encoder makes of tiles.

Letters: B pictures, M masks, H height, W width, C channels, G tiles along each side, P places along each side of a
feature map, D width of features.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from .pictures import cropped, resized, sharpened, square

TILE = 256  # pixels
LONGEST = 4 * TILE
SQUARE = (0.75, 1.33)  # height to width of pictures from which a square is cut; both ends excluded


@dataclass(frozen=True, eq=False)
class Tile:
    """One tile of all pictures.

    picture: (B, 256, 256, C)
    mask: (M, H, W), where the tile acts in the whole: 0 outside of the tile
    inner: (M, 256, 256), the part of the mask that is inside the tile
    """

    picture: Tensor
    mask: Tensor
    inner: Tensor


def cut(image: Tensor, mask: Tensor | None, sharpening: float) -> list[Tile]:
    """The tiles of pictures (B, H, W, C), row by row, which overlap unless the pictures are nearly square.

    mask: (M, H, W) of any size, which is stretched to that of the pictures; None: white
    """
    if mask is None:
        mask = image.new_ones(1, *image.shape[1:3])
    image, mask = _on_canvas(image, stretched(mask, image.shape[1], image.shape[2]))
    image = sharpened(image, sharpening)
    height, width = image.shape[1:3]
    return [_tile(image, mask, top, left) for top in _starts(height) for left in _starts(width)]


def quartered(image: Tensor, along: int) -> Tensor:
    """Pictures (B, H, W, C) cut into G x G tiles without overlap, (G * G * B, H // G, W // G, C).

    The first tile of all pictures comes first, then the next in the row. What is left over below and right is lost.
    """
    pictures, height, width, channels = image.shape
    high, wide = height // along, width // along
    if not high or not wide:
        raise ValueError(
            f"The image is {width}x{height} pixels large, too small for {along} x {along} tiles: enlarge it, or choose "
            "fewer tiles."
        )
    rows = image[:, : high * along, : wide * along].reshape(pictures, along, high, along, wide, channels)
    return rows.permute(1, 3, 0, 2, 4, 5).reshape(-1, high, wide, channels)


def merged_tokens(hidden: Tensor, along: int) -> Tensor:
    """The hidden states (B, 1 + P * P, D) of pictures from those of their tiles (G * G * B, 1 + P * P, D).

    The tiles are in the order of `quartered`. The class tokens are averaged; the maps of all tiles are joined, and
    shrunk to the size of one.
    """
    side = _side(hidden.shape[1] - 1, "a class token and a square of others", f"{hidden.shape[1]} tokens")
    first = hidden[:, :1].unflatten(0, (along * along, -1)).mean(0)
    maps = _merged(hidden[:, 1:].unflatten(1, (side, side)), along)
    return torch.cat((first, maps.flatten(1, 2)), dim=1)


def merged_embeds(embeds: Tensor, along: int) -> Tensor:
    """The image_embeds (B, D) of pictures from those of their tiles (G * G * B, D), in the order of `quartered`.

    Each vector is read as a square map, which is joined and shrunk as the tokens are.
    """
    side = _side(embeds.shape[1], "image_embeds whose width is a square number, such as 1024", f"{embeds.shape[1]}")
    return _merged(embeds.unflatten(1, (side, side)).unsqueeze(-1), along).flatten(1)


def stretched(mask: Tensor, height: int, width: int) -> Tensor:
    """Masks (M, H, W) of this size. Their numbers may lie a little beyond 0 and 1 at edges, as bicubic makes them."""
    if mask.shape[1:] == (height, width):
        return mask
    return interpolate(mask.unsqueeze(1), (height, width), mode="bicubic", antialias=True).squeeze(1)


def _on_canvas(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures and masks of one size, brought to the size that is cut into tiles."""
    height, width = image.shape[1:3]
    if SQUARE[0] < height / width < SQUARE[1]:
        size = (2 * TILE, 2 * TILE)
        return resized(square(image), size), stretched(square(mask), *size)
    size = (int(TILE * (height / width)), TILE) if height > width else (TILE, int(TILE * (width / height)))
    high, wide = min(size[0], LONGEST), min(size[1], LONGEST)
    return cropped(resized(image, size), high, wide), cropped(stretched(mask, *size), high, wide)


def _starts(length: int) -> list[int]:
    """Where the tiles along one axis begin."""
    count = math.ceil(length / TILE)
    overlap = (TILE * count - length) / (count - 1) if count > 1 else 0
    return [int(number * (TILE - overlap)) for number in range(count)]


def _tile(image: Tensor, mask: Tensor, top: int, left: int) -> Tile:
    inside = slice(None), slice(top, top + TILE), slice(left, left + TILE)
    alone = torch.zeros_like(mask)
    alone[inside] = mask[inside]
    return Tile(image[inside], alone, mask[inside])


def _side(places: int, expected: str, found: str) -> int:
    side = math.isqrt(max(places, 0))
    if not side or side * side != places:
        raise ValueError(
            f"The tiles of a picture can only be joined if the encoder gives {expected}, and it gives {found}: use "
            "another encoder, or a node without tiles."
        )
    return side


def _merged(maps: Tensor, along: int) -> Tensor:
    """The maps (B, P, P, D) of pictures from those of their tiles (G * G * B, P, P, D)."""
    tiles = maps.unflatten(0, (along, along, -1))  # rows, columns, B, P, P, D
    joined = tiles.permute(2, 5, 0, 3, 1, 4).flatten(4, 5).flatten(2, 3)  # B, D, G * P, G * P
    return avg_pool2d(joined, along).permute(0, 2, 3, 1)
