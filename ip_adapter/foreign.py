"""Files that are recognised but are not adapters of a supported family: what each is, and what to do with it.

Read before the families, specific first. Keys are those of `containers.normalise`: `image_proj.*`, `ip_adapter.*`, all
others as in the file (nested dicts joined with dots).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from .loading import StateDict

Check = Callable[[StateDict], bool]

FACE = "It needs face recognition features; for faces use ip-adapter-plus-face or ip-adapter-full-face."
UNSUPPORTED = "Use an adapter for SD1.5, SDXL or Kolors."
LORA = "Put it in models/loras and load it with LoraLoader."
MODEL = "Put it in models/diffusion_models and load it with UNETLoader; an IP-Adapter is a separate, smaller file."


@dataclass(frozen=True)
class Foreign:
    kind: str  # completes "This file is ..."
    remedy: str
    checks: tuple[Check, ...]  # all must hold

    def matches(self, sd: StateDict) -> bool:
        return all(check(sd) for check in self.checks)


class ForeignFile(ValueError):
    """A file that was recognised, and is no adapter of a supported family: `kind` and `remedy` of its row."""

    def __init__(self, row: Foreign):
        super().__init__(f"This file is {row.kind}, not a supported IP-Adapter. {row.remedy}")
        self.kind = row.kind
        self.remedy = row.remedy


def has(pattern: str) -> Check:
    """Some key begins with this pattern."""
    find = re.compile(pattern).match
    return lambda sd: any(find(key) for key in sd)


def lacks(pattern: str) -> Check:
    found = has(pattern)
    return lambda sd: not found(sd)


def size(key: str, axis: int, wanted: int) -> Check:
    """This tensor is present, and `wanted` long along `axis`."""
    return lambda sd: key in sd and sd[key].shape[axis:][:1] == (wanted,)


def id_tokens(sd: StateDict) -> int:
    """Tokens per face of the MLP over an identity embedding; 0 where there is none."""
    out, norm = sd.get("image_proj.proj.2.weight"), sd.get("image_proj.norm.weight")
    if out is None or norm is None or not (out.ndim and norm.ndim and norm.numel()):
        return 0
    return out.shape[0] // norm.shape[0]


FOREIGN = (
    # adapters of other architectures
    Foreign(
        "an XLabs IP-Adapter for Flux",
        UNSUPPORTED,
        (has(r"double_blocks\.\d+\.processor\.ip_adapter_double_stream_k_proj\."),),
    ),
    Foreign(
        "InstantX's IP-Adapter for Stable Diffusion 3.5", UNSUPPORTED, (has(r"ip_adapter\.\d+\.norm_ip\.linear\."),)
    ),
    Foreign("InstantCharacter for Flux", UNSUPPORTED, (has(r"ip_adapter\.\d+\.norm_ip_q\."),)),
    Foreign(
        "InstantX's IP-Adapter for Flux",
        UNSUPPORTED,
        (has(r"ip_adapter\.0\.to_k_ip\."), size("ip_adapter.0.to_k_ip.weight", -1, 4096)),
    ),
    Foreign("an IP-Adapter for HunyuanDiT", UNSUPPORTED, (has(r".*kv_proj_ip_adapter\."),)),
    Foreign("an IP-Adapter for Anima", UNSUPPORTED, (has(r"blocks\.\d+\.ip_k_proj\."),)),
    Foreign("an IP-Adapter for Anima (PE-Core)", UNSUPPORTED, (has(r"ip_gate\b|ip_centroid\b"),)),
    # relatives of the IP-Adapter
    Foreign("PuLID for Flux", FACE, (has(r"pulid_ca\."),)),
    Foreign(
        "PuLID for SDXL",
        FACE,
        (has(r"id_adapter_attn_layers\.|ip_adapter\.\d+\.id_to_k|image_proj\.(mapping_0|id_embedding_mapping)\."),),
    ),
    Foreign(
        "FLUX.1 Redux",
        "Put it in models/style_models; ComfyUI's own StyleModelLoader and StyleModelApply use it.",
        (has(r"redux_up\."),),
    ),
    Foreign(
        "USO's style projector",
        "Put it in models/model_patches; ComfyUI's own ModelPatchLoader and USOStyleReference use it.",
        (has(r"feature_embedder\."),),
    ),
    Foreign("PhotoMaker v2", "ComfyUI's own PhotoMakerLoader reads version 1 only.", (has(r"id_encoder\.qformer_"),)),
    Foreign(
        "PhotoMaker",
        "Put it in models/photomaker; ComfyUI's own PhotoMakerLoader and PhotoMakerEncode use it.",
        (has(r"id_encoder\."),),
    ),
    Foreign("CSGO", UNSUPPORTED, (has(r"content_image_proj\."),)),
    Foreign(
        "IP-Adapter-Instruct",
        "It needs instructions as a third input; use ip-adapter-plus or ip_plus_composition.",
        (has(r"image_proj\.proj_new_input\."),),
    ),
    Foreign(
        "InfiniteYou's image projection",
        FACE,
        (size("image_proj.proj_in.weight", -1, 512), size("image_proj.proj_out.weight", 0, 4096)),
    ),
    Foreign(
        "IP-Adapter-Art",
        "It needs features of the CSD style encoder; use ip-adapter_sdxl or ip-adapter-plus_sdxl_vit-h.",
        (
            has(r"image_proj\.image_embeds\."),
            size("image_proj.image_embeds.weight", -1, 768),
            size("image_proj.norm.weight", 0, 2048),
        ),
    ),
    # faces
    Foreign(
        "Kolors' FaceID-Plus adapter",
        FACE,
        (has(r"image_proj\.perceiver_resampler\."), size("image_proj.norm.weight", 0, 4096)),
    ),
    Foreign("a FaceID plus adapter", FACE, (has(r"image_proj\.perceiver_resampler\."),)),
    Foreign("InstantID or a FaceID portrait adapter", FACE, (size("image_proj.proj_in.weight", -1, 512),)),
    Foreign("a FaceID adapter", FACE, (has(r"ip_adapter\.\d+\.to_[qkv]_lora\."),)),
    Foreign("a FaceID portrait adapter", FACE, (lambda sd: id_tokens(sd) > 1,)),
    # other kinds of file
    Foreign(
        "a LoRA",
        LORA,
        (
            has(r"lora_(unet|te\d?|transformer|prior)_|.*\.lora_?(A|B|up|down)\b|.*_lora\.(up|down)\."),
            lacks(r"image_proj\.|ip_adapter\."),
        ),
    ),
    Foreign(
        "a ControlNet",
        "Put it in models/controlnet and load it with ControlNetLoader.",
        (
            has(
                r"control_model\.|input_hint_block\.|controlnet_(cond_embedding|down_blocks|mid_block|blocks|x_embedder)"
            ),
            lacks(r"image_proj\."),
        ),
    ),
    Foreign(
        "a full checkpoint",
        "Put it in models/checkpoints and load it with CheckpointLoaderSimple; an IP-Adapter is a separate file.",
        (
            has(r"(state_dict\.)?model\.diffusion_model\."),
            has(r"(state_dict\.)?(first_stage_model|cond_stage_model|conditioner|text_encoders|vae)\."),
        ),
    ),
    Foreign(
        "a VAE",
        "Put it in models/vae and load it with VAELoader.",
        (has(r"(first_stage_model\.)?(decoder|encoder)\.(conv_in|conv1|middle|mid_block|mid)\."),),
    ),
    Foreign(
        "an image encoder (CLIP vision or SigLIP)",
        "Put it in models/clip_vision and load it as the image encoder.",
        (
            has(r"(clip\.)?(vision_model\.(encoder|embeddings)|visual\.(transformer|conv1|class_embedding))"),
            lacks(r"image_proj\."),
        ),
    ),
    Foreign(
        "a text encoder",
        "Put it in models/text_encoders and load it with CLIPLoader.",
        (
            has(r"(text_model\.|encoder\.block\.\d+\.layer|transformer\.text_model\.|model\.layers\.\d+\.self_attn)"),
            lacks(r"image_proj\."),
        ),
    ),
    Foreign(
        "a vision transformer that is not a CLIP (DINO or the like)",
        "Use a CLIP or SigLIP encoder.",
        (has(r"(.*\.)?cls_token$"),),
    ),
    Foreign(
        "a diffusion model",
        MODEL,
        (
            has(
                r"(model\.diffusion_model\.|unet\.)?((input|output)_blocks\.\d|(down|up)_blocks\.\d+\.resnets"
                r"|double_blocks\.\d+\.img|single_blocks\.|joint_blocks\.|transformer_blocks\.|single_transformer_blocks\."
                r"|blocks\.\d+\.(self_attn|cross_attn|attn)|layers\.\d+\.attention)|model\.diffusion_model\."
            ),
            lacks(r"image_proj\.|ip_adapter\."),
        ),
    ),
    Foreign(
        "a textual inversion embedding",
        "Put it in models/embeddings and name it in the prompt as embedding:name.",
        (has(r"(emb_params|clip_[lg]|string_to_param\..*)$"),),
    ),
)
