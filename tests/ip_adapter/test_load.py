"""An adapter file is loaded with one call, or refused in one clear sentence."""

import pytest
import safetensors.torch
import torch

from image_prompt.devtools import published
from image_prompt.devtools.stages import ROOT
from image_prompt.ip_adapter import load, load_adapter

DEMO = ROOT / "demo" / "models" / "ipadapter" / "ip-adapter-plus_demo_world.safetensors"


def equal(one, other):
    """Whether two adapters are the same to the bit."""
    weights, others = one.state_dict(), other.state_dict()
    assert (one.title, weights.keys()) == (other.title, others.keys())
    for key, tensor in weights.items():
        assert tensor.dtype == others[key].dtype
        assert torch.equal(tensor, others[key]), key


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("auto", torch.float32), ("bf16", torch.bfloat16), (torch.float64, torch.float64), (None, torch.float16)],
)
def test_it_equals_load_adapter_with_the_files_tensors(dtype, expected):
    ours = load(DEMO, "cpu", dtype)
    assert next(ours.parameters()).dtype == expected
    equal(ours, load_adapter(safetensors.torch.load_file(DEMO), name=str(DEMO), dtype=expected))


@pytest.mark.parametrize("family", ["base", "plus"])
def test_a_torch_file_is_loaded_as_a_safetensors_file_is(make_file, flatten, tmp_path, family):
    parts = make_file(family)
    torch.save(parts, tmp_path / "adapter.bin")
    safetensors.torch.save_file(flatten(parts), tmp_path / "adapter.safetensors")
    torch_file, other = (load(tmp_path / f"adapter.{kind}", "cpu", name="mine") for kind in ("bin", "safetensors"))
    assert torch_file.title.startswith("mine (")
    equal(torch_file, other)


def test_a_path_that_leads_to_no_model_file_is_refused(tmp_path):
    (tmp_path / "page.bin").write_text("<!DOCTYPE html><html>Sign in</html>")
    for path, words in {
        tmp_path: "is a folder, not a file",
        tmp_path / "none.bin": "^There is no file .*none.bin: give the path of a safetensors or torch file",
        tmp_path / "page.bin": "page.bin is a web page, not a model",
        "https://example.org/x.bin": "is an address, not the path of a file",
    }.items():
        with pytest.raises(ValueError, match=words):
            load(path)


@pytest.mark.parametrize("layout", [published.VIT_H, "sigclip_vision_patch14_384", "open_clip_ViT-L-14_visual"])
def test_an_encoder_is_refused_by_name_with_what_loads_it(tmp_path, layout):
    path = tmp_path / "encoder.safetensors"
    published.write_header(path, published.shapes(layout))
    with pytest.raises(ValueError, match=r"encoder\.safetensors: This file is an image encoder .*clip_vision\.load"):
        load(path)


def test_an_encoder_in_a_torch_file_is_refused_too(tmp_path):
    torch.save(published.fill(published.encoder(8, 2, 16, 4, 32), 0), tmp_path / "encoder.bin")
    with pytest.raises(ValueError, match=r"^encoder\.bin: This file is an image encoder .*clip_vision\.load"):
        load(tmp_path / "encoder.bin", name="encoder.bin")


def test_unknown_words_are_refused_before_the_file_is_opened(tmp_path):
    with pytest.raises(ValueError, match="There is no device 'gpu'"):
        load(tmp_path, "gpu")
    with pytest.raises(ValueError, match="device cuda:99"):  # also where there are some
        load(tmp_path, "cuda:99")
    with pytest.raises(ValueError, match="The dtype is 'float'"):
        load(tmp_path, "cpu", "float")


@pytest.mark.parametrize("given", ["adapter.safetensors", DEMO])
def test_a_path_given_in_place_of_tensors_is_refused(given):
    with pytest.raises(ValueError, match=r"is a path: give the tensors of the file, or use ip_adapter\.load\(path\)"):
        load_adapter(given)
