"""With the demo world's checkpoint, core's own nodes compute what training computed."""

import sys
from types import SimpleNamespace

import nodes
import pytest
import torch

from image_prompt.demo.nodes import ImagePromptDemoWorld, checkpoint
from image_prompt.demo.nodes.words import LENGTH
from image_prompt.demo.nodes.world import CONTEXT
from image_prompt.demo.world import World, draw
from image_prompt.devtools.stages import ROOT

CAPTIONS = ["", "a shape", "a large red star with dots at the left on grey", "a cyan ring and a small shape on black"]


@pytest.fixture(scope="module")
def loaded():
    with torch.inference_mode():  # as ComfyUI runs nodes
        yield ImagePromptDemoWorld.execute().args


@pytest.fixture
def model(loaded):
    return loaded[0]


@pytest.fixture
def clip(loaded):
    return loaded[1]


@pytest.fixture
def vae(loaded):
    return loaded[2]


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


def encode(clip, text: str) -> torch.Tensor:
    (((states, _),),) = nodes.CLIPTextEncode().encode(clip, text)
    return states


@pytest.fixture
def diffusion(monkeypatch):
    """The function with which training turns captions into the text context of the UNet."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])
    from demo.training.unet import Diffusion, text_tower

    tower, words = text_tower(checkpoint.MODELS / "text_encoders" / checkpoint.NAME)
    made = SimpleNamespace(text=tower, words=words, setting=SimpleNamespace(device=torch.device("cpu")))
    return lambda captions: Diffusion.context(made, captions)


def test_text_is_encoded_as_in_training(clip, diffusion):
    expected = diffusion(CAPTIONS)
    found = torch.cat([encode(clip, text) for text in CAPTIONS])
    assert found.shape == (len(CAPTIONS), LENGTH, CONTEXT)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert (found[0] - found[1]).abs().max() > 0.1


def test_a_weight_of_one_changes_nothing_and_another_one_does(clip):
    plain = encode(clip, "a red star")
    torch.testing.assert_close(encode(clip, "a (red:1.0) star"), plain, rtol=0, atol=1e-6)
    stressed = encode(clip, "a (red:1.2) star")
    assert (stressed - plain).abs().max() > 0.01
    assert not stressed[..., clip.cond_stage_model.clip_l.transformer.width :].any()  # still padded


def test_an_unknown_word_is_a_word(clip):
    unknown = encode(clip, "a zebra star")
    assert torch.equal(unknown, encode(clip, "a violin star"))
    assert not torch.equal(unknown, encode(clip, "a star"))


def test_a_long_prompt_goes_on_in_another_chunk(clip):
    first = " and ".join(["a red star"] * 6)  # 23 words, one more than a chunk holds
    assert encode(clip, first).shape == (1, 2 * LENGTH, CONTEXT)


def test_pictures_survive_the_autoencoder(vae):
    pictures = draw([World(7).picture() for _ in range(8)]).movedim(1, -1)
    (latent,) = nodes.VAEEncode().encode(vae, pictures)
    (decoded,) = nodes.VAEDecode().decode(vae, latent)
    assert latent["samples"].shape == (8, 4, 16, 16)
    assert decoded.shape == pictures.shape
    assert 0.5 < latent["samples"].std() < 2.0  # what the sampler's noise is made for
    assert (decoded - pictures).abs().mean() < 0.04
    assert decoded.min() >= 0 and decoded.max() <= 1


def test_an_empty_latent_of_core_becomes_a_picture_of_its_size(model, clip, vae):
    positive, negative = ([[encode(clip, text), {}]] for text in ("a red star", ""))
    (latent,) = nodes.EmptyLatentImage().generate(64, 64, 2)
    (sampled,) = nodes.KSampler().sample(model, 0, 2, 3.0, "euler", "normal", positive, negative, latent)
    (pictures,) = nodes.VAEDecode().decode(vae, sampled)
    assert sampled["samples"].shape == (2, 4, 16, 16)
    assert pictures.shape == (2, 64, 64, 3)
    assert torch.isfinite(pictures).all() and pictures.std() > 0.02
    assert not torch.equal(pictures[0], pictures[1])


def test_the_model_is_a_sd15_that_predicts_v(model):
    attentions = [name for name, _ in model.model.diffusion_model.named_modules() if name.endswith(".attn2")]
    assert len(attentions) == 16
    assert model.model.model_type.name == "V_PREDICTION"


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="diffusion_models.demo_world.safetensors is missing"):
        checkpoint.load(tmp_path)
