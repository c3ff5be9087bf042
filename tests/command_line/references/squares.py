"""A tiny CLIP of random weights, and pictures of squares that say what made them."""

import hashlib
import json
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel

from image_prompt.references.duplicates import dhash
from image_prompt.references.embedder import Embedder
from image_prompt.references.library import NewPicture, Writer
from image_prompt.references.metadata import generation

COLOURS = ("red", "green", "blue", "yellow", "black", "white")


def tiny_clip(seed: int = 0, projection: int = 16) -> CLIPModel:
    """A CLIP of random weights, whose texts and pictures are far apart from each other."""
    torch.manual_seed(seed)
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 64, "projection_dim": projection}
    text = {"hidden_size": 64, "bos_token_id": 49406, "eos_token_id": 49407, **sizes}
    vision = {"hidden_size": 64, "image_size": 32, "patch_size": 8, **sizes}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=projection)).eval()


def save(model: torch.nn.Module, path: Path, only: str = "") -> None:
    """Save a model; only: the beginning of the names of what is saved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value for key, value in model.state_dict().items() if key.startswith(only)}, path)


def draw(path: Path, colour: str, prompt: dict | None = None, size: int = 48) -> Path:
    """A square on a colour, with what made it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image, info = Image.new("RGB", (size, size), colour), PngInfo()
    place = 3 * COLOURS.index(colour)
    ImageDraw.Draw(image).rectangle((place, 8, place + 20, 30), fill="purple")
    if prompt:
        info.add_text("prompt", json.dumps(prompt))
    image.save(path, pnginfo=info if path.suffix == ".png" else None)
    return path


def made_by(checkpoint: str, cfg: float, lora: float) -> dict:
    def node(kind: str, **inputs) -> dict:
        return {"class_type": kind, "inputs": inputs}

    return {
        "1": node("CheckpointLoaderSimple", ckpt_name=checkpoint),
        "2": node("LoraLoaderModelOnly", model=["1", 0], lora_name="ink.safetensors", strength_model=lora),
        "3": node("CLIPTextEncode", clip=["1", 1], text="a square"),
        "4": node("EmptyLatentImage", width=512, height=512),
        "5": node("KSampler", model=["2", 0], positive=["3", 0], negative=["3", 0], latent_image=["4", 0], seed=1,
                  steps=20, cfg=cfg, sampler_name="euler", scheduler="normal", denoise=1.0),
        "6": node("SaveImage", images=["5", 0]),
    }  # fmt: skip


def fill(library: Path, folder: Path, encoder: Path) -> None:
    """A library of the pictures in a folder."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".png", ".jpg"))
    with Embedder(encoder) as embedder:
        space, vectors = embedder.space, embedder.embed_images(files).vectors.numpy()
    with Writer.open(library, space, hashlib.sha256(encoder.read_bytes()).hexdigest()) as writer:
        writer.add([picture_of(folder, file) for file in files], vectors)


def picture_of(root: Path, file: Path) -> NewPicture:
    status, (width, height) = file.stat(), Image.open(file).size
    facts = (status.st_size, status.st_mtime_ns, hashlib.sha256(file.read_bytes()).hexdigest(), width, height)
    path = file.relative_to(root).as_posix()
    return NewPicture(root, path, *facts, hash64=dhash(file), metadata=generation(file))
