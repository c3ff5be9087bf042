"""An encoder file is loaded with one call, with all that it says about itself, or refused in one clear sentence."""

import os

import pytest
import safetensors.torch
import torch

from image_prompt.clip_vision import best_dtype, load, load_encoder
from image_prompt.clip_vision.network import packing
from image_prompt.devtools import published
from image_prompt.devtools.stages import ROOT

DEMO = ROOT / "demo" / "models" / "clip_vision" / "demo_world.safetensors"  # fp16


def metadata_of(path):
    with safetensors.safe_open(path, "pt") as file:
        return file.metadata()


def equal(one, other):
    """Whether two encoders are the same to the bit."""
    weights, others = one.state_dict(), other.state_dict()
    assert one.config == other.config and weights.keys() == others.keys()
    for key, tensor in weights.items():
        assert (tensor.dtype, tensor.device) == (others[key].dtype, others[key].device)
        assert torch.equal(tensor, others[key]), key


def test_the_demo_encoder_keeps_what_its_metadata_say():
    config = load(DEMO).config
    assert (config.name, config.heads, config.activation) == ("demo CLIP", 4, "quick_gelu")
    assert config.mean == config.std == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("fp32", torch.float32), ("bf16", torch.bfloat16), (torch.float16, torch.float16), (None, torch.float16)],
)
def test_it_equals_load_encoder_with_the_files_tensors_and_metadata(dtype, expected):
    ours = load(DEMO, "cpu", dtype, pack=False)
    theirs = load_encoder(safetensors.torch.load_file(DEMO), metadata=metadata_of(DEMO), dtype=expected)
    assert ours.dtype == expected
    equal(ours, theirs)


def test_a_torch_file_is_loaded_as_a_safetensors_file_is(tmp_path):
    tensors = safetensors.torch.load_file(DEMO)
    torch.save(tensors, tmp_path / "encoder.bin")
    safetensors.torch.save_file(tensors, tmp_path / "encoder.safetensors")  # torch files have no metadata
    equal(load(tmp_path / "encoder.bin", "cpu"), load(str(tmp_path / "encoder.safetensors"), "cpu"))


def test_auto_is_the_fastest_dtype_packed_on_a_cpu():
    encoder = load(DEMO, "cpu")
    assert encoder.dtype == best_dtype("cpu")
    assert any(isinstance(module, packing.PackedLinear) for module in encoder.modules()) == packing._available()
    plain = load(DEMO, "cpu", pack=False)
    assert not any(isinstance(module, packing.PackedLinear) for module in plain.modules())
    equal(encoder, plain)


def test_the_folder_that_holds_the_file_is_a_hint_and_the_variant_decides(tmp_path, monkeypatch):
    (tmp_path / "CLIP-ViT-B-32-laion2B").mkdir()
    monkeypatch.chdir(tmp_path)
    path = os.path.join("CLIP-ViT-B-32-laion2B", "model.safetensors")
    published.write_header(tmp_path / path, published.encoder(768, 12, 3072, 8, 32))
    assert load(path, "cpu", None).config.activation == "gelu"
    assert load(tmp_path / path, "cpu", None).config.activation == "gelu"
    assert load(path, "cpu", None, name="mine.safetensors").config.activation == "quick_gelu"
    assert load(path, "cpu", None, variant="CLIP ViT-B/32").config.activation == "quick_gelu"


REFUSED = {  # what is given, {} for tmp_path: words of the error
    "{}": "is a folder, not a file: it was not opened. Give the model file itself",
    "{}/none.safetensors": "^There is no file {}/none.safetensors: give the path of a safetensors or torch file",
    "{}/page.safetensors": "page.safetensors is a web page, not a model",
    "https://example.org/encoder.safetensors": "is an address, not the path of a file.*download the file",
    "": "The path of the model file is empty",
    " ": "The path of the model file is empty",
}


@pytest.mark.parametrize("path", REFUSED)
def test_a_path_that_leads_to_no_model_file_is_refused(tmp_path, path):
    (tmp_path / "page.safetensors").write_text("<!DOCTYPE html><html>Sign in</html>")
    with pytest.raises(ValueError, match=REFUSED[path].format(tmp_path)):
        load(path.format(tmp_path))


@pytest.mark.parametrize("given", [None, 3, b"encoder.safetensors", {"visual.proj": torch.zeros(1)}])
def test_what_is_no_path_is_refused(given):
    with pytest.raises(ValueError, match=f"given by its path, .* not by one of type {type(given).__name__}"):
        load(given)


ADAPTERS = ["ip-adapter_sd15", "diffusers-plus_sd15", "diffusers-unet-state_dict_sd15", "xlabs-flux-ip-adapter"]


@pytest.mark.parametrize("layout", ADAPTERS)
def test_an_adapter_is_refused_by_name_with_what_loads_it(tmp_path, layout):
    path = tmp_path / "adapter.safetensors"
    published.write_header(path, published.shapes(layout))
    with pytest.raises(ValueError, match=r"adapter\.safetensors: .* looks like an IP-Adapter.*ip_adapter\.load"):
        load(path)


def test_an_adapter_in_a_torch_file_is_refused_too(tmp_path):
    shapes = published.adapter(published.base(768), [32], 768)
    torch.save(published.nested(published.fill(shapes, 0)), tmp_path / "adapter.bin")
    with pytest.raises(ValueError, match=r"adapter\.bin: .* looks like an IP-Adapter.*ip_adapter\.load"):
        load(tmp_path / "adapter.bin")


def test_unknown_words_are_refused_before_the_file_is_opened(tmp_path):
    with pytest.raises(ValueError, match="There is no device 'gpu'"):
        load(tmp_path, "gpu")
    with pytest.raises(ValueError, match="device cuda:99"):  # also where there are some
        load(tmp_path, "cuda:99")
    with pytest.raises(ValueError, match="The dtype is 'float'"):
        load(tmp_path, "cpu", "float")


@pytest.mark.parametrize("given", ["encoder.safetensors", DEMO])
def test_a_path_given_in_place_of_tensors_is_refused(given):
    with pytest.raises(ValueError, match=r"is a path: give the tensors of the file, or use clip_vision\.load\(path\)"):
        load_encoder(given)


def test_what_is_no_state_dict_is_refused():
    with pytest.raises(ValueError, match="A list is not a state dict: give the tensors of a file by their names"):
        load_encoder([torch.zeros(1)])
