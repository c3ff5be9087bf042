"""References that a conditioning carries act for its rows alone."""

import comfy.samplers
import node_helpers
import pytest
import tiny
import torch

from image_prompt.nodes.controls.conditioning import ReferencesToConditioning
from image_prompt.nodes.controls.reference import MakeReference
from image_prompt.nodes.encoding.encode import EncodeImagePrompt


def attach(model, adapter, conditioning, features, negative=None, **options):
    references = {"reference_0": MakeReference.execute(features, **options).args[0]}
    return ReferencesToConditioning.execute(model, adapter, conditioning, references, negative=negative).args


@pytest.fixture
def other_features(encoder, pictures):
    return EncodeImagePrompt.execute(encoder, pictures[1:]).args[0]


def area(conditioning, left, width=4):
    return node_helpers.conditioning_set_values(conditioning, {"area": (8, width, 0, left), "strength": 1.0})


@pytest.mark.parametrize("base", ["SD1.5", "SDXL"])
def test_carried_by_both_prompts_it_is_as_applied_to_the_model(model, base, adapter, features, apply):
    positive, negative = tiny.conditions(base)
    expected = tiny.sample(apply(model, adapter, features, 0.7), base)
    patched, positive, negative = attach(model, adapter, positive, features, negative, weight=0.7)
    assert torch.equal(tiny.sample(patched, base, conds=[positive, negative]), expected)
    assert torch.equal(tiny.sample(patched, base, conds=[positive, negative]), expected)


def test_carried_by_the_positive_prompt_it_leaves_the_negative_alone(model, base, adapter, features, apply):
    """With a scale of 3, the prediction is negative + 3 (positive - negative)."""
    positive, negative = tiny.conditions(base)
    patched, carrying, _ = attach(model, adapter, positive, features)
    with_it, without = _predicted(patched, base, carrying, negative), _predicted(model, base, positive, negative)
    applied = _predicted(apply(model, adapter, features), base, positive, negative)
    torch.testing.assert_close(with_it["cond_denoised"], applied["cond_denoised"], rtol=1e-4, atol=1e-4)
    assert torch.equal(with_it["uncond_denoised"], without["uncond_denoised"])
    assert (with_it["cond_denoised"] - without["cond_denoised"]).abs().max() > 1e-3
    expected = without["uncond_denoised"] + 3 * (applied["cond_denoised"] - without["uncond_denoised"])
    torch.testing.assert_close(with_it["denoised"], expected, rtol=1e-4, atol=1e-4)


def test_carried_by_the_negative_prompt_it_is_what_to_move_away_from(model, base, adapter, features, apply):
    positive, negative = tiny.conditions(base)
    patched, carrying, _ = attach(model, adapter, negative, features)
    with_it, without = _predicted(patched, base, positive, carrying), _predicted(model, base, positive, negative)
    turned = _predicted(apply(model, adapter, features), base, negative, positive)
    assert torch.equal(with_it["cond_denoised"], without["cond_denoised"])
    torch.testing.assert_close(with_it["uncond_denoised"], turned["cond_denoised"], rtol=1e-4, atol=1e-4)


def test_two_areas_have_two_references_without_masks(model, base, adapter, features, other_features, apply):
    """With an area for each half, a half is what the model makes of that half alone."""
    positive, negative = tiny.conditions(base)
    patched, left, _ = attach(model, adapter, area(positive, 0), features)
    patched, right, _ = attach(patched, adapter, area(positive, 4), other_features)
    found = _predicted(patched, base, [*left, *right], negative)
    for half, given in ((slice(0, 4), features), (slice(4, 8), other_features)):
        whole = _predicted(apply(model, adapter, given), base, area(positive, half.start), negative)
        alone = found["cond_denoised"][..., half]
        torch.testing.assert_close(alone, whole["cond_denoised"][..., half], rtol=1e-4, atol=1e-4)
    swapped, left, _ = attach(model, adapter, area(positive, 0), other_features)
    swapped, right, _ = attach(swapped, adapter, area(positive, 4), features)
    other = _predicted(swapped, base, [*left, *right], negative)
    assert (found["cond_denoised"] - other["cond_denoised"]).abs().max() > 1e-3


def test_the_copy_of_an_area_in_the_negative_prompt_sees_the_negative_image(model, base, adapter, features, apply):
    """ComfyUI copies the area, with all that its condition carries, to the negative prompt."""
    positive, negative = tiny.conditions(base)
    patched, carrying, _ = attach(model, adapter, area(positive, 0), features)
    found = _predicted(patched, base, carrying, area(negative, 4))
    expected = _predicted(apply(model, adapter, features), base, area(positive, 0), area(negative, 4))
    left = slice(0, 4)
    torch.testing.assert_close(
        found["cond_denoised"][..., left], expected["cond_denoised"][..., left], rtol=1e-4, atol=1e-4
    )


