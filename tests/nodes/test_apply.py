"""Applying an IP-Adapter changes what it must and nothing else, in ComfyUI's own sampler."""

import gc
import weakref

import comfy.context_windows
import comfy.model_management
import comfy.samplers
import pytest
import tiny
import torch
from comfy_extras.nodes_custom_sampler import Guider_DualCFG

from image_prompt.ip_adapter.layer_networks.plain import ImageKeyValue
from image_prompt.nodes.applying.hosts.unet import CrossAttentionPatch, cross_attentions

SAME = {"rtol": 0.0, "atol": 0.0}
CLOSE = {"rtol": 1e-5, "atol": 1e-3}  # the tiny models' output has a standard deviation of about 100


def slots(model):
    return model.model_options["transformer_options"]["patches_replace"]["attn2"]


def test_an_image_prompt_changes_the_picture(base, model, adapter, features, apply):
    difference = tiny.sample(apply(model, adapter, features), base) - tiny.sample(model, base)
    assert difference.abs().mean() > 1.0


@pytest.mark.parametrize("setting", [{"weight": 0.0}, {"start": 0.4, "end": 0.4}, {"start": 0.98, "end": 0.99}])
def test_no_influence_is_bit_identical(base, model, adapter, features, apply, setting):
    torch.testing.assert_close(
        tiny.sample(apply(model, adapter, features, **setting), base), tiny.sample(model, base), **SAME
    )


def test_five_runs_are_identical_and_leave_the_model_alone(base, model, adapter, features, apply):
    before = tiny.sample(model, base)
    patched = apply(model, adapter, features)
    first = tiny.sample(patched, base)
    for _ in range(4):
        torch.testing.assert_close(tiny.sample(patched, base), first, **SAME)
    torch.testing.assert_close(tiny.sample(model, base), before, **SAME)


@pytest.mark.parametrize("base", ["SD1.5", "SDXL"])
def test_every_cross_attention_is_patched_the_middle_included(base, model, adapter, features, apply):
    layers = sorted(patch.joint.parts[0].number for patch in slots(apply(model, adapter, features)).values())
    assert layers == list(range({"SD1.5": 16, "SDXL": 70}[base]))
    assert any(slot[0] == "middle" and slot[1] == 0 for slot in slots(apply(model, adapter, features)))


def test_weights_add_up(base, model, adapter, features, apply):
    """Two nodes with weight 0.5 equal one with weight 1."""
    twice = apply(apply(model, adapter, features, weight=0.5), adapter, features, weight=0.5)
    torch.testing.assert_close(tiny.sample(twice, base), tiny.sample(apply(model, adapter, features), base), **CLOSE)


def test_a_range_is_the_steps_inside_it(base, model, adapter, features, apply):
    whole = tiny.sample(apply(model, adapter, features), base, steps=4)
    halves = apply(apply(model, adapter, features, end=0.5), adapter, features, start=0.5)
    torch.testing.assert_close(tiny.sample(halves, base, steps=4), whole, **SAME)
    early = tiny.sample(apply(model, adapter, features, end=0.5), base, steps=4)
    assert not torch.allclose(early, whole) and not torch.allclose(early, tiny.sample(model, base, steps=4))


def test_conditions_alone_or_together_are_the_same(base, model, adapter, features, apply, monkeypatch):
    patched = apply(model, adapter, features)
    together = tiny.sample(patched, base)
    calls = []
    apply_model = type(model.model)._apply_model
    monkeypatch.setattr(
        type(model.model),
        "_apply_model",
        lambda self, x, *args, **kwargs: calls.append(len(x)) or apply_model(self, x, *args, **kwargs),
    )
    monkeypatch.setattr(type(model), "get_free_memory", lambda *args: 0)  # one condition at a time
    torch.testing.assert_close(tiny.sample(patched, base), together, **CLOSE)
    assert set(calls) == {1}


