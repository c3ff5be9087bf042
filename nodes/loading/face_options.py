"""The node that chooses how an adapter for faces acts, besides how strongly."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from ...ip_adapter import Combine
from .. import input_checks
from ..sockets import CATEGORY, Adapter, AdapterInput
from .adapter import ImagePromptAdapter
from .wires import as_adapter

AS_TRAINED = "as trained"
METHODS: Mapping[str, tuple[Combine, int]] = {  # how PuLID joins the text attention -> and with how many zero tokens
    "fidelity": ("orthogonal v2", 8),
    "style": ("orthogonal", 16),
    "neutral": ("add", 0),
}
LORA_LIMIT = 10.0
SHORTCUT_LIMIT = 5.0


class FaceAdapterOptions(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptFaceOptions",
            display_name="Face Adapter Options",
            category=CATEGORY,
            description="Chooses how an adapter for faces acts, besides its weight: the LoRA that was trained with "
            "FaceID, how much of a face's look FaceID plus v2 adds to its identity, and how PuLID joins the prompt.",
            search_aliases=[
                "faceid lora strength",
                "weight_faceidv2",
                "pulid method",
                "fidelity",
                "shortcut",
                "instantid",
                "pulid",
            ],
            inputs=[
                AdapterInput("adapter", tooltip="An adapter for faces, from Load IP-Adapter."),
                io.Float.Input(
                    "lora_strength",
                    default=1.0,
                    min=-LORA_LIMIT,
                    max=LORA_LIMIT,
                    step=0.05,
                    optional=True,
                    tooltip="For adapters that were trained together with a LoRA, as FaceID was: the strength of that "
                    "LoRA; 0 leaves it out.",
                ),
                io.Float.Input(
                    "shortcut",
                    default=1.0,
                    min=0.0,
                    max=SHORTCUT_LIMIT,
                    step=0.05,
                    optional=True,
                    tooltip="For FaceID plus v2 and Kolors FaceID plus: how much the look of the face counts besides "
                    "its identity; more of it is more like the picture.",
                ),
                io.Combo.Input(
                    "method",
                    options=[AS_TRAINED, *METHODS],
                    default=AS_TRAINED,
                    optional=True,
                    tooltip="For PuLID: 'fidelity' keeps the face closest, 'style' follows the prompt more, 'neutral' "
                    "adds the face as other adapters do. 'as trained' is 'fidelity'.",
                ),
            ],
            outputs=[Adapter.Output(display_name="adapter", tooltip="The adapter, with these options.")],
        )

    @classmethod
    def execute(
        cls, adapter: Any, lora_strength: float = 1.0, shortcut: float = 1.0, method: str = AS_TRAINED
    ) -> io.NodeOutput:
        given = as_adapter(adapter)
        lora_strength = input_checks.number(lora_strength, -LORA_LIMIT, LORA_LIMIT, "lora_strength")
        shortcut = input_checks.number(shortcut, 0.0, SHORTCUT_LIMIT, "shortcut")
        input_checks.choice(method, (AS_TRAINED, *METHODS), "method")
        _check_read(given, lora_strength, shortcut, method)
        combine, zero_tokens = METHODS.get(method, (None, None))
        options = replace(
            given.options, lora_strength=lora_strength, shortcut=shortcut, combine=combine, zero_tokens=zero_tokens
        )
        return io.NodeOutput(given.with_options(options))


def _check_read(adapter: ImagePromptAdapter, lora_strength: float, shortcut: float, method: str) -> None:
    """Raise a ValueError if an option is changed that the adapter does not have."""
    module = adapter.module
    wrong = {
        "lora_strength": lora_strength != 1.0 and not module.family.has_lora,
        "shortcut": shortcut != 1.0 and not module.has_shortcut,
        "method": method != AS_TRAINED and not module.family.combine.startswith("orthogonal"),
    }
    whose = {
        "lora_strength": "adapters that were trained together with a LoRA",
        "shortcut": "FaceID plus v2 and Kolors FaceID plus",
        "method": "PuLID for SDXL",
    }
    if changed := [name for name, is_wrong in wrong.items() if is_wrong]:
        raise ValueError(
            f"{module.title} has no {changed[0]}, which is for {whose[changed[0]]}: leave it as it was, or connect "
            "another adapter."
        )
