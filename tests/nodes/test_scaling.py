"""The weight in keys and values: each scaling is its published formula, on every side and in every arrangement."""

import pytest
import tiny
import torch
from torch.nn import functional as F

from image_prompt.ip_adapter import SCALINGS, Course, Frame, Keyframe, Share, Strength
from image_prompt.nodes.applying.attach import attach, image_prompt
from image_prompt.nodes.applying.masks import Grid, Place
from image_prompt.nodes.applying.sampling import KEY, Evaluation, Run

WEIGHT = 0.6


class Linear:
    """A model sampling whose sigma falls evenly from 1 to 0."""

    def percent_to_sigma(self, percent):
        return 1.0 - percent


@pytest.fixture
def adapter(model):
    return tiny.adapter(model, tokens=4)


@pytest.fixture
def sides():
    generator = torch.Generator().manual_seed(8)
    return tuple({"image_embeds": torch.randn(rows, 24, generator=generator)} for rows in (2, 1))


def added(model, adapter, sides, strength, place=None, *, arrangement="together", sigma=0.5):
    """What the layer of input block 1 adds to zeros, and its query: rows of the negative, then of the positive."""
    prompt = image_prompt(model, adapter, *sides, strength, place or Place(), arrangement=arrangement)
    patched = attach(model, [prompt])
    joint = patched.model_options["transformer_options"]["patches_replace"]["attn2"]["input", 1].joint
    q = torch.randn(4, 64, joint.site.block.width, generator=torch.Generator().manual_seed(0))
    out = torch.zeros_like(q)
    evaluation = Evaluation(Run(pictures=2), (False, True), {}, (8, 8), torch.full((2,), sigma), Linear(), batch=2)
    joint.add(q, out, {KEY: evaluation, "cond_or_uncond": [1, 0], "uuids": [1, 0]}, Grid(8, 8), (4, 4, 8, 8))
    return out, q


def formula(q, pairs, weight, scaling, heads=4):
    """The sum over all references in one softmax, by the published formula. pairs: keys and values of each."""
    width = q.shape[-1]
    w = weight * (width / 1280 if "penalty" in scaling else 1.0)
    keys, values = torch.cat([key for key, _ in pairs]), torch.cat([value for _, value in pairs])
    if scaling == "V only":
        values = values * w
    elif "mean" in scaling:
        means = torch.cat([value.mean(0, keepdim=True).expand_as(value) for _, value in pairs])
        keys, values = keys * w, values - means + w * means
    else:
        keys, values = keys * w, values * w
    by_head = [t.unflatten(-1, (heads, -1)).transpose(-2, -3) for t in (q, keys.unsqueeze(0), values.unsqueeze(0))]
    q, keys, values = by_head
    keys, values = (t.expand(len(q), -1, -1, -1) for t in (keys, values))
    return F.scaled_dot_product_attention(q, keys, values).transpose(1, 2).flatten(2)


def pairs(adapter, side):
    """Keys and values of each reference in layer 0, each (T, I), by the adapter itself."""
    tokens = adapter.module.tokens(side)
    ((key, value),) = adapter.module.key_value(tokens, [0])
    return list(zip(key, value, strict=True))


@pytest.mark.parametrize("scaling", list(SCALINGS))
def test_each_scaling_is_its_formula(model, adapter, sides, scaling):
    out, q = added(model, adapter, sides, Strength(WEIGHT, scaling=scaling))
    cond, uncond = (pairs(adapter, side) for side in sides)
    expected = torch.cat([formula(q[:2], uncond, WEIGHT, scaling), formula(q[2:], cond, WEIGHT, scaling)])
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)
    out, q = added(model, adapter, sides, Strength(WEIGHT, {0: Share(0.5, "opposite")}, scaling=scaling))
    expected = torch.cat([formula(q[:2], cond, WEIGHT / 2, scaling), torch.zeros_like(q[2:])])
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scaling", list(SCALINGS))
@pytest.mark.parametrize("arrangement", ["each", "by picture"])
def test_each_scaling_in_each_arrangement(model, adapter, sides, scaling, arrangement):
    masks = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(1))
    out, q = added(model, adapter, sides, Strength(WEIGHT, scaling=scaling), Place(masks), arrangement=arrangement)
    (one, two), (nothing,) = (pairs(adapter, side) for side in sides)
    first, second = (mask.flatten().view(1, -1, 1) for mask in masks)

    def attend(rows, pair):
        return formula(rows, [pair], WEIGHT, scaling)

    if arrangement == "each":
        expected = [
            (first + second) * attend(q[:2], nothing),
            first * attend(q[2:], one) + second * attend(q[2:], two),
        ]
    else:
        expected = [
            first * attend(q[:1], nothing),
            second * attend(q[1:2], nothing),
            first * attend(q[2:3], one),
            second * attend(q[3:], two),
        ]
    torch.testing.assert_close(out, torch.cat(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scaling", list(SCALINGS))
def test_keys_and_values_follow_a_schedule(model, adapter, sides, scaling):
    course = Course(keyframes=(Keyframe(0.0, 1.0), Keyframe(1.0, 0.0)))
    frames = (Frame(1.0), Frame(0.5))
    for sigma in (0.75, 0.25):
        out, q = added(model, adapter, sides, Strength(WEIGHT, None, course, frames, scaling), sigma=sigma)
        cond, uncond = (pairs(adapter, side) for side in sides)
        rows = [(uncond, 1.0), (uncond, 0.5), (cond, 1.0), (cond, 0.5)]
        expected = [
            formula(q[row : row + 1], side, WEIGHT * factor * sigma, scaling) for row, (side, factor) in enumerate(rows)
        ]
        torch.testing.assert_close(out, torch.cat(expected), rtol=1e-5, atol=1e-5)


def test_a_run_keeps_one_plan_of_folded_keys(model, adapter, sides, features):
    """A schedule folds other keys at each step, and those of the step before are dropped."""
    course = Course(keyframes=(Keyframe(0.0, 1.0), Keyframe(1.0, 0.5)))
    prompt = image_prompt(model, adapter, *sides, Strength(WEIGHT, None, course, scaling="K+V"))
    joint = attach(model, [prompt]).model_options["transformer_options"]["patches_replace"]["attn2"]["input", 1].joint
    run, sizes = Run(pictures=2), []
    for sigma in (0.9, 0.7, 0.5, 0.3):
        q = torch.randn(4, 64, joint.site.block.width)
        evaluation = Evaluation(run, (False, True), {}, (8, 8), torch.full((2,), sigma), Linear(), batch=2)
        options = {KEY: evaluation, "cond_or_uncond": [1, 0], "uuids": [1, 0]}
        joint.add(q, torch.zeros_like(q), options, Grid(8, 8), (4, 4, 8, 8))
        sizes.append(len([key for key in run.made if key[0] is joint]))
    assert sizes == [1, 1, 1, 1]


def test_progress_is_what_percent_to_sigma_counts():
    model = tiny.unet("SD1.5")
    sampling = model.get_model_object("model_sampling")
    for percent in (0.0, 0.123, 0.5, 0.999):
        sigma = torch.tensor([sampling.percent_to_sigma(percent) if percent else float(sampling.sigma_max)])
        found = Evaluation(Run(), (False,), {}, (8, 8), sigma, sampling).progress
        assert found == pytest.approx(percent, abs=2e-4 if percent else 1e-6)
        assert found >= percent - 1e-6
