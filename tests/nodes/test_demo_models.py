"""The models of the demo world, which are in no catalogue, are found by their content."""

import shutil
from pathlib import Path

import pytest
import tiny

from image_prompt.nodes.loading.models import LoadImagePromptModels

MODELS = Path(__file__).resolve().parents[2] / "demo" / "models"


@pytest.mark.parametrize("purpose, name", [("auto", "-plus_"), ("plus", "-plus_"), ("standard", "_")])
def test_the_demo_adapters_are_loaded_with_their_encoder(folders, purpose, name):
    for folder in ("ipadapter", "clip_vision"):
        shutil.copytree(MODELS / folder, folders / folder, dirs_exist_ok=True)
    _, adapter, encoder = LoadImagePromptModels.execute(tiny.unet("SD1.5"), purpose).args
    assert adapter.name == f"ip-adapter{name}demo_world.safetensors"
    assert encoder.name == "demo CLIP"
