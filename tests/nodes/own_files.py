"""Put tiny model files into ComfyUI's folders, as a user may have them there."""

import json
from functools import lru_cache

import tiny
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
