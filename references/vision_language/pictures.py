"""A picture of any kind -> one of PIL, of the size that Qwen3-VL reads it in. Letters: H height, W width.

The sizes are those of https://github.com/QwenLM/Qwen3-VL-Embedding.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from PIL import Image

SIDE = 32  # pixels of the square that becomes one token: 2 x 2 patches of 16 x 16
SMALLEST, LARGEST = 4 * SIDE**2, 1800 * SIDE**2  # pixels
NARROWEST = 200  # long side to short side
WHITE = (1.0, 1.0, 1.0)  # behind transparent pictures, as in the official code


def fitted(image: Any, max_pixels: int = LARGEST) -> Image.Image:
    """The whole picture, RGB, with sides that are multiples of 32 and about its own shape.

    image: one picture of any kind that `clip_vision.encode` takes
    max_pixels: it is made smaller where it has more, but no side shorter than 32

    Raises:
        ValueError: it is no picture, it is too narrow, or there are several.
    """
    from PIL import Image

    from ...clip_vision.pictures.images import to_rgb

    check_pixels(max_pixels)
    batches = to_rgb(image, WHITE)  # each (B, 3, H, W)
    if len(batches) != 1 or len(batches[0]) != 1:
        raise ValueError(f"There are {sum(map(len, batches))} pictures in one input: give one picture each.")
    pixels = batches[0][0].permute(1, 2, 0).contiguous()  # (H, W, 3)
    height, width = pixels.shape[:2]
    picture = Image.frombytes("RGB", (width, height), cast("Any", pixels).numpy().tobytes())
    high, wide = size_of(height, width, max_pixels)
    return picture.resize((wide, high), Image.Resampling.BICUBIC)


def tokens_of(picture: Image.Image) -> int:
    """How many tokens a fitted picture is."""
    return picture.width * picture.height // SIDE**2


def size_of(height: int, width: int, max_pixels: int = LARGEST) -> tuple[int, int]:
    """The height and width in which a picture is read. ValueError if it is too narrow."""
    if max(height, width) > NARROWEST * min(height, width):
        raise ValueError(
            f"A picture of {width}x{height} pixels is too narrow: its long side may be {NARROWEST} times its short one."
        )
    near = [max(SIDE, round(side / SIDE) * SIDE) for side in (height, width)]
    if math.prod(near) > max_pixels:
        shrink = math.sqrt(height * width / max_pixels)
        near = [max(SIDE, math.floor(side / shrink / SIDE) * SIDE) for side in (height, width)]
    elif math.prod(near) < SMALLEST:
        grow = math.sqrt(SMALLEST / (height * width))
        near = [math.ceil(side * grow / SIDE) * SIDE for side in (height, width)]
    return near[0], near[1]


def check_pixels(max_pixels: object) -> None:
    """Refuse what is no number of pixels that the model reads."""
    if isinstance(max_pixels, bool) or not isinstance(max_pixels, int) or not SMALLEST <= max_pixels <= LARGEST:
        raise ValueError(f"max_pixels is {max_pixels!r:.80}: give a number from {SMALLEST:,} to {LARGEST:,}.")
