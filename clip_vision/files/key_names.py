"""Names of the weights in published files, as tables of anchored patterns, and our own.

"transformers": `vision_model.*`, or without that prefix as transformers 5 names a vision model that stands alone.
"openclip": `visual.*`, which OpenAI's original files share. Both may be part of a file with a text model; the image
tower that was saved alone has no `visual.`.
"csd": OpenAI's image tower as `backbone.*`, with a projection for styles and one for contents.
"eva-clip": `visual.blocks.*` of EVA-CLIP's own files; "timm": the same as timm names it, alone or within OpenCLIP.
"dinov2": transformers' Dinov2Model, alone or within a model that classifies; "dinov2 hub": its authors' own files.
"pe-core": `visual.*` of its authors' files, or the image tower alone; "pe-core in timm": alone or within OpenCLIP.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache

from ..config import Kind

Rules = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Layout:
    name: str
    signature: tuple[str, ...]  # for each of these, a key that matches it has to be there
    rules: Rules  # whole key -> our name
    dropped: tuple[str, ...]  # parts of the file that an image encoder has no use for
    kind: Kind | None = None  # of every encoder in this layout; None: its tensors tell

    def fits(self, keys: Collection[str]) -> bool:
        """Whether a file with these keys is in this layout."""
        return all(_described(keys, pattern) for pattern in self.signature)


_HF = r"(?:vision_model\.)?"
_HF_LAYER = _HF + r"encoder\.layers\.(\d+)\."
_PARAMETER = r"(weight|bias)"

TRANSFORMERS = Layout(
    "transformers",
    signature=(_HF + r"embeddings\.patch_embedding\.weight",),
    rules=(
        (_HF + r"embeddings\.class_embedding", "class_embedding"),
        (_HF + r"embeddings\.position_embedding\.weight", "position_embedding"),
        (_HF + r"embeddings\.patch_embedding\." + _PARAMETER, r"patch_embedding.\1"),
        (_HF + r"pre_layrnorm\." + _PARAMETER, r"pre_norm.\1"),  # this spelling is in every published file
        (_HF + r"post_layernorm\." + _PARAMETER, r"post_norm.\1"),
        (_HF_LAYER + r"layer_norm([12])\." + _PARAMETER, r"layers.\1.norm\2.\3"),
        (_HF_LAYER + r"self_attn\.([qkv])_proj\." + _PARAMETER, r"layers.\1.attention.\2.\3"),
        (_HF_LAYER + r"self_attn\.out_proj\." + _PARAMETER, r"layers.\1.attention.out.\2"),
        (_HF_LAYER + r"mlp\.fc([12])\." + _PARAMETER, r"layers.\1.mlp.fc\2.\3"),
        (r"visual_projection\.weight", "projection.weight"),
        (_HF + r"head\.probe", "head.probe"),
        (_HF + r"head\.attention\.in_proj_" + _PARAMETER, r"head.in_proj.\1"),
        (_HF + r"head\.attention\.out_proj\." + _PARAMETER, r"head.out.\1"),
        (_HF + r"head\.layernorm\." + _PARAMETER, r"head.norm.\1"),
        (_HF + r"head\.mlp\.fc([12])\." + _PARAMETER, r"head.mlp.fc\1.\2"),
    ),
    dropped=(
        _HF + r"embeddings\.position_ids",
        r"text_model\..+",
        r"text_projection\.weight",
        r"logit_scale|logit_bias",
    ),
)

_RESBLOCK = r"visual\.transformer\.resblocks\.(\d+)\."

OPENCLIP = Layout(
    "openclip",
    signature=(r"visual\.conv1\.weight",),
    rules=(
        (r"visual\.class_embedding", "class_embedding"),
        (r"visual\.positional_embedding", "position_embedding"),
        (r"visual\.conv1\.weight", "patch_embedding.weight"),
        (r"visual\.ln_pre\." + _PARAMETER, r"pre_norm.\1"),
        (r"visual\.ln_post\." + _PARAMETER, r"post_norm.\1"),
        (_RESBLOCK + r"ln_([12])\." + _PARAMETER, r"layers.\1.norm\2.\3"),
        (_RESBLOCK + r"attn\.in_proj_" + _PARAMETER, r"layers.\1.attention.qkv.\2"),
        (_RESBLOCK + r"attn\.out_proj\." + _PARAMETER, r"layers.\1.attention.out.\2"),
        (_RESBLOCK + r"mlp\.c_fc\." + _PARAMETER, r"layers.\1.mlp.fc1.\2"),
        (_RESBLOCK + r"mlp\.c_proj\." + _PARAMETER, r"layers.\1.mlp.fc2.\2"),
        (r"visual\.proj", "projection.transposed"),
    ),
    dropped=(
        r"token_embedding\.weight|positional_embedding|text_projection|attn_mask",
        r"transformer\.resblocks\..+",
        r"ln_final\.(weight|bias)",
        r"text\..+",  # OpenCLIP files whose text model is a module of its own
        r"logit_scale|logit_bias",
        r"input_resolution|context_length|vocab_size",  # numbers that OpenAI's archives carry
    ),
)

OPENCLIP_TOWER = Layout(
    "openclip without its prefix",
    signature=(r"ln_pre\.weight",),  # a text model has the same names but for this one
    rules=tuple((pattern.removeprefix(r"visual\."), name) for pattern, name in OPENCLIP.rules),
    dropped=(),
)

_CSD = r"(?:module\.)?"  # torch's DataParallel

CSD = Layout(
    "csd",
    signature=(_CSD + r"last_layer_style",),
    rules=(
        *((_CSD + pattern.replace(r"visual\.", r"backbone\."), name) for pattern, name in OPENCLIP.rules[:-1]),
        (_CSD + r"last_layer_style", "projection.transposed"),
    ),
    dropped=(_CSD + r"last_layer_content.*",),
    kind="csd",
)


def _eva(name: str, prefix: str, inside: Rules, norm: str, dropped: tuple[str, ...]) -> Layout:
    """A layout of EVA02-CLIP. inside: the names within an attention and an mlp; norm: that of its attention's norm"""
    block = prefix + r"blocks\.(\d+)\."
    return Layout(
        name,
        signature=(block + norm + r"\.weight",),
        rules=(
            (prefix + r"cls_token", "class_embedding.batched"),
            (prefix + r"pos_embed", "position_embedding.batched"),
            (prefix + r"patch_embed\.proj\." + _PARAMETER, r"patch_embedding.\1"),
            (prefix + r"norm\." + _PARAMETER, r"post_norm.\1"),
            (prefix + r"head\." + _PARAMETER, r"projection.\1"),
            (block + r"norm([12])\." + _PARAMETER, r"layers.\1.norm\2.\3"),
            (block + norm + r"\." + _PARAMETER, r"layers.\1.attention.norm.\2"),
            (block + r"attn\.([qkv])_proj\.weight", r"layers.\1.attention.\2.weight"),
            (block + r"attn\.proj\." + _PARAMETER, r"layers.\1.attention.out.\2"),
            *((block + pattern, rf"layers.\1.{ours}") for pattern, ours in inside),
        ),
        dropped=dropped,
        kind="eva",
    )


