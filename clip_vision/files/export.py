"""The weights of an encoder under the names of published files. Letters: N tokens, W width."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..config import Kind
from ..network.model import VisionEncoder
from .key_names import transformers_name


def to_transformers(encoder: VisionEncoder) -> dict[str, Tensor]:
    """The weights under the keys of files of transformers' CLIPVisionModelWithProjection, SiglipVisionModel,
    Dinov2Model or Dinov2WithRegistersModel, of these two without the mask token, which is for training.

    ValueError: transformers has no such encoder.
    """
    if encoder.config.kind in ELSEWHERE:
        raise ValueError(
            f"transformers has no {encoder.config.traits.title} encoder. `to_published` names the weights."
        )
    if encoder.config.kind == "dino":
        return _renamed(encoder, DINO_GATED if encoder.config.gated else DINO)
    renamed: dict[str, Tensor] = {}
    for name, tensor in encoder.state_dict().items():
        if match := re.fullmatch(r"(layers\.\d+\.attention\.)qkv(\.\w+)", name):
            for letter, part in zip("qkv", tensor.chunk(3), strict=True):
                renamed[transformers_name(f"{match[1]}{letter}{match[2]}")] = part.contiguous()
        elif not name.startswith(("head.q.", "head.kv.")):
            renamed[transformers_name(name)] = tensor
    if encoder.head is not None:
        own = encoder.head.state_dict()
        for kind in ("weight", "bias"):
            renamed[transformers_name(f"head.in_proj.{kind}")] = torch.cat((own[f"q.{kind}"], own[f"kv.{kind}"]))
    return renamed


def to_published(encoder: VisionEncoder) -> dict[str, Tensor]:
    """The weights under the keys of files that load as this encoder: transformers', or those of its own project."""
    rules = ELSEWHERE.get(encoder.config.kind)
    return to_transformers(encoder) if rules is None else _renamed(encoder, rules)


def _renamed(encoder: VisionEncoder, rules: Sequence[Rule]) -> dict[str, Tensor]:
    renamed: dict[str, Tensor] = {}
    for name, tensor in encoder.state_dict().items():
        pattern, keys, split = next(rule for rule in rules if re.fullmatch(rule[0], name))
        parts = (part.contiguous() for part in split(tensor))
        renamed.update(zip((re.sub(pattern, key, name) for key in keys), parts, strict=True))
    return renamed


def _whole(tensor: Tensor) -> Sequence[Tensor]:
    return (tensor,)


def _transposed(tensor: Tensor) -> Sequence[Tensor]:
    return (tensor.t(),)


def _token(tensor: Tensor) -> Sequence[Tensor]:
    return (tensor[None, None],)  # (1, 1, W)


def _batch(tensor: Tensor) -> Sequence[Tensor]:
    return (tensor[None],)  # (1, N, W)


def _halves(tensor: Tensor) -> Sequence[Tensor]:
    return tensor.chunk(2)


def _thirds(tensor: Tensor) -> Sequence[Tensor]:
    return tensor.chunk(3)


def _outer_thirds(tensor: Tensor) -> Sequence[Tensor]:
    return tensor.chunk(3)[::2]


Rule = tuple[str, tuple[str, ...], Callable[[Tensor], Sequence[Tensor]]]

_BLOCK = r"visual.blocks.\1."

# Our name of a weight -> keys of the tensors that are made of it; how
EVA_CLIP: tuple[Rule, ...] = (
    (r"class_embedding", ("visual.cls_token",), _token),
    (r"position_embedding", ("visual.pos_embed",), _batch),
    (r"patch_embedding\.(\w+)", (r"visual.patch_embed.proj.\1",), _whole),
    (r"post_norm\.(\w+)", (r"visual.norm.\1",), _whole),
    (r"projection\.(\w+)", (r"visual.head.\1",), _whole),
    (r"layers\.(\d+)\.(norm[12]\.\w+)", (_BLOCK + r"\2",), _whole),
    (r"layers\.(\d+)\.attention\.qkv\.weight", tuple(f"{_BLOCK}attn.{x}_proj.weight" for x in "qkv"), _thirds),
    (r"layers\.(\d+)\.attention\.qkv\.bias", tuple(f"{_BLOCK}attn.{x}_bias" for x in "qv"), _outer_thirds),
    (r"layers\.(\d+)\.attention\.norm\.(\w+)", (_BLOCK + r"attn.inner_attn_ln.\2",), _whole),
    (r"layers\.(\d+)\.attention\.out\.(\w+)", (_BLOCK + r"attn.proj.\2",), _whole),
    (r"layers\.(\d+)\.mlp\.fc1\.(\w+)", (_BLOCK + r"mlp.w1.\2", _BLOCK + r"mlp.w2.\2"), _halves),
    (r"layers\.(\d+)\.mlp\.norm\.(\w+)", (_BLOCK + r"mlp.ffn_ln.\2",), _whole),
    (r"layers\.(\d+)\.mlp\.fc2\.(\w+)", (_BLOCK + r"mlp.w3.\2",), _whole),
)

