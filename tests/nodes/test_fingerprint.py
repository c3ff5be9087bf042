"""Load Image Prompt Models runs again when it would choose other files, and only then."""

import math
import os

import pytest
import tiny
import torch
from own_files import OWN, put_adapter, put_catalogue, put_encoder
from safetensors.torch import save_file

from image_prompt.nodes.loading import model_library, models
from image_prompt.nodes.loading.models import LoadImagePromptModels

LORA = {"lora_unet_a.lora_down.weight": torch.zeros(4, 4), "lora_unet_a.alpha": torch.zeros(())}


def fingerprint(purpose="standard"):
    return LoadImagePromptModels.fingerprint_inputs(model=None, purpose=purpose)


@pytest.fixture
def chosen(folders, catalogue):
    put_adapter(folders)
    put_encoder(folders)


def unrelated(folders):
    """Write one file of every type, none of which is chosen."""
    put_adapter(folders, "zz/spare.safetensors")
    put_encoder(folders, "clip_vision/zz/spare.safetensors")
    save_file(LORA, folders / "loras" / "a.safetensors")
    (folders / "ipadapter" / "page.safetensors").write_text("<html>")


CHANGES = {
    "adapter replaced": lambda folders: put_adapter(folders, base="SDXL"),
    "adapter cut in place": lambda folders: os.truncate(folders / "ipadapter" / "tiny.safetensors", 1000),
    "adapter of another name": lambda folders: os.rename(
        folders / "ipadapter" / "tiny.safetensors", folders / "ipadapter" / "other.safetensors"
    ),
    "encoder gone": lambda folders: os.remove(folders / "clip_vision" / "anything.safetensors"),
    "encoder touched": lambda folders: os.utime(folders / "clip_vision" / "anything.safetensors", (1, 1)),
    "encoder that comes first": lambda folders: put_encoder(folders, "clip_vision/aa.safetensors"),
}


@pytest.mark.parametrize("purpose", ["standard", "auto", None])  # None: comes over a link
def test_files_that_are_not_chosen_do_not_count(folders, chosen, purpose):
    before = fingerprint(purpose)
    assert sum(map(len, before)) >= 2
    unrelated(folders)
    assert fingerprint(purpose) == before


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_chosen_counts(folders, chosen, change):
    before = fingerprint()
    CHANGES[change](folders)
    assert fingerprint() != before


def test_the_lora_counts(folders, chosen, monkeypatch):
    own = {**OWN, "companion": "ip-adapter-faceid_sd15_lora"}
    put_catalogue(folders, own)
    before = fingerprint()
    monkeypatch.setattr(
        model_library, "companion_need", lambda found, known: model_library.Need("encoder")
    )  # which is there
    assert fingerprint() != before


def test_it_is_of_what_the_node_loads(folders, chosen, monkeypatch):
    _, adapter, _ = LoadImagePromptModels.execute(tiny.unet("SD1.5"), "standard").args
    monkeypatch.setattr(models, "digest", lambda state: state)
    paths = [path for files in fingerprint() for path, *_ in files]
    assert [os.path.basename(path) for path in paths] == [adapter.name, "anything.safetensors"]


def test_a_broken_catalogue_makes_the_node_run_and_tell(folders, chosen):
    put_catalogue(folders, text="{")
    assert math.isnan(fingerprint())
