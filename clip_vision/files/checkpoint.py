"""State dict -> image encoder. Letters: W width, N tokens, P patch."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..config import TRAITS, Kind, VisionConfig
from ..network.layers import Ops
from ..network.model import VisionEncoder
from ..network.packing import expect_packed
from ..network.resolution import at_size, stretched
from .description import DESCRIPTION, described
from .key_names import Layout, recognise, rename, transformers_name
from .presets import (
    COLORS,
    DEFAULT_ACTIVATION,
    HEAD_WIDTH,
    PRESETS,
    Preset,
    Sizes,
    find_preset,
    log_guess,
)
from .steps import check_shapes, check_tensors, shapes_of, steps_of

OPENAI_ARCHIVE = "context_length"  # only the original OpenAI files carry this number


def load_encoder(
    sd: Mapping[str, Tensor],
    *,
    read: Callable[[str], Tensor] | None = None,
    variant: str = "auto",
    metadata: Mapping[str, str] | None = None,
    name: str = "",
    ops: Ops = nn,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    pack: bool = False,
    image_size: int | None = None,
) -> VisionEncoder:
    """Build the image encoder that a flat state dict holds, in evaluation mode and without gradients.

    The layout may be that of transformers, OpenCLIP, OpenAI, EVA-CLIP, CSD, DINOv2, PE-Core or timm (EVA02-CLIP,
    PE-Core); a text model beside it is left out. Every other key has to be used. Sizes come from the tensors; heads,
    activation, mean and std from a row of `presets.PRESETS`: `variant` names it, "auto" finds it by shape and, where
    rows share a shape, by `name`: the name of the file, with its folders if these say what it is
    ("CLIP-ViT-L-14-laion2B/model.safetensors"). An encoder in no row has heads 64 wide and gelu (OpenAI archives
    quick-gelu, SigLIP tanh gelu, gated mlps silu). Whatever `metadata["vision_config"]` says in JSON ({"heads",
    "activation", "mean", "std", "image_size", "name"}) comes before a row found by "auto".

    The weights are moved and cast once, here, one by one; device and dtype None keep those of the file. `read` gives
    the values of a key, each once, where those in `sd` are on the meta device. `pack` packs the weights of layers from
    `torch.nn` as they are read, for a CPU (`packing.pack_weights`). `image_size` makes it read pictures of so many
    pixels along a side instead of its own size, a multiple of its patch: its position embeddings are interpolated.
    DINOv2, whose position embeddings are for 518 pixels, takes any size, and reads 224 if none is given, as its image
    processor in transformers has it.
    ValueError: not such a file (says what it looks like), missing or unknown weights, wrong shapes, a variant of
    another shape, metadata that cannot be read, an image size that is none for this encoder.
    """
    layout = layout_of(sd)
    steps = steps_of(renamed(sd, layout))
    shapes = shapes_of(steps, sd)
    config = _examine(shapes, layout, variant, metadata, name, OPENAI_ARCHIVE in sd)
    if variant == "auto":
        log_guess(config, name)
    config = at_size(config, image_size)
    encoder = VisionEncoder(config, ops, device="meta")
    dtype = dtype or _storage_dtype(shapes)
    read = read or sd.__getitem__
    kept = expect_packed(encoder, dtype if pack else None)
    weights: dict[str, Tensor] = {}
    for step in steps:
        made = step.run(read(key).to(device=device, dtype=dtype) for key in step.keys)
        weights.update((name, kept(name, made.pop(name))) for name in step.names)
    weights["position_embedding"] = stretched(weights["position_embedding"], config)
    encoder.load_state_dict(weights, assign=True)
    return encoder.eval().requires_grad_(False)


def describe(
    sd: Mapping[str, Tensor],
    *,
    variant: str = "auto",
    metadata: Mapping[str, str] | None = None,
    name: str = "",
    ops: Ops = nn,
) -> VisionConfig:
    """The encoder that `load_encoder` would make of this file, from names and shapes alone: meta tensors are enough.

    ops: the namespace of layers that show their shapes, and need no values

    Raises the same ValueErrors as `load_encoder`.
    """
    layout = layout_of(sd)
    shapes = shapes_of(steps_of(renamed(sd, layout)), sd)
    return _examine(shapes, layout, variant, metadata, name, OPENAI_ARCHIVE in sd, ops)


def _examine(
    ours: Mapping[str, Tensor],
    layout: Layout,
    variant: str,
    metadata: Mapping[str, str] | None,
    name: str,
    openai: bool,
    ops: Ops = nn,  # not a host's, whose layers may have no weights before loading
) -> VisionConfig:
    said = described(metadata)
    config = _configure(_measure(ours, layout.kind), variant, said, name, openai)
    wanted = VisionEncoder(config, ops, device="meta")
    check_shapes(wanted, config.name, ours)
    return config if "image_size" in said else at_size(config, _reads(config))


def _reads(config: VisionConfig) -> int | None:
    """The size of the pictures that an encoder reads by default, if its position embeddings are for another."""
    return next((row.reads for row in PRESETS if (row.name, row.grid) == (config.name, config.grid)), None)


def layout_of(sd: Mapping[str, Tensor]) -> Layout:
    """The layout of the image tower in a file. ValueError says what the file looks like instead."""
    check_state_dict(sd)
    if not sd:
        raise ValueError("The state dict is empty: choose a CLIP or SigLIP vision file.")
    if odd := [key for key in cast("Mapping[Any, Tensor]", sd) if not isinstance(key, str)]:
        raise ValueError(f"A state dict has names for keys, not {odd[0]!r}: choose a CLIP or SigLIP vision file.")
    return recognise(sd)


def renamed(sd: Mapping[str, Tensor], layout: Layout) -> dict[str, str]:
    """{our name: key in the file} of the image tower, whose tensors are such as a weight may be."""
    names = rename(sd, layout)
    check_tensors(names, sd)
    return {name: key for key, name in names.items()}


def check_state_dict(sd: object) -> None:
    """Refuse a path in place of tensors, and what is no mapping."""
    if isinstance(sd, (str, os.PathLike)):
        path = os.fspath(cast("str | os.PathLike[str]", sd))
        raise ValueError(f"{path!r} is a path: give the tensors of the file, or use clip_vision.load(path).")
    if not isinstance(sd, Mapping):
        raise ValueError(f"A {type(sd).__name__} is not a state dict: give the tensors of a file by their names.")


def _measure(sd: Mapping[str, Tensor], kind: Kind | None) -> Sizes:
    """The sizes that tensors show. ValueError for anything but a ViT with a square grid of patches."""
    patches = _weight(sd, "patch_embedding.weight")
    if patches.ndim != 4:
        raise ValueError(
            f"The patch embedding has shape {tuple(patches.shape)}, not (W, 3, P, P): a NaFlex SigLIP2, "
            "which is not supported. Choose a SigLIP2 of fixed resolution (for example base-patch16-512)."
        )
    width, _, patch, _ = patches.shape
    tokens = len(_weight(sd, "position_embedding"))
    kind = kind or ("clip" if "class_embedding" in sd else "siglip")
    has = TRAITS[kind]
    class_token = "class_embedding" in sd if has.class_token is None else has.class_token
    places = tokens - class_token
    grid = math.isqrt(max(places, 0))
    if not grid or grid**2 != places or tuple(patches.shape) != (width, 3, patch, patch):
        raise ValueError(
            f"{tokens} position embeddings and patches of shape {tuple(patches.shape)} are no square "
            "grid of square RGB patches. Choose an encoder for square pictures."
        )
    layers = {int(match[1]) for key in sd if (match := re.match(r"layers\.(\d+)\.", key))}
    if len(layers) <= max(layers, default=0):
        raise ValueError(
            f"The image encoder is incomplete: of layers 0 to {max(layers, default=0)} it has "
            f"{len(layers)}. Download the file again."
        )
    rows = len(_weight(sd, "layers.0.mlp.fc1.weight"))
    gated = has.gated if has.gated is not None else rows == 2 * _weight(sd, "layers.0.mlp.fc2.weight").shape[1]
    return Sizes(
        kind=kind,
        width=width,
        depth=len(layers),
        mlp_width=rows // 2 if gated else rows,  # gates and values are in one matrix
        patch=patch,
        grid=grid,
        has_class_token=class_token,
        registers=len(sd["registers"]) if "registers" in sd else 0,
        gated=gated,
        projection=len(sd["projection.weight"]) if "projection.weight" in sd else None,
        pooling_head="head.probe" in sd,
    )


def _weight(sd: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in sd:
        raise ValueError(
            f"The image encoder is incomplete: no {transformers_name(name)} (or its name in another "
            "layout). Download the file again."
        )
    return sd[name]


def _configure(sizes: Sizes, variant: str, description: Mapping[str, Any], name: str, openai: bool) -> VisionConfig:
    if variant != "auto":
        description = {}
    row = find_preset(sizes, variant, name)
    known = {**(_of_row(row, sizes) if row else _of_rule(sizes, openai)), **description}
    heads = known["heads"]
    if not heads or sizes.width % heads:
        raise ValueError(
            f"An encoder {sizes.width} wide with {heads or 'heads of 64'} heads: the width is not a "
            f'multiple. Give "heads" in the file\'s metadata ({DESCRIPTION}).'
        )
    if known["image_size"] // sizes.patch != sizes.grid:
        raise ValueError(
            f"Pictures of {known['image_size']} pixels make {known['image_size'] // sizes.patch} patches "
            f"of {sizes.patch} a side, but the file has position embeddings for {sizes.grid}."
        )
    return VisionConfig(
        kind=sizes.kind,
        width=sizes.width,
        depth=sizes.depth,
        mlp_width=sizes.mlp_width,
        patch=sizes.patch,
        grid=sizes.grid,
        has_class_token=sizes.has_class_token,
        registers=sizes.registers,
        gated=sizes.gated,
        projection=sizes.projection,
        pooling_head=sizes.pooling_head,
        **known,
    )


def _of_row(row: Preset, sizes: Sizes) -> dict[str, Any]:
    return {
        "name": row.name,  # of the training: position embeddings stretched to another picture size change nothing else
        "heads": row.heads,
        "image_size": row.image_size if row.grid == sizes.grid else sizes.grid * sizes.patch,
        "activation": row.activation,
        "mean": row.mean,
        "std": row.std,
    }


def _of_rule(sizes: Sizes, openai: bool) -> dict[str, Any]:
    mean, std = COLORS[sizes.kind]
    return {
        "name": f"{TRAITS[sizes.kind].title} ViT {sizes.width}x{sizes.depth}/{sizes.patch}",
        "heads": 0 if sizes.width % HEAD_WIDTH else sizes.width // HEAD_WIDTH,
        "image_size": sizes.grid * sizes.patch,
        "activation": "quick_gelu" if openai else "silu" if sizes.gated else DEFAULT_ACTIVATION[sizes.kind],
        "mean": mean,
        "std": std,
    }


def _storage_dtype(sd: Mapping[str, Tensor]) -> torch.dtype:
    dtype = sd["patch_embedding.weight"].dtype
    if dtype.itemsize < 2:
        raise ValueError(f"The weights are stored as {dtype}, in which nothing can be computed: choose a dtype.")
    return dtype
