"""One tiny Qwen3-VL, loaded by us and by transformers, for all tests here."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from official import Official
from tiny_qwen3_vl import shared

from image_prompt.references.vision_language import load_vision_language


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return shared(tmp_path_factory)


@pytest.fixture(scope="session")
def encoder(folder):
    with load_vision_language(folder, "cpu", "fp32") as encoder:
        yield encoder


@pytest.fixture(scope="session")
def official(folder):
    return Official(folder)
