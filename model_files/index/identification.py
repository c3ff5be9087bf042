"""Identify a file by its header: `ip_adapter` and `clip_vision` decide most of it, on tensors without memory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from ...clip_vision import PRESETS, VisionConfig, describe
from ...clip_vision.files.key_names import LAYOUTS
from ...clip_vision.network.model import lack
from ...ip_adapter import BASE_MODELS, ENCODERS, ForeignFile, encoder_name
from ...ip_adapter.checkpoint import describe as describe_adapter
from ...ip_adapter.containers import PREFIXES
from ...ip_adapter.families import Family
from ...ip_adapter.families.foreign import FACE_LORA, FACE_LORA_RANK, Foreign
from ...tensor_files import Header, TensorInfo, printable
from ...tensor_files.weights import on_meta
from .encoders import encoder_word
from .identity import Identity
from .plan_layers import PlanLayers

Tensors = Mapping[str, TensorInfo]

MAX_TENSORS = 100_000  # more than any model has; it would take seconds to look at a million

PROJECTIONS = (*PREFIXES["image_proj"], "content_image_proj.", "style_image_proj.")  # keys of adapters begin so
WITHOUT_PROJECTION = re.compile(r"blocks\.\d+\.ip_[kv]_proj\.")  # keys of an adapter that has none: Anima
DIGITS = str.maketrans("123456789", "0" * 9)
LORAS = ("faceid-lora", "lora")
FACE_REFUSALS = ("no InfuseNet",)  # of families that read faces
# The LoRA that belongs to a FaceID adapter changes every attention of the UNet.
FACE_LORA_COUNTS = {base.layers * 2 * 4 * 2 for base in BASE_MODELS if base.host == "unet"}
# A weight that reads the text context, and so is as wide as the context of the base model.
CONTEXT = re.compile(r"lora_unet_\w+_attn2_to_k\.lora_down\.weight")


def identify(header: Header, name: str = "", path: str = "") -> Identity:
    """What a file is, by its header: see `identity.identify`."""
    tensors = header.state_dict
    if len(tensors) > MAX_TENSORS:
        return Identity(
            "other",
            "many-tensors",
            problem=f"This file holds {len(tensors):,} tensors, "
            "more than any adapter or encoder has. Choose another file.",
        )
    try:
        return _shown(_identify(tensors, header.metadata, name, path or name))
    except (RuntimeError, OverflowError, MemoryError):  # from torch
        return Identity(
            "other",
            "damaged",
            problem="This file holds tensors of impossible sizes: it is damaged. Get the file again.",
        )


def _identify(tensors: Tensors, metadata: Mapping[str, str], name: str, path: str) -> Identity:
    sample = _one_of_each_row(tensors)
    if any(key.startswith(PROJECTIONS) or WITHOUT_PROJECTION.match(key) for key in sample):
        return _adapter(tensors, path, "adapter", "unknown-adapter", metadata=metadata)
    if any(layout.fits(sample) for layout in LAYOUTS):
        return _encoder(tensors, metadata, name)
    return _adapter(sample, path, "other", "unknown", whole=tensors)


def _shown(identity: Identity) -> Identity:
    """The identity with its texts cut: names in a file, which problems quote, may be of any length."""
    return replace(
        identity,
        family=printable(identity.family, 100),
        encoder=printable(identity.encoder, 100),
        problem=printable(identity.problem, 1000),
    )


def _one_of_each_row(tensors: Tensors) -> Tensors:
    """The first of all keys that differ only in their numbers: about a hundred identify a checkpoint of thousands."""
    first: dict[str, str] = {}
    for row, key in zip(_rows(list(tensors)), tensors, strict=True):
        first.setdefault(row, key)
    return {key: tensors[key] for key in first.values()}


def _rows(keys: list[str]) -> list[str]:
    """The keys with one digit in place of each number."""
    text = "\n".join(keys).translate(DIGITS)
    while "00" in text:
        text = text.replace("00", "0")
    rows = text.split("\n")
    return rows if len(rows) == len(keys) else keys  # a key with a line break is in no model


def _adapter(
    tensors: Tensors,
    path: str,
    kind: str,
    family: str,
    whole: Tensors | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Identity:
    """What `ip_adapter` says of the tensors.

    kind, family: what a file is called that it does not recognise
    whole: all tensors, if `tensors` is a sample
    metadata: of the file
    """
    try:
        adapter = describe_adapter(on_meta(tensors), path=path, metadata=metadata, ops=PlanLayers())
    except ForeignFile as error:
        return _foreign(error.row, str(error), whole or tensors)
    except ValueError as error:
        return Identity(kind, family, problem=str(error))
    return Identity(
        "adapter",
        adapter.family.id,
        adapter.base_model,
        adapter.encoder_name,
        projection=adapter.needs_projection,
    )


def _foreign(row: Family | Foreign, problem: str, tensors: Tensors) -> Identity:
    if row.id in LORAS:
        if _is_face_lora(tensors):
            return Identity("lora", "faceid-lora", _base_model(tensors))
        return Identity("lora", "lora", problem=problem)
    if isinstance(row, Family) and row.refusal in FACE_REFUSALS:
        return Identity("face adapter", row.id, row.base_model, problem=problem)
    return Identity("other", row.id, problem=problem)


def _is_face_lora(tensors: Tensors) -> bool:
    return len(tensors) in FACE_LORA_COUNTS and all(
        re.fullmatch(FACE_LORA, key) and FACE_LORA_RANK in info.shape for key, info in tensors.items()
    )


def _base_model(tensors: Tensors) -> str:
    widths = {info.shape[-1] for key, info in tensors.items() if CONTEXT.fullmatch(key) and info.shape}
    return next((base.name for base in BASE_MODELS if base.context_width in widths), "")


def _encoder(tensors: Tensors, metadata: Mapping[str, str], name: str) -> Identity:
    try:
        config = describe(on_meta(tensors), metadata=metadata, name=name, ops=PlanLayers())
    except ValueError as error:
        return Identity("encoder", "unknown-encoder", problem=str(error))
    projection = not lack(config, "image_embeds")
    also = () if any(row.name == config.name for row in PRESETS) else _by_width(config)
    return Identity(
        "encoder",
        config.name,
        encoder=encoder_word(config.name),
        projection=projection,
        also=also,
    )


def _by_width(config: VisionConfig) -> tuple[str, ...]:
    """The names by which an adapter asks for an encoder that no table lists: they are made from widths."""
    widths = {"image_embeds": config.projection or config.width, "penultimate": config.width}
    return tuple(encoder_name(feature, width) for feature, width in widths.items() if (feature, width) not in ENCODERS)
