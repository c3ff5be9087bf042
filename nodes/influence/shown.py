"""What a browser draws on Image Prompt Influence Map after a run: js/influence_map/ reads it.

Letters: R references, B pictures, H, W sides.
"""

from typing import Any

import torch

from ..previews import at_most, colours, columns_of, sheet, temporary_file
from .heat import SCALES, resized
from .influence import Record

KEY = "image_prompt_influence_map"
MOST = 64  # maps that are shown
LONGEST = 512  # side of a map, in pixels
EACH = SCALES["share of each maximum"]


def shown_on_node(
    record: Record, maps: torch.Tensor, image: torch.Tensor | None, size: tuple[int, int]
) -> dict[str, list[dict[str, Any]]]:
    """The maps (R, B, H, W) of the first pictures, each as shares of its reference's highest influence.

    image: the pictures behind, (1 or B, H, W, C)
    size: of a picture
    """
    pictures = max(1, min(maps.shape[1], MOST // len(maps)))
    longest = LONGEST / max(*size, LONGEST)
    small = (max(1, round(size[0] * longest)), max(1, round(size[1] * longest)))
    shares = resized(EACH(maps)[:, :pictures].flatten(0, 1), small).unsqueeze(-1).expand(-1, -1, -1, 3)
    behind = None if image is None else at_most(colours(image[:pictures]).float().cpu(), LONGEST).clamp(0, 1)
    return {
        KEY: [
            {
                "maps": temporary_file(sheet(shares)),
                "columns": columns_of(len(shares)),
                "pictures": pictures,
                "height": small[0],
                "width": small[1],
                "behind": None if behind is None else temporary_file(sheet(behind)),
                "behind_columns": 1 if behind is None else columns_of(len(behind)),
                "behind_count": 0 if behind is None else len(behind),
                "references": [
                    {
                        "name": name,
                        "highest": float(values.max()),
                        "means": values[:pictures].mean((1, 2)).tolist(),
                        "highests": values[:pictures].amax((1, 2)).tolist(),
                    }
                    for name, values in zip(record.names, record.maps, strict=True)
                ],
            }
        ]
    }
