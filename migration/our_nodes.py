"""Our nodes as prompts and workflows have them, inputs and outputs in order: those that others are rewritten to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .old_nodes import Value

REFERENCES = "references.reference_"  # and a number: the sockets of Apply References
IMAGES = 6  # sockets for references of Combine Image Prompts


@dataclass(frozen=True)
class OurNode:
    """A node of this pack.

    sockets: {name: type} of the inputs that only a link can give
    widgets: {name: (type, default)} of the others
    outputs: (name, type)
    tall: how many lines of text a widget shows beyond one
    """

    title: str
    sockets: Mapping[str, str]
    widgets: Mapping[str, tuple[str, Value]]
    outputs: tuple[tuple[str, str], ...]
    tall: int = 0


ADAPTER, FEATURES = "IMAGE_PROMPT_ADAPTER", "CLIP_VISION_OUTPUT"
ANY_ADAPTER = "IMAGE_PROMPT_ADAPTER,IPADAPTER"  # inputs take those of other packs too

OUR_NODES: Mapping[str, OurNode] = {
    "ImagePromptLoadAdapter": OurNode(
        "Load IP-Adapter", {}, {"adapter_name": ("COMBO", None), "variant": ("COMBO", "auto")}, (("adapter", ADAPTER),)
    ),
    "ImagePromptLoadModels": OurNode(
        "Load Image Prompt Models",
        {"model": "MODEL"},
        {"purpose": ("COMBO", "auto")},
        (("model", "MODEL"), ("adapter", ADAPTER), ("clip_vision", "CLIP_VISION")),
    ),
    "ImagePromptEncode": OurNode(
        "Encode Image Prompt",
        {"clip_vision": "CLIP_VISION", "image": "IMAGE", "adapter": ANY_ADAPTER, "mask": "MASK", "clip": "CLIP"},
        {
            "crop": ("COMBO", "center"),
            "background": ("COMBO", "black"),
            "outside": ("COMBO", "background"),
            "margin": ("FLOAT", 0.1),
            "tiles": ("INT", 2),
            "instruction": ("STRING", ""),
            "prompt": ("STRING", ""),
            "box": ("STRING", ""),
        },
        (("features", FEATURES), ("seen", "IMAGE")),
        tall=4,
    ),
    "ImagePromptCombine": OurNode(
        "Combine Image Prompts",
        {f"features_{number}": FEATURES for number in range(1, IMAGES + 1)},
        {
            "method": ("COMBO", "concat"),
            "rows": ("COMBO", "auto"),
            "weights": ("STRING", ""),
            "interpolation": ("FLOAT", 0.5),
        },
        (("features", FEATURES),),
    ),
    "ImagePromptApply": OurNode(
        "Apply IP-Adapter",
        {"model": "MODEL", "adapter": ANY_ADAPTER, "features": FEATURES, "mask": "MASK", "negative": FEATURES},
        {
            "weight": ("FLOAT", 1.0),
            "start": ("FLOAT", 0.0),
            "end": ("FLOAT", 1.0),
            "batch": ("COMBO", "together"),
            "layers": ("COMBO", "all"),
        },
        (("model", "MODEL"),),
    ),
    "ImagePromptReference": OurNode(
        "Image Prompt Reference",
        {
            "features": FEATURES,
            "mask": "MASK",
            "negative": FEATURES,
            "layer_weights": "IMAGE_PROMPT_LAYER_WEIGHTS",
            "step_weights": "IMAGE_PROMPT_STEP_WEIGHTS",
        },
        {
            "on": ("BOOLEAN", True),
            "weight": ("FLOAT", 1.0),
            "combining": ("COMBO", "concat"),
            "layers": ("COMBO", "all"),
            "start": ("FLOAT", 0.0),
            "end": ("FLOAT", 1.0),
            "feather": ("FLOAT", 0.0),
            "invert_mask": ("BOOLEAN", False),
            "frame_weights": ("STRING", ""),
            "scaling": ("COMBO", "V only"),
            "name": ("STRING", ""),
        },
        (("reference", "IMAGE_PROMPT"),),
    ),
    "ImagePromptLayerWeights": OurNode(
        "Image Prompt Layer Weights",
        {"model": "MODEL"},
        {
            "preset": ("COMBO", "all"),
            "curve": ("COMBO", "linear"),
            "first": ("FLOAT", 1.0),
            "last": ("FLOAT", 0.0),
            "values": ("STRING", ""),
            "index": ("COMBO", "blocks"),
        },
        (("layer weights", "IMAGE_PROMPT_LAYER_WEIGHTS"), ("table", "STRING")),
        tall=6,
    ),
    "ImagePromptApplyReferences": OurNode(
        "Apply References (IP-Adapter)",
        {"model": "MODEL", "adapter": ANY_ADAPTER, **{f"{REFERENCES}{number}": "IMAGE_PROMPT" for number in range(2)}},
        {"joining": ("COMBO", "one softmax each"), "overlap": ("COMBO", "add")},
        (("model", "MODEL"), ("report", "STRING")),
        tall=2,
    ),
}
