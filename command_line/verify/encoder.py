"""Compare an image encoder with transformers. Letters: S pixels along a side."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...clip_vision import VisionConfig, encode_pixels, load, preprocess, to_transformers
from ...tensor_files import Header, read_header
from ...tensor_files.weights import open_weights
from .comparison import Comparison, Outputs, library, version

CONFIG = (
    "The sizes, heads, activation and epsilon that transformers is given are those that this pack found, so they are "
    "not compared; the weights and the computation are."
)
RENAMED = "This pack has renamed the weights in the file for transformers."
PREFIX = "vision_model."
THERE = ("clip", "siglip", "dino")  # kinds of encoders


def compare_encoder(file: str, picture: str | None = None) -> Comparison:
    """Compare what an encoder makes of a picture, feature by feature and layer by layer."""
    transformers = library("transformers")
    pixels, ours, config, renamed = _ours(file, picture)
    theirs = _theirs(transformers, file, config, pixels, renamed)
    notes = [CONFIG, *([RENAMED] if renamed else [])]
    return Comparison(version("transformers"), ours, theirs, notes)


def synthetic(side: int) -> Tensor:
    """A picture (side, side, 3) in 0..1 that is equal on every machine: waves of several lengths in each colour."""
    y, x = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="ij")
    waves = [torch.sin(a * x + b * y) * torch.cos(c * x * y) for a, b, c in ((7, 31, 5), (53, 11, 17), (3, 90, 40))]
    return torch.stack(waves, dim=-1) / 2 + 0.5


def _ours(file: str, picture: str | None) -> tuple[Tensor, Outputs, VisionConfig, dict[str, Tensor]]:
    """(normalised pixels, what this pack computes, what the encoder is, its weights if they are renamed for there)"""
    encoder = load(file, "cpu", torch.float32, pack=False)
    named = _is_named_as_there(read_header(file))
    config = encoder.config
    if config.kind not in THERE:
        raise ValueError(f"transformers has no encoder like {config.name}, with which this one could be compared.")
    shown = synthetic(config.image_size + 32) if picture is None else picture
    pixels = preprocess(shown, config.image_size, config.mean, config.std)
    head = (_head(config),) if _head(config) else ()
    found = encode_pixels(encoder, pixels, want=(*head, "last", "penultimate"), hidden_layers=range(config.depth + 1))
    outputs = {name: found.select(name) for name in (*head, "last", "penultimate")}
    outputs |= {f"hidden state {number}": state for number, state in (found.hidden or {}).items()}
    return pixels, outputs, config, {} if named else to_transformers(encoder)


def _head(config: VisionConfig) -> str:
    """The feature that an encoder of this kind is made for; empty if the file lacks what makes it."""
    if config.kind == "dino":
        return "cls"
    return "image_embeds" if config.projection is not None else "pooled" if config.pooling_head else ""


def _is_named_as_there(header: Header) -> bool:
    """Whether transformers has these names in memory too: those of DINOv2 it changes while it loads a file."""
    return any(key.removeprefix(PREFIX).startswith("embeddings.patch_embedding.") for key in header.state_dict)


def _theirs(transformers: Any, file: str, config: VisionConfig, pixels: Tensor, renamed: dict[str, Tensor]) -> Outputs:
    model = _model(transformers, file, config, renamed)
    found = model(pixels, output_hidden_states=True)
    outputs: Outputs = {"last": found.last_hidden_state, "penultimate": found.hidden_states[-2]}
    outputs |= {f"hidden state {number}": state for number, state in enumerate(found.hidden_states)}
    if config.projection is not None:
        outputs["image_embeds"] = found.image_embeds
    elif name := _head(config):
        outputs[name] = found.pooler_output
    return outputs


def _dino(transformers: Any, config: VisionConfig, weights: dict[str, Tensor]) -> Any:
    """DINOv2 as transformers loads it from the weights under the names of its files."""
    described, build = (
        (transformers.Dinov2WithRegistersConfig, transformers.Dinov2WithRegistersModel)
        if config.registers
        else (transformers.Dinov2Config, transformers.Dinov2Model)
    )
    ratio = config.mlp_width / config.width * (1.5 if config.gated else 1)  # it takes two thirds where there are gates
    sizes = described(
        hidden_size=config.width,
        num_hidden_layers=config.depth,
        num_attention_heads=config.heads,
        mlp_ratio=round(ratio),
        patch_size=config.patch,
        image_size=config.grid * config.patch,
        hidden_act="gelu" if config.gated else config.activation,
        layer_norm_eps=config.norm_eps,
        use_swiglu_ffn=config.gated,
        **({"num_register_tokens": config.registers} if config.registers else {}),
    )
    mask = {"embeddings.mask_token": torch.zeros(1, config.width)}  # for training
    return build.from_pretrained(None, config=sizes, state_dict=weights | mask).eval()


def _model(transformers: Any, file: str, config: VisionConfig, renamed: dict[str, Tensor]) -> Any:
    """The encoder as transformers loads it from the weights of the file."""
    if config.kind == "dino":
        return _dino(transformers, config, renamed)
    sizes = {
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.mlp_width,
        "patch_size": config.patch,
        "image_size": config.image_size,
        "hidden_act": config.activation,
        "layer_norm_eps": config.norm_eps,
    }
    if config.kind == "siglip":
        described = transformers.SiglipVisionConfig(**sizes, vision_use_head=config.pooling_head)
        build = transformers.SiglipVisionModel
    else:
        described = transformers.CLIPVisionConfig(**sizes, projection_dim=config.projection or 1)
        build = transformers.CLIPVisionModelWithProjection if config.projection else transformers.CLIPVisionModel
    with torch.device("meta"):  # numbers that are replaced at once take seconds to draw
        model = build(described).eval()
    model.load_state_dict(_weights(model, file, renamed), assign=True)
    for module in model.modules():
        if "position_ids" in module._buffers:  # no part of the file
            module.position_ids = torch.arange(module.position_ids.shape[-1])[None]
    return model


def _weights(model: Any, file: str, renamed: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights that the model asks for, from the file or as this pack has renamed them."""
    found: dict[str, Tensor] = {}
    with open_weights(file) as weights:
        for key in model.state_dict():
            names = (key, PREFIX + key, key.removeprefix(PREFIX))  # versions of transformers differ
            name = next((name for name in names if name in (renamed or weights.tensors)), None)
            if name is None:
                raise ValueError(f"transformers expects {key}, which the file does not hold: it is not compared.")
            found[key] = renamed[name] if renamed else weights.read(name, torch.float32)
    return found
