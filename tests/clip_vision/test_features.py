"""Features say what they are, and act like a batch of pictures."""

import copy

import numpy as np
import pytest
import torch

from image_prompt import clip_vision, ip_adapter
from image_prompt.clip_vision import VisionFeatures, encode_pixels
from image_prompt.devtools.stages import ROOT

WORLD = ROOT / "demo" / "models"
ENCODER = WORLD / "clip_vision" / "demo_world.safetensors"
PLUS = WORLD / "ipadapter" / "ip-adapter-plus_demo_world.safetensors"


@pytest.fixture
def features():
    """Of five pictures, three features and one hidden layer."""
    return VisionFeatures(
        image_embeds=torch.rand(5, 3),
        penultimate=torch.rand(5, 4, 2),
        projected_patches=torch.rand(5, 4, 3),
        hidden={1: torch.rand(5, 4, 2)},
        encoder="CLIP ViT-H/14",
    )


def test_they_say_what_they_are():
    encoder, pixels = clip_vision.load(ENCODER, "cpu", "bf16"), torch.randn(3, 3, 64, 64)
    found = encode_pixels(encoder, pixels, want=("image_embeds", "last"), hidden_layers=(1,))
    assert (found.encoder, len(found)) == ("demo CLIP", 3)
    assert repr(found) == (
        "VisionFeatures(demo CLIP, 3 pictures, image_embeds (3, 128), last (3, 65, 128), hidden 1 (3, 65, 128))"
    )
    assert repr(VisionFeatures(cls=torch.zeros(1, 2))) == "VisionFeatures(unknown encoder, 1 picture, cls (1, 2))"
    assert len(encode_pixels(encoder, pixels[:2], want=(), hidden_layers=(1,))) == 2


PICKS = {
    "first": (0, [0]),
    "last": (-1, [4]),
    "numpy number": (np.int64(2), [2]),
    "number in a tensor": (torch.tensor(-2), [3]),
    "slice": (slice(1, 4), [1, 2, 3]),
    "slice with steps": (slice(None, None, 2), [0, 2, 4]),
    "slice backwards": (slice(3, 0, -1), [3, 2, 1]),
    "slice of none": (slice(5, None), []),
    "list": ([4, -5, 4], [4, 0, 4]),
    "empty list": ([], []),
    "tensor": (torch.tensor([2, 1], dtype=torch.uint8), [2, 1]),
    "array": (np.array([1, 3]), [1, 3]),
    "mask": (torch.tensor([True, False, False, True, False]), [0, 3]),
}


@pytest.mark.parametrize("pick", PICKS)
def test_pictures_are_chosen_and_keep_their_dimension(features, pick):
    index, expected = PICKS[pick]
    found = features[index]
    assert (len(found), found.encoder) == (len(expected), "CLIP ViT-H/14")
    for name, tensor in features.as_dict().items():
        assert torch.equal(found.select(name), torch.stack([*tensor])[torch.tensor(expected, dtype=torch.long)])
    assert torch.equal(found.hidden[1], features.hidden[1][torch.tensor(expected, dtype=torch.long)])


def test_one_picture_after_the_other(features):
    assert torch.equal(torch.cat([each.penultimate for each in features]), features.penultimate)
    assert [len(each) for each in features] == [1] * 5


@pytest.mark.parametrize("index", [5, -6, [0, 5], torch.tensor([-6])])
def test_a_picture_that_is_not_there(features, index):
    with pytest.raises(IndexError, match="There is no picture -?[56]: the features are those of 5"):
        features[index]


@pytest.mark.parametrize("index", ["image_embeds", 1.0, None, True, [True, False], torch.zeros(1, 1, dtype=torch.long)])
def test_what_is_no_index_is_refused(features, index):
    with pytest.raises(ValueError, match="Pictures are chosen by a number.*A feature is chosen by its name"):
        features[index]


def test_they_move_together(features):
    moved = features.to(torch.float16).to("cpu")
    for tensor in (*moved.as_dict().values(), moved.hidden[1]):
        assert (tensor.device.type, tensor.dtype) == ("cpu", torch.float16)
    assert moved.encoder == features.encoder and features.image_embeds.dtype == torch.float32
    assert features.to("cpu", torch.bfloat16).hidden[1].dtype == torch.bfloat16
    assert features.to("fp16").image_embeds.dtype == torch.float16
    assert features.to(torch.bfloat16, "cpu").image_embeds.dtype == torch.bfloat16
    assert features.to(device="cpu", dtype=torch.float16).image_embeds.dtype == torch.float16
    with pytest.raises(ValueError, match="not by one of type tuple"):
        features[0, 0]
    for wrong in ("nowhere", torch.int8, "cuda:99"):
        with pytest.raises(ValueError, match="device|dtype"):
            features.to(wrong)


def test_they_are_kept_apart_and_can_be_copied(features):
    assert features != copy.copy(features) and len({features, features[:]}) == 2
    assert torch.equal(copy.deepcopy(features).image_embeds, features.image_embeds)


def test_an_adapter_takes_them_by_name():
    adapter = ip_adapter.load(PLUS, "cpu")
    (width,) = adapter.feature_widths
    found = VisionFeatures(
        image_embeds=torch.rand(2, 8), penultimate=torch.rand(2, 5, width), hidden={0: torch.rand(2)}
    )
    assert found.as_dict().keys() == {"image_embeds", "penultimate"}
    assert torch.equal(adapter.tokens(found.as_dict()), adapter.tokens(found.penultimate))
