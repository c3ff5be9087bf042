"""Inputs of nodes of IPAdapter_plus that do not fit together."""

from typing import Any

import tiny
import torch

from ..made import encoder, unet
from ..row import NOT_A_NUMBER
from .good import WIDTH, adapter, region


def base(**options: Any) -> dict[str, Any]:
    return adapter("SD1.5", **options)


LIGHT = "LIGHT - SD1.5 only (low strength)"

TOGETHER = (
    # an adapter for another model, an encoder that it does not read and that is not there
    ("IPAdapterAdvanced", {"ipadapter": lambda _: adapter("SDXL")}, r"for SDXL, the model is SD1\.5: use one made for"),
    ("IPAdapterTiled", {"model": lambda _: unet("SDXL")}, r"for SD1\.5, the model is SDXL: use one made for SDXL"),
    (
        "IPAdapterEncoder",
        {"clip_vision": lambda _: encoder()},
        "The clip_vision is tiny CLIP, and .* reads .*Not found",
    ),
    ("IPAdapterAdvanced", {"clip_vision": None}, "connect that encoder to clip_vision"),
    ("IPAdapterAdvanced", {"model": lambda _: tiny.flux()}, r"for SD1\.5, the model is Flux: use one made for Flux"),
    (
        "IPAdapterStyleComposition",
        {"model": lambda _: unet("SD1.5"), "ipadapter": lambda _: base()},
        "acts on SDXL and Kolors",
    ),
    (
        "IPAdapterClipVisionEnhancer",
        {"ipadapter": lambda _: base(embed=24), "clip_vision": lambda _: encoder()},
        "image_embeds whose width is a square number, such as 1024, and it gives 24",
    ),
    (
        "IPAdapterClipVisionEnhancer",
        {"enhance_tiles": 16, "image": torch.rand(1, 8, 8, 3)},
        "too small for 16",
    ),
    (
        "IPAdapterBatch",
        {"weight": [1.0, 1e39]},
        r"weights of IPAdapter Batch .Adv.. multiply to 1e\+39, at most",
    ),
    (
        "IPAdapterMS",
        {"weight": 5.0, "layer_weights": "3:500"},
        "multiply to 2500, at most 1000 is allowed in any",
    ),
    ("IPAdapterFromParams", {"ipadapter_params": lambda _: region(weight=NOT_A_NUMBER)}, "The weight is nan"),
    ("IPAdapterFromParams", {"ipadapter_params": lambda _: region(image="a word")}, "The image is the text 'a word'"),
    (
        "IPAdapterInsightFaceLoader",
        {"model_name": "antelopev2"},
        "antelopev2 is not in models/insightface.*Get antelopev2.zip",
    ),
    ("IPAdapterUnifiedLoader", {"model": lambda _: unet("SDXL"), "preset": LIGHT}, "LIGHT .*SD1.5"),
    (
        "IPAdapterUnifiedLoaderFaceID",
        {"preset": "FACEID PLUS V2"},
        "Not found: IP-Adapter for SD1.5 .*Get ip-adapter-faceid-plusv2_sd15",
    ),
    (
        "IPAdapterLoadEmbeds",
        {"embeds": "x.ipadpt"},
        "'x.ipadpt' is not an .ipadpt file in ComfyUI's input or",
    ),
    (
        "IPAdapterBatchEmbeds",
        {"embed2": torch.rand(2, 2, WIDTH)},
        "Only the embed2 holds references and their",
    ),
)