def denoised(model, base, conds):
    """A model's own prediction: one Euler step to sigma 0, without guidance."""
    return tiny.sample(model, base, steps=1, cfg=1.0, conds=[conds, conds])


def test_guidance_of_one_uses_the_references(base, model, adapter, features, apply):
    conds = tiny.conditions(base)[0]
    assert not torch.allclose(denoised(apply(model, adapter, features), base, conds), denoised(model, base, conds))


@pytest.mark.parametrize("nested", [False, True])
def test_dual_guidance_takes_the_negative_by_name(base, model, adapter, features, two_references, apply, nested):
    other = type(features)(negative_penultimate=None, encoder="", image_embeds=two_references.image_embeds[1:])
    positive, middle, negative = tiny.conditions(base, count=3)
    patched = apply(model, adapter, features, negative=other)
    swapped = apply(model, adapter, other, negative=features)
    pos, mid, neg = (
        denoised(patched, base, positive),
        denoised(patched, base, middle),
        denoised(swapped, base, negative),
    )
    guider = Guider_DualCFG(patched)
    guider.set_conds(positive, middle, negative)
    guider.set_cfg(3.0, 2.0, nested=nested)
    latent = torch.zeros(1, 4, 8, 8)
    sigmas = comfy.samplers.calculate_sigmas(patched.get_model_object("model_sampling"), "simple", 1)
    found = guider.sample(
        comfy.sample.prepare_noise(latent, 3),
        latent,
        comfy.samplers.sampler_object("euler"),
        sigmas,
        disable_pbar=True,
        seed=3,
    )
    text = mid + (pos - mid) * 3.0
    expected = neg + (text - neg) * 2.0 if nested else neg + (mid - neg) * 2.0 + (pos - mid) * 3.0
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


def test_a_negative_image_acts_on_the_negative_side(base, model, adapter, features, two_references, apply):
    other = type(features)(negative_penultimate=None, encoder="", image_embeds=two_references.image_embeds[1:])
    conds = tiny.conditions(base)
    found = tiny.sample(apply(model, adapter, features, negative=other), base, steps=1)
    pos = denoised(apply(model, adapter, features), base, conds[0])
    neg = denoised(apply(model, adapter, other), base, conds[1])
    torch.testing.assert_close(found, neg + (pos - neg) * 3.0, rtol=1e-4, atol=1e-3)


def test_several_negative_images_act_together(base, model, adapter, features, two_references, apply):
    twice = type(features)(negative_penultimate=None, encoder="", image_embeds=features.image_embeds.expand(2, -1))
    one, double, two = (
        tiny.sample(apply(model, adapter, features, negative=negative), base)
        for negative in (features, twice, two_references)
    )
    torch.testing.assert_close(double, one, **CLOSE)  # softmax of doubles
    assert not torch.allclose(two, one, rtol=1e-2)


@pytest.mark.parametrize(("base", "size"), [("SD1.5", (8, 8)), ("SD1.5", (9, 7)), ("SDXL", (12, 8))])
def test_a_mask_of_ones_is_no_mask_and_of_zeros_no_prompt(base, model, adapter, features, apply, size):
    full = tiny.sample(apply(model, adapter, features), base, size=size)
    none = tiny.sample(model, base, size=size)
    white, black = torch.ones(1, 64, 50), torch.zeros(1, 64, 50)
    torch.testing.assert_close(tiny.sample(apply(model, adapter, features, mask=white), base, size=size), full, **CLOSE)
    torch.testing.assert_close(tiny.sample(apply(model, adapter, features, mask=black), base, size=size), none, **CLOSE)


