"""Draw maps of numbers as pictures, from black over violet, red and orange to white.

Letters: N maps, H x W pixels.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch.nn import functional as F

COLOURS = ((0.0, 0.0, 0.0), (0.25, 0.05, 0.5), (0.85, 0.15, 0.3), (1.0, 0.6, 0.1), (1.0, 1.0, 0.85))  # of 0 to 1
LIVE = 256  # pixels of the longer side of a live picture, at least
EMPTY = 0.21  # grey of a place in a live picture where no map is, as on ComfyUI's nodes


def _share(maps: torch.Tensor, most: torch.Tensor) -> torch.Tensor:
    return maps / torch.where(most > 0, most, 1.0)


SCALES: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {  # maps of references (R, ...) -> in 0..1
    "share of the maximum": lambda maps: _share(maps, maps.max()),
    "share of each maximum": lambda maps: _share(maps, maps.flatten(1).amax(1).view(-1, *[1] * (maps.ndim - 1))),
    "as measured": lambda maps: maps.clamp(max=1.0),
}


def coloured(values: torch.Tensor) -> torch.Tensor:
    """The colours of values in 0..1: (..., H, W) -> (..., H, W, 3)."""
    colours = values.new_tensor(COLOURS)
    place = values * (len(COLOURS) - 1)
    below = place.long().clamp(0, len(COLOURS) - 2)
    return torch.lerp(colours[below], colours[below + 1], (place - below).unsqueeze(-1))


def drawn_over(pictures: torch.Tensor, values: torch.Tensor, opacity: float) -> torch.Tensor:
    """Pictures (N, H, W, 3) in the colours of values (N, H, W): where a value is 0, a picture stays as it is."""
    return torch.lerp(pictures, coloured(values), opacity * values.unsqueeze(-1))


def resized(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Maps (N, H, W) as large as a picture."""
    return F.interpolate(maps.unsqueeze(1), size, mode="bilinear", align_corners=False)[:, 0]


def live_picture(maps: torch.Tensor) -> torch.Tensor | None:
    """One picture (H, W, 3) of the maps of references (R, pictures, H, W), side by side, for the first picture."""
    if not maps.numel():
        return None
    first = coloured(SCALES["share of the maximum"](maps[:, 0]))
    columns = math.ceil(len(first) ** 0.5)
    lines = math.ceil(len(first) / columns)
    first = F.pad(first, (0, 0, 0, 0, 0, 0, 0, lines * columns - len(first)), value=EMPTY)
    height, width = first.shape[1:3]
    sheet = first.view(lines, columns, height, width, 3).transpose(1, 2).reshape(lines * height, columns * width, 3)
    larger = max(1, LIVE // max(sheet.shape[:2]))
    return sheet.repeat_interleave(larger, 0).repeat_interleave(larger, 1)
