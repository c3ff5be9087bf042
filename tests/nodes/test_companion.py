"""A FaceID adapter without a LoRA inside takes that of the file beside it; one that has a LoRA keeps its own."""

import logging

import pytest
import tiny
import torch
from own_files import put_face_lora
from safetensors.torch import load_file, save_file

from image_prompt.devtools import published
from image_prompt.ip_adapter.lora import from_companion
from image_prompt.nodes.encoding.features import ImageFeatures
from image_prompt.nodes.loading.load import LoadImagePromptAdapter

NAME, COMPANION = "ip-adapter-faceid_sd15.safetensors", "ip-adapter-faceid_sd15_lora.safetensors"


def put_faceid(folders, model, lora=False):
    """A FaceID adapter for the model, with a LoRA inside or without. Returns the tensors of that LoRA."""
    file = tiny.file_for(model, published.identity)
    widths = [len(file[f"ip_adapter.{2 * number + 1}.to_k_ip.weight"]) for number in range(16)]
    inner = published.fill(published.lora(widths, 768), 6) if lora else {}
    save_file({**file, **inner}, folders / "ipadapter" / NAME)
    return inner


def load(name=NAME):
    return LoadImagePromptAdapter.execute(name).args[0]


@pytest.mark.parametrize("file", [COMPANION, "faces/renamed.safetensors"])
def test_the_file_beside_it_is_applied(folders, model, apply, file):
    put_faceid(folders, model)
    (folders / "loras" / "faces").mkdir()
    put_face_lora(folders, model, file)
    found = load().module.lora
    expected = from_companion(load_file(folders / "loras" / file))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], tensor) for key, tensor in expected.items())
    features = ImageFeatures(face_embeds=torch.ones(1, 512), negative_penultimate=None, encoder="")
    assert len(apply(model, load(), features).patches) == 128


def test_its_own_lora_counts_and_not_that_beside_it(folders, model):
    inner = put_faceid(folders, model, lora=True)
    put_face_lora(folders, model, COMPANION)
    for key, tensor in load().module.lora.items():
        number, name, side, _ = key.split(".")
        assert torch.equal(tensor, inner[f"ip_adapter.{number}.{name}_lora.{side}.weight"]), key


def test_without_any_it_is_said_which_file_to_get(folders, model, caplog):
    put_faceid(folders, model)
    with caplog.at_level(logging.WARNING):
        assert load().module.lora == {}
    assert "acts more weakly without" in caplog.text
    assert "ip-adapter-faceid_sd15_lora" in caplog.text and "models/loras" in caplog.text


def test_a_file_that_does_not_fit_is_named(folders, model):
    """The self-attentions are those of a wider model."""
    put_faceid(folders, model)
    put_face_lora(folders, model, COMPANION)
    path = folders / "loras" / COMPANION
    wider = {
        key: torch.cat([tensor, tensor], int("lora_down" in key)) if "attn1" in key else tensor
        for key, tensor in load_file(path).items()
    }
    save_file(wider, path)
    with pytest.raises(ValueError, match=rf"{COMPANION}: The LoRA does not fit: .*expected"):
        load()