def test_an_area_condition_sees_its_part_of_the_mask(base, model, adapter, features, apply):
    positive, negative = tiny.conditions(base)
    left = {**positive[0][1], "area": (8, 4, 0, 0), "strength": 1.0}
    right = {**positive[0][1], "area": (8, 4, 0, 4), "strength": 1.0}
    conds = [[[positive[0][0], left], [positive[0][0], right]], negative]
    mask = torch.zeros(1, 64, 64)
    mask[..., 32:] = 1.0  # the right half

    def prediction(patched):
        return tiny.sample(patched, base, steps=1, cfg=1.0, conds=conds)

    masked, full, none = (
        prediction(m) for m in (apply(model, adapter, features, mask=mask), apply(model, adapter, features), model)
    )
    torch.testing.assert_close(masked[..., :4], none[..., :4], **CLOSE)
    torch.testing.assert_close(masked[..., 4:], full[..., 4:], **CLOSE)
    assert not torch.allclose(full, none, rtol=0.1)


def one_by_one(model, base, adapter, references, apply, noise):
    results = []
    for row in range(len(noise)):
        reference = row % len(references.image_embeds)
        single = type(references)(
            negative_penultimate=None, encoder="", image_embeds=references.image_embeds[reference : reference + 1]
        )
        results.append(run(apply(model, adapter, single), base, noise[row : row + 1]))
    return torch.cat(results)


def run(model, base, noise, steps=1):
    positive, negative = tiny.conditions(base)
    return comfy.sample.sample(
        model,
        noise,
        steps,
        3.0,
        "euler",
        "simple",
        positive,
        negative,
        torch.zeros_like(noise),
        disable_pbar=True,
        seed=3,
    )


def test_a_batch_shares_the_reference_or_takes_one_each(base, model, adapter, features, two_references, apply):
    noise = torch.randn(3, 4, 8, 8)
    shared = run(apply(model, adapter, features), base, noise)
    torch.testing.assert_close(shared, one_by_one(model, base, adapter, features, apply, noise), rtol=1e-4, atol=1e-3)
    each = run(apply(model, adapter, two_references, batch="one per image"), base, noise)
    torch.testing.assert_close(
        each, one_by_one(model, base, adapter, two_references, apply, noise), rtol=1e-4, atol=1e-3
    )


def test_context_windows_take_the_references_of_their_frames(base, model, adapter, two_references, apply):
    noise = torch.randn(4, 4, 8, 8)
    masks = torch.rand(4, 8, 8)
    patched = apply(model, adapter, two_references, batch="one per image", mask=masks)
    whole = run(patched, base, noise)
    windowed = patched.clone()
    windowed.model_options["context_handler"] = comfy.context_windows.IndexListContextHandler(
        context_schedule=comfy.context_windows.get_matching_context_schedule("standard_static"),
        fuse_method=comfy.context_windows.get_matching_fuse_method("pyramid"),
        context_length=2,
        context_overlap=1,
        dim=0,
    )
    torch.testing.assert_close(run(windowed, base, noise), whole, rtol=1e-4, atol=1e-3)


def test_references_together_are_their_tokens_joined(base, model, adapter, features, two_references, apply):
    twice = type(features)(negative_penultimate=None, encoder="", image_embeds=features.image_embeds.expand(2, -1))
    once = tiny.sample(apply(model, adapter, features), base)
    torch.testing.assert_close(tiny.sample(apply(model, adapter, twice), base), once, **CLOSE)  # softmax of doubles
    assert not torch.allclose(tiny.sample(apply(model, adapter, two_references), base), once)


class Wrapping:
    """The patch of another pack that calls the patch it found."""

    def __init__(self, previous):
        self.previous = previous

    def __call__(self, q, k, v, extra_options):
        from comfy.ldm.modules.attention import optimized_attention

        heads = extra_options["n_heads"]
        out = self.previous(q, k, v, extra_options) if self.previous else optimized_attention(q, k, v, heads)
        return out + 0.5 * q

    def models(self):
        return self.previous.models() if self.previous else []


