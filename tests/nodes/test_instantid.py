"""InstantID's ControlNet is applied as core applies one, and reads the tokens of the face instead of the text."""

import face_tools
import nodes
import pytest
import tiny
import torch

from image_prompt.nodes.applying.controlnet import ApplyInstantIDControlNet
from image_prompt.nodes.encoding.faces.encode_face import EncodeFacePrompt


@pytest.fixture
def model():
    return tiny.unet("SDXL")


@pytest.fixture
def given(model):
    positive, negative = tiny.conditions("SDXL")
    features, _, _, key_points = EncodeFacePrompt.execute(face_tools.two(), face_tools.pictures(), choose="all").args
    return {
        "positive": positive,
        "negative": negative,
        "control_net": face_tools.Control([]),
        "key_points": key_points,
        "adapter": face_tools.adapter(model, "instantid"),
        "features": features,
    }


def apply(given, **options):
    return ApplyInstantIDControlNet.execute(**given, **options).args


def expected_tokens(given):
    """The tokens of two faces, one after the other, and those of faces of zeros."""
    module, raw = given["adapter"].module, given["features"].face_embeds_raw
    return tuple(module.tokens(each).reshape(1, 2 * 16, 2048) for each in (raw, torch.zeros_like(raw)))


def test_the_prompts_carry_what_core_puts_there_and_the_tokens(given):
    before = face_tools.Control([])
    given["positive"][0][1]["control"] = given["negative"][0][1]["control"] = before
    ours = apply(given, strength=0.7, start=0.1, end=0.9)
    cores = nodes.ControlNetApplyAdvanced().apply_controlnet(
        given["positive"], given["negative"], given["control_net"], given["key_points"], 0.7, 0.1, 0.9
    )
    for (one,), (other,) in zip(ours, cores):
        assert torch.equal(one[0], other[0])
        assert one[1].keys() == other[1].keys() | {"cross_attn_controlnet"}
        assert one[1]["control_apply_to_uncond"] is other[1]["control_apply_to_uncond"] is False
        assert one[1]["control"].previous_controlnet is before
        for name in ("strength", "timestep_percent_range", "vae"):
            assert getattr(one[1]["control"], name) == getattr(other[1]["control"], name)
        assert torch.equal(one[1]["control"].cond_hint_original, other[1]["control"].cond_hint_original)
    (positive,), (negative,) = ours
    assert positive[1]["control"] is negative[1]["control"] is not given["control_net"]
    _, uncond = expected_tokens(given)
    torch.testing.assert_close(positive[1]["cross_attn_controlnet"], expected_tokens(given)[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(negative[1]["cross_attn_controlnet"], uncond[:, :16], rtol=0, atol=1e-5)
    assert "cross_attn_controlnet" not in given["positive"][0][1]


def test_a_controlnet_reads_the_tokens_of_its_side(given, model):
    control = given["control_net"]
    tiny.sample(model, "SDXL", conds=list(apply(given)), steps=1)
    cond, uncond = expected_tokens(given)
    assert control.read
    for sides, read in control.read:
        for side, row in zip(sides, read.split(1)):
            side_of = (cond, uncond)[side]
            torch.testing.assert_close(row, side_of, rtol=0, atol=1e-5)


def test_a_mask_is_for_the_prompt_alone(given):
    mask = torch.rand(1, 8, 8)
    ((_, positive),), ((_, negative),) = apply(given, mask=mask)
    assert torch.equal(positive["mask"], mask) and positive["set_area_to_bounds"] is False
    assert "mask" not in negative


def test_a_strength_of_zero_leaves_the_prompts_as_they_are(given):
    assert apply(given, strength=0.0) == (given["positive"], given["negative"])
