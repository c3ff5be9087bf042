"""What a browser draws on Encode Image Prompt after a run: js/encode/ reads it.

Letters: B pictures, H, W sides of a picture, C channels, N squares, S side of the square that an encoder reads.
"""

from typing import Any

import torch

from ...clip_vision import Edges
from ..previews import at_most, colours, columns_of, sheet, temporary_file

KEY = "image_prompt_encode"
MOST = 16  # squares that are shown
LONGEST = 512  # side of the whole picture, in pixels
SIDE = 256  # of a square that is not alone


def shown_on_node(
    image: torch.Tensor, seen: torch.Tensor, asked: dict[str, Any], edges: Edges | None = None
) -> dict[str, list[dict[str, Any]]]:
    """The first picture (B, H, W, C), and the first squares that the encoder saw (N, S, S, 3), as files.

    asked: the values of inputs by which the squares were made
    edges: where the square lies in the first picture, if these values do not tell
    """
    first = seen[:MOST] if len(seen) == 1 else at_most(seen[:MOST], SIDE)
    return {
        KEY: [
            {
                "seen": temporary_file(sheet(first)),
                "columns": columns_of(len(first)),
                "shown": len(first),
                "count": len(seen),
                "side": seen.shape[1],
                "picture": temporary_file(at_most(colours(image[:1]), LONGEST)[0].float().clamp(0, 1)),
                "height": image.shape[1],
                "width": image.shape[2],
                "asked": asked,
                "edges": edges and edges._asdict(),
            }
        ]
    }
