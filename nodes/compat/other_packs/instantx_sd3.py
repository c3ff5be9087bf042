"""The nodes of Slickytail/ComfyUI-InstantX-IPAdapter-SD3: a picture steers a Stable Diffusion 3.5 Large model."""

from typing import Any

import torch
from comfy.model_patcher import ModelPatcher

from ....ip_adapter import OWN, Course, Strength
from ... import input_checks
from ...applying.attach import matching_sites
from ...encoding.adapter_features import reference_features
from ...folders import ADAPTER_FOLDER, fingerprint, model_names
from ...loading.adapter import ImagePromptAdapter
from ...loading.load import load_adapter
from ..inputs import MODEL, Input, choice, number, socket
from ..node import CompatNode, Node, Output
from .shared import adapter_of, of_family
from .steering import steered

PACK = "InstantX-IPAdapter-SD3"
FAMILY = "sd3-instantx"
LOADER = "Load IPAdapter SD3 Model"
PROVIDERS = ("cuda", "cpu", "mps")
WEAKEST, STRONGEST = -1.0, 5.0


def load_model(self: CompatNode, ipadapter: str, provider: str) -> tuple[ImagePromptAdapter]:
    """The adapter, which ComfyUI puts on its devices whatever the provider is."""
    input_checks.choice(provider, PROVIDERS, "provider")
    adapter = load_adapter(ipadapter, folder=ADAPTER_FOLDER)
    return (of_family(adapter, ipadapter, FAMILY, "choose a file of InstantX for Stable Diffusion 3.5"),)


def apply_ipadapter(
    self: CompatNode,
    model: Any,
    ipadapter: Any,
    image_embed: Any,
    weight: Any,
    start_percent: Any,
    end_percent: Any,
) -> tuple[ModelPatcher]:
    """The first of the pictures steers the model; the rows of the negative prompt attend to zeros."""
    input_checks.diffusion_model(model)
    adapter = adapter_of(ipadapter, "ipadapter", FAMILY, LOADER)
    sites = matching_sites(model, adapter)
    given = reference_features(adapter.module, input_checks.image_features(image_embed, "image_embed"), "image_embed")
    cond = {name: each[:1] for name, each in given.items()}
    strength = Strength(
        input_checks.number(weight, WEAKEST, STRONGEST, "weight"),
        dict.fromkeys(sites.values(), OWN),
        Course(
            input_checks.number(start_percent, 0.0, 1.0, "start_percent"),
            input_checks.number(end_percent, 0.0, 1.0, "end_percent"),
            closed=True,
            counts="sigma",
        ),
    )
    uncond = {name: torch.zeros_like(each) for name, each in cond.items()}
    return (steered(self.row.title, model, adapter, cond, strength, uncond=uncond),)


INSTEAD = "In new graphs use Load Image Prompt Models, Encode Image Prompt and Apply IP-Adapter."


def _file_changed(ipadapter: str | None = None, **_: object) -> str:
    return fingerprint(ADAPTER_FOLDER, ipadapter)


ROWS = (
    Node(
        "IPAdapterSD3Loader",
        LOADER,
        (Input("ipadapter", lambda: model_names(ADAPTER_FOLDER)), choice("provider", *PROVIDERS)),
        (Output("IP_ADAPTER_SD3_INSTANTX", "ipadapter"),),
        load_model,
        INSTEAD,
        pack=PACK,
        is_changed=_file_changed,
    ),
    Node(
        "ApplyIPAdapterSD3",
        "Apply IPAdapter SD3 Model",
        (
            MODEL,
            socket("ipadapter", "IP_ADAPTER_SD3_INSTANTX"),
            socket("image_embed", "CLIP_VISION_OUTPUT"),
            number("weight", 1.0, WEAKEST, STRONGEST),
            number("start_percent", 0.0, 0.0, 1.0, 0.01),
            number("end_percent", 1.0, 0.0, 1.0, 0.01),
        ),
        (Output("MODEL"),),
        apply_ipadapter,
        INSTEAD,
        pack=PACK,
    ),
)
