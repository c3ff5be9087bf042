"""Image prompts are values: they share keys and values, and references can be projected window by window."""

import gc

import pytest
import tiny
import torch

from image_prompt.ip_adapter import Course, PerWindow, Share, Strength, prepare
from image_prompt.ip_adapter.layer_networks.plain import ImageKeyValue
from image_prompt.nodes.applying import prepared
from image_prompt.nodes.applying.attach import attach, image_prompt, matching_sites
from image_prompt.nodes.applying.hosts.host import SitePatch
from image_prompt.nodes.encoding.features import ImageFeatures

CLOSE = {"rtol": 1e-4, "atol": 1e-3}


@pytest.fixture
def sides(features):
    """The tokens of the reference and of the negative image, as `image_prompt` takes them."""
    reference = {"image_embeds": features.image_embeds}
    return reference, {"image_embeds": torch.zeros_like(features.image_embeds)}


@pytest.fixture
def projected(monkeypatch):
    """The shapes of the tokens that layers project."""
    shapes, forward = [], ImageKeyValue.forward
    monkeypatch.setattr(
        ImageKeyValue, "forward", lambda self, tokens, _=None: shapes.append(tokens.shape) or forward(self, tokens)
    )
    return shapes


def patches(model):
    return model.model_options["transformer_options"]["patches_replace"]["attn2"].values()


def test_a_second_weight_of_the_same_picture_projects_nothing_again(model, adapter, features, apply, projected):
    first = apply(model, adapter, features, weight=0.3)
    once = len(projected)
    second = apply(model, adapter, features, weight=0.9, end=0.5)
    assert 0 < once == len(projected)
    assert set(first.model_patches_models()) == set(second.model_patches_models())


def test_another_weight_in_the_next_run_projects_nothing_again(model, adapter, features, apply, projected):
    """Before it runs a changed workflow, ComfyUI drops the results that are no longer used."""
    apply(apply(model, adapter, features, weight=0.3), adapter, features, weight=0.4, layers="style")
    gc.collect()
    once = len(projected)
    apply(apply(model, adapter, features, weight=0.5), adapter, features, weight=0.4, layers="style")
    assert len(projected) == once


def test_what_nothing_uses_is_forgotten_when_it_grows(model, adapter, features, apply, projected, monkeypatch):
    monkeypatch.setattr(prepared, "RECENT", 1)
    apply(model, adapter, features, weight=0.3)
    gc.collect()
    once = len(projected)
    apply(model, adapter, features, weight=0.5)
    assert len(projected) == 2 * once


def test_other_features_and_another_negative_are_projected(model, adapter, features, two_references, apply, projected):
    kept = [apply(model, adapter, features)]
    for options in ({"negative": two_references}, {"layers": "style"}):
        before = len(projected)
        kept.append(apply(model, adapter, features, **options))
        assert len(projected) > before
    before = len(projected)
    features.image_embeds = features.image_embeds * 2
    kept.append(apply(model, adapter, features))
    assert len(projected) > before


def test_a_chain_of_two_weights_is_their_sum(model, base, adapter, features, apply):
    chain = apply(apply(model, adapter, features, weight=0.5), adapter, features, weight=0.2)
    torch.testing.assert_close(
        tiny.sample(chain, base), tiny.sample(apply(model, adapter, features, 0.7), base), **CLOSE
    )


def test_a_layer_takes_its_share_of_the_weight(model, base, adapter, sides):
    half = dict.fromkeys(range(16), Share(0.5))
    whole = attach(model, [image_prompt(model, adapter, *sides, Strength(0.4))])
    shared = attach(model, [image_prompt(model, adapter, *sides, Strength(0.8, half))])
    torch.testing.assert_close(tiny.sample(shared, base), tiny.sample(whole, base), **CLOSE)


def test_a_layer_without_a_share_is_not_touched(model, adapter, sides):
    layers = {3: Share(), 5: Share(0.0)}
    patched = attach(model, [image_prompt(model, adapter, *sides, Strength(1.0, layers))])
    (patch,) = patches(patched)
    assert isinstance(patch, SitePatch)


@pytest.mark.parametrize("base", ["SDXL"])
def test_a_layer_of_a_deep_block_acts_in_no_other(model, adapter, sides):
    """Core looks for a block without its depth too, so a patch for one depth has to name it."""
    matched = matching_sites(model, adapter)
    first = next(layer for site, layer in matched.items() if (site.block.kind, site.block.index) == ("input", 4))
    patched = attach(model, [image_prompt(model, adapter, *sides, Strength(1.0, {first: Share()}))])
    slots = patched.model_options["transformer_options"]["patches_replace"]["attn2"]
    assert list(slots) == [("input", 4, 0)]


@pytest.mark.parametrize("strength", [Strength(0.0), Strength(1.0, course=Course(0.4, 0.4))])
def test_a_prompt_that_never_acts_leaves_the_bits(model, base, adapter, sides, strength):
    attached = attach(model, [image_prompt(model, adapter, *sides, strength)])
    assert "patches_replace" not in attached.model_options["transformer_options"]
    torch.testing.assert_close(tiny.sample(attached, base), tiny.sample(model, base), rtol=0, atol=0)


def test_several_prompts_are_attached_as_one_after_the_other(model, base, adapter, sides):
    prompts = [
        image_prompt(model, adapter, *sides, Strength(0.7)),
        image_prompt(model, adapter, *sides, Strength(-0.3, course=Course(0.0, 0.5))),
    ]
    together, chained = attach(model, prompts), attach(attach(model, prompts[:1]), prompts[1:])
    torch.testing.assert_close(tiny.sample(together, base), tiny.sample(chained, base), rtol=0, atol=0)


@pytest.mark.parametrize("base", ["SD1.5", "SDXL"])
def test_references_that_are_projected_by_windows_act_as_those_that_are_kept(
    model, base, adapter, two_references, apply, monkeypatch, projected
):
    kept = tiny.sample(apply(model, adapter, two_references, 0.7, batch="one per image"), base, batch=3)
    adapter.recent.clear()
    monkeypatch.setattr(prepare, "WINDOW", 1)
    monkeypatch.setattr(prepare, "MANY", 0)
    patched = apply(model, adapter, two_references, 0.7, batch="one per image", mask=torch.ones(1, 8, 8))
    parts = [part for patch in patches(patched) for part in patch.joint.parts]
    assert all(isinstance(part.prompt.prepared.side("cond"), PerWindow) for part in parts)
    assert not any(isinstance(part.prompt.prepared.side("uncond"), PerWindow) for part in parts)
    torch.testing.assert_close(tiny.sample(patched, base, batch=3), kept, **CLOSE)


def test_a_film_never_holds_the_keys_and_values_of_all_its_frames(model, base, adapter, apply, projected, monkeypatch):
    monkeypatch.setattr(prepare, "MANY", 2**20)  # the model is small
    frames = ImageFeatures(negative_penultimate=None, encoder="", image_embeds=torch.randn(300, 24))
    patched = apply(model, adapter, frames, batch="one per image")
    (brought,) = patched.get_additional_models()
    assert brought.is_clone(adapter.patcher)  # it projects while the model runs
    kept = sum(patcher.model_size() for patcher in patched.model_patches_models() if patcher is not adapter.patcher)
    tokens = 300 * 4 * adapter.module.context_width * 4
    assert kept / len(patches(patched)) < tokens + 2e5  # tokens, and keys and values of one negative
    projected.clear()
    tiny.sample(patched, base, steps=1, batch=40)
    assert {shape[0] for shape in projected} == {16, 8}  # of 40 frames in windows