_TEXT = OPENCLIP.dropped

EVA_CLIP = _eva(
    "eva-clip",
    r"(?:visual\.)?",
    (
        (r"attn\.([qv])_bias", r"attention.\2_bias"),
        (r"mlp\.w1\." + _PARAMETER, r"mlp.gate.\2"),
        (r"mlp\.w2\." + _PARAMETER, r"mlp.value.\2"),
        (r"mlp\.ffn_ln\." + _PARAMETER, r"mlp.norm.\2"),
        (r"mlp\.w3\." + _PARAMETER, r"mlp.fc2.\2"),
    ),
    norm=r"attn\.inner_attn_ln",
    dropped=(*_TEXT, r"(?:visual\.)?(?:blocks\.\d+\.attn\.)?rope\.freqs_(?:cos|sin)"),  # tables that are computed here
)

TIMM_EVA = _eva(
    "timm",
    r"(?:visual\.trunk\.)?",
    (
        (r"attn\.([qv])_proj\.bias", r"attention.\2_bias"),
        (r"mlp\.fc1_g\." + _PARAMETER, r"mlp.gate.\2"),
        (r"mlp\.fc1_x\." + _PARAMETER, r"mlp.value.\2"),
        (r"mlp\.norm\." + _PARAMETER, r"mlp.norm.\2"),
        (r"mlp\.fc2\." + _PARAMETER, r"mlp.fc2.\2"),
    ),
    norm=r"attn\.norm",
    dropped=_TEXT,
)

