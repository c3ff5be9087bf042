"""The base model is told from a file as it is from the model that was loaded."""

import pytest
import tiny
from safetensors.torch import save_file

from image_prompt.nodes.applying.hosts import base_model
from image_prompt.nodes.loading.model_bases import base_of_listed


def put_model(folders, model, name, prefix=""):
    tensors = model.model.diffusion_model.state_dict()
    save_file({f"{prefix}{key}": tensor.contiguous() for key, tensor in tensors.items()}, folders / name)


@pytest.mark.parametrize("name", ["SD1.5", "SDXL"])
def test_a_checkpoint_is_known_by_its_header(folders, name):
    model = tiny.unet(name)
    put_model(folders, model, "checkpoints/some.safetensors", "model.diffusion_model.")
    assert base_of_listed("some.safetensors") == base_model(model) == name


@pytest.mark.parametrize("build", [tiny.flux, tiny.chroma, tiny.sd3])
def test_a_transformer_is_known_by_its_header(folders, build):
    model = build()
    put_model(folders, model, "diffusion_models/some.safetensors")
    assert base_of_listed("some.safetensors") == base_model(model)


def test_what_is_no_model_has_no_base(folders):
    (folders / "checkpoints" / "page.safetensors").write_text("<html>Sign in</html>")
    save_file(tiny.base_file(tiny.unet("SD1.5")), folders / "checkpoints" / "adapter.safetensors")
    assert [base_of_listed(name) for name in ("page.safetensors", "adapter.safetensors", "none.safetensors")] == [
        ""
    ] * 3
