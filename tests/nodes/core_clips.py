"""CLIP objects of core with few layers, filled as those of checkpoints, and transformers' model of their weights."""

from types import SimpleNamespace
from typing import Any

import comfy.sd
import comfy.sd1_clip
import comfy.sdxl_clip
import comfy.text_encoders.flux
import comfy.text_encoders.sd2_clip
import tiny
import torch
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

LAYERS = 3
FEW = {"num_hidden_layers": LAYERS, "intermediate_size": 64}
SIZES = {"clip_l": (768, 12, "quick_gelu"), "clip_g": (1280, 20, "gelu"), "clip_h": (1024, 16, "gelu")}
KINDS: dict[str, tuple[type, type]] = {  # core's class of the model, and of its tokenizer
    "SD1.5": (comfy.sd1_clip.SD1ClipModel, comfy.sd1_clip.SD1Tokenizer),
    "SD2": (comfy.text_encoders.sd2_clip.SD2ClipModel, comfy.text_encoders.sd2_clip.SD2Tokenizer),
    "SDXL": (comfy.sdxl_clip.SDXLClipModel, comfy.sdxl_clip.SDXLTokenizer),
    "SDXL refiner": (comfy.sdxl_clip.SDXLRefinerClipModel, comfy.sdxl_clip.SDXLTokenizer),
}


def core_clip(kind: str, seed: int = 1) -> comfy.sd.CLIP:
    """A CLIP as core's loaders return it."""
    model, tokenizer = KINDS[kind]
    options: dict[str, Any] = {f"{part}_model_config": FEW for part in SIZES} | {"dtype": torch.float32}
    clip = comfy.sd.CLIP(SimpleNamespace(params={}, clip=model, tokenizer=tokenizer), model_options=options)
    _fill(clip.cond_stage_model, seed)
    return clip


def _fill(model: torch.nn.Module, seed: int) -> None:
    """As `tiny.fill`. Many words share their numbers: 38 million random ones take seconds, and few tell texts apart."""
    parts = [part for name in SIZES if (part := getattr(model, name, None)) is not None]
    for part in parts:
        words = part.transformer.get_input_embeddings()
        kept, part.transformer.text_model.embeddings.token_embedding = words, torch.nn.Identity()
        tiny.fill(part, seed)
        part.transformer.text_model.embeddings.token_embedding = kept
        some = torch.randn(1009, kept.weight.shape[1], generator=torch.Generator().manual_seed(seed)) * 0.02
        kept.weight.data = some[torch.arange(len(kept.weight)) % len(some)]


def text_embeds(clip: comfy.sd.CLIP, part: str, texts: list[str]) -> torch.Tensor:
    """What transformers' model of the weights of a part makes of texts, (N, D)."""
    width, heads, activation = SIZES[part]
    config = CLIPTextConfig(
        hidden_size=width,
        projection_dim=width,
        num_hidden_layers=LAYERS,
        num_attention_heads=heads,
        intermediate_size=FEW["intermediate_size"],
        hidden_act=activation,
        eos_token_id=49407,
    )
    with torch.device("meta"):
        model = CLIPTextModelWithProjection(config).eval()
    model.load_state_dict(getattr(clip.cond_stage_model, part).transformer.state_dict(), assign=True)
    model.text_model.embeddings.position_ids = torch.arange(77)[None]
    tokens = getattr(clip.tokenizer, part).tokenizer(
        texts, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
    )
    return model(tokens["input_ids"]).text_embeds
