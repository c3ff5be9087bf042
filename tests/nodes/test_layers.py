"""The input `layers` of Apply IP-Adapter chooses the blocks of the model in which the references act."""

import pytest
import tiny
import torch

from image_prompt.ip_adapter import LAYER_SET_NAMES, LAYER_SETS
from image_prompt.nodes.applying.apply import ApplyImagePrompt
from image_prompt.nodes.applying.hosts.unet import cross_attentions

SAME = {"rtol": 0.0, "atol": 0.0}


def slots(model):
    return model.model_options["transformer_options"]["patches_replace"]["attn2"]


def chosen(model, base, name):
    """The cross-attentions of the model that are in a set of layers."""
    blocks = [block for block, _ in cross_attentions(model.model.diffusion_model)]
    places = LAYER_SETS[base][name]
    return [block for block in blocks if places is None or (block.kind, block.index) in places]


@pytest.fixture
def other(model):
    return tiny.adapter(model, seed=6)


@pytest.mark.parametrize("base", ["SD1.5", "SDXL"])
@pytest.mark.parametrize("name", LAYER_SET_NAMES)
def test_exactly_the_blocks_of_the_set_are_patched_and_kept(base, model, adapter, features, apply, name):
    patched = apply(model, adapter, features, layers=name)
    found, blocks = slots(patched), chosen(model, base, name)
    assert {slot[:2] for slot in found} == {(block.kind, block.index) for block in blocks}
    assert len(found) == len(blocks)  # every depth
    (bank,) = {id(bank): bank for bank in patched.model_patches_models()}.values()
    assert bank.model_size() == sum(2 * 2 * 4 * block.width * 4 for block in blocks)  # k, v; sides; tokens; fp32


def test_all_is_no_argument_to_the_bit(base, model, adapter, features, apply):
    without, every = apply(model, adapter, features), apply(model, adapter, features, layers="all")
    assert slots(every).keys() == slots(without).keys()
    torch.testing.assert_close(tiny.sample(every, base), tiny.sample(without, base), **SAME)


def test_every_part_changes_the_picture_in_its_own_way(base, model, adapter, features, apply):
    names = ["all", "style", "composition"]
    pictures = [tiny.sample(model, base)]
    pictures += [tiny.sample(apply(model, adapter, features, layers=name), base) for name in names]
    for number, picture in enumerate(pictures):
        assert all((picture - previous).abs().mean() > 0.1 for previous in pictures[:number])


@pytest.mark.parametrize(("base", "name"), [("SD1.5", "style"), ("SDXL", "composition")])
def test_a_block_looks_at_the_keys_and_values_of_its_own_layer(base, model, adapter, features, apply, name):
    every, part = slots(apply(model, adapter, features)), slots(apply(model, adapter, features, layers=name))
    assert part
    for slot, patch in part.items():
        for side in ("cond", "uncond"):
            found, expected = (
                each.joint.parts[0].prompt.prepared.side(side).layer(each.joint.parts[0].number)
                for each in (patch, every[slot])
            )
            torch.testing.assert_close(found, expected, **SAME)


def test_the_union_is_one_node_for_each_part(base, model, adapter, features, apply):
    union = apply(model, adapter, features, layers="style and composition")
    style = apply(model, adapter, features, layers="style")
    both = apply(style, adapter, features, layers="composition")
    assert slots(both).keys() == slots(union).keys()
    torch.testing.assert_close(tiny.sample(both, base), tiny.sample(union, base), **SAME)


def test_the_style_of_one_and_the_composition_of_another(base, model, adapter, other, features, apply):
    def chain(first, second):
        return tiny.sample(
            apply(apply(model, first, features, layers="style"), second, features, layers="composition"), base
        )

    mixed = chain(adapter, other)
    for picture in (chain(other, adapter), chain(adapter, adapter), chain(other, other)):
        assert (mixed - picture).abs().mean() > 0.1


def test_sets_that_overlap_act_together_where_they_do(base, model, adapter, other, features, apply):
    patched = apply(apply(model, adapter, features), other, features, layers="style")
    style = {(block.kind, block.index) for block in chosen(model, base, "style")}
    assert {slot: len(patch.joint.parts) for slot, patch in slots(patched).items()} == {
        slot: 2 if slot[:2] in style else 1 for slot in slots(patched)
    }
    turned = apply(apply(model, other, features, layers="style"), adapter, features)
    torch.testing.assert_close(tiny.sample(patched, base), tiny.sample(turned, base), rtol=1e-4, atol=1e-3)


def test_saved_workflows_keep_their_inputs():
    """A workflow lists the values of the widgets in order, so a new one comes last and has a default."""
    inputs = ApplyImagePrompt.define_schema().inputs
    assert [found.id for found in inputs] == [
        "model",
        "adapter",
        "features",
        "weight",
        "start",
        "end",
        "mask",
        "negative",
        "batch",
        "layers",
    ]
    assert inputs[-1].optional and inputs[-1].default == "all" and inputs[-1].options == list(LAYER_SET_NAMES)
