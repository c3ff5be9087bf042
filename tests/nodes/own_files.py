"""Put tiny model files into ComfyUI's folders, as a user may have them there."""

import json
import re
from functools import lru_cache

import comfy.lora
import tiny
import torch
from safetensors.torch import save_file

from image_prompt.model_files.folders.installation import CATALOGUE

OWN = {  # what a user would write about an adapter of their own
    "id": "tiny",
    "title": "A tiny adapter",
    "kind": "adapter",
    "family": "base",
    "base_model": "SD1.5",
    "encoder": "an encoder whose image_embeds is 24 wide",
    "purposes": ["standard"],
    "folder": "ipadapter",
    "files": ["tiny.safetensors"],
    "licence": "Apache-2.0",
    "commercial": True,
}


@lru_cache
def adapter_tensors(base):
    return tiny.base_file(tiny.unet(base))


def put_adapter(folders, name="tiny.safetensors", base="SD1.5"):
    path = folders / "ipadapter" / name
    path.parent.mkdir(exist_ok=True)
    save_file(adapter_tensors(base), path)


def put_encoder(folders, name="clip_vision/anything.safetensors"):
    path = folders / name
    path.parent.mkdir(exist_ok=True)
    save_file(tiny.encoder_file(), path, metadata=tiny.DESCRIPTION)


def put_catalogue(folders, *entries, text=None):
    """Write a catalogue file of the user."""
    (folders.parent / "user" / "__image_prompt" / CATALOGUE).write_text(text or json.dumps({"entries": entries}))


def put_face_lora(folders, model, file="companion.safetensors"):
    """A FaceID LoRA in its published layout: every attention of the UNet, at rank 128."""
    weights = dict(model.model.diffusion_model.named_parameters())
    names = {
        key: name
        for key, name in comfy.lora.model_lora_keys_unet(model.model, {}).items()
        if re.fullmatch(r"lora_unet_(down|mid|up)_\w+_attn[12]_to_(q|k|v|out_0)", key)
    }
    lora = {}
    for key, name in names.items():
        rows, columns = weights[name.removeprefix("diffusion_model.")].shape
        lora[f"{key}.lora_down.weight"] = torch.randn(128, columns) / columns**0.5
        lora[f"{key}.lora_up.weight"] = torch.randn(rows, 128) / 128**0.5
    save_file(lora, folders / "loras" / file)