_RESBLOCK = r"backbone.transformer.resblocks.\1."

CSD: tuple[Rule, ...] = (
    (r"class_embedding", ("backbone.class_embedding",), _whole),
    (r"position_embedding", ("backbone.positional_embedding",), _whole),
    (r"patch_embedding\.weight", ("backbone.conv1.weight",), _whole),
    (r"(pre|post)_norm\.(\w+)", (r"backbone.ln_\1.\2",), _whole),
    (r"projection\.weight", ("last_layer_style",), _transposed),
    (r"layers\.(\d+)\.norm([12])\.(\w+)", (_RESBLOCK + r"ln_\2.\3",), _whole),
    (r"layers\.(\d+)\.attention\.qkv\.(\w+)", (_RESBLOCK + r"attn.in_proj_\2",), _whole),
    (r"layers\.(\d+)\.attention\.out\.(\w+)", (_RESBLOCK + r"attn.out_proj.\2",), _whole),
    (r"layers\.(\d+)\.mlp\.fc1\.(\w+)", (_RESBLOCK + r"mlp.c_fc.\2",), _whole),
    (r"layers\.(\d+)\.mlp\.fc2\.(\w+)", (_RESBLOCK + r"mlp.c_proj.\2",), _whole),
)

_LAYER = r"encoder.layer.\1."
_SELF = _LAYER + "attention.attention."


def _dino(first: str, second: str) -> tuple[Rule, ...]:
    """first, second: the matrices of the mlp"""
    return (
        (r"class_embedding", ("embeddings.cls_token",), _token),
        (r"position_embedding", ("embeddings.position_embeddings",), _batch),
        (r"registers", ("embeddings.register_tokens",), _batch),
        (r"patch_embedding\.(\w+)", (r"embeddings.patch_embeddings.projection.\1",), _whole),
        (r"post_norm\.(\w+)", (r"layernorm.\1",), _whole),
        (r"layers\.(\d+)\.(norm[12]\.\w+)", (_LAYER + r"\2",), _whole),
        (
            r"layers\.(\d+)\.attention\.qkv\.(\w+)",
            (_SELF + r"query.\2", _SELF + r"key.\2", _SELF + r"value.\2"),
            _thirds,
        ),
        (r"layers\.(\d+)\.attention\.out\.(\w+)", (_LAYER + r"attention.output.dense.\2",), _whole),
        (r"layers\.(\d+)\.scale([12])", (_LAYER + r"layer_scale\2.lambda1",), _whole),
        (r"layers\.(\d+)\.mlp\.fc1\.(\w+)", (_LAYER + rf"mlp.{first}.\2",), _whole),
        (r"layers\.(\d+)\.mlp\.fc2\.(\w+)", (_LAYER + rf"mlp.{second}.\2",), _whole),
    )


DINO, DINO_GATED = _dino("fc1", "fc2"), _dino("weights_in", "weights_out")

TIMM_PE: tuple[Rule, ...] = (
    (r"class_embedding", ("cls_token",), _token),
    (r"position_embedding", ("pos_embed",), _batch),
    (r"patch_embedding\.weight", ("patch_embed.proj.weight",), _whole),
    (r"pre_norm\.(\w+)", (r"norm_pre.\1",), _whole),
    (r"post_norm\.(\w+)", (r"norm.\1",), _whole),
    (r"projection\.(\w+)", (r"head.\1",), _whole),
    (r"layers\.(\d+)\.(norm[12]\.\w+|mlp\.\w+\.\w+)", (r"blocks.\1.\2",), _whole),
    (r"layers\.(\d+)\.attention\.qkv\.(\w+)", (r"blocks.\1.attn.qkv.\2",), _whole),
    (r"layers\.(\d+)\.attention\.out\.(\w+)", (r"blocks.\1.attn.proj.\2",), _whole),
    (r"head\.probe", ("attn_pool.latent",), _whole),
    (r"head\.out\.(\w+)", (r"attn_pool.proj.\1",), _whole),
    (r"head\.(.+)", (r"attn_pool.\1",), _whole),
)

ELSEWHERE: dict[Kind, tuple[Rule, ...]] = {"eva": EVA_CLIP, "csd": CSD, "pe": TIMM_PE}  # than in transformers
