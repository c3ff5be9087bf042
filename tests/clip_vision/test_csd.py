"""CSD, the style encoder: OpenAI's ViT-L/14 tuned for styles, with a projection for styles and one for contents."""

import argparse
import re
import sys
import zipfile
from types import ModuleType

import numpy
import pytest
import torch
import witness
from witness import ROWS

from image_prompt.clip_vision import load, load_encoder, to_published, to_transformers
from image_prompt.tensor_files import read_header
from image_prompt.tensor_files.weights import open_weights

CLIP, ROW = ROWS["CLIP ViT-L/14"], ROWS["CSD ViT-L/14"]


def named(sd, style):
    """CLIP in transformers' names as CSD's checkpoint has it."""
    tower = {key: tensor for key, tensor in witness.to_openclip(sd).items() if key != "visual.proj"}
    backbone = {key.replace("visual.", "backbone."): tensor for key, tensor in tower.items()}
    return backbone | {"last_layer_style": style, "last_layer_content": torch.randn_like(style)}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return witness.narrow(CLIP)


@pytest.fixture
def file(model):
    return named(witness.state_dict(model), 0.2 * torch.randn(128, 24))


def ours(sd):
    return load_encoder(sd, metadata=witness.description(ROW))


@pytest.mark.parametrize("prefix", ["", "module."])
def test_image_embeds_are_the_normalised_style_of_the_class_token(model, file, prefix):
    pixel_values = witness.pixels(CLIP)
    theirs = model(pixel_values, output_hidden_states=True)
    style = model.vision_model(pixel_values).pooler_output @ file["last_layer_style"]
    expected = style / style.norm(dim=-1, keepdim=True)
    got = ours({prefix + key: tensor for key, tensor in file.items()})(
        pixel_values, want=("image_embeds", "penultimate", "projected_patches")
    )
    assert (got.image_embeds - expected).abs().max() <= 1e-5
    assert (got.penultimate - theirs.hidden_states[-2]).abs().max() <= 1e-4
    assert (got.projected_patches[:, 0] - expected).abs().max() <= 1e-5


def test_a_file_of_full_shape_is_identified_and_loads_strictly():
    with torch.device("meta"):
        sd = named(witness.state_dict(witness.empty("clip", witness.full_config(CLIP))), torch.empty(1024, 768))
    assert len(sd) == 297  # as in CSD's own checkpoint
    config = load_encoder(sd).config
    assert (config.name, config.activation, config.heads) == ("CSD ViT-L/14", "quick_gelu", 16)
    assert (config.projection, config.image_size, config.mean) == (768, 224, CLIP.mean)


def test_weights_go_back_to_the_layout_of_csd_bit_for_bit(file):
    encoder = ours(file)
    back = to_published(encoder)
    assert back.keys() == file.keys() - {"last_layer_content"}
    assert all(torch.equal(back[key], file[key]) for key in back)
    with pytest.raises(ValueError, match="transformers has no CSD encoder"):
        to_transformers(encoder)


def test_a_missing_style_or_an_unknown_weight_is_refused(file):
    with pytest.raises(ValueError, match="not a CLIP or SigLIP image encoder"):
        ours({key: tensor for key, tensor in file.items() if key != "last_layer_style"})
    with pytest.raises(ValueError, match=r"does not know: .*backbone\.proj"):
        ours(file | {"backbone.proj": torch.zeros(128, 24)})


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])  # older files have the former
def test_its_checkpoint_is_read_without_the_optimisers_and_options_beside_it(file, tmp_path, core):
    training = {
        "model_state_dict": {f"module.{key}": tensor for key, tensor in file.items()},
        "opt_bb": {"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [{"lr": 0.1}]},
        "iter": numpy.int64(3),
        "args": argparse.Namespace(arch="vit_large", lr=numpy.float64(0.1), clip=None),
    }
    torch.save(training, tmp_path / "saved.bin")
    with (
        zipfile.ZipFile(tmp_path / "saved.bin") as saved,
        zipfile.ZipFile(tmp_path / "checkpoint.bin", "w") as checkpoint,
    ):
        for entry in saved.namelist():
            checkpoint.writestr(entry, re.sub(rb"numpy\._?core(?=\.multiarray\n)", core, saved.read(entry)))
    header = read_header(tmp_path / "checkpoint.bin")
    assert "module.last_layer_style" in header.state_dict and len(header.state_dict) == len(file)
    with open_weights(tmp_path / "checkpoint.bin") as weights:
        found = {key: weights.read(key) for key in weights.tensors}
    assert all(torch.equal(found[f"module.{key}"], tensor) for key, tensor in file.items())
    assert ours(found).config.name == ROW.name


def test_a_pickled_module_is_refused_with_what_to_get_instead(tmp_path, monkeypatch):
    module = ModuleType("csd_clip")
    module.CSD_CLIP = type("CSD_CLIP", (torch.nn.Linear,), {"__module__": "csd_clip"})
    monkeypatch.setitem(sys.modules, "csd_clip", module)
    torch.save(module.CSD_CLIP(2, 3), tmp_path / "csd_clip.pth")
    with pytest.raises(
        ValueError, match=r"csd_clip.pth is a pickle .* was not read. .* tomg-group-umd/CSD-ViT-L, or save"
    ):
        load(tmp_path / "csd_clip.pth", "cpu")
