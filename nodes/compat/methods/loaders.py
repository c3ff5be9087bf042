"""The loaders of IPAdapter_plus: adapters by name or by preset, and the face recognition of InsightFace."""

import importlib
import os
from collections.abc import Mapping
from typing import Any

import folder_paths

from ....model_files.matching import Need, explain
from ... import input_checks
from ...applying.hosts import base_model
from ...folders import ADAPTER_FOLDER, ENCODER_FOLDER, fingerprint, model_names, model_path
from ...loading.load import load_encoder
from ...loading.model_library import look_for
from ...loading.models import with_lora
from ...loading.wires import MIDDLE, acts_in_middle, as_adapter, file_of
from .. import presets
from ..inputs import IPADAPTER, MODEL, PROVIDERS, Input, choice, number, optional
from ..node import Node, Output
from ..presets import Preset
from ..raw import raw_adapter

FACE_FOLDER = "insightface"
FACE_PACKS = ("buffalo_l", "antelopev2")
MORE_PROVIDERS = (*PROVIDERS, "DirectML", "OpenVINO", "CoreML")
STRONGEST = 100.0  # of a LoRA, as in ComfyUI's own loader
DETECTION = (640, 640)  # pixels of the square in which faces are looked for


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
    row = presets.preset_named(preset)
    presets.check_base(row, base)
    adapter_file = presets.adapter_of(row, base)
    adapter = _adapter(adapter_file, ipadapter)
    encoder = _encoder(presets.encoder_of(row, as_adapter(adapter["model"]).module), ipadapter)
    strength = input_checks.number(lora_strength, -STRONGEST, STRONGEST, "lora_strength")
    lora = presets.lora_of(row, base, adapter_file) if strength > 0 else ""
    steered = with_lora(model, lora, strength) if lora else model
    pipe = {"clipvision": encoder, "ipadapter": adapter, "insightface": _faces(row, provider, ipadapter)}
    return steered, {**pipe, MIDDLE: True} if acts_in_middle(ipadapter) else pipe


def load_insightface(self: Any, provider: str = "CPU", model_name: str = FACE_PACKS[0]) -> tuple[Any]:
    return (_face_analysis(provider, model_name),)


def load_insight_face(self: Any, provider: str = "CPU") -> tuple[Any]:
    return (_face_analysis(provider, FACE_PACKS[0]),)


def _adapter(name: str, given: Any) -> dict[str, Any]:
    path = model_path(ADAPTER_FOLDER, name)
    return _of_same_file(given, "ipadapter", path) or {"file": path, "model": raw_adapter(name)}


def _encoder(name: str, given: Any) -> dict[str, Any]:
    path = model_path(ENCODER_FOLDER, name)
    return _of_same_file(given, "clipvision", path) or {"file": path, "model": load_encoder(name)}


def _of_same_file(given: Any, part: str, path: str) -> dict[str, Any] | None:
    """A part of the pipe that is connected, if it was loaded from this file."""
    content = dict(given[part]) if file_of(given, part) == path else {}
    return content if content.get("model") is not None else None


def _faces(row: Preset, provider: str, given: Any) -> dict[str, Any]:
    """The face recognition that a preset needs, or what the connected pipe has."""
    part = given.get("insightface") if isinstance(given, Mapping) else None
    known = {"provider": None, "model": None, **(part if isinstance(part, Mapping) else {})}
    if not row.reads_faces or known["model"] is not None and known["provider"] == provider:
        return known
    return {"provider": provider, "model": _face_analysis(provider, FACE_PACKS[0])}


def _face_analysis(provider: str, pack: str) -> Any:
    """InsightFace's face recognition, from files that are there: nothing is downloaded.

    Raises:
        ValueError: InsightFace is not installed, or the files are missing. The message says what to get.
    """
    input_checks.choice(provider, MORE_PROVIDERS, "provider")
    input_checks.choice(pack, FACE_PACKS, "model_name")
    root = _face_root(pack)
    try:
        app = importlib.import_module("insightface.app")
        onnx = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise ValueError(
            _only_for_faces(
                f"Faces are recognised by InsightFace, which cannot be imported ({error}): install insightface and "
                "onnxruntime into ComfyUI's Python."
            )
        ) from error
    known = ["CPUExecutionProvider"] if provider == "CPU" else onnx.get_available_providers()
    faces = app.FaceAnalysis(name=pack, root=root, providers=known)
    faces.prepare(ctx_id=0, det_size=DETECTION)
    return faces


def _face_root(pack: str) -> str:
    """The folder below which InsightFace finds models/PACK."""
    known = FACE_FOLDER in folder_paths.folder_names_and_paths
    roots = [
        *(folder_paths.get_folder_paths(FACE_FOLDER) if known else ()),
        os.path.join(folder_paths.models_dir, FACE_FOLDER),
    ]
    found = next((root for root in roots if os.path.isdir(os.path.join(root, "models", pack))), None)
    if found is None:
        need = Need("face pack", file_name=f"{pack}.zip")
        given = f"InsightFace needs its files, unpacked, in models/{FACE_FOLDER}/models/{pack}."
        raise ValueError(explain(look_for(need), _only_for_faces(given)))
    return found


def _only_for_faces(missing: str) -> str:
    """What is missing, but before it what nobody need get it for."""
    return " ".join(filter(None, (presets.without_faces(), missing)))


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
INSTEAD_FACES = f"{INSTEAD} For faces take its purpose 'plus face' or 'full face'."

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
        inputs=(choice("provider", *PROVIDERS), choice("model_name", *FACE_PACKS)),
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
