"""Small random files in the published layout: true feature and context widths, narrow blocks and resamplers."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from image_prompt.devtools import published
from image_prompt.devtools.published import Shapes

Parts = dict[str, dict[str, Tensor]]

PROJECTIONS: dict[str, Callable[..., Shapes]] = {
    "base": published.base,
    "full-face": published.full_face,
    "plus": lambda context, **sizes: published.resampler(context, **{"heads": 2, **sizes}),
    "Kolors plus": lambda context: published.resampler(context, width=1024, dim=2048, heads=12, depth=1),
    "FaceID": published.identity,
    "FaceID plus": published.identity_perceiver,
    "PuLID": lambda context: published.pulid(context, hidden=24),
    "PuLID v1.1": lambda context, **sizes: published.pulid_former(context, **{"hidden": 24, **sizes}),
    "Instruct": published.instruct,
}
UNETS = {"SD1.5": (768, "ip-adapter_sd15"), "SDXL": (2048, "ip-adapter_sdxl")}


def narrow_widths(layout: str) -> list[int]:
    """The widths of the layers of a published file, a tenth as large."""
    return [shape[0] // 10 for key, shape in published.shapes(layout).items() if key.endswith("to_k_ip.weight")]


@pytest.fixture
def make_file() -> Callable[..., Parts]:
    """Make files as in a published .bin, no two equal: make_file(family, unet) -> {"image_proj": {}, ...}."""

    def make(family: str = "base", unet: str = "SD1.5", **sizes: int) -> Parts:
        context, layout = UNETS[unet]
        shapes = published.adapter(PROJECTIONS[family](context, **sizes), narrow_widths(layout), context)
        return published.nested(published.fill(shapes, int(torch.randint(1 << 30, ())), spread=0.1))

    return make


@pytest.fixture
def flatten() -> Callable[[Parts], dict[str, Tensor]]:
    """The keys of a file joined with dots, as in a published .safetensors."""
    return lambda parts: {f"{part}.{key}": tensor for part, sd in parts.items() for key, tensor in sd.items()}
