"""The nodes of Shakker-Labs/ComfyUI-IPAdapter-Flux: a picture steers a Flux.1 model with InstantX's IP-Adapter.

Letters: N pictures, H height, W width, C channels.
"""

from typing import Any

from comfy.model_patcher import ModelPatcher

from ....ip_adapter import Course, Features, Strength
from ... import input_checks
from ...applying.attach import matching_sites
from ...folders import ENCODER_FOLDER, fingerprint, model_names, model_path
from ...loading.adapter import ImagePromptAdapter
from ...loading.load import load_adapter, load_encoder
from ...loading.model_library import encoder_need, look_for
from ...loading.models import required
from ...remedies import listed
from ..encoders import encoder_for
from ..inputs import IMAGE, MODEL, Input, choice, number, socket, whole
from ..node import CompatNode, Node, Output
from .shared import adapter_of, of_family
from .steering import ALL_ROWS, pictures_seen, steered

PACK = "IPAdapter-Flux"
FAMILY, FOLDER = "flux-instantx", "ipadapter-flux"
LOADERS = "Load IPAdapter Flux Model", "Load IPAdapter Flux Model (Advanced)"
ENCODERS = ("google/siglip-so400m-patch14-384",)
PROVIDERS = ("cuda", "cpu", "mps")
WEAKEST, STRONGEST = -1.0, 5.0
MOST_STEPS = 100


def load_model(self: CompatNode, ipadapter: str, clip_vision: str, provider: str) -> tuple[dict[str, Any]]:
    """The adapter with its image encoder, which ComfyUI puts on its devices whatever the provider is.

    Raises:
        ValueError: the encoder is not there; the message says where to get it.
    """
    input_checks.choice(clip_vision, ENCODERS, "clip_vision")
    input_checks.choice(provider, PROVIDERS, "provider")
    adapter = of_family(load_adapter(ipadapter, folder=FOLDER), ipadapter, FAMILY, "choose a file of InstantX for Flux")
    reads = adapter.module.encoder_name
    found = listed(required(look_for(encoder_need(adapter.module)), f"{adapter.name} reads {reads}."))
    return (
        {
            "ipadapter": {"file": model_path(FOLDER, ipadapter), "model": adapter},
            "clipvision": {"file": model_path(ENCODER_FOLDER, found), "model": load_encoder(found)},
        },
    )


def load_model_advanced(self: CompatNode, ipadapter: str, clip_vision: str, provider: str) -> tuple[dict[str, Any]]:
    return load_model(self, ipadapter, clip_vision, provider)


def apply_ipadapter_flux(
    self: CompatNode,
    model: Any,
    ipadapter_flux: Any,
    image: Any,
    weight: Any,
    start_percent: Any,
    end_percent: Any,
) -> tuple[ModelPatcher]:
    """The first of the pictures steers the model."""
    adapter, cond = _given(model, ipadapter_flux, image)
    strength = input_checks.number(weight, WEAKEST, STRONGEST, "weight")
    return (_steered(self, model, adapter, cond, strength, _course(start_percent, end_percent)),)


def apply_ipadapter_flux_advanced(
    self: CompatNode,
    model: Any,
    ipadapter_flux: Any,
    image: Any,
    weight_start: Any,
    weight_end: Any,
    steps: Any,
    start_percent: Any,
    end_percent: Any,
) -> tuple[ModelPatcher]:
    """The first of the pictures steers the model, with a weight that goes from one to another in so many steps."""
    adapter, cond = _given(model, ipadapter_flux, image)
    first = input_checks.number(weight_start, WEAKEST, STRONGEST, "weight_start")
    last = input_checks.number(weight_end, WEAKEST, STRONGEST, "weight_end")
    count = input_checks.whole(steps, 1, MOST_STEPS, "steps")
    weights = tuple(first + (last - first) * step / (count - 1) for step in range(count)) if count > 1 else (last,)
    return (_steered(self, model, adapter, cond, 1.0, _course(start_percent, end_percent, weights)),)


def _given(model: Any, ipadapter_flux: Any, image: Any) -> tuple[ImagePromptAdapter, Features]:
    """The adapter, and what it reads of the first of the pictures (N, H, W, C)."""
    input_checks.diffusion_model(model)
    adapter = adapter_of(ipadapter_flux, "ipadapter_flux", FAMILY, " or ".join(LOADERS))
    matching_sites(model, adapter)
    first = input_checks.image(image)[:1]
    return adapter, pictures_seen(adapter, encoder_for(ipadapter_flux), first, "squash")


def _course(start: Any, end: Any, weights: tuple[float, ...] = ()) -> Course:
    begin = input_checks.number(start, 0.0, 1.0, "start_percent")
    return Course(begin, input_checks.number(end, 0.0, 1.0, "end_percent"), closed=True, steps=weights)


def _steered(
    node: CompatNode, model: ModelPatcher, adapter: ImagePromptAdapter, cond: Features, weight: float, course: Course
) -> ModelPatcher:
    layers = dict.fromkeys(matching_sites(model, adapter).values(), ALL_ROWS)
    return steered(node.row.title, model, adapter, cond, Strength(weight, layers, course))


ADAPTER = socket("ipadapter_flux", "IP_ADAPTER_FLUX_INSTANTX")
FILES = (
    Input("ipadapter", lambda: model_names(FOLDER)),
    choice("clip_vision", *ENCODERS),
    choice("provider", *PROVIDERS),
)
RANGE = (number("start_percent", 0.0, 0.0, 1.0, 0.001), number("end_percent", 1.0, 0.0, 1.0, 0.001))
TO_ADAPTER = (Output("IP_ADAPTER_FLUX_INSTANTX", "ipadapterFlux"),)
TO_MODEL = (Output("MODEL"),)
INSTEAD = "In new graphs use Load Image Prompt Models, Encode Image Prompt and Apply IP-Adapter."


def _node(id: str, title: str, inputs: tuple[Input, ...], outputs: tuple[Output, ...], run: Any, **more: Any) -> Node:
    return Node(id, title, inputs, outputs, run, INSTEAD, pack=PACK, **more)


def _files_changed(ipadapter: str | None = None, **_: object) -> str:
    return fingerprint(FOLDER, ipadapter) + fingerprint(ENCODER_FOLDER, None)


def _weight(name: str, default: float) -> Input:
    return number(name, default, WEAKEST, STRONGEST)


ROWS = (
    _node("IPAdapterFluxLoader", LOADERS[0], FILES, TO_ADAPTER, load_model, is_changed=_files_changed),
    _node(
        "ApplyIPAdapterFlux",
        "Apply IPAdapter Flux Model",
        (MODEL, ADAPTER, IMAGE, _weight("weight", 1.0), *RANGE),
        TO_MODEL,
        apply_ipadapter_flux,
    ),
    _node("IPAdapterFluxLoaderAdvanced", LOADERS[1], FILES, TO_ADAPTER, load_model_advanced, is_changed=_files_changed),
    _node(
        "ApplyIPAdapterFluxAdvanced",
        "Apply IPAdapter Flux Model (Advanced)",
        (
            MODEL,
            ADAPTER,
            IMAGE,
            _weight("weight_start", 0.0),
            _weight("weight_end", 1.0),
            whole("steps", 10, 1, MOST_STEPS, step=1),
            *RANGE,
        ),
        TO_MODEL,
        apply_ipadapter_flux_advanced,
    ),
)