def test_inside_an_area_the_negative_prompt_keeps_its_own_references(model, base, adapter, features, other_features):
    """What ComfyUI copies there has the negative text, and so its references besides the copied negative images."""
    positive, negative = tiny.conditions(base)
    patched, left, _ = attach(model, adapter, area(positive, 0, 8), features)
    patched, other, _ = attach(patched, adapter, negative, other_features)
    whole, carrying, both = attach(model, adapter, positive, features, other)
    found, expected = _predicted(patched, base, left, other), _predicted(whole, base, carrying, both)
    plain = _predicted(patched, base, left, negative)
    difference = found["uncond_denoised"] - plain["uncond_denoised"]
    assert difference.abs().max() > 1e-3
    # the whole negative and its copy on the area count the same where both are
    mean = (_predicted(patched, base, positive, other)["uncond_denoised"] + expected["uncond_denoised"]) / 2
    torch.testing.assert_close(found["uncond_denoised"], mean, rtol=1e-4, atol=1e-4)


def test_a_guider_with_names_of_its_own_is_not_taken_for_a_copy(model, base, adapter, features):
    positive, negative = tiny.conditions(base)
    patched, carrying, _ = attach(model, adapter, negative, features)
    named = _predicted(patched, base, positive, carrying)
    other = _predicted(patched, base, positive, carrying, names=("first", "second"))
    assert torch.equal(named["uncond_denoised"], other["uncond_denoised"])


def test_nodes_can_be_chained_and_the_model_is_patched_once(model, base, adapter, features, other_features, apply):
    positive, negative = tiny.conditions(base)
    first, carrying, other = attach(model, adapter, positive, features, negative, weight=0.5)
    second, carrying, other = attach(first, adapter, carrying, other_features, other, weight=0.4)
    slots = second.model_options["transformer_options"]["patches_replace"]["attn2"]
    assert all(patch.previous is None and patch.joint.carries for patch in slots.values())
    chain = apply(apply(model, adapter, features, 0.5), adapter, other_features, 0.4)
    torch.testing.assert_close(
        tiny.sample(second, base, conds=[carrying, other]), tiny.sample(chain, base), rtol=1e-4, atol=2e-4
    )
    applied = apply(second, adapter, features, 0.3)
    assert not torch.equal(
        tiny.sample(applied, base, conds=[carrying, other]), tiny.sample(second, base, conds=[carrying, other])
    )
    assert torch.equal(tiny.sample(second, base), tiny.sample(model, base))  # nothing carries anything


def test_what_does_nothing_leaves_model_and_conditioning(model, base, adapter, features):
    positive, negative = tiny.conditions(base)
    patched, carrying, none = attach(model, adapter, positive, features, on=False)
    assert carrying is positive and "connect its input negative" in none.message
    assert torch.equal(tiny.sample(patched, base), tiny.sample(model, base))


def test_on_flux(features, apply):
    model = tiny.flux()
    adapter = tiny.wrapped(tiny.flux_file(model))
    positive, negative = tiny.conditions("Flux")
    expected = tiny.sample(apply(model, adapter, features), "Flux")
    patched, carrying, other = attach(model, adapter, positive, features, negative)
    assert torch.equal(tiny.sample(patched, "Flux", conds=[carrying, other]), expected)


class OwnNames(comfy.samplers.CFGGuider):
    """A guider with other names for its conditions."""

    def predict_noise(self, x, timestep, model_options={}, seed=None):
        conds = [self.conds["second"], self.conds["first"]]
        return comfy.samplers.sampling_function(
            self.inner_model, x, timestep, *conds, self.cfg, model_options=model_options, seed=seed
        )


def _predicted(model, base, positive, negative, names=()):
    """What the first evaluation of the model predicts, for each prompt and together."""
    model, seen = model.clone(), {}

    def capture(args):
        seen.update({key: value.clone() for key, value in args.items() if isinstance(value, torch.Tensor)})
        return args["denoised"]

    model.set_model_sampler_post_cfg_function(capture, disable_cfg1_optimization=True)
    guider = OwnNames(model) if names else comfy.samplers.CFGGuider(model)
    guider.inner_set_conds(dict(zip(names, (positive, negative)))) if names else guider.set_conds(positive, negative)
    guider.set_cfg(3.0)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(4))
    sampler = comfy.samplers.sampler_object("euler")
    guider.sample(noise, torch.zeros_like(noise), sampler, torch.tensor([5.0, 0.0]), disable_pbar=True, seed=0)
    return seen
