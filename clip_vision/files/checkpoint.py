"""State dict -> image encoder. Letters: W width, N tokens, P patch."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
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

OPENAI_ARCHIVE = "context_length"  # only the original OpenAI files carry this number

RANKS = (  # our name of a weight -> its dimensions
    (r".*\.batched", (3,)),  # (1, N, W)
    (r"patch_embedding\.weight", (4, 2)),  # (W, 3, P, P); NaFlex SigLIP2, which has (W, 3 P P), is refused by name
    (r"head\.probe", (3,)),
    (r"class_embedding|.*bias|.*norm[12]?\.weight|.*\.scale[12]", (1,)),
    (r".*", (2,)),
)


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
    layout = _layout(sd)
    steps = _steps(_renamed(sd, layout))
    shapes = _shapes(steps, sd)
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


def describe(sd: Mapping[str, Tensor], *, metadata: Mapping[str, str] | None = None, name: str = "") -> VisionConfig:
    """The encoder that `load_encoder` would make of this file, from names and shapes alone: meta tensors are enough.

    Raises the same ValueErrors as `load_encoder`.
    """
    layout = _layout(sd)
    shapes = _shapes(_steps(_renamed(sd, layout)), sd)
    return _examine(shapes, layout, "auto", metadata, name, OPENAI_ARCHIVE in sd)


def _examine(
    ours: Mapping[str, Tensor],
    layout: Layout,
    variant: str,
    metadata: Mapping[str, str] | None,
    name: str,
    openai: bool,
) -> VisionConfig:
    said = described(metadata)
    config = _configure(_measure(ours, layout.kind), variant, said, name, openai)
    _check_shapes(VisionEncoder(config, device="meta"), ours)  # a host's layers may have no weights before loading
    return config if "image_size" in said else at_size(config, _reads(config))


def _reads(config: VisionConfig) -> int | None:
    """The size of the pictures that an encoder reads by default, if its position embeddings are for another."""
    return next((row.reads for row in PRESETS if (row.name, row.grid) == (config.name, config.grid)), None)


def _layout(sd: Mapping[str, Tensor]) -> Layout:
    _check_state_dict(sd)
    if not sd:
        raise ValueError("The state dict is empty: choose a CLIP or SigLIP vision file.")
    if odd := [key for key in cast("Mapping[Any, Tensor]", sd) if not isinstance(key, str)]:
        raise ValueError(f"A state dict has names for keys, not {odd[0]!r}: choose a CLIP or SigLIP vision file.")
    return recognise(sd)


def _renamed(sd: Mapping[str, Tensor], layout: Layout) -> dict[str, str]:
    """{our name: key in the file} of the image tower, whose tensors are such as a weight may be."""
    names = rename(sd, layout)
    for key, name in names.items():
        _check_tensor(key, sd[key], _rank(name))
    return {name: key for key, name in names.items()}


def _check_state_dict(sd: object) -> None:
    if isinstance(sd, (str, os.PathLike)):
        path = os.fspath(cast("str | os.PathLike[str]", sd))
        raise ValueError(f"{path!r} is a path: give the tensors of the file, or use clip_vision.load(path).")
    if not isinstance(sd, Mapping):
        raise ValueError(f"A {type(sd).__name__} is not a state dict: give the tensors of a file by their names.")


def _rank(name: str) -> tuple[int, ...]:
    """How many dimensions a weight may have."""
    return next(rank for pattern, rank in RANKS if re.fullmatch(pattern, name))


def _check_tensor(key: str, tensor: Any, rank: tuple[int, ...]) -> None:
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{key} is a {type(tensor).__name__}, not a tensor: the file is damaged. Download it again.")
    if not tensor.is_floating_point():
        raise ValueError(
            f"{key} is stored as {tensor.dtype}: quantised encoders are not supported. "
            "Choose a file in fp32, fp16 or bf16."
        )
    if tensor.ndim not in rank or not tensor.numel():
        raise ValueError(
            f"{key} has shape {tuple(tensor.shape)}, not {rank[0]} dimensions of some length: the file "
            "is damaged. Download it again."
        )


@dataclass(frozen=True)
class Step:
    """Weights as our modules hold them, and the tensors of the file that they are made of."""

    keys: tuple[str, ...]
    names: tuple[str, ...]
    make: Callable[..., tuple[Tensor, ...]]

    def run(self, tensors: Iterable[Tensor]) -> dict[str, Tensor]:
        return dict(zip(self.names, self.make(*tensors), strict=True))


def _stacked(*parts: Tensor) -> tuple[Tensor]:
    first, length = parts[0], sum(map(len, parts))
    if first.is_meta:  # to concatenate these torch would import its compiler, which takes a second
        return (first.new_empty(length, *first.shape[1:]),)
    return (torch.cat(parts),)


def _first_third(in_proj: Tensor) -> tuple[Tensor, Tensor]:
    width = len(in_proj) // 3
    return in_proj[:width], in_proj[width:]


def _transposed(tensor: Tensor) -> tuple[Tensor]:
    return (tensor.t().contiguous(),)


def _unbatched(positions: Tensor) -> tuple[Tensor]:
    return (positions.flatten(0, -2),)


def _flattened(token: Tensor) -> tuple[Tensor]:
    return (token.flatten(),)


def _around_zeros(q_bias: Tensor, v_bias: Tensor) -> tuple[Tensor]:
    return _stacked(q_bias, torch.zeros_like(q_bias), v_bias)


def _without_bias(projection: Tensor) -> tuple[Tensor, Tensor]:
    return projection.t().contiguous(), projection.new_zeros(projection.shape[1])


def _unchanged(tensor: Tensor) -> tuple[Tensor]:
    return (tensor,)


# Name of a weight -> names beside it, of which one is made; names in our modules; how.
FUSED = (
    (r"(layers\.\d+\.attention\.)q(\.\w+)", (r"\1k\2", r"\1v\2"), (r"\1qkv\2",), _stacked),
    (r"(layers\.\d+\.attention\.)q_bias", (r"\1v_bias",), (r"\1qkv.bias",), _around_zeros),
    (r"(layers\.\d+\.mlp\.)gate(\.\w+)", (r"\1value\2",), (r"\1fc1\2",), _stacked),
    (r"class_embedding\.batched", (), ("class_embedding",), _flattened),
    (r"position_embedding\.batched", (), ("position_embedding",), _unbatched),
    (r"registers\.batched", (), ("registers",), _unbatched),
    (r"head\.in_proj(\.\w+)", (), (r"head.q\1", r"head.kv\1"), _first_third),
    (r"projection\.transposed", (), ("projection.weight",), _transposed),
    (r"projection\.transposed_alone", (), ("projection.weight", "projection.bias"), _without_bias),
)


def _steps(keys: Mapping[str, str]) -> list[Step]:
    """How our weights are made of those in the file, by {our name: key} and in its order: one qkv per layer, the head's
    q and kv, the projection as a Linear.
    """
    left, steps = dict(keys), list[Step]()
    for name in keys:
        for pattern, beside, names, make in FUSED:
            if match := re.fullmatch(pattern, name):
                parts = (name, *(match.expand(each) for each in beside))
                found = tuple(_there(left.pop(part, None), part, name) for part in parts)
                steps.append(Step(found, tuple(match.expand(each) for each in names), make))
    steps += (Step((key,), (name,), _unchanged) for name, key in left.items())
    place = {key: number for number, key in enumerate(keys.values())}
    return sorted(steps, key=lambda step: min(place[key] for key in step.keys))


def _shapes(steps: Iterable[Step], sd: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our weights on the meta device: names, shapes and dtypes without values."""
    shapes: dict[str, Tensor] = {}
    for step in steps:
        tensors = [sd[key].to("meta") for key in step.keys]
        _check_alike(step.keys, tensors)
        shapes.update(step.run(tensors))
    return shapes


