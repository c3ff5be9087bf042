"""State dict of a full file -> text encoder. Letters: V tokens of the vocabulary, W width, D numbers of a vector."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..config import VisionConfig
from ..files.checkpoint import check_state_dict, describe, layout_of, renamed
from ..files.description import DESCRIPTION, TEXT_DESCRIPTION, described
from ..files.fingerprints import fingerprint_in_file
from ..files.presets import HEAD_WIDTH
from ..files.steps import TEXT, check_shapes, check_tensors, shapes_of, steps_of
from ..network.layers import Ops
from ..network.packing import expect_packed
from .config import TEXT_TRAITS, TextConfig
from .key_names import is_text_alone, rename_text
from .network import TextEncoder
from .tokens import Tokenizer, clip_tokenizer

LOGIT = ("logit_scale", "logit_bias")  # numbers of the whole model, kept as numbers
HEADS = {("siglip", 1152): 16}  # of text encoders whose heads are not 64 wide: SigLIP so400m and giant

FULL_FILES = {  # name of an encoder -> where its full file is
    "CLIP ViT-B/32": "openai/clip-vit-base-patch32",
    "CLIP ViT-B/32 gelu": "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
    "CLIP ViT-B/16": "openai/clip-vit-base-patch16",
    "CLIP ViT-B/16 gelu": "laion/CLIP-ViT-B-16-laion2B-s34B-b88K",
    "CLIP ViT-L/14": "openai/clip-vit-large-patch14",
    "CLIP ViT-L/14-336": "openai/clip-vit-large-patch14-336",
    "CLIP ViT-L/14 LAION-2B": "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
    "CLIP ViT-H/14": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
    "CLIP ViT-g/14": "laion/CLIP-ViT-g-14-laion2B-s34B-b88K",
    "CLIP ViT-bigG/14": "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k",
}
ANY_FULL_FILE = FULL_FILES["CLIP ViT-L/14"]

Read = Callable[[str, torch.dtype | None], Tensor]
FindTokenizer = Callable[[int], tuple[Tokenizer | None, list[str]]]


def load_text_encoder(
    sd: Mapping[str, Tensor],
    *,
    read: Read | None = None,
    tokenizer: Tokenizer | None = None,
    find_tokenizer: FindTokenizer | None = None,
    variant: str = "auto",
    metadata: Mapping[str, str] | None = None,
    name: str = "",
    ops: Ops = nn,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    pack: bool = False,
) -> TextEncoder:
    """Build the text encoder beside the image encoder in a flat state dict, in evaluation mode and without gradients.

    The layout may be that of transformers, OpenCLIP or OpenAI, or of an EVA02-CLIP or PE-Core with CLIP's text encoder.
    Sizes come from the tensors; CLIP's activation is that of the image encoder, whose row of `presets.PRESETS` is found
    as `load_encoder` finds it by `variant`, `metadata` and `name`. Heads are 64 wide, or as in the image encoder where
    `metadata["vision_config"]` describes that. Whatever `metadata["text_config"]` says in JSON ({"heads",
    "activation"}) comes first.

    read: gives the values of a key in a dtype, or its own, each once, where those in `sd` are on the meta device
    tokenizer: reads the texts; None: CLIP's own
    find_tokenizer: is asked for that of a SigLIP if none is given, by the number of tokens; gives it, or None, and what
        else was found
    device, dtype: of the weights; None keeps those of the file. Token embeddings stay in the dtype of the file unless
        `dtype` takes less memory
    pack: whether weights are packed for a CPU, as `load_encoder` does it

    Raises:
        ValueError: the file has no text encoder, or none with a projection into the space of the pictures, or no image
            encoder; weights are missing, unknown or of wrong shapes; the tokenizer is missing or another model's.
    """
    check_state_dict(sd)
    if is_text_alone(sd) and not _has_images(sd):
        raise ValueError(
            "This file holds a text encoder alone: with which pictures its texts compare, and how it computes, is in "
            f"the full file. Choose one that holds both encoders, such as model.safetensors of {ANY_FULL_FILE}."
        )
    image = describe(sd, variant=variant, metadata=metadata, name=name)
    layout = layout_of(sd)
    names = rename_text(sd, layout)
    if not names:
        raise ValueError(_without_text(image))
    check_tensors(names, sd)
    steps = steps_of({name: key for key, name in names.items()}, TEXT)
    shapes = shapes_of(steps, sd)
    said = described(metadata, TEXT_DESCRIPTION)
    config = _configure(shapes, image, said, DESCRIPTION in (metadata or {}))
    wanted = {name: tensor for name, tensor in shapes.items() if name not in LOGIT}
    tokenizer = _tokenizer(config, tokenizer, find_tokenizer)
    check_shapes(TextEncoder(config, tokenizer, device="meta"), f"{config.name} text encoder", wanted, TEXT)

    read = read or (lambda key, dtype: sd[key].to(dtype=dtype))
    dtype = dtype or _storage_dtype(shapes)
    encoder = TextEncoder(config, tokenizer, ops, device="meta")
    kept = expect_packed(encoder, dtype if pack else None)
    weights: dict[str, Tensor] = {}
    for step in steps:
        stored = _stored(step.names[0], shapes, dtype)
        made = step.run(read(key, stored).to(device=device) for key in step.keys)
        weights.update((name, kept(name, made.pop(name))) for name in step.names)
    numbers = {name: float(weights.pop(name)) for name in LOGIT if name in weights}
    encoder.load_state_dict(weights, assign=True)
    encoder.logit_scale = math.exp(numbers["logit_scale"]) if "logit_scale" in numbers else None
    encoder.logit_bias = numbers.get("logit_bias")
    encoder.fingerprint = fingerprint_in_file(image, steps_of(renamed(sd, layout)), lambda key: read(key, None))
    return encoder.eval().requires_grad_(False)


def _has_images(sd: Mapping[str, Tensor]) -> bool:
    try:
        layout_of(sd)
    except ValueError:
        return False
    return True


def _stored(name: str, shapes: Mapping[str, Tensor], dtype: torch.dtype) -> torch.dtype:
    """In which dtype a weight is kept. The rows of the token embeddings that a text needs are cast when it is read."""
    if name in LOGIT:
        return torch.float32
    own = shapes[name].dtype
    return own if name == "token_embedding" and 2 <= own.itemsize <= dtype.itemsize else dtype


def _storage_dtype(shapes: Mapping[str, Tensor]) -> torch.dtype:
    dtype = shapes["position_embedding"].dtype
    if dtype.itemsize < 2:
        raise ValueError(f"The weights are stored as {dtype}, in which nothing can be computed: choose a dtype.")
    return dtype


def _configure(
    shapes: Mapping[str, Tensor], image: VisionConfig, said: Mapping[str, Any], image_is_described: bool
) -> TextConfig:
    """What tensors, image encoder and metadata tell."""
    if "projection.weight" not in shapes:
        raise ValueError(
            f"The text encoder of {image.name} in this file has no text projection (as in checkpoints of Stable "
            f"Diffusion), so its texts cannot be compared with pictures. Use a full file, such as {_full_file(image)}."
        )
    vocabulary, width = _weight(shapes, "token_embedding").shape
    layers = {int(match[1]) for key in shapes if (match := re.match(r"layers\.(\d+)\.", key))}
    if not layers or len(layers) <= max(layers):
        raise ValueError(
            f"The text encoder is incomplete: of layers 0 to {max(layers, default=0)} it has {len(layers)}. Download "
            "the file again."
        )
    kind = image.kind
    head_width = image.width // image.heads if image_is_described else HEAD_WIDTH
    heads = said.get("heads") or HEADS.get((kind, width)) or (0 if width % head_width else width // head_width)
    if not heads or width % heads:
        raise ValueError(
            f"A text encoder {width} wide with {heads or f'heads of {head_width}'} heads: the width is not a "
            f'multiple. Give "heads" in the file\'s metadata ({TEXT_DESCRIPTION}).'
        )
    projection = len(shapes["projection.weight"])
    _check_projection(image, projection)
    return TextConfig(
        name=image.name,
        kind=kind,
        width=width,
        depth=len(layers),
        heads=heads,
        mlp_width=len(_weight(shapes, "layers.0.mlp.fc1.weight")),
        context=len(_weight(shapes, "position_embedding")),
        vocabulary=vocabulary,
        projection=projection,
        activation=said.get("activation") or TEXT_TRAITS[kind].activation or image.activation,
    )


def _check_projection(image: VisionConfig, projection: int) -> None:
    """Refuse a file whose image encoder does not lead into the space of its text encoder."""
    numbers = image.width if image.kind == "siglip" and image.pooling_head else image.projection
    if numbers is None:
        raise ValueError(
            f"The image encoder of {image.name} in this file has no projection, so pictures cannot be compared with "
            f"its texts. Use a full file, such as {_full_file(image)}."
        )
    if numbers != projection:
        raise ValueError(
            f"Of a picture this file makes {numbers} numbers, of a text {projection}: its encoders are of two models. "
            f"Use a full file, such as {_full_file(image)}."
        )


def _weight(shapes: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in shapes:
        raise ValueError(f"The text encoder is incomplete: it has no {name}. Download the file again.")
    return shapes[name]


def _tokenizer(config: TextConfig, given: Tokenizer | None, find: FindTokenizer | None) -> Tokenizer:
    """The given tokenizer, or the one that fits. ValueError if none does."""
    if given is None and config.kind == "siglip":
        given, others = find(config.vocabulary) if find else (None, [])
        if given is None:
            raise ValueError(_without_tokenizer(config, others))
    tokenizer = given or clip_tokenizer()
    if tokenizer.vocabulary == config.vocabulary:
        return tokenizer
    fitting = f"that of {config.name} as `tokenizer`" if given else f"a CLIP for English texts, such as {ANY_FULL_FILE}"
    raise ValueError(
        f"The tokenizer has {tokenizer.vocabulary:,} tokens, but {config.name} knows {config.vocabulary:,}: it is "
        f"another model's. Use {fitting}."
    )


def _without_tokenizer(config: TextConfig, others: list[str]) -> str:
    found = f" Beside it {' and '.join(others)}: another model's." if others else ""
    return (
        f"{config.name} reads texts with a tokenizer of {config.vocabulary:,} tokens, which its file does not hold. "
        f"Get tokenizer.json from {full_file_of(config.name)} and put it beside the encoder, or give its path as "
        f"`tokenizer`.{found}"
    )


def _without_text(image: VisionConfig) -> str:
    if image.kind not in TEXT_TRAITS:
        return (
            f"{image.name} has no text encoder: no text compares with its pictures. Choose a CLIP or SigLIP, such as "
            f"{ANY_FULL_FILE}."
        )
    return (
        f"This file holds the image encoder of {image.name} alone, without its text encoder. Use the full file, such "
        f"as model.safetensors of {_full_file(image)}."
    )


def _full_file(image: VisionConfig) -> str:
    return full_file_of(image.name)


def full_file_of(name: str) -> str:
    """Where a file with both encoders is."""
    if match := re.fullmatch(r"(SigLIP2?) (\w+)/(\d+)-(\d+)", name):
        size = "giant-opt" if match[2] == "giant" else match[2]
        return f"google/{match[1].lower()}-{size}-patch{match[3]}-{match[4]}"
    return FULL_FILES.get(name, ANY_FULL_FILE)
