"""A file that could not be loaded counts as unusable from then on: it is neither chosen nor recommended."""

import importlib
import os

import nodes
import pytest
import tiny
from comfy_extras.nodes_model_patch import ModelPatchLoader, USOStyleReference
from own_files import put_adapter, put_encoder
from safetensors.torch import load_file, save_file

from image_prompt.ip_adapter import load_adapter
from image_prompt.nodes.loading import model_library
from image_prompt.nodes.loading.load import LoadImageEncoder, LoadImagePromptAdapter
from image_prompt.nodes.loading.models import LoadImagePromptModels

NAN = r"NaN or infinity in image_proj\.proj\.weight"


def test_the_nodes_of_core_and_their_inputs_are_as_refusals_say():
    redux = nodes.StyleModelApply.INPUT_TYPES()["required"]
    assert redux["strength"][1]["default"] == 1.0 and set(redux["strength_type"][0]) == {"multiply", "attn_bias"}
    uso = USOStyleReference.INPUT_TYPES()["required"]
    assert set(uso) == {"model", "model_patch", "clip_vision_output"}  # and no strength
    assert hasattr(nodes, "StyleModelLoader") and ModelPatchLoader.RETURN_TYPES == ("MODEL_PATCH",)


@pytest.fixture
def spoilt(folders, catalogue):
    """An adapter that differs from a good one only in its numbers."""
    put_adapter(folders, "mine/a.safetensors")
    path = folders / "ipadapter" / "mine" / "a.safetensors"
    tensors = load_file(path)
    tensors["image_proj.proj.weight"][0, 0] = float("nan")
    save_file(tensors, path)
    return path


def test_it_is_not_recommended(spoilt):
    with pytest.raises(ValueError, match=NAN) as error:
        LoadImagePromptAdapter.execute("mine/a.safetensors")
    assert "On this disk" not in str(error.value)
    assert str(error.value).count("a.safetensors") == 1
    assert "Get ip-adapter_sd15.safetensors" in str(error.value)


def test_another_is_recommended_and_then_chosen(spoilt, folders):
    put_adapter(folders, "mine/b.safetensors")
    put_encoder(folders)
    model = tiny.unet("SD1.5")
    with pytest.raises(ValueError, match=rf"(?s){NAN}.*On this disk: ipadapter/mine/b\.safetensors"):
        LoadImagePromptModels.execute(model, "standard")
    assert LoadImagePromptModels.execute(model, "standard").args[1].name == "b.safetensors"


def test_the_report_says_why(spoilt):
    with pytest.raises(ValueError):
        LoadImagePromptAdapter.execute("mine/a.safetensors")
    assert "ipadapter/mine/a.safetensors: The adapter file is damaged: NaN or infinity in" in str(
        model_library.report()
    )


def test_what_takes_its_place_is_judged_anew(spoilt, folders):
    with pytest.raises(ValueError):
        LoadImagePromptAdapter.execute("mine/a.safetensors")
    put_adapter(folders, "mine/a.safetensors")
    assert model_library.look_for(model_library.Need("adapter", purpose="standard", base_model="SD1.5")).found


def test_a_file_that_was_being_written_is_taken_once_it_is_whole(folders, catalogue, monkeypatch):
    put_adapter(folders, "mine/a.safetensors")
    put_encoder(folders)

    def while_written(*given, **options):
        os.utime(folders / "ipadapter" / "mine" / "a.safetensors", ns=(1, 1))
        return load_adapter(*given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(importlib.import_module("image_prompt.ip_adapter.from_file"), "load_adapter", while_written)
        with pytest.raises(ValueError, match=r"a\.safetensors changed while it was read\. Try again"):
            LoadImagePromptAdapter.execute("mine/a.safetensors")
    assert LoadImagePromptModels.execute(tiny.unet("SD1.5"), "standard").args[1].name == "a.safetensors"


def test_an_encoder_that_is_no_adapter_is_still_an_encoder(folders):
    put_encoder(folders, "ipadapter/encoder.safetensors")
    with pytest.raises(ValueError, match="is an image encoder"):
        LoadImagePromptAdapter.execute("encoder.safetensors")
    assert [file.file.name for file in model_library.look_for(model_library.Need("encoder")).misplaced] == [
        "encoder.safetensors"
    ]


def test_a_variant_of_another_shape_says_nothing_against_the_file(folders):
    put_encoder(folders)
    with pytest.raises(ValueError, match='Choose "auto" or a variant of that shape') as error:
        LoadImageEncoder.execute("anything.safetensors", "CLIP ViT-H/14")
    assert "On this disk" not in str(error.value)
    assert model_library.look_for(model_library.Need("encoder")).found
