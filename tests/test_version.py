"""The pack runs on the ComfyUI that it names, and an older one logs why it does not."""

import asyncio

import comfyui_version
import nodes
import pytest
import tomllib

import image_prompt
from image_prompt.devtools.stages import ROOT

SENTENCE = "Image Prompt needs ComfyUI 0.24.0 or newer, and this is 0.18.2. Update ComfyUI."


@pytest.fixture
def loaded(monkeypatch, caplog):
    """Load the pack as a ComfyUI of some version does: whether that succeeded, and what was logged."""
    for name in ("LOADED_MODULE_DIRS", "EXTENSION_WEB_DIRS", "NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"):
        monkeypatch.setattr(nodes, name, {})

    def load(version: str) -> tuple[bool, list[str]]:
        monkeypatch.setattr(comfyui_version, "__version__", version)
        return asyncio.run(nodes.load_custom_node(str(ROOT))), [record.getMessage() for record in caplog.records]

    return load


def test_an_old_comfyui_logs_one_sentence_and_offers_no_node(loaded):
    fine, logged = loaded("0.18.2")
    assert not fine and not nodes.NODE_CLASS_MAPPINGS
    assert [line.rpartition(": ")[2] for line in logged] == [SENTENCE]


@pytest.mark.parametrize("version", ["0.24.0", "0.30.0", "1.0.0"])
def test_a_newer_comfyui_gets_the_pack(monkeypatch, version):
    monkeypatch.setattr(comfyui_version, "__version__", version)
    assert image_prompt.comfy_entrypoint()


def test_the_registry_is_told_the_oldest_version():
    comfy = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["comfy"]
    assert comfy["requires-comfyui"] == ">=" + ".".join(map(str, image_prompt.OLDEST))