class Joining:
    """The patch of another pack that adds itself to a patch object that is there, as IPAdapter_plus does."""

    def __init__(self):
        self.callbacks = []

    def add(self, callback, **options):
        self.callbacks.append((callback, options))

    def __call__(self, q, k, v, extra_options):
        from comfy.ldm.modules.attention import optimized_attention

        out = optimized_attention(q, k, v, extra_options["n_heads"])
        for callback, options in self.callbacks:
            out = out + callback(out, q, k, v, extra_options, **options)
        return out


def half_query(out, q, k, v, extra_options, **options):
    return 0.5 * q


def places(model):
    for block, _ in cross_attentions(model.model.diffusion_model):
        yield block.kind, block.index, block.depth


def wrap(model):
    clone = model.clone()
    there = clone.model_options["transformer_options"].get("patches_replace", {}).get("attn2", {})
    for kind, index, depth in places(model):
        slot = (kind, index, depth) if (kind, index, depth) in there else (kind, index)
        previous = there.get(slot)
        if not isinstance(previous, Wrapping):
            clone.set_model_attn2_replace(Wrapping(previous), *slot[:2], *slot[2:])
    return clone


def join(model):
    clone = model.clone()
    for kind, index, depth in places(model):
        there = clone.model_options["transformer_options"].get("patches_replace", {}).get("attn2", {})
        slot = (kind, index, depth) if (kind, index, depth) in there or (kind, index) not in there else (kind, index)
        if slot not in there:
            clone.set_model_attn2_replace(Joining(), *slot)
            there = clone.model_options["transformer_options"]["patches_replace"]["attn2"]
        there[slot].add(half_query, sigma_start=1e9, sigma_end=0.0)
    return clone


@pytest.mark.parametrize(("base", "foreign"), [("SD1.5", wrap), ("SDXL", wrap), ("SDXL", join)])
def test_two_adapters_and_another_packs_patch_act_in_any_order(model, base, two_references, apply, foreign):
    first, second = tiny.adapter(model, seed=5), tiny.adapter(model, seed=6)
    one, two = (lambda m: apply(m, first, two_references, weight=0.7)), (lambda m: apply(m, second, two_references))
    orders = [(one, two, foreign), (foreign, two, one), (two, foreign, one), (one, foreign, two)]
    results = []
    for order in orders:
        patched = model
        for step in order:
            patched = step(patched)
        results.append(tiny.sample(patched, base))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-4, atol=1e-3)
    for left_out in ([two, foreign], [one, foreign], [one, two]):
        patched = model
        for step in left_out:
            patched = step(patched)
        assert not torch.allclose(tiny.sample(patched, base), results[0], rtol=1e-2)


def test_what_joins_a_clone_does_not_reach_the_model_it_came_from(model, base, adapter, features, apply):
    patched = apply(model, adapter, features)
    before = tiny.sample(patched, base)
    join(patched)
    torch.testing.assert_close(tiny.sample(patched, base), before, **SAME)


def test_sampling_needs_only_the_projected_keys_and_values(model, base, adapter, features, apply, monkeypatch):
    patched = apply(model, adapter, features)
    expected = sum(2 * 2 * 4 * block.width * 4 for block, _ in cross_attentions(model.model.diffusion_model))
    assert {bank.model_size() for bank in patched.model_patches_models()} == {expected}  # k, v; two sides; fp32
    monkeypatch.setattr(ImageKeyValue, "forward", lambda *_: pytest.fail("projected while sampling"))
    tiny.sample(patched, base)


def test_a_patched_model_does_not_hold_the_adapter(base, features, apply):
    model = tiny.unet(base)
    adapter = tiny.adapter(model)
    patched = apply(model, adapter, features)
    module = weakref.ref(adapter.module)
    del adapter
    comfy.model_management.unload_all_models()
    gc.collect()
    assert module() is None
    assert all(isinstance(patch, CrossAttentionPatch) for patch in slots(patched).values())


def test_sd15_blocks_are_named_as_other_packs_name_them(features, apply):
    model = tiny.unet("SD1.5")
    assert ("input", 1) in slots(apply(model, tiny.adapter(model), features))
