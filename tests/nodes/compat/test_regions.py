"""Regions with a picture and a prompt each."""

import pytest
import torch

from image_prompt.nodes.compat.methods import regions
from image_prompt.nodes.compat.node import node_class

REGION, COMBINE = (node_class(row, "pack") for row in regions.ROWS)
IMAGE = torch.rand(2, 8, 8, 3, generator=torch.Generator().manual_seed(1))
MASK = torch.rand(1, 6, 5, generator=torch.Generator().manual_seed(2))


def prompt(name):
    return [[torch.zeros(1, 2, 3), {"pooled_output": name}], [torch.ones(1, 2, 3), {"strength": 0.5}]]


def test_a_region_is_lists_of_one_entry():
    weight = [0.5, 0.25]
    params, positive, negative = REGION().conditioning(IMAGE, weight, 2.0, "ease in", 0.1, 0.8, mask=MASK)
    assert params.pop("image")[0] is IMAGE and params.pop("attn_mask")[0] is MASK
    assert params == {"weight": [weight], "weight_type": ["ease in"], "start_at": [0.1], "end_at": [0.8]}
    assert positive is None and negative is None


def test_prompts_act_within_the_mask_and_the_given_ones_stay():
    given = {"positive": prompt("a cat"), "negative": prompt("a dog")}
    made = REGION().conditioning(IMAGE, prompt_weight=2.5, mask=MASK, **given)[1:]
    for before, after, name in zip(given.values(), made, ("a cat", "a dog")):
        assert [{*options} for _, options in before] == [{"pooled_output"}, {"strength"}]
        assert after[0][0] is before[0][0] and after[0][1]["pooled_output"] == name and after[1][1]["strength"] == 0.5
        for _, options in after:
            assert torch.equal(options["mask"], MASK)
            assert (options["mask_strength"], options["set_area_to_bounds"]) == (2.5, False)


def test_without_a_mask_prompts_pass_through():
    positive = prompt("a cat")
    params, made, _ = REGION().conditioning(IMAGE, positive=positive)
    assert made is positive and params["attn_mask"] == [None]


def test_one_mask_without_its_axis_is_a_mask():
    made = REGION().conditioning(IMAGE, mask=MASK[0], negative=prompt("a dog"))[2]
    assert torch.equal(made[0][1]["mask"], MASK)


def test_old_names_of_weight_types_are_those_of_today():
    assert REGION().conditioning(IMAGE, weight_type="composition (SDXL)")[0]["weight_type"] == ["composition"]


@pytest.mark.parametrize("count", [2, 5])
def test_regions_are_joined_in_order_and_the_given_ones_stay(count):
    given = [REGION().conditioning(IMAGE, number)[0] for number in range(count)]
    (joined,) = COMBINE().combine(*given)
    assert joined["weight"] == [*range(count)] and [len(each) for each in joined.values()] == [count] * 6
    assert [each["weight"] for each in given] == [[number] for number in range(count)]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"image": None}, "image is nothing"),
        ({"image_weight": "strong"}, "image_weight is the text 'strong'"),
        ({"image_weight": []}, "image_weight is a list of 0"),
        ({"prompt_weight": [1.0]}, "prompt_weight is a list of 1"),
        ({"weight_type": "hard"}, "weight_type is the text 'hard'"),
        ({"start_at": 1.5}, "start_at is 1.5"),
        ({"mask": torch.ones(2), "positive": prompt("")}, "mask is a tensor of shape"),
        ({"mask": MASK, "negative": "a dog"}, "negative is the text 'a dog'"),
    ],
)
def test_wrong_inputs_of_a_region_are_named(inputs, words):
    with pytest.raises(ValueError, match=words):
        REGION().conditioning(**{"image": IMAGE, **inputs})


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (None, "params_2 is nothing: connect"),
        ([], "params_2 is a list of 0"),
        ({"image": [IMAGE]}, "params_2 do not hold"),
        ({name: [1] * (1 + (name == "weight")) for name in regions.PARAMS}, "params_2 do not hold one entry"),
    ],
)
def test_what_is_no_region_is_named(params, words):
    with pytest.raises(ValueError, match=words):
        COMBINE().combine(REGION().conditioning(IMAGE)[0], params)
