"""Models that other packs run outside ComfyUI: they call none of its patches, so nothing can act in them.

Models that keep ComfyUI's blocks and only store their weights in another way (GGUF, fp8, int8, Nunchaku's SDXL) are not
among them: a patch reads no weights.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from comfy.model_patcher import ModelPatcher

WRAPPERS: Mapping[str, re.Pattern[str]] = (
    MappingProxyType(  # what runs a model -> the classes that it puts in its place
        {
            "Nunchaku": re.compile(r"ComfyFlux\w*Wrapper|NunchakuFlux\w*Model"),
            "TensorRT": re.compile(r"Tr[Tt]Unet"),
        }
    )
)


def refuse_wrapped(model: ModelPatcher) -> None:
    """Refuse a model that is run outside ComfyUI.

    Raises:
        ValueError: it is one, and by what it is run.
    """
    found = model.get_model_object("diffusion_model")
    kind = type(getattr(found, "_orig_mod", found)).__name__  # torch.compile puts that in
    for name, classes in WRAPPERS.items():
        if classes.fullmatch(kind):
            raise ValueError(
                f"This model is run by {name} ({kind}), which computes with kernels of its own and calls none of "
                "ComfyUI's patches: no IP-Adapter can act in it. Load the model with ComfyUI's own loader (Load "
                "Diffusion Model or Load Checkpoint); fp8 and GGUF files work too."
            )
