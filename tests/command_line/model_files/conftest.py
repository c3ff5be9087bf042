"""An installation with model files, and the commands in this process."""

import shutil
from pathlib import Path

import pytest
from published import VIT_H, shapes, write

from image_prompt.command_line import command
from image_prompt.devtools.stages import ROOT


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in (*command.OFFLINE, "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def comfyui(tmp_path) -> Path:
    """A ComfyUI with an adapter and its encoder, an adapter in the wrong folder, and one that was cut short."""
    root = tmp_path / "ComfyUI"
    for name in ("user", "models/loras", "models/insightface"):
        (root / name).mkdir(parents=True)
    for name in ("main.py", "folder_paths.py"):
        (root / name).touch()
    write(root / "models/ipadapter/ip-adapter_sd15.safetensors", shapes("ip-adapter_sd15"))
    write(root / "models/clip_vision/clip_vision_h.safetensors", shapes(VIT_H))
    write(root / "models/loras/ip-adapter-plus_sd15.safetensors", shapes("ip-adapter-plus_sd15"))
    (root / "models/ipadapter/ip-adapter-full-face_sd15.safetensors").write_bytes(b"\x80\0\0\0\0\0\0\0{")
    return root


@pytest.fixture
def pack(comfyui) -> Path:
    """The pack among the custom nodes of that ComfyUI."""
    pack = comfyui / "custom_nodes" / "image-prompt"
    for name in ("command_line", "references", "model_files", "tensor_files", "clip_vision", "ip_adapter", "migration"):
        shutil.copytree(ROOT / name, pack / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "__main__.py", "pyproject.toml"):
        shutil.copy(ROOT / name, pack)
    return pack


@pytest.fixture
def call(capsys):
    """Run the command in this process: (exit code, standard output, standard error)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            code = command.main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return call
