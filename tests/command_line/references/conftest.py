"""A ComfyUI with a tiny encoder of pictures and texts, drawn pictures, and the commands in this process."""

import json
import shutil
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
sys.path += [str(Path(__file__).parent), str(TESTS / "references" / "vision_language")]

from squares import draw, fill, made_by, save, tiny_clip  # noqa: E402
from tiny_qwen3_vl import shared  # noqa: E402

from image_prompt.command_line import command  # noqa: E402
from image_prompt.references.library import libraries_folder  # noqa: E402


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


@pytest.fixture
def comfyui(tmp_path, encoders) -> Path:
    """A ComfyUI that has the full CLIP."""
    root = tmp_path / "ComfyUI"
    for name in ("user", "models/clip_vision"):
        (root / name).mkdir(parents=True)
    for name in ("main.py", "folder_paths.py"):
        (root / name).touch()
    shutil.copy(encoders / "tiny.safetensors", root / "models/clip_vision")
    return root


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


@pytest.fixture
def pictures(tmp_path, drawn) -> Path:
    """The same pictures, which a test may change."""
    return Path(shutil.copytree(drawn, tmp_path / "pictures"))


@pytest.fixture
def call(capsys, comfyui):
    """Run a command on that ComfyUI: (exit code, standard output, standard error)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            code = command.main([*map(str, arguments), "--comfyui", str(comfyui)])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def told(call):
    """Run a command for programs: its JSON. It has to end well."""

    def told(*arguments: object, code: int = 0):
        ended, out, said = call(*arguments, "--json")
        assert ended == code, said
        return json.loads(out)

    return told


@pytest.fixture(scope="session")
def made_library(tmp_path_factory, encoders, drawn) -> Path:
    """A library of the drawn pictures, made once."""
    folder, encoder = tmp_path_factory.mktemp("made") / "squares", encoders / "tiny.safetensors"
    fill(folder, drawn, encoder)
    return folder


@pytest.fixture
def library(comfyui, made_library) -> Path:
    """That library in the ComfyUI, called squares."""
    return Path(shutil.copytree(made_library, libraries_folder(comfyui / "user") / "squares"))
