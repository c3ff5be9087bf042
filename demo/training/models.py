"""Train one model and write its files."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from . import adapter, autoencoder, clip, unet
from .data import SEED, digest
from .loop import Recipe, train
from .setting import Setting

ROOT = Path(__file__).resolve().parents[2]
Files = dict[str, tuple[str, Mapping[str, Tensor], dict[str, str]]]  # path: what, weights, metadata
LICENCE = "Apache-2.0"


def train_model(name: str, setting: Setting) -> None:
    recipe, module = RECIPES[name](setting)
    origin = {"seed": setting.seed, "pictures": setting.pictures, "inputs": digest(map(setting.finished, INPUTS[name]))}
    trained, facts = train(recipe, module, setting.folder, origin, commit())
    if setting.rank:
        return
    code = facts.pop("code")
    about = {"training commit": code, "training": json.dumps({"recipe": name, **facts, **origin})}
    for file, (what, weights, extra) in EXPORTS[name](trained).items():
        write(setting.models / file, what, weights, {**extra, **about})


def write(file: Path, what: str, weights: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    half = {
        key: tensor.detach().to("cpu", torch.float16 if tensor.is_floating_point() else tensor.dtype).contiguous()
        for key, tensor in weights.items()
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    described = {"what": what, "licence": LICENCE, "data seed": str(SEED), **metadata}
    part = file.with_suffix(".part")
    save_file(half, part, metadata=described)
    part.chmod(0o644)
    part.replace(file)
    print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB")


def commit() -> str:
    """The commit of the code, with a mark if the code of the demo has been changed since."""
    head, changes = (
        subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
        for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--", "demo/*.py"])
    )
    return f"{head or 'unknown'}{' with changes' if changes else ''}"


INPUTS = {  # folders of the finished models that a training starts from
    "autoencoder": (),
    "clip": (),
    "vision": ("clip_vision", "text_encoders"),
    "unet": ("vae", "text_encoders"),
    "base": ("vae", "text_encoders", "diffusion_models", "clip_vision"),
    "plus": ("vae", "text_encoders", "diffusion_models", "clip_vision"),
}
RECIPES: dict[str, Callable[[Setting], tuple[Recipe, nn.Module]]] = {
    "autoencoder": autoencoder.recipe,
    "clip": clip.recipe,
    "vision": clip.vision_recipe,
    "unet": unet.recipe,
    "base": partial(adapter.recipe, "base"),
    "plus": partial(adapter.recipe, "plus"),
}
EXPORTS: dict[str, Callable[[nn.Module], Files]] = {
    "autoencoder": autoencoder.export,
    "clip": clip.export,
    "vision": clip.export_vision,
    "unet": unet.export,
    "base": partial(adapter.export, "base"),
    "plus": partial(adapter.export, "plus"),
}
