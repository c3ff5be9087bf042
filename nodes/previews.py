"""Pictures that only a browser shows: files in ComfyUI's temporary folder, which the scripts in js/ draw.

Letters: B pictures, H, W sides of a picture, C channels.
"""

import math
import random

import torch
from comfy_api.latest import io, ui
from torch.nn import functional as F

PREFIX = "image_prompt_"
QUICKLY = 1  # how hard PNG tries to make a file small
RANDOM = 1 << 32

File = dict[str, str]  # what ComfyUI's route /view takes


def temporary_file(picture: torch.Tensor) -> File:
    """Write a picture (H, W, 3) in 0..1 into a new file."""
    prefix = f"{PREFIX}{random.SystemRandom().randrange(RANDOM):08x}"  # a seed that somebody has set stays as it is
    (saved,) = ui.ImageSaveHelper.save_images([picture], prefix, io.FolderType.temp, None, QUICKLY)
    return dict(saved)


def columns_of(count: int) -> int:
    """How many pictures stand side by side in a sheet."""
    return math.ceil(count**0.5)


def sheet(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures (B, H, W, C) in one, line by line; places that are left over are black."""
    columns = columns_of(len(pictures))
    lines = -(-len(pictures) // columns)
    pictures = F.pad(pictures, (0, 0, 0, 0, 0, 0, 0, lines * columns - len(pictures)))
    return torch.cat([torch.cat([*line], dim=1) for line in pictures.split(columns)])


def colours(pictures: torch.Tensor) -> torch.Tensor:
    """The colours (B, H, W, 3) of pictures that may be grey or have alpha, (B, H, W, C)."""
    return pictures[..., :3] if pictures.shape[-1] >= 3 else pictures[..., :1].expand(-1, -1, -1, 3)


def at_most(pictures: torch.Tensor, longest: int) -> torch.Tensor:
    """Pictures (B, H, W, C) whose longer side is at most so long."""
    height, width = pictures.shape[1:3]
    if max(height, width) <= longest:
        return pictures
    size = [max(1, round(side * longest / max(height, width))) for side in (height, width)]
    return F.interpolate(pictures.float().movedim(-1, 1), size, mode="area").movedim(1, -1)
