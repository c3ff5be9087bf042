"""The image prompt nodes of XLabs-AI/x-flux-comfyui: pictures steer a Flux.1 model.

Letters: N pictures, D feature width; i and n number and count of the double blocks.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from comfy.model_patcher import ModelPatcher

from ....ip_adapter import Features, Share, Strength
from ... import input_checks
from ...applying.attach import matching_sites
from ...folders import ENCODER_FOLDER, fingerprint, model_names, model_path
from ...loading.adapter import ImagePromptAdapter
from ...loading.load import load_adapter, load_encoder
from ..encoders import encoder_for
from ..inputs import IMAGE, MODEL, Input, choice, number, socket
from ..node import CompatNode, Node, Output, called
from .shared import adapter_of, of_family
from .steering import ALL_ROWS, pictures_seen, steered

PACK = "x-flux"
FAMILY, FOLDER = "flux-xlabs", "xlabs_ipadapters"
LOADER = "Load Flux IPAdatpter"  # as it is written there
PROVIDERS = ("CPU", "GPU")
STRONGEST = 100.0


@called("loadmodel")
def load_model(self: CompatNode, ipadatper: str, clip_vision: str, provider: str) -> tuple[dict[str, Any]]:
    """The adapter with its image encoder, which ComfyUI puts on its devices whatever the provider is."""
    input_checks.choice(provider, PROVIDERS, "provider")
    adapter = of_family(load_adapter(ipadatper, folder=FOLDER), ipadatper, FAMILY, "choose a file of XLabs for Flux")
    encoder = load_encoder(clip_vision)
    return (
        {
            "ipadapter": {"file": model_path(FOLDER, ipadatper), "model": adapter},
            "clipvision": {"file": model_path(ENCODER_FOLDER, clip_vision), "model": encoder},
        },
    )


@called("applymodel")
def apply_evenly(self: CompatNode, model: Any, ip_adapter_flux: Any, image: Any, ip_scale: Any) -> tuple[ModelPatcher]:
    """What pictures add, each with a softmax of its own, is averaged."""
    adapter, cond = _given(model, ip_adapter_flux, image)
    scale = input_checks.number(ip_scale, 0.0, 1.0, "ip_scale")
    count = len(cond["image_embeds"])
    layers = dict.fromkeys(matching_sites(model, adapter).values(), ALL_ROWS)
    return (steered(self.row.title, model, adapter, cond, Strength(scale / count, layers), arrangement="each"),)


@called("applymodel")
def apply_by_depth(
    self: CompatNode,
    model: Any,
    ip_adapter_flux: Any,
    image: Any,
    begin_strength: Any,
    end_strength: Any,
    smothing_type: Any,
) -> tuple[ModelPatcher]:
    """The features of pictures are averaged."""
    adapter, cond = _given(model, ip_adapter_flux, image)
    begin = input_checks.number(begin_strength, -STRONGEST, STRONGEST, "begin_strength")
    end = input_checks.number(end_strength, -STRONGEST, STRONGEST, "end_strength")
    way = WAYS[input_checks.choice(smothing_type, list(WAYS), "smothing_type")]
    sites = matching_sites(model, adapter)
    layers = {
        layer: Share(begin + (end - begin) * way(site.block.index, len(sites)), "all") for site, layer in sites.items()
    }
    mean = {name: each.mean(0, keepdim=True) for name, each in cond.items()}
    return (steered(self.row.title, model, adapter, mean, Strength(layers=layers)),)


def _given(model: Any, ip_adapter_flux: Any, image: Any) -> tuple[ImagePromptAdapter, Features]:
    """The adapter, and what it reads of the pictures. ValueError: one of them is none, or not for the others."""
    input_checks.diffusion_model(model)
    adapter = adapter_of(ip_adapter_flux, "ip_adapter_flux", FAMILY, LOADER)
    matching_sites(model, adapter)
    return adapter, pictures_seen(adapter, encoder_for(ip_adapter_flux), image, "center")


def _ramp(i: int, n: int) -> float:
    return i / max(n - 1, 1)


WAYS: Mapping[str, Callable[[int, int], float]] = {  # (i, n) -> how much of the way from the first strength to the last
    "Linear": _ramp,
    "First half": lambda i, n: _ramp(i, n // 2) if i < n // 2 else 1.0,
    "Second half": lambda i, n: _ramp(i - n + n // 2, n // 2) if i >= n - n // 2 else 0.0,
    "Sigmoid": lambda i, n: 1 / (1 + math.exp(8 * (n / 2 - i) / n)) - 0.5,
}


ADAPTER = socket("ip_adapter_flux", "IP_ADAPTER_FLUX")
TO_MODEL = (Output("MODEL", "MODEL"),)
INSTEAD = "In new graphs use Load Image Prompt Models, Encode Image Prompt and Apply IP-Adapter."


def _node(id: str, title: str, inputs: tuple[Input, ...], outputs: tuple[Output, ...], run: Any, **more: Any) -> Node:
    return Node(id, title, inputs, outputs, run, INSTEAD, pack=PACK, **more)


def _files_changed(ipadatper: str | None = None, clip_vision: str | None = None, **_: object) -> str:
    return fingerprint(FOLDER, ipadatper) + fingerprint(ENCODER_FOLDER, clip_vision)


ROWS = (
    _node(
        "LoadFluxIPAdapter",
        LOADER,
        (
            Input("ipadatper", lambda: model_names(FOLDER)),
            Input("clip_vision", lambda: model_names(ENCODER_FOLDER)),
            choice("provider", *PROVIDERS),
        ),
        (Output("IP_ADAPTER_FLUX", "ipadapterFlux"),),
        load_model,
        is_changed=_files_changed,
    ),
    _node(
        "ApplyFluxIPAdapter",
        "Apply Flux IPAdapter",
        (MODEL, ADAPTER, IMAGE, number("ip_scale", 0.93, 0.0, 1.0, 0.001)),
        TO_MODEL,
        apply_evenly,
    ),
    _node(
        "ApplyAdvancedFluxIPAdapter",
        "Apply Advanced Flux IPAdapter",
        (
            MODEL,
            ADAPTER,
            IMAGE,
            number("begin_strength", 0.0, -STRONGEST, STRONGEST, 0.01),
            number("end_strength", 1.0, -STRONGEST, STRONGEST, 0.01),
            choice("smothing_type", *WAYS),
        ),
        TO_MODEL,
        apply_by_depth,
    ),
)
