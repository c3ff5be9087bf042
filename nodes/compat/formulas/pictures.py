"""Cut squares out of pictures, resize them in 8 bit and sharpen them. B pictures, H height, W width, C channels."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

FILTERS: Mapping[str, Image.Resampling] = {
    name: Image.Resampling[name] for name in ("LANCZOS", "BICUBIC", "HAMMING", "BILINEAR", "BOX", "NEAREST")
}
POSITIONS: Mapping[str, tuple[float, float]] = {  # of the square: which part of what is left over lies above and left
    "top": (0, 0.5),
    "bottom": (1, 0.5),
    "left": (0.5, 0),
    "right": (0.5, 1),
    "center": (0.5, 0.5),
}
PAD = "pad"
SIDE = 224  # pixels that an encoder reads
FACE_SIDE, FACE_BORDER = 640, 30  # pixels in which faces are looked for
CROSS = ((0, 1), (1, 0), (1, 2), (2, 1))  # (row, column) of the neighbours of (1, 1)
CORNERS = ((0, 0), (0, 2), (2, 0), (2, 2))


def prepared(image: Tensor, interpolation: str, crop_position: str, sharpening: float) -> Tensor:
    """The squares (B, 224, 224, C) of pictures (B, H, W, C): a part of each, or with "pad" all of it on black.

    A padded picture is one pixel from being a square if its sides differ by an odd number, and loses its proportions.
    """
    squares = _padded(image) if crop_position == PAD else square(image, crop_position)
    return sharpened(resized(squares, (SIDE, SIDE), interpolation), sharpening)


def for_faces(image: Tensor, crop_position: str, sharpening: float, pad_around: bool) -> Tensor:
    """The squares (B, 640, 640, C) of pictures (B, H, W, C), in which faces are found; with a white border if asked."""
    border = FACE_BORDER if pad_around else 0
    side = FACE_SIDE - 2 * border
    inner = resized(square(image, crop_position), (side, side))
    return sharpened(pad(inner, (0, 0, border, border, border, border), value=1.0), sharpening)


def square(image: Tensor, crop_position: str = "center") -> Tensor:
    """A square of pictures (B, H, W, ...) as large as their short side allows."""
    height, width = image.shape[1:3]
    above, left = POSITIONS[crop_position]
    return cropped(image, min(height, width), min(height, width), above, left)


def cropped(image: Tensor, height: int, width: int, above: float = 0.5, left: float = 0.5) -> Tensor:
    """The part of pictures (B, H, W, ...) that has this size.

    above, left: which part of what is left over lies there
    """
    top, start = int((image.shape[1] - height) * above), int((image.shape[2] - width) * left)
    return image[:, top : top + height, start : start + width]


def resized(image: Tensor, size: tuple[int, int], interpolation: str = "LANCZOS") -> Tensor:
    """Pictures of this height and width, resized in 8 bit. Numbers between two steps of 8 bit become the lower one."""
    bytes_ = (checked(image).detach().cpu().float().clamp(0, 1) * 255).byte().numpy()
    pictures = [_resized(each, size, FILTERS[interpolation]) for each in bytes_]
    return torch.from_numpy(np.stack(pictures)).float().div(255)


def checked(image: Tensor, name: str = "image") -> Tensor:
    """Refuse a batch without pictures, and numbers that are NaN or infinite."""
    if not image.numel():
        raise ValueError(f"The {name} has the shape {tuple(image.shape)}, which holds no picture: connect one.")
    if not image.isfinite().all():
        raise ValueError(f"The {name} holds NaN or infinite numbers: check the node that makes it.")
    return image


def sharpened(image: Tensor, amount: float) -> Tensor:
    """Pictures (B, H, W, C) sharpened most where their contrast is low (contrast-adaptive sharpening).

    Outside of a picture lies black, so that its rim becomes darker.

    amount: 0 (leave them as they are) to 1
    """
    if amount <= 0:
        return image
    near, corners = _shifted(image, CROSS), _shifted(image, CORNERS)
    low = torch.minimum(near.amin(0), image).clamp(min=0) + corners.amin(0).clamp(min=0)
    high = torch.maximum(near.amax(0), image).clamp(max=1) + corners.amax(0).clamp(max=1)
    contrast = (torch.minimum(low, 2 - high) / high).sqrt()
    share = -contrast * (amount * (1 / 5 - 1 / 8) + 1 / 8)
    return ((near.sum(0) * share + image) / (1 + 4 * share)).nan_to_num().clamp(0, 1)  # 0 / 0 where all is black


def _shifted(image: Tensor, places: Sequence[tuple[int, int]]) -> Tensor:
    """Pictures (B, H, W, C) seen from places in a black frame of one pixel, (places, B, H, W, C)."""
    height, width = image.shape[1:3]
    framed = pad(image, (0, 0, 1, 1, 1, 1))
    return torch.stack([framed[:, row : row + height, column : column + width] for row, column in places])


def _padded(image: Tensor) -> Tensor:
    """Pictures with black at both ends of the short axis, half of the difference at each, rounded down."""
    height, width = image.shape[1:3]
    above, left = max(width - height, 0) // 2, max(height - width, 0) // 2
    return pad(image, (0, 0, left, left, above, above))


def _resized(pixels: np.ndarray, size: tuple[int, int], interpolation: Image.Resampling) -> np.ndarray:
    """One picture (H, W, C) of bytes."""
    height, width = size
    grey = pixels.shape[-1] == 1
    picture = Image.fromarray(pixels[..., 0] if grey else pixels).resize((width, height), interpolation)
    return np.asarray(picture).reshape(height, width, -1)


def colours(image: Tensor) -> Tensor:
    """A picture without alpha, and grey in three channels."""
    return image[..., :3] if image.shape[-1] >= 3 else image[..., :1].expand(*image.shape[:-1], 3)


def eight_bits(image: Tensor) -> Tensor:
    """Pictures (B, H, W, C) -> (B, H, W, 3) uint8, cut down, not rounded."""
    return colours(image).float().mul(255.0).clamp(0, 255).to(torch.uint8).cpu()
