"""The loaders of IPAdapter_plus: adapters by name or by preset, and what finds and recognises faces."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ....ip_adapter import IPAdapter
from ... import input_checks
from ...applying.hosts import base_model
from ...applying.image_prompt import AdapterLora
from ...applying.lora import add_lora
from ...folders import ADAPTER_FOLDER, ENCODER_FOLDER, fingerprint, model_names, model_path
from ...loading.adapter import ImagePromptAdapter
from ...loading.load import load_encoder
from ...loading.models import with_lora
from ...loading.wires import MIDDLE, OURS, acts_in_middle, as_adapter, checked_parts, file_of
from .. import presets
from ..faces import PACKS, load_faces
from ..inputs import IPADAPTER, MODEL, PROVIDERS, Input, choice, number, optional
from ..node import Node, Output
from ..presets import Preset
from ..raw import raw_adapter

MORE_PROVIDERS = (*PROVIDERS, "DirectML", "OpenVINO", "CoreML")
STRONGEST = 100.0  # of a LoRA, as in ComfyUI's own loader


def load_ipadapter_model(self: Any, ipadapter_file: str) -> tuple[dict[str, Any]]:
    return (raw_adapter(ipadapter_file),)


def load_models(
    self: Any,
    model: Any,
    preset: str,
    lora_strength: float = 0.0,
    provider: str = "CPU",
    ipadapter: Any = None,
) -> tuple[Any, dict[str, Any]]:
    base = base_model(input_checks.diffusion_model(model))
    if ipadapter is not None and not isinstance(ipadapter, ImagePromptAdapter):
        checked_parts(ipadapter)
    row = presets.preset_named(preset)
    presets.check_base(row, base)
    adapter_file = presets.adapter_of(row, base)
    adapter = _adapter(adapter_file, ipadapter)
    module = as_adapter(adapter["model"]).module
    encoder = _encoder(presets.encoder_of(row, module), ipadapter)
    strength = input_checks.number(lora_strength, -STRONGEST, STRONGEST, "lora_strength")
    steered = _with_lora(model, module, partial(presets.lora_of, row, base, adapter_file), strength)
    adapter = _with_strength(adapter, strength)
    pipe = {"clipvision": encoder, "ipadapter": adapter, "insightface": _faces(row, provider, ipadapter)}
    return steered, {**pipe, MIDDLE: True} if acts_in_middle(ipadapter) else pipe


def _with_strength(part: dict[str, Any], strength: float) -> dict[str, Any]:
    """The part of a pipe whose LoRA has this strength in our nodes too, which apply it unless this loader has."""
    ours = part["model"].get(OURS)
    if not isinstance(ours, ImagePromptAdapter) or not ours.module.lora:
        return part
    chosen = ours.with_options(replace(ours.options, lora_strength=max(strength, 0.0)))
    return {**part, "model": {**part["model"], OURS: chosen}}


def _with_lora(model: Any, adapter: IPAdapter, find: Callable[[], str], strength: float) -> Any:
    """The model with the LoRA that belongs to an adapter, which has the same one in its own file, if any.

    find: gives the name of the LoRA's file, "" if none belongs to it. ValueError: it is not there
    """
    if strength <= 0:
        return model
    try:
        name = find()
    except ValueError:
        if not adapter.lora:
            raise
        steered = model.clone()
        add_lora(steered, AdapterLora(adapter, strength))
        return steered
    return with_lora(model, name, strength) if name else model


def load_insightface(self: Any, provider: str = "CPU", model_name: str = PACKS[0]) -> tuple[Any]:
    return (load_faces(provider, model_name, MORE_PROVIDERS),)


def load_insight_face(self: Any, provider: str = "CPU") -> tuple[Any]:
    return (load_faces(provider, PACKS[0], MORE_PROVIDERS),)


def _adapter(name: str, given: Any) -> dict[str, Any]:
    path = model_path(ADAPTER_FOLDER, name)
    return _of_same_file(given, "ipadapter", path) or {"file": path, "model": raw_adapter(name)}


def _encoder(name: str, given: Any) -> dict[str, Any]:
    """The encoder of this name; where the adapter reads none, what the connected pipe has."""
    if not name:
        return {"file": None, "model": None, **_part(given, "clipvision")}
    path = model_path(ENCODER_FOLDER, name)
    return _of_same_file(given, "clipvision", path) or {"file": path, "model": load_encoder(name)}


def _of_same_file(given: Any, part: str, path: str) -> dict[str, Any] | None:
    """A part of the pipe that is connected, if it was loaded from this file."""
    content = dict(given[part]) if file_of(given, part) == path else {}
    return content if content.get("model") is not None else None


def _faces(row: Preset, provider: str, given: Any) -> dict[str, Any]:
    """What finds the faces that a preset needs, or what the connected pipe has."""
    known = {"provider": None, "model": None, **_part(given, "insightface")}
    if not row.reads_faces or known["model"] is not None and known["provider"] == provider:
        return known
    return {"provider": provider, "model": load_faces(provider, PACKS[0], MORE_PROVIDERS)}


def _part(given: Any, name: str) -> Mapping[str, Any]:
    """A part of the connected pipe; empty if there is none."""
    part = given.get(name) if isinstance(given, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def _file_changed(ipadapter_file: str | None = None, **_: object) -> str:
    return fingerprint(ADAPTER_FOLDER, ipadapter_file)


def _preset_changed(preset: str | None = None, **_: object) -> object:
    try:
        return presets.files_state(preset)
    except ValueError:  # the node says what is wrong when it runs
        return float("nan")


def _preset(*begins: str) -> Input:
    return choice("preset", *(presets.preset_named(each).text for each in begins))


INSTEAD = "In new graphs use Load Image Prompt Models."
INSTEAD_FACES = "In new graphs use Load Face Analyser and Encode Face Prompt."

ROWS = (
    Node(
        "IPAdapterUnifiedLoader",
        "IPAdapter Unified Loader",
        inputs=(MODEL, _preset("light", "standard", "vit-g", "plus", "plus face", "full face"), optional(IPADAPTER)),
        outputs=(Output("MODEL", "model"), Output("IPADAPTER", "ipadapter")),
        method=load_models,
        instead=INSTEAD,
        is_changed=_preset_changed,
    ),
    Node(
        "IPAdapterUnifiedLoaderFaceID",
        "IPAdapter Unified Loader FaceID",
        inputs=(
            MODEL,
            _preset("faceid", "faceid plus", "faceid plus v2", "faceid portrait", "faceid portrait unnorm"),
            number("lora_strength", 0.6, 0, 1, 0.01),
            choice("provider", *MORE_PROVIDERS),
            optional(IPADAPTER),
        ),
        outputs=(Output("MODEL"), Output("IPADAPTER", "ipadapter")),
        method=load_models,
        instead=INSTEAD_FACES,
        is_changed=_preset_changed,
    ),
    Node(
        "IPAdapterUnifiedLoaderCommunity",
        "IPAdapter Unified Loader Community",
        inputs=(MODEL, _preset("composition", "kolors"), optional(IPADAPTER)),
        outputs=(Output("MODEL", "model"), Output("IPADAPTER", "ipadapter")),
        method=load_models,
        instead=INSTEAD,
        is_changed=_preset_changed,
    ),
    Node(
        "IPAdapterModelLoader",
        "IPAdapter Model Loader",
        inputs=(Input("ipadapter_file", lambda: model_names(ADAPTER_FOLDER)),),
        outputs=(Output("IPADAPTER"),),
        method=load_ipadapter_model,
        instead="In new graphs use Load IP-Adapter.",
        is_changed=_file_changed,
    ),
    Node(
        "IPAdapterInsightFaceLoader",
        "IPAdapter InsightFace Loader",
        inputs=(choice("provider", *PROVIDERS), choice("model_name", *PACKS)),
        outputs=(Output("INSIGHTFACE"),),
        method=load_insightface,
        instead=INSTEAD_FACES,
    ),
    Node(
        "InsightFaceLoader",
        "Load InsightFace",
        inputs=(choice("provider", *PROVIDERS),),
        outputs=(Output("INSIGHTFACE"),),
        method=load_insight_face,
        instead=INSTEAD_FACES,
    ),
)
