"""The types of model files, as ComfyUI's folders name them."""

from __future__ import annotations

from dataclasses import dataclass

TENSORS = frozenset((".safetensors", ".sft", ".ckpt", ".pt", ".pt2", ".pth", ".bin", ".pkl"))  # as in ComfyUI
ONNX = frozenset((".onnx",))
FEATURES = frozenset((".safetensors", ".ipadpt"))


@dataclass(frozen=True)
class ModelType:
    folders: tuple[str, ...]  # below a models directory, in ComfyUI's order
    extensions: frozenset[str] = TENSORS
    core: bool = True  # known to ComfyUI itself; node packs add others after extra_model_paths.yaml is read


MODEL_TYPES = {
    "ipadapter": ModelType(("ipadapter",), core=False),
    "clip_vision": ModelType(("clip_vision",)),
    "loras": ModelType(("loras",)),
    "insightface": ModelType(("insightface",), ONNX, core=False),  # face packs are in models/NAME below it
    "image_prompts": ModelType(("image_prompts",), FEATURES, core=False),  # saved features of pictures, no models
    "style_models": ModelType(("style_models",)),
    "model_patches": ModelType(("model_patches",)),
    "photomaker": ModelType(("photomaker",)),
    "instantid": ModelType(("instantid",), core=False),
    "pulid": ModelType(("pulid",), core=False),
    "ipadapter-flux": ModelType(("ipadapter-flux",), core=False),
    "xlabs_ipadapters": ModelType(("xlabs/ipadapters",), core=False),
    "checkpoints": ModelType(("checkpoints",)),
    "diffusion_models": ModelType(("unet", "diffusion_models")),
    "text_encoders": ModelType(("text_encoders", "clip")),
    "vae": ModelType(("vae",)),
    "embeddings": ModelType(("embeddings",)),
    "controlnet": ModelType(("controlnet", "t2i_adapter")),
}

FLUX_TYPES = ("ipadapter-flux", "xlabs_ipadapters")  # in which other packs keep adapters for Flux
ADAPTER_TYPES = ("ipadapter", "instantid", "pulid", *FLUX_TYPES)  # all but the first are those of other packs
OLD_NAMES = {"unet": "diffusion_models", "clip": "text_encoders"}  # of types; ComfyUI accepts both
MEANT = {  # words for a type that are near in meaning, but not in spelling
    "adapter": "ipadapter",
    "adapters": "ipadapter",
    "encoder": "clip_vision",
    "encoders": "clip_vision",
    "image_encoder": "clip_vision",
    "image_encoders": "clip_vision",
    "vision": "clip_vision",
}
SAVED = ("checkpoints", "clip", "vae", "diffusion_models", "loras")  # ComfyUI saves them to output/ and lists them
NOT_MODELS = frozenset(("custom_nodes", "configs", "datasets", "download_model_base"))  # keys of extra_model_paths.yaml


def today(name: str) -> str:
    """The current name of a type, which may be given by its old name."""
    return OLD_NAMES.get(name, name)


def extensions(name: str) -> frozenset[str]:
    """The extensions of the files of a type; an unknown type may hold any file that ComfyUI loads."""
    return MODEL_TYPES[name].extensions if name in MODEL_TYPES else TENSORS
