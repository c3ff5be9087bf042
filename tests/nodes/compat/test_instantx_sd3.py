"""The nodes of ComfyUI-InstantX-IPAdapter-SD3: the first picture acts, between two sigmas, against zeros."""

from functools import cache
from types import SimpleNamespace

import pytest
import tiny
import torch
from comfy.clip_vision import Output
from safetensors.torch import save_file

from image_prompt.nodes.applying.apply import ApplyImagePrompt
from image_prompt.nodes.compat.node import node_class
from image_prompt.nodes.compat.other_packs import instantx_sd3

CLASSES = {row.id: node_class(row, "test") for row in instantx_sd3.ROWS}


@cache
def world():
    model = tiny.sd3()
    file = tiny.sd3_file(model)
    return SimpleNamespace(model=model, file=file, adapter=tiny.wrapped(file))


def features(rows=2, width=24):
    found = Output()
    found.penultimate_hidden_states = torch.randn(rows, 7, width, generator=torch.Generator().manual_seed(1))
    return found


def run(**inputs):
    given = {"model": world().model, "ipadapter": world().adapter, "image_embed": features()}
    row = CLASSES["ApplyIPAdapterSD3"].row
    given |= {each.name: each.default for each in row.inputs if not each.is_socket} | inputs
    return CLASSES["ApplyIPAdapterSD3"]().apply_ipadapter(**given)[0]


def sample(model, sigma, cfg=1.0):
    """One step from a sigma to 0. cfg: more than 1 for a negative prompt as well"""
    conds = [[[text[:, :3], pooled] for text, pooled in each] for each in tiny.conditions("SD3.5 Large")]
    sigmas = torch.tensor([sigma, 0.0])
    return tiny.sample(model, "SD3.5 Large", steps=1, cfg=cfg, size=(4, 4), conds=conds, sigmas=sigmas)


def ours(weight):
    """Our own node with the first picture, which is like diffusers, in which the negative is zeros."""
    first = Output()
    first.penultimate_hidden_states = features().penultimate_hidden_states[:1]
    return ApplyImagePrompt.execute(world().model, world().adapter, first, weight).args[0]


def test_the_first_picture_acts_against_zeros():
    found, expected = (sample(model, 0.8, cfg=3.0) for model in (run(weight=0.7), ours(0.7)))
    assert torch.equal(found, expected) and (found - sample(world().model, 0.8, cfg=3.0)).abs().max() > 0.05


def test_the_range_is_that_of_sigma_and_both_ends_belong_to_it():
    """Percents of sampling would be other sigmas: with a shift of 3 those of 0.25 and 0.5 are 0.9 and 0.75."""
    model, always = run(start_percent=0.25, end_percent=0.5), run()
    for sigma, acts in ((0.8, False), (0.75, True), (0.5, True), (0.4, False)):
        assert torch.equal(sample(model, sigma), sample(always if acts else world().model, sigma)), sigma


def test_without_weight_the_model_is_as_it_was():
    assert torch.equal(sample(run(weight=0.0), 0.8), sample(world().model, 0.8))


def test_the_loader_gives_the_adapter(folders):
    save_file(world().file, folders / "ipadapter" / "a.safetensors")
    (adapter,) = CLASSES["IPAdapterSD3Loader"]().load_model("a.safetensors", "mps")
    known, loaded = world().adapter.module.state_dict(), adapter.module.state_dict()
    assert loaded.keys() == known.keys() and all(torch.equal(loaded[key], known[key]) for key in known)
    save_file(tiny.base_file(tiny.unet("SD1.5")), folders / "ipadapter" / "b.safetensors")
    with pytest.raises(ValueError, match="b.safetensors is .*, which is of another kind: choose a file of InstantX"):
        CLASSES["IPAdapterSD3Loader"]().load_model("b.safetensors", "mps")
    with pytest.raises(ValueError, match="provider is the text 'TPU': choose one of cuda"):
        CLASSES["IPAdapterSD3Loader"]().load_model("a.safetensors", "TPU")


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"ipadapter": None}, "The ipadapter is nothing: connect the output of Load IPAdapter SD3 Model"),
        ({"ipadapter": tiny.adapter(tiny.unet("SD1.5"))}, "is of another kind: connect"),
        ({"model": tiny.unet("SD1.5")}, "the model is SD1.5"),
        ({"image_embed": None}, "The input image_embed is nothing"),
        ({"image_embed": features(width=23)}, "The image_embed do not fit"),
        ({"weight": 6}, "The weight is 6"),
        ({"start_percent": 2}, "The start_percent is 2"),
        ({"end_percent": "a"}, "The end_percent is the text 'a'"),
    ],
)
def test_bad_input_is_named(inputs, words):
    with pytest.raises(ValueError, match=words):
        run(**inputs)
