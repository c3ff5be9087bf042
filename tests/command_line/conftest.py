"""Make the helpers beside the tests of model files importable, and share encoders, pictures and a library of them."""

import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
MODEL_FILES = TESTS / "model_files"
sys.path += [str(Path(__file__).parent / "references"), str(TESTS / "references" / "vision_language")]
sys.path += [str(MODEL_FILES), *(str(path) for path in sorted(MODEL_FILES.iterdir()) if path.is_dir())]

from squares import draw, fill, made_by, save, tiny_clip  # noqa: E402
from tiny_qwen3_vl import shared  # noqa: E402


@pytest.fixture(scope="session")
def encoders(tmp_path_factory) -> Path:
    """Files of a full CLIP, of its image half alone, and of another CLIP with other weights."""
    folder = tmp_path_factory.mktemp("encoders")
    model = tiny_clip()
    save(model, folder / "tiny.safetensors")
    save(model, folder / "image half.safetensors", "v")
    save(tiny_clip(1), folder / "other.safetensors")
    return folder


@pytest.fixture(scope="session")
def qwen3_vl(tmp_path_factory) -> Path:
    """The folder of a Qwen3-VL. Tests change nothing in it."""
    return shared(tmp_path_factory)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> Path:
    """Four pictures in a folder and one below it: three say what made them. Tests change nothing in it."""
    folder = tmp_path_factory.mktemp("drawn")
    draw(folder / "red.png", "red", made_by("warm.safetensors", 6, 0.8))
    draw(folder / "yellow.png", "yellow", made_by("warm.safetensors", 4.5, 0.4))
    draw(folder / "blue.png", "blue", made_by("cold.safetensors", 6, 0.8))
    draw(folder / "white.png", "white")
    draw(folder / "more/green.png", "green")
    return folder


@pytest.fixture(scope="session")
def made_library(tmp_path_factory, encoders, drawn) -> Path:
    """A library of the drawn pictures, made once."""
    folder, encoder = tmp_path_factory.mktemp("made") / "squares", encoders / "tiny.safetensors"
    fill(folder, drawn, encoder)
    return folder
