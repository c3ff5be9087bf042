"""A ComfyUI with a tiny encoder of pictures and texts, drawn pictures, and the commands in this process."""

import json
import shutil
from pathlib import Path

import pytest

from image_prompt.command_line import command
from image_prompt.references.library import libraries_folder


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


@pytest.fixture
def library(comfyui, made_library) -> Path:
    """That library in the ComfyUI, called squares."""
    return Path(shutil.copytree(made_library, libraries_folder(comfyui / "user") / "squares"))