_DINO = r"(?:dinov2\.|dinov2_with_registers\.)?"
_DINO_LAYER = _DINO + r"encoder\.layer\.(\d+)\."

DINO = Layout(
    "dinov2",
    signature=(_DINO_LAYER + r"layer_scale1\.lambda1", _DINO + r"embeddings\.position_embeddings"),
    rules=(
        (_DINO + r"embeddings\.cls_token", "class_embedding.batched"),
        (_DINO + r"embeddings\.position_embeddings", "position_embedding.batched"),
        (_DINO + r"embeddings\.register_tokens", "registers.batched"),
        (_DINO + r"embeddings\.patch_embeddings\.projection\." + _PARAMETER, r"patch_embedding.\1"),
        (_DINO + r"layernorm\." + _PARAMETER, r"post_norm.\1"),
        (_DINO_LAYER + r"norm([12])\." + _PARAMETER, r"layers.\1.norm\2.\3"),
        *(
            (_DINO_LAYER + rf"attention\.attention\.{word}\." + _PARAMETER, rf"layers.\1.attention.{word[0]}.\2")
            for word in ("query", "key", "value")
        ),
        (_DINO_LAYER + r"attention\.output\.dense\." + _PARAMETER, r"layers.\1.attention.out.\2"),
        (_DINO_LAYER + r"layer_scale([12])\.lambda1", r"layers.\1.scale\2"),
        (_DINO_LAYER + r"mlp\.(?:fc1|weights_in)\." + _PARAMETER, r"layers.\1.mlp.fc1.\2"),
        (_DINO_LAYER + r"mlp\.(?:fc2|weights_out)\." + _PARAMETER, r"layers.\1.mlp.fc2.\2"),
    ),
    dropped=(_DINO + r"embeddings\.mask_token", r"classifier\.(weight|bias)"),
    kind="dino",
)

_BLOCK = r"blocks\.(\d+)\."

DINO_HUB = Layout(
    "dinov2 hub",
    signature=(_BLOCK + r"ls1\.gamma", r"pos_embed"),  # DINOv3 has no position embeddings, DINO no scales
    rules=(
        (r"cls_token", "class_embedding.batched"),
        (r"pos_embed", "position_embedding.batched"),
        (r"register_tokens", "registers.batched"),
        (r"patch_embed\.proj\." + _PARAMETER, r"patch_embedding.\1"),
        (r"norm\." + _PARAMETER, r"post_norm.\1"),
        (_BLOCK + r"norm([12])\." + _PARAMETER, r"layers.\1.norm\2.\3"),
        (_BLOCK + r"attn\.qkv\." + _PARAMETER, r"layers.\1.attention.qkv.\2"),
        (_BLOCK + r"attn\.proj\." + _PARAMETER, r"layers.\1.attention.out.\2"),
        (_BLOCK + r"ls([12])\.gamma", r"layers.\1.scale\2"),
        (_BLOCK + r"mlp\.(?:fc1|w12)\." + _PARAMETER, r"layers.\1.mlp.fc1.\2"),
        (_BLOCK + r"mlp\.(?:fc2|w3)\." + _PARAMETER, r"layers.\1.mlp.fc2.\2"),
    ),
    dropped=(r"mask_token",),
    kind="dino",
)

_POOL = r"visual\.attn_pool\."

PE = Layout(
    "pe-core",
    signature=(_POOL + "probe",),
    rules=(
        *OPENCLIP.rules[:-1],
        (r"visual\.proj", "projection.transposed_alone"),
        (_POOL + r"probe", "head.probe"),
        (_POOL + r"attn\.in_proj_" + _PARAMETER, r"head.in_proj.\1"),
        (_POOL + r"attn\.out_proj\." + _PARAMETER, r"head.out.\1"),
        (_POOL + r"layernorm\." + _PARAMETER, r"head.norm.\1"),
        (_POOL + r"mlp\.c_fc\." + _PARAMETER, r"head.mlp.fc1.\1"),
        (_POOL + r"mlp\.c_proj\." + _PARAMETER, r"head.mlp.fc2.\1"),
    ),
    dropped=_TEXT,
    kind="pe",
)

