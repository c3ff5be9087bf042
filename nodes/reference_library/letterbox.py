"""Pictures of different sizes as one batch. Letters: B pictures, H, W sides of the batch."""

import torch

from ...clip_vision.pictures.resample import resize

LONGEST = 1024  # pixels along the longer side, unless somebody asks for another size


def canvas_of(pixels: torch.Tensor, longest: int) -> tuple[int, int]:
    """The height and width of a batch whose first picture is (1, 3, H, W)."""
    height, width = pixels.shape[2:]
    scale = min(1.0, longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def letterboxed(pixels: torch.Tensor, canvas: tuple[int, int]) -> torch.Tensor:
    """A picture (1, 3, h, w) uint8 as large as fits, in the middle of a black canvas: (1, H, W, 3) in 0..1."""
    height, width = canvas
    old_height, old_width = pixels.shape[2:]
    scale = min(height / old_height, width / old_width)
    new_height, new_width = (max(1, round(side * scale)) for side in (old_height, old_width))
    top, left = (height - new_height) // 2, (width - new_width) // 2
    whole = torch.zeros(1, height, width, 3)
    inside = resize(pixels, new_height, new_width).movedim(1, -1)
    whole[:, top : top + new_height, left : left + new_width] = inside.float() / 255
    return whole