def _check_alike(keys: Sequence[str], parts: Sequence[Tensor]) -> None:
    if len(shapes := {tuple(part.shape) for part in parts}) > 1:
        raise ValueError(
            f"{' and '.join(keys)} have shapes {sorted(shapes)}, not one and the same: "
            "the file is damaged. Download it again."
        )


def _there(key: str | None, part: str, name: str) -> str:
    if key is None:
        raise ValueError(f"The image encoder is incomplete: no {part} beside {name}. Download the file again.")
    return key


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


def _check_shapes(encoder: VisionEncoder, sd: Mapping[str, Tensor]) -> None:
    """ValueError naming weights that are missing, too many or of another shape (strict loading, in our words)."""
    wanted = {key: tuple(tensor.shape) for key, tensor in encoder.state_dict().items()}
    found = {key: tuple(tensor.shape) for key, tensor in sd.items()}
    if missing := sorted(wanted.keys() - found.keys()):
        raise ValueError(f"The image encoder is incomplete: {len(missing)} weights are missing, first {missing[:4]}.")
    if extra := sorted(found.keys() - wanted.keys()):
        raise ValueError(
            f"The image encoder has {len(extra)} weights that a {encoder.config.name} has no use for, "
            f"first {extra[:4]}."
        )
    for key, shape in wanted.items():
        if found[key] != shape:
            raise ValueError(f"{key} has shape {found[key]}, a {encoder.config.name} needs {shape}.")