PE_TOWER = Layout(
    "pe-core without its prefix",
    signature=(r"attn_pool\.probe",),
    rules=tuple((pattern.removeprefix(r"visual\."), name) for pattern, name in PE.rules),
    dropped=(),
    kind="pe",
)

_TRUNK = r"(?:visual\.trunk\.)?"
_TRUNK_BLOCK = _TRUNK + _BLOCK
_TRUNK_POOL = _TRUNK + r"attn_pool\."

TIMM_PE = Layout(
    "pe-core in timm",
    signature=(_TRUNK + r"norm_pre\.weight", _TRUNK_POOL + "latent"),  # timm's CLIP has the first, SigLIP the second
    rules=(
        (_TRUNK + r"cls_token", "class_embedding.batched"),
        (_TRUNK + r"pos_embed", "position_embedding.batched"),
        (_TRUNK + r"patch_embed\.proj\.weight", "patch_embedding.weight"),
        (_TRUNK + r"norm_pre\." + _PARAMETER, r"pre_norm.\1"),
        (_TRUNK + r"norm\." + _PARAMETER, r"post_norm.\1"),
        (_TRUNK + r"head\." + _PARAMETER, r"projection.\1"),
        (_TRUNK_BLOCK + r"norm([12])\." + _PARAMETER, r"layers.\1.norm\2.\3"),
        (_TRUNK_BLOCK + r"attn\.qkv\." + _PARAMETER, r"layers.\1.attention.qkv.\2"),
        (_TRUNK_BLOCK + r"attn\.proj\." + _PARAMETER, r"layers.\1.attention.out.\2"),
        (_TRUNK_BLOCK + r"mlp\.fc([12])\." + _PARAMETER, r"layers.\1.mlp.fc\2.\3"),
        (_TRUNK_POOL + r"latent", "head.probe"),
        (_TRUNK_POOL + r"(q|kv|norm)\." + _PARAMETER, r"head.\1.\2"),
        (_TRUNK_POOL + r"proj\." + _PARAMETER, r"head.out.\1"),
        (_TRUNK_POOL + r"mlp\.fc([12])\." + _PARAMETER, r"head.mlp.fc\1.\2"),
    ),
    dropped=_TEXT,
    kind="pe",
)

LAYOUTS = (TRANSFORMERS, PE, PE_TOWER, OPENCLIP, OPENCLIP_TOWER, EVA_CLIP, TIMM_EVA, TIMM_PE, CSD, DINO, DINO_HUB)

# (a key of a file that is something else, what the file is and what to do), specific first
FOREIGN: Rules = (
    (r".*(lora_(up|down|A|B)|lora_te|lora_unet|\.hada_w|\.lokr_).*", "a LoRA. Load it with a LoRA loader"),
    (
        r"(image_proj|image_proj_model|ip_adapter_proj_model|ip_adapter|adapter_modules)\..*|.*\.to_[kv]_ip\..*",
        "an IP-Adapter. Load it with the adapter loader (ip_adapter.load in Python)",
    ),
    (
        r"(model\.diffusion_model|model\.model|double_blocks|joint_blocks|input_blocks|down_blocks)\..*",
        "a diffusion model or checkpoint. An image encoder is a file of its own",
    ),
    (r"(first_stage_model|decoder)\..*", "a VAE. Choose an image encoder"),
    (
        r"multi_modal_projector\..*",
        "a LLaVA model with a projector, which is not supported. Choose the CLIP file that it was made from",
    ),
    (r"visual\.trunk\..*", "an OpenCLIP model with a timm image tower. Choose the transformers version of the encoder"),
    (
        r"visual\.(blocks|patch_embed)\..*",
        "an EVA-CLIP encoder that is not supported. Choose EVA02-CLIP-L-336 (EVA02_CLIP_L_336_psz14_s6B.pt)",
    ),
    (r"visual\.(layer\d|attnpool)\..*", "a ResNet CLIP, which is not supported. Choose a ViT"),
    (
        r"(.*\.)?ls_[12]\.gamma",
        "a PE-Lang or PE-Spatial, which is not supported. Choose a PE-Core encoder",
    ),
    (
        r"(.*\.)?(embeddings\.cls_token|embeddings\.patch_embeddings\..*|cls_token|layer_scale\d?\..*)",
        "a DINO other than DINOv2, or a plain ViT, which is not supported. Choose a CLIP, SigLIP or DINOv2 encoder",
    ),
    (
        r"(text_model|transformer\.text_model)\..*",
        "a text encoder without an image tower. Choose a CLIP vision file, or the full CLIP file",
    ),
    (
        r"(token_embedding|transformer\.resblocks|encoder\.block)\..*",
        "a text encoder without an image tower. Choose a CLIP vision file, or the full CLIP file",
    ),
)


