"""The types of model files, as ComfyUI's folders name them."""

from __future__ import annotations

from dataclasses import dataclass

TENSORS = frozenset((".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl"))  # as in ComfyUI
ONNX = frozenset((".onnx",))


@dataclass(frozen=True)
class ModelType:
    folders: tuple[str, ...]  # below a models directory, in ComfyUI's order
    extensions: frozenset[str] = TENSORS
    core: bool = True  # ComfyUI itself knows it; else a node pack adds it, after extra_model_paths.yaml was read


MODEL_TYPES = {
    "ipadapter": ModelType(("ipadapter",), core=False),
    "clip_vision": ModelType(("clip_vision",)),
    "loras": ModelType(("loras",)),
    "insightface": ModelType(("insightface",), ONNX, core=False),  # packs lie in models/NAME below it
    "style_models": ModelType(("style_models",)),
    "model_patches": ModelType(("model_patches",)),
    "photomaker": ModelType(("photomaker",)),
    "checkpoints": ModelType(("checkpoints",)),
    "diffusion_models": ModelType(("unet", "diffusion_models")),
    "text_encoders": ModelType(("text_encoders", "clip")),
    "vae": ModelType(("vae",)),
    "embeddings": ModelType(("embeddings",)),
    "controlnet": ModelType(("controlnet", "t2i_adapter")),
}

OLD_NAMES = {"unet": "diffusion_models", "clip": "text_encoders"}  # of types; ComfyUI takes both
SAVED = ("checkpoints", "clip", "vae", "diffusion_models", "loras")  # what ComfyUI saves to output/ and lists again
NOT_MODELS = frozenset(("custom_nodes", "configs", "datasets", "download_model_base"))  # keys of extra_model_paths.yaml


def today(name: str) -> str:
    """Today's name of a type."""
    return OLD_NAMES.get(name, name)


def extensions(name: str) -> frozenset[str]:
    """What the files of a type end in; a type that we do not know may hold what ComfyUI loads."""
    return MODEL_TYPES[name].extensions if name in MODEL_TYPES else TENSORS
