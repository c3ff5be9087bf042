"""The squares that an encoder reads of pictures: one of each, its tiles, or what a mask shows.

Letters: B pictures, S the side of the square that an encoder reads, T tiles of a picture.
"""

import torch
from comfy_api.latest import io

from ...clip_vision import CROPS, Crop, Edges, clear_outside, crop_to_mask, cut_tiles, fit, mask_box, read_box
from ...clip_vision.config import Rgb
from ...clip_vision.pictures.images import Pictures, to_rgb
from ...clip_vision.pictures.masking import MARGIN
from ...clip_vision.pictures.preprocessing import BLACK
from ...clip_vision.pictures.tiling import ALONG, MOST_ALONG
from .. import input_checks
from .encoder import Encoder

BACKGROUNDS: dict[str, Rgb] = {"black": (0.0, 0.0, 0.0), "grey": (0.5, 0.5, 0.5), "white": (1.0, 1.0, 1.0)}
TILES = "tiles"
AROUND_MASK = "mask"
BY_HAND = "box"
CROPS_AND_TILES = (*CROPS, TILES)
BACKGROUND_OUTSIDE, PICTURE_OUTSIDE = OUTSIDE = ("background", "picture")


def background_input(where: str) -> io.Combo.Input:
    return io.Combo.Input(
        "background",
        options=list(BACKGROUNDS),
        default="black",
        optional=True,
        tooltip=f"Colour of the bars that 'pad' adds, {where}.",
        advanced=True,
    )


def tiles_input() -> io.Int.Input:
    return io.Int.Input(
        "tiles",
        default=ALONG,
        min=1,
        max=MOST_ALONG,
        optional=True,
        tooltip="With the crop 'tiles': how many squares lie along the short side. As many as cover the image lie "
        "along the long one. Each is a reference of its own: more of them show smaller details.",
        advanced=True,
    )


def one_by_one(image: torch.Tensor) -> list[torch.Tensor]:
    """The pictures of a batch as a list, (1, H, W, C) each: large ones are read in less memory, and faster."""
    return list(image.split(1))


def placed_by_hand(box: str) -> Crop:
    """The crop that the text in an input box names; the middle if it is blank. Raises a ValueError for another text."""
    return read_box(box) or "center"


def squares(encoder: Encoder, pictures: Pictures, crop: Crop, background: str, tiles: int = ALONG) -> torch.Tensor:
    """The squares that the encoder reads of pictures, (B, S, S, 3) in 0..1, or (B * T, S, S, 3) of their tiles."""
    if crop != TILES:
        return fit(pictures, encoder.image_size, crop, BACKGROUNDS[background])
    return fit(
        cut_tiles(pictures, tiles, BACKGROUNDS[background]), encoder.image_size, background=BACKGROUNDS[background]
    )


def masked_squares(
    encoder: Encoder,
    image: torch.Tensor,
    crop: Crop,
    background: str,
    tiles: int,
    mask: torch.Tensor,
    outside: str = BACKGROUND_OUTSIDE,
    margin: float = MARGIN,
) -> torch.Tensor:
    """The squares that the encoder reads of an image (B, H, W, C) with a mask (1 or B, H, W), as `squares` gives them.

    outside: what lies outside the mask, one of `OUTSIDE`. With the background there, tiles that hold nothing else are
        left out
    margin: around the mask, as `clip_vision.crop_to_mask` takes it
    """
    shown = fitting_mask(mask, image).unsqueeze(-1)
    color = BACKGROUNDS[background]
    cleared = outside == BACKGROUND_OUTSIDE
    pictures: Pictures = clear_outside(one_by_one(image), shown, color) if cleared else one_by_one(image)
    if crop == AROUND_MASK:
        return fit(crop_to_mask(pictures, shown, margin, color), encoder.image_size, background=color)
    if crop == TILES and cleared:
        cut = zip(cut_tiles(pictures, tiles, color), cut_tiles(shown.expand(len(image), -1, -1, -1), tiles))
        pictures = [each[inside.bool().flatten(1).any(1)] for each, inside in cut]
        return fit(pictures, encoder.image_size, background=color)
    return squares(encoder, pictures, crop, background, tiles)


def around_mask(image: torch.Tensor, mask: torch.Tensor, margin: float) -> Edges:
    """Where the square lies that the crop 'mask' takes of the first picture."""
    (shown,) = to_rgb(fitting_mask(mask, image)[:1].unsqueeze(-1), BLACK)
    return mask_box(shown[0, 0], margin).edges


def fitting_mask(mask: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """A mask (M, H, W) that is as large as an image (B, H, W, C). Raises a ValueError if it is not."""
    mask = input_checks.mask(mask)
    (height, width), (high, wide) = image.shape[1:3], mask.shape[1:]
    if (height, width) != (high, wide):
        raise ValueError(
            f"The mask is {wide}x{high} pixels large, and the image {width}x{height}: connect a mask of the same size. "
            "(Load Image gives one of 64x64 if the image has no transparent part and no mask was painted on it.)"
        )
    return mask