def recognise(keys: Iterable[str]) -> Layout:
    """The layout of a file with these keys. ValueError says what the file looks like instead."""
    keys = list(keys)
    for layout in LAYOUTS:
        if layout.fits(keys):
            return layout
    raise ValueError(f"This is not a CLIP or SigLIP image encoder: {what_it_looks_like(keys)}")


def rename(keys: Iterable[str], layout: Layout) -> dict[str, str]:
    """{key in the file: our name} of the image tower. ValueError names the keys that no rule of the layout knows."""
    renamed: dict[str, str] = {}
    strangers: list[str] = []
    for key in keys:
        if name := apply(layout.rules, key):
            renamed[key] = name
        elif not any(re.fullmatch(pattern, key) for pattern in layout.dropped):
            strangers.append(key)
    if strangers:
        raise ValueError(
            f"The image encoder has weights that its layout ({layout.name}) does not know: "
            f"{what_it_looks_like(strangers)}"
        )
    return renamed


def what_it_looks_like(keys: list[str]) -> str:
    """A sentence about a file, from its keys."""
    for pattern, description in FOREIGN:
        if _described(keys, pattern):
            return f"it looks like {description}. {first_keys(keys)}"
    return f"choose a CLIP or SigLIP vision file in the transformers, OpenCLIP or OpenAI layout. {first_keys(keys)}"


def _described(keys: Iterable[str], pattern: str) -> bool:
    return any(re.fullmatch(pattern, key) for key in keys)


def apply(rules: Rules, key: str) -> str:
    """Our name of a key, by the first rule that knows it; empty if none does."""
    for pattern, replacement in _compiled(rules):
        if pattern.fullmatch(key):
            return pattern.sub(replacement, key, count=1)
    return ""


@cache
def _compiled(rules: Rules) -> list[tuple[re.Pattern[str], str]]:
    return [(re.compile(rf"(?:{pattern})\Z"), replacement) for pattern, replacement in rules]


def first_keys(keys: list[str], count: int = 4) -> str:
    return f"First of {len(keys)} keys: {sorted(keys)[:count]}."


OURS_TO_TRANSFORMERS: Rules = (
    (r"class_embedding", "vision_model.embeddings.class_embedding"),
    (r"position_embedding", "vision_model.embeddings.position_embedding.weight"),
    (r"patch_embedding\.(\w+)", r"vision_model.embeddings.patch_embedding.\1"),
    (r"pre_norm\.(\w+)", r"vision_model.pre_layrnorm.\1"),
    (r"post_norm\.(\w+)", r"vision_model.post_layernorm.\1"),
    (r"layers\.(\d+)\.norm([12])\.(\w+)", r"vision_model.encoder.layers.\1.layer_norm\2.\3"),
    (r"layers\.(\d+)\.attention\.([qkv])\.(\w+)", r"vision_model.encoder.layers.\1.self_attn.\2_proj.\3"),
    (r"layers\.(\d+)\.attention\.out\.(\w+)", r"vision_model.encoder.layers.\1.self_attn.out_proj.\2"),
    (r"layers\.(\d+)\.mlp\.fc([12])\.(\w+)", r"vision_model.encoder.layers.\1.mlp.fc\2.\3"),
    (r"projection\.weight", "visual_projection.weight"),
    (r"head\.probe", "vision_model.head.probe"),
    (r"head\.in_proj\.(\w+)", r"vision_model.head.attention.in_proj_\1"),
    (r"head\.out\.(\w+)", r"vision_model.head.attention.out_proj.\1"),
    (r"head\.norm\.(\w+)", r"vision_model.head.layernorm.\1"),
    (r"head\.mlp\.fc([12])\.(\w+)", r"vision_model.head.mlp.fc\1.\2"),
)


def transformers_name(name: str) -> str:
    """Our name of a weight -> its key in the transformers layout."""
    return apply(OURS_TO_TRANSFORMERS, name)
