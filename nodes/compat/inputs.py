"""The inputs of nodes of cubiq/ComfyUI_IPAdapter_plus that several of them share.

Their names, defaults, limits and order are in saved files and in the programs that send prompts: they never change.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

OLD_WEIGHT_TYPES: Mapping[str, str] = {  # in saved files -> what they are called today
    "style transfer (SDXL)": "style transfer",
    "style transfer (SDXL only)": "style transfer",
    "composition (SDXL)": "composition",
    "style transfer and composition": "style and composition",
}


def today(weight_type: Any) -> Any:
    """What a weight type of an old file is called today."""
    return OLD_WEIGHT_TYPES.get(weight_type, weight_type) if isinstance(weight_type, str) else weight_type


@dataclass(frozen=True)
class Input:
    """One input of a node, as `INPUT_TYPES` describes it.

    type: name of a type; the choices of a combo box; or a function that gives them
    options: default, min, max, step and so on
    """

    name: str
    type: str | tuple[str, ...] | Callable[[], list[str]]
    optional: bool = False
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def described(self, tooltip: str = "") -> tuple[Any, ...]:
        """The input as ComfyUI's older form of nodes has it: a combo box is a list, which clients read."""
        kind = self.type if isinstance(self.type, str) else list(self.type() if callable(self.type) else self.type)
        options = {**self.options, **({"tooltip": tooltip} if tooltip else {})}
        return (kind, options) if options else (kind,)

    @property
    def is_socket(self) -> bool:
        """Whether only a link can give it."""
        return isinstance(self.type, str) and self.type not in ("FLOAT", "INT", "STRING", "BOOLEAN")

    @property
    def default(self) -> Any:
        """What a file or prompt that is older than the input gets. A combo box without a default takes its first."""
        if "default" in self.options or isinstance(self.type, str):
            return self.options.get("default")
        choices = self.type() if callable(self.type) else self.type
        return choices[0] if choices else None


def optional(given: Input) -> Input:
    return replace(given, optional=True)


def socket(name: str, type: str) -> Input:
    return Input(name, type)


def number(name: str, default: float, low: float, high: float, step: float = 0.05) -> Input:
    return Input(name, "FLOAT", options={"default": default, "min": low, "max": high, "step": step})


def whole(name: str, default: int, low: int, high: int, **options: Any) -> Input:
    return Input(name, "INT", options={"default": default, "min": low, "max": high, **options})


def choice(name: str, *choices: str, **options: Any) -> Input:
    return Input(name, choices, options=options)


def switch(name: str, default: bool) -> Input:
    return Input(name, "BOOLEAN", options={"default": default})


def text(name: str, default: str = "", **options: Any) -> Input:
    return Input(name, "STRING", options={"default": default, **options})


WEIGHT_TYPE_NAMES = (
    "linear",
    "ease in",
    "ease out",
    "ease in-out",
    "reverse in-out",
    "weak input",
    "weak output",
    "weak middle",
    "strong middle",
    "style transfer",
    "composition",
    "strong style transfer",
    "style and composition",
    "style transfer precise",
    "composition precise",
)
COMBINE_NAMES = ("concat", "add", "subtract", "average", "norm average")
SCALING_NAMES = ("V only", "K+V", "K+V w/ C penalty", "K+mean(V) w/ C penalty")

MODEL = socket("model", "MODEL")
IPADAPTER = socket("ipadapter", "IPADAPTER")
IMAGE = socket("image", "IMAGE")
WEIGHT = number("weight", 1.0, -1, 3)
WEIGHT_TO_5 = number("weight", 1.0, -1, 5)
WEIGHT_FACEID_V2 = number("weight_faceidv2", 1.0, -1, 5.0)
WEIGHT_TYPE = choice("weight_type", *WEIGHT_TYPE_NAMES)
COMBINE_EMBEDS = choice("combine_embeds", *COMBINE_NAMES)
START_AT = number("start_at", 0.0, 0.0, 1.0, 0.001)
END_AT = number("end_at", 1.0, 0.0, 1.0, 0.001)
EMBEDS_SCALING = choice("embeds_scaling", *SCALING_NAMES)
SHARPENING = number("sharpening", 0.0, 0.0, 1.0)
ENCODE_BATCH_SIZE = whole("encode_batch_size", 0, 0, 4096)
IMAGE_NEGATIVE = optional(socket("image_negative", "IMAGE"))
ATTN_MASK = optional(socket("attn_mask", "MASK"))
CLIP_VISION = optional(socket("clip_vision", "CLIP_VISION"))
INSIGHTFACE = optional(socket("insightface", "INSIGHTFACE"))
PROVIDERS = ("CPU", "CUDA", "ROCM")
