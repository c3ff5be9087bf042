"""Recognise files that are not adapters of an applied family, and say what each is and what to do with it.

A file is compared with the families that are not applied, then with the other kinds of file, then with the families
that are applied. In each table, specific rows come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..loading import StateDict
from . import APPLIED, APPLIED_TO, FAMILIES, Family, base_models_of
from .detection import Check, has, lacks, sized, why_not

FACE_LORA = r"lora_unet_\w+_attn[12]_to_(q|k|v|out_0)\.lora_(down|up)\.weight$"
FACE_LORA_RANK = 128

WITH_FACES = base_models_of(family for family in APPLIED if family.reads_faces)
FACES = f"FaceID, InstantID and PuLID to {', '.join(WITH_FACES[:-1])} and {WITH_FACES[-1]}"

REMEDIES = {  # Family.refusal or Foreign.id -> what to do
    "architecture": f"Use an adapter for {', '.join(APPLIED_TO[:-1])} or {APPLIED_TO[-1]}.",
    "no patch point": "Nothing can apply it: ComfyUI's HunyuanDiT has no place where a node may add to its attention. "
    f"Use a model for which there are adapters here: {', '.join(APPLIED_TO[:-1])} or {APPLIED_TO[-1]}.",
    "shape of pictures": "It is not applied: it reads what PE-Core gives of a picture in its own shape, and image "
    "encoders read squares here. For Anima use ip_adapter-Character_Reference-10 by LuciferTC.",
    "shared layers": "Nobody has published such a file, so it is not applied: use one with layers for each block, such "
    "as ip_adapter-Character_Reference-10 by LuciferTC.",
    "no InfuseNet": "It is one half of InfiniteYou, and nothing can apply it alone: the other half, InfuseNet, is a "
    f"network that ComfyUI does not have. For faces this pack applies {FACES}.",
    "style model": "Put it in models/style_models; ComfyUI's own StyleModelLoader and StyleModelApply use it. Where it "
    "is too strong, lower the strength of StyleModelApply from 1.0, to 0.3 for example; its strength_type 'attn_bias' "
    "weakens the attention to the picture, 'multiply' the tokens of the picture.",
    "model patch": "Put it in models/model_patches; ComfyUI's own ModelPatchLoader and USOStyleReference use it. "
    "USOStyleReference has no strength: where it is too strong, lower that of USO's LoRA in LoraLoaderModelOnly.",
    "photomaker": "Put it in models/photomaker; ComfyUI's own PhotoMakerLoader and PhotoMakerEncode use it.",
    "photomaker v2": "ComfyUI's own PhotoMakerLoader reads version 1 only, photomaker-v1.bin; for faces in SDXL this "
    "pack applies FaceID plus v2, InstantID and PuLID.",
    "faceid-lora": "Load the FaceID adapter: the same weights are in its file, and act with it. A LoRA is loaded from "
    "models/loras with LoraLoader.",
    "lora": "Put it in models/loras and load it with LoraLoader.",
    "controlnet": "Put it in models/controlnet and load it with ControlNetLoader; that of InstantID goes on to Apply "
    "InstantID ControlNet.",
    "checkpoint": "Put it in models/checkpoints and load it with CheckpointLoaderSimple; an IP-Adapter is a separate "
    "file.",
    "vae": "Put it in models/vae and load it with VAELoader.",
    "image-encoder": "Put it in models/clip_vision and load it as the image encoder (clip_vision.load in Python).",
    "text-encoder": "Put it in models/text_encoders and load it with CLIPLoader.",
    "vision-transformer": "Use a CLIP or SigLIP encoder.",
    "diffusion-model": "Put it in models/diffusion_models and load it with UNETLoader; an IP-Adapter is a separate, "
    "smaller file.",
    "textual-inversion": "Put it in models/embeddings and name it in the prompt as embedding:name.",
    "image-features": "Put it in models/image_prompts and load it with Load Image Prompt Features.",
}


@dataclass(frozen=True)
class Foreign:
    """A kind of file that is not an adapter."""

    id: str
    kind: str  # completes "This file is ..."
    detect: tuple[Check, ...]  # all must hold


class ForeignFile(ValueError):
    """The error for a file that was recognised, but is not an adapter of an applied family.

    row: the row of its family or kind
    kind, remedy: for people, what it is and what to do with it
    """

    def __init__(self, row: Family | Foreign):
        self.row = row
        self.kind = row.kind
        self.remedy = REMEDIES[row.refusal if isinstance(row, Family) else row.id]
        super().__init__(f"This file is {self.kind}, not a supported IP-Adapter. {self.remedy}")


FOREIGN = (  # specific first
    Foreign(  # without alphas, unlike other LoRAs
        "faceid-lora",
        "the LoRA of a FaceID adapter",
        (has(FACE_LORA), lacks(rf"(?!{FACE_LORA})"), sized(FACE_LORA, FACE_LORA_RANK)),
    ),
    Foreign(
        "lora",
        "a LoRA",
        (
            has(r"lora_(unet|te\d?|transformer|prior)_|.*\.lora_?(A|B|up|down)\b|.*_lora\.(up|down)\."),
            lacks(r"image_proj\.|ip_adapter\."),
        ),
    ),
    Foreign(
        "controlnet",
        "a ControlNet",
        (
            has(
                r"control_model\.|input_hint_block\.|controlnet_(cond_embedding|down_blocks|mid_block|blocks|x_embedder)"
            ),
            lacks(r"image_proj\."),
        ),
    ),
    Foreign(
        "checkpoint",
        "a full checkpoint",
        (
            has(r"(state_dict\.)?model\.diffusion_model\."),
            has(r"(state_dict\.)?(first_stage_model|cond_stage_model|conditioner|text_encoders|vae)\."),
        ),
    ),
    Foreign(
        "vae",
        "a VAE",
        (has(r"(first_stage_model\.)?(decoder|encoder)\.(conv_in|conv1|middle|mid_block|mid)\."),),
    ),
    Foreign(
        "image-encoder",
        "an image encoder (CLIP vision, SigLIP or the like)",
        (
            has(
                r"(clip\.)?(vision_model\.(encoder|embeddings)|visual\.(transformer|conv1|class_embedding|trunk|blocks))"
                r"|blocks\.\d+\.attn\.(inner_attn_ln|norm)\.|(.*\.)?last_layer_style$"  # EVA02-CLIP alone, CSD
                r"|(dinov2\w*\.)?encoder\.layer\.\d+\.layer_scale1\.|blocks\.\d+\.ls1\.gamma$"  # DINOv2
                r"|attn_pool\.(probe|latent)$"  # PE-Core alone
            ),
            lacks(r"image_proj\.|storage_tokens$"),  # of DINOv3
        ),
    ),
    Foreign(
        "text-encoder",
        "a text encoder",
        (
            has(r"(text_model\.|encoder\.block\.\d+\.layer|transformer\.text_model\.|model\.layers\.\d+\.self_attn)"),
            lacks(r"image_proj\."),
        ),
    ),
    Foreign(
        "vision-transformer",
        "a vision transformer that is not a CLIP or DINOv2 (DINO, DINOv3 or the like)",
        (has(r"(.*\.)?cls_token$"),),
    ),
    Foreign(
        "diffusion-model",
        "a diffusion model",
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
        "textual-inversion",
        "a textual inversion embedding",
        (has(r"(emb_params|clip_[lg]|string_to_param\..*)$"),),
    ),
    Foreign(
        "image-features",
        "saved features of pictures",
        (
            has(
                r"(image_embeds|cls|patches|projected_patches|penultimate|last|pooled|hidden\.-?\d+"
                r"|face_(embeds(_raw)?|penultimate|box_penultimate|eva_embeds|eva_hidden)"
                r"|character_(shallow|deep|pieces))$"
            ),
        ),
    ),
)

ROWS: Sequence[Family | Foreign] = (*(family for family in FAMILIES if family.refusal), *FOREIGN, *APPLIED)


def recognise(keys: StateDict) -> Family | None:
    """The family of a file, or None if it is not known.

    keys: tensors by key, named as the module `detection` says

    Raises:
        ForeignFile: it is a known kind of file, but not an adapter of an applied family.
    """
    row = next((row for row in ROWS if row.detect and not why_not(row.detect, keys)), None)
    if isinstance(row, Foreign) or row and row.refusal:
        raise ForeignFile(row)
    return row


def objections(keys: StateDict) -> str:
    """Why a file belongs to none of the applied families, as text: the first objection of each family."""
    return "; ".join(f"{family.name}: {why_not(family.detect, keys)}" for family in APPLIED if family.detect)
