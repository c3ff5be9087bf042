"""Each layer gives what the formulas of cubiq/ComfyUI_IPAdapter_plus give, to 1e-5 of what is added."""

import json
import logging
from functools import cache
from pathlib import Path

import comfy.context_windows
import comfy.samplers
import comfy_extras.nodes_custom_sampler as samplers
import pytest
import tiny
import torch
from comfy.ldm.modules.attention import optimized_attention
from comfy.patcher_extension import WrappersMP

from image_prompt.nodes.compat.inputs import COMBINE_NAMES, SCALING_NAMES, WEIGHT_TYPE_NAMES
from image_prompt.nodes.compat.node import node_class
from image_prompt.nodes.compat.table import NODES

from . import formulas
from .calls import SIGMA, World
from .formulas import Acting, combined, held, plan

TABLE = json.loads((Path(__file__).parents[2] / "ip_adapter" / "weight_types.json").read_text())
CLASSES = {row.id: node_class(row, "test") for row in NODES}
BASES = pytest.mark.parametrize("base", formulas.BLOCKS)
KINDS = pytest.mark.parametrize("kind", ["base", "plus"])


@cache
def world(base="SD1.5", kind=""):
    return World(base, kind or {"SD1.5": "plus", "SDXL": "base"}[base])


def eight_bits(*shape, seed):
    """Pictures that are not changed by being prepared for an encoder, if they are 224 x 224."""
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(seed)) / 255.0


PICTURES = eight_bits(3, 224, 224, 3, seed=1)
NEGATIVES = eight_bits(2, 224, 224, 3, seed=2)
OLD_ENCODER = "ImagePromptEncoderV1"
OTHERS = eight_bits(2, 224, 224, 3, seed=3)
MASK = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(4))


def run(id, *given, **inputs):
    node = CLASSES[id]()
    return getattr(node, node.FUNCTION)(*given, **inputs)


def applied(world, id="IPAdapterAdvanced", *, model=None, **inputs):
    """The model that a node gives for one, with the adapter and the encoder of a world."""
    given = {"model": model or world.model, "ipadapter": world.wire, "clip_vision": world.encoder, **inputs}
    return run(id, **given)[0]


@BASES
def test_the_formulas_of_weight_types_give_the_published_numbers(base):
    for weight_type, factors in TABLE["factors"][base].items():
        given = {number: each.weight for number, each in plan(weight_type, base).items() if each.weight}
        published = {number: factor for number, factor in enumerate(factors) if factor}
        assert given == pytest.approx(published, rel=1e-5), weight_type


# ------------------------------------------------------------------------- weight types, scalings, batches, combining


@BASES
@pytest.mark.parametrize("id", ["IPAdapterAdvanced", "IPAdapterBatch"])
@pytest.mark.parametrize("scaling", SCALING_NAMES)
def test_weight_types(base, id, scaling):
    """Two references act as one sequence, or for three pictures, of which the last ones share the second.

    Every weight type with the first scaling, and with one of the others.
    """
    here, pictures = world(base), 3 if id == "IPAdapterBatch" else 0
    others = SCALING_NAMES[1:]
    some = WEIGHT_TYPE_NAMES[others.index(scaling) :: len(others)] if scaling in others else WEIGHT_TYPE_NAMES
    for weight_type in some:
        patched = applied(here, id, image=PICTURES[:2], weight=0.7, weight_type=weight_type, embeds_scaling=scaling)
        acting = plan(weight_type, base, 0.7)
        expected = here.prompt(acting, here.features(PICTURES[:2]), pictures=pictures, scaling=scaling)
        here.check(here.calls(patched, batch=3), expected, case=weight_type)


@BASES
@KINDS
@pytest.mark.parametrize("middle", [False, True])
def test_every_attention_looks_at_its_own_layer(base, kind, middle):
    here = world(base, kind)
    wire = {**here.wire, "middle_block": middle}
    patched = applied(here, ipadapter=wire, image=PICTURES[:1], weight=0.8, weight_type="ease in")
    here.every = True
    try:
        seen = here.calls(patched)
    finally:
        here.every = False
    assert len(seen) == len(here.layers)
    here.check(seen, here.prompt(plan("ease in", base, 0.8, middle=middle), here.features(PICTURES[:1])))


@BASES
def test_weight_types_with_the_middle_block(base):
    """As they were until September 2024."""
    here = world(base)
    for weight_type in WEIGHT_TYPE_NAMES[:9]:  # the others name their layers, and the middle is not among them
        wire = {**here.wire, "middle_block": True}
        patched = applied(here, ipadapter=wire, image=PICTURES[:1], weight=0.7, weight_type=weight_type)
        expected = here.prompt(plan(weight_type, base, 0.7, middle=True), here.features(PICTURES[:1]))
        here.check(here.calls(patched), expected, case=weight_type)


@KINDS
@pytest.mark.parametrize("id", ["IPAdapterAdvanced", "IPAdapterBatch"])
@pytest.mark.parametrize("negatives", [1, 2])
def test_negative_images_are_cut_or_the_last_repeated(kind, id, negatives):
    for count in (1, 3):
        here, pictures = world("SD1.5", kind), 2 if id == "IPAdapterBatch" else 0
        patched = applied(here, id, image=PICTURES[:count], image_negative=NEGATIVES[:negatives])
        negative = here.features(NEGATIVES[:negatives])
        expected = here.prompt(plan("linear", "SD1.5"), here.features(PICTURES[:count]), negative, pictures)
        here.check(here.calls(patched, batch=2), expected)


@KINDS
@pytest.mark.parametrize("method", COMBINE_NAMES)
def test_combining(kind, method):
    here = world("SD1.5", kind)
    patched = applied(here, image=PICTURES, image_negative=NEGATIVES, combine_embeds=method)
    negative = here.features(NEGATIVES)[: None if method == "concat" else 1]
    features = combined(here.features(PICTURES), method)
    here.check(here.calls(patched), here.prompt(plan("linear", "SD1.5"), features, negative))


@pytest.mark.parametrize("size", [(300, 260), (100, 131), (224, 500)])
def test_pictures_of_any_size(size):
    here, pictures = world(), eight_bits(1, *size, 3, seed=7)
    expected = here.prompt(plan("linear", "SD1.5"), here.features(pictures), here.features(pictures))
    here.check(here.calls(applied(here, image=pictures, image_negative=pictures)), expected)


@BASES
@pytest.mark.parametrize("weight_type", ["ease out", "style and composition", "composition precise"])
@pytest.mark.parametrize("weights", [[0.3, -0.9], [0.0, 0.5, 0.2, 0.9]])
def test_a_list_has_a_weight_for_each_picture(base, weight_type, weights):
    here = world(base)
    patched = applied(here, "IPAdapterBatch", image=PICTURES[:2], weight=weights, weight_type=weight_type)
    expected = here.prompt(plan(weight_type, base, weights), here.features(PICTURES[:2]), pictures=3)
    here.check(here.calls(patched, batch=3), expected)


@pytest.mark.parametrize("scaling", SCALING_NAMES)
def test_a_list_scales_keys_and_values_of_each_picture(scaling):
    here, weights = world("SDXL"), [0.3, 0.0, 1.7]
    patched = applied(here, "IPAdapterBatch", image=PICTURES, weight=weights, embeds_scaling=scaling)
    expected = here.prompt(plan("linear", "SDXL", weights), here.features(PICTURES), pictures=3, scaling=scaling)
    here.check(here.calls(patched, batch=3), expected)


def test_a_node_without_batches_takes_the_first_weight_and_says_so(caplog):
    here = world()
    with caplog.at_level(logging.INFO):
        patched = applied(here, image=PICTURES[:2], weight=[0.4, 0.9])
    assert len([record for record in caplog.records if "first" in record.getMessage()]) == 1
    here.check(here.calls(patched, batch=2), here.prompt(plan("linear", "SD1.5", 0.4), here.features(PICTURES[:2])))


@BASES
@pytest.mark.parametrize("id", ["IPAdapterAdvanced", "IPAdapterBatch"])
@pytest.mark.parametrize("weight", [0, 0.0, [0.0, 0.0]])
def test_at_weight_0_the_bits_are_those_without_a_node(base, id, weight):
    here = world(base)
    here.check(here.calls(applied(here, id, image=PICTURES[:2], weight=weight), batch=2))


SIMPLE = {"standard": "linear", "prompt is more important": "ease out", "style transfer": "style transfer"}


@BASES
@pytest.mark.parametrize("weight_type", SIMPLE)
def test_the_simple_node(base, weight_type):
    here = world(base)
    pipe = {
        "clipvision": {"file": None, "model": here.encoder},
        "ipadapter": {"file": None, "model": here.wire},
        "insightface": {"provider": None, "model": None},
    }
    patched = run("IPAdapter", here.model, pipe, PICTURES[:2], 0.6, 0.0, 1.0, weight_type)[0]
    here.check(here.calls(patched), here.prompt(plan(SIMPLE[weight_type], base, 0.6), here.features(PICTURES[:2])))


OLD_NAMES = {"style transfer (SDXL)": "style transfer", "style transfer and composition": "style and composition"}


@pytest.mark.parametrize("old", OLD_NAMES)
def test_old_names_of_weight_types(old):
    here = world("SDXL")
    patched = applied(here, image=PICTURES[:1], weight=0.6, weight_type=old)
    here.check(here.calls(patched), here.prompt(plan(OLD_NAMES[old], "SDXL", 0.6), here.features(PICTURES[:1])))


# ------------------------------------------------------------------------------------------------ where, when, and who


@BASES
@pytest.mark.parametrize("size", [(8, 8), (9, 13), (13, 24)])
def test_masks(base, size):
    """The last of several masks is held for the other pictures; every grid is the true one, for odd latents too."""
    here = world(base)
    for shape in ((1, 64, 64), (1, 72, 40), (2, 20, 30), (4, 3, 3)):
        mask = torch.rand(shape, generator=torch.Generator().manual_seed(5))
        patched = applied(here, image=PICTURES[:1], weight=0.7, attn_mask=mask, embeds_scaling="K+V")
        expected = here.prompt(plan("linear", base, 0.7), here.features(PICTURES[:1]), mask=mask, scaling="K+V")
        here.check(here.calls(patched, size=size, batch=3), expected, case=shape)


def test_a_thin_line_falls_between_the_samples_of_a_mask():
    here, mask = world(), torch.zeros(1, 64, 64)
    mask[:, :, 9:11] = 1.0
    seen = here.calls(applied(here, image=PICTURES[:1], attn_mask=mask))
    coarse = next(each for each in seen if each.number == 0)  # 8 x 8
    assert torch.equal(coarse.out, optimized_attention(coarse.q, coarse.k, coarse.v, 4))


@pytest.mark.parametrize("sign", [-1.5, 2.5])
def test_masks_are_not_brought_into_0_to_1(sign):
    here = world()
    patched = applied(here, image=PICTURES[:1], attn_mask=sign * MASK)
    here.check(here.calls(patched), here.prompt(plan("linear", "SD1.5"), here.features(PICTURES[:1]), mask=sign * MASK))


def test_masks_weights_and_references_are_each_for_the_picture_of_their_number():
    here, masks = world(), torch.rand(2, 32, 32)
    patched = applied(here, "IPAdapterBatch", image=PICTURES, weight=[0.2, 0.9, -0.4], attn_mask=masks)
    weights = plan("linear", "SD1.5", [0.2, 0.9, -0.4])
    expected = here.prompt(weights, here.features(PICTURES), pictures=4, mask=masks)
    here.check(here.calls(patched, batch=4), expected)


WINDOWS = [(0.0, 0.5), (0.5, 1.0), (0.25, 0.75), (0.5, 0.5), (0.7, 0.3), (0.0, 0.0), (0.0, 1.0)]


def test_both_ends_of_a_window_are_inside():
    here = world()
    for window in WINDOWS:
        first, last = (here.sigma(percent) for percent in window)
        patched = applied(here, image=PICTURES[:1], start_at=window[0], end_at=window[1])
        expected = here.prompt(plan("linear", "SD1.5"), here.features(PICTURES[:1]), sigmas=(first, last))
        for percent in (0.1, 0.25, 0.3, 0.5, 0.6, 0.75, 0.9):
            seen = here.calls(patched, sigma=here.sigma(percent))
            assert seen[0].sigma == here.sigma(percent)
            here.check(seen, expected, case=(window, percent))


def test_two_nodes_that_meet_act_both_where_they_meet():
    here = world()
    patched = applied(here, image=PICTURES[:1], weight=0.3, end_at=0.5)
    patched = applied(here, model=patched, image=PICTURES[1:2], weight=0.9, start_at=0.5)
    expected = [
        here.prompt(plan("linear", "SD1.5", weight), here.features(picture))
        for weight, picture in ((0.3, PICTURES[:1]), (0.9, PICTURES[1:2]))
    ]
    here.check(here.calls(patched, sigma=here.sigma(0.5)), *expected)


@BASES
def test_nodes_after_another_add_up_and_leave_the_first_model_as_it_was(base):
    here = world(base)
    first = applied(here, image=PICTURES[:1], weight=0.4)
    second = applied(here, model=first, image=PICTURES[1:], weight=-0.3, weight_type="style transfer")
    one = here.prompt(plan("linear", base, 0.4), here.features(PICTURES[:1]))
    two = here.prompt(plan("style transfer", base, -0.3), here.features(PICTURES[1:]))
    here.check(here.calls(second), one, two)
    here.check(here.calls(first), one)
    here.check(here.calls(here.model))


def test_a_batch_without_negative_rows():
    here = world()
    for weight_type in ("linear", "style transfer precise"):
        patched = applied(here, image=PICTURES[:1], weight_type=weight_type)
        seen = here.calls(patched, cfg=1.0)
        assert {each.order for each in seen} == {(0,)}
        here.check(seen, here.prompt(plan(weight_type, "SD1.5"), here.features(PICTURES[:1])))


def dual(here, patched, conds):
    guider = samplers.Guider_DualCFG(patched)
    guider.set_conds(*conds)
    guider.set_cfg(3.0, 2.0)
    latent = torch.zeros(1, 4, 8, 8)
    here.seen = []
    guider.sample(latent + 1.0, latent, comfy.samplers.sampler_object("euler"), torch.tensor([SIGMA, 0.0]), seed=1)
    return here.seen


def test_of_three_conditions_the_second_alone_is_negative():
    """The guider with two scales puts its negative condition first, and the reference acts there."""
    here = world()
    seen = dual(here, applied(here, image=PICTURES[:1]), tiny.conditions("SD1.5", count=3))
    assert {each.order for each in seen} == {(2, 1, 0)}
    here.check(seen, here.prompt(plan("linear", "SD1.5"), here.features(PICTURES[:1])))


def test_conditions_that_do_not_fit_into_one_call():
    here, conds = world(), tiny.conditions("SD1.5", count=3)
    for cond, length in zip(conds, (16, 17, 19)):
        cond[0][0] = cond[0][0][:, :length]
    seen = dual(here, applied(here, image=PICTURES[:1]), conds)
    assert {each.order for each in seen} == {(0,), (1,), (2,)}
    here.check(seen, here.prompt(plan("linear", "SD1.5"), here.features(PICTURES[:1])))


def test_two_regional_prompts_are_both_positive():
    here = world()
    positive, other, negative = tiny.conditions("SD1.5", count=3)
    for cond, part in ((positive, slice(0, 4)), (other, slice(4, 8))):
        cond[0][1]["mask"] = torch.zeros(1, 8, 8)
        cond[0][1]["mask"][:, part] = 1.0
    seen = here.calls(applied(here, image=PICTURES[:1]), conds=[positive + other, negative])
    assert {each.order for each in seen} == {(1, 0, 0)}
    here.check(seen, here.prompt(plan("linear", "SD1.5"), here.features(PICTURES[:1])))


def test_a_condition_with_an_area_of_its_own():
    here = world()
    positive, negative = tiny.conditions("SD1.5")
    positive[0][1]["area"] = (4, 6, 2, 1)
    seen = here.calls(applied(here, image=PICTURES[:1], weight=0.4), conds=[positive, negative])
    assert {each.grid for each in seen if each.number == 0} == {(4, 6), (8, 8)}
    here.check(seen, here.prompt(plan("linear", "SD1.5", 0.4), here.features(PICTURES[:1])))


def test_all_of_a_mask_is_in_the_area_of_a_condition():
    here = world()
    positive, negative = tiny.conditions("SD1.5")
    positive[0][1]["area"] = (4, 6, 2, 1)
    seen = here.calls(applied(here, image=PICTURES[:1], attn_mask=MASK), conds=[positive, negative])
    here.check(seen, here.prompt(plan("linear", "SD1.5"), here.features(PICTURES[:1]), mask=MASK))


def core_window(frames):
    return {"context_window": comfy.context_windows.IndexListContextWindow(frames, dim=0, total_frames=4)}


def animatediff_window(frames):
    return {"ad_params": {"sub_idxs": frames, "full_length": 4}}


@pytest.mark.parametrize("marked", [core_window, animatediff_window])
def test_a_window_of_frames_takes_the_rows_of_its_frames(marked):
    here, masks = world(), torch.rand(3, 16, 16)
    inputs = {"image": PICTURES, "weight": [0.2, 0.5, 0.8, 1.1], "attn_mask": masks}
    patched = applied(here, "IPAdapterBatch", **inputs)

    def windows(executor, model, conds, x, timestep, model_options):
        for frames in ([0, 2], [3, 1]):
            options = {**model_options["transformer_options"], **marked(frames)}
            given = {**model_options, "transformer_options": options}
            executor(model, conds, x[frames], timestep[frames], given)
        return [torch.zeros_like(x) for _ in conds]

    patched.add_wrapper(WrappersMP.CALC_COND_BATCH, windows)
    seen = here.calls(patched, batch=4)
    assert {each.frames for each in seen} == {(0, 2), (3, 1)}
    expected = here.prompt(plan("linear", "SD1.5", inputs["weight"]), here.features(PICTURES), pictures=4, mask=masks)
    here.check(seen, expected)


# -------------------------------------------------------------------------------------------------- layer weights

TEXTS = {
    "one": "3:0.5",
    "several": "0:1.5,4:-0.5,9:0.25",
    "spaces and line breaks": " 3 : 0.5 ,\n 5:1 ,7: 2.0\n",
    "later ones win": "3:0.5, 3:2",
    "unknown ones": "3:0.5, 99:1, -2:1",
    "the middle block": "3:0.5, 4:1, 6:1",
    "a comma at the end": "3:0.5, 5:1,",
}


@BASES
def test_layer_weights(base):
    here = world(base)
    for case, text in TEXTS.items():
        patched = applied(
            here, "IPAdapterMS", image=PICTURES[:1], weight_type="ease in", layer_weights=text, weight=0.8
        )
        expected = here.prompt(formulas.listed(text, base, 0.8), here.features(PICTURES[:1]))
        here.check(here.calls(patched), expected, case=case)


@BASES
@pytest.mark.parametrize("precise", ["style transfer precise", "composition precise"])
def test_layer_weights_take_the_sides_of_a_precise_weight_type(base, precise):
    text = ",".join(f"{number}:{0.3 + 0.1 * number}" for number in range(len(formulas.BLOCKS[base])))
    here = world(base)
    patched = applied(here, "IPAdapterMS", image=PICTURES[:1], weight=0.8, weight_type=precise, layer_weights=text)
    expected = formulas.listed(text, base, 0.8, precise)
    assert {each.swapped for each in expected.values()} == {False, True}
    here.check(here.calls(patched), here.prompt(expected, here.features(PICTURES[:1])))


@pytest.mark.parametrize("text", ["", None])
def test_without_layer_weights_the_weight_type_acts(text):
    here = world()
    patched = applied(here, "IPAdapterMS", image=PICTURES[:1], weight=0.8, weight_type="ease in", layer_weights=text)
    here.check(here.calls(patched), here.prompt(plan("ease in", "SD1.5", 0.8), here.features(PICTURES[:1])))


# ------------------------------------------------------------------------------------------------ nodes for some uses


@pytest.mark.parametrize("expand", [False, True])
@pytest.mark.parametrize("method", ["average", "concat", "subtract"])
def test_style_and_composition(expand, method):
    here, name = world("SDXL"), "strong style and composition" if expand else "style and composition"
    patched = applied(
        here,
        "IPAdapterStyleComposition",
        image_style=PICTURES,
        image_composition=OTHERS,
        image_negative=NEGATIVES,
        weight_style=0.7,
        weight_composition=0.4,
        expand_style=expand,
        combine_embeds=method,
    )
    style, composition = (combined(here.features(images), method) for images in (PICTURES, OTHERS))
    negative = here.features(NEGATIVES)[: None if method == "concat" else 1]
    expected = here.prompt(
        plan(name, "SDXL", 0.7, composition=0.4), style, negative, composition=here.arranged(composition)
    )
    here.check(here.calls(patched), expected)


@pytest.mark.parametrize("expand", [False, True])
@pytest.mark.parametrize("weights", [(0.7, 0.4), ([0.7, 0.1], [0.4, -0.9, 0.3])])
def test_style_and_composition_of_each_picture(expand, weights):
    here, name = world("SDXL"), "strong style and composition" if expand else "style and composition"
    patched = applied(
        here,
        "IPAdapterStyleCompositionBatch",
        image_style=PICTURES,
        image_composition=OTHERS,
        weight_style=weights[0],
        weight_composition=weights[1],
        expand_style=expand,
    )
    acting = plan(name, "SDXL", weights[0], composition=weights[1])
    composition = here.arranged(here.features(OTHERS), 4)
    expected = here.prompt(acting, here.features(PICTURES), pictures=4, composition=composition)
    here.check(here.calls(patched, batch=4), expected)


PRECISE = {
    "IPAdapterPreciseStyleTransfer": ("style transfer precise", "style_boost"),
    "IPAdapterPreciseComposition": ("composition precise", "composition_boost"),
}


@BASES
@pytest.mark.parametrize("id", PRECISE)
@pytest.mark.parametrize("batch", ["", "Batch"])
def test_precise_nodes_with_a_boost(base, id, batch):
    here, (weight_type, name) = world(base), PRECISE[id]
    for boost in (0.0, 1.0, -2.5):
        patched = applied(here, id + batch, image=PICTURES[:2], weight=0.7, **{name: boost})
        acting = plan(weight_type, base, 0.7, boost=boost)
        expected = here.prompt(acting, here.features(PICTURES[:2]), pictures=3 if batch else 0)
        here.check(here.calls(patched, batch=3), expected, case=boost)


TILED = {  # pictures, mask, sharpening
    "square": ((2, 300, 320, 3), None, 0.0),
    "tall": ((1, 384, 256, 3), (1, 64, 64), 0.3),
    "wide": ((1, 128, 500, 3), (2, 20, 40), 0.0),
    "longer than 4 to 1": ((1, 64, 320, 3), None, 0.0),
}


@pytest.mark.parametrize("batch", ["", "Batch"])
@pytest.mark.parametrize("way", TILED)
def test_contributions_of_tiles_add_up(way, batch):
    here, (shape, mask, sharpening) = world(), TILED[way]
    images, mask = eight_bits(*shape, seed=6), mask and torch.rand(mask)
    node = CLASSES["IPAdapterTiled" + batch]()
    patched, cut, masks = node.apply_tiled(
        here.model, here.wire, images, 0.4, "ease in", sharpening=sharpening, attn_mask=mask, clip_vision=here.encoder
    )
    tiles = formulas.tiles(images, mask, sharpening)
    torch.testing.assert_close(cut, torch.cat([tile.pictures for tile in tiles]), rtol=0, atol=1e-6)
    torch.testing.assert_close(masks, torch.cat([tile.inner for tile in tiles]), rtol=0, atol=1e-6)
    acting = plan("ease in", "SD1.5", 0.4)
    pictures = 2 if batch else 0
    expected = [here.prompt(acting, here.features(tile.pictures), pictures=pictures, mask=tile.mask) for tile in tiles]
    here.check(here.calls(patched, batch=2), *expected)


@KINDS
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("batch", ["", "Batch"])
def test_enhancer(kind, count, batch):
    here = world("SD1.5", kind)
    for across, ratio in ((1, 0.5), (2, 1.0), (3, 0.6)):
        inputs = {"image": PICTURES[:count], "enhance_tiles": across, "enhance_ratio": ratio}
        patched = applied(here, "IPAdapterClipVisionEnhancer" + batch, **inputs)
        expected = here.prompt(
            plan("linear", "SD1.5"), enhanced(here, count, across, ratio), pictures=2 if batch else 0
        )
        here.check(here.calls(patched, batch=2), expected, case=(across, ratio))


def test_enhancer_cuts_into_16_tiles_along_a_side_at_most():
    here = world()
    patched = applied(here, "IPAdapterClipVisionEnhancer", image=PICTURES[:1], enhance_tiles=17, enhance_ratio=0.8)
    here.check(here.calls(patched), here.prompt(plan("linear", "SD1.5"), enhanced(here, 1, 16, 0.8)))


def enhanced(here, count, across, ratio):
    features = here.features(PICTURES[:count])
    if across == 1:
        return features
    cut = [here.features(each) for each in formulas.quarters(PICTURES[:count], across)]
    joined = formulas.joined_tokens if here.kind == "plus" else formulas.joined_embeds
    return formulas.enhanced(features, joined(cut, across), ratio)


# ------------------------------------------------------------------------------------------------------------ embeds


@KINDS
@pytest.mark.parametrize("shape", [None, (1, 224, 224), (3, 224, 224), (1, 60, 90)])
def test_encoded_features(kind, shape):
    here, mask = world("SD1.5", kind), shape and torch.rand(shape)
    for weight in (1.0, 0.4, -0.5):
        positive, negative = run("IPAdapterEncoder", here.wire, PICTURES, weight, mask, here.encoder)
        torch.testing.assert_close(positive, here.features(PICTURES, mask) * weight, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(negative, held(here.empty(), 1 if kind == "plus" else 3), rtol=1e-5, atol=1e-6)
        patched = applied(here, "IPAdapterEmbeds", pos_embed=positive, weight=0.8, weight_type="ease out")
        expected = here.prompt(plan("ease out", "SD1.5", 0.8), here.features(PICTURES, mask) * weight)
        here.check(here.calls(patched), expected, case=weight)


@KINDS
@pytest.mark.parametrize("batch", ["", "Batch"])
def test_embeds_with_negative_ones_need_no_encoder(kind, batch):
    here, pictures = world("SD1.5", kind), 3 if batch else 0
    positive, negative = here.features(PICTURES[:2]), here.features(NEGATIVES[:1])
    patched = applied(
        here,
        "IPAdapterEmbeds" + batch,
        pos_embed=positive,
        neg_embed=negative,
        weight=0.6,
        attn_mask=MASK,
        clip_vision=None,
        embeds_scaling="K+V",
    )
    expected = here.prompt(plan("linear", "SD1.5", 0.6), positive, negative, pictures, mask=MASK, scaling="K+V")
    here.check(here.calls(patched, batch=3), expected)


def test_embeds_of_a_base_adapter_need_no_encoder():
    here = world("SD1.5", "base")
    positive = here.features(PICTURES)
    patched = applied(here, "IPAdapterEmbeds", pos_embed=positive, clip_vision=None)
    here.check(here.calls(patched), here.prompt(plan("linear", "SD1.5"), positive))


# ----------------------------------------------------------------------------------------------------------- regions

REGIONS = [
    {"image": PICTURES[:1], "image_weight": 0.7, "weight_type": "ease in", "start_at": 0.0, "end_at": 0.5},
    {
        "image": PICTURES[1:],
        "image_weight": [0.4, 0.9],
        "weight_type": "style transfer",
        "start_at": 0.5,
        "end_at": 1.0,
    },
]


@BASES
@pytest.mark.parametrize("masked", [False, True])
def test_regions(base, masked):
    here, masks = world(base), (MASK, torch.rand(1, 40, 20))
    conditioned = [
        run("IPAdapterRegionalConditioning", prompt_weight=1.0, mask=mask if masked else None, **region)[0]
        for region, mask in zip(REGIONS, masks)
    ]
    (params,) = run("IPAdapterCombineParams", *conditioned)
    patched = applied(here, "IPAdapterFromParams", ipadapter_params=params, embeds_scaling="K+V")
    expected = [
        here.prompt(
            plan(region["weight_type"], base, weight),
            here.features(region["image"]),
            mask=mask if masked else None,
            scaling="K+V",
            sigmas=(here.sigma(region["start_at"]), here.sigma(region["end_at"])),
        )
        for region, weight, mask in zip(REGIONS, (0.7, 0.4), masks)
    ]
    for percent in (0.2, 0.5, 0.8):
        here.check(here.calls(patched, sigma=here.sigma(percent)), *expected)


def test_regions_without_a_picture_are_passed_over():
    here = world()
    params = {
        "image": [None, PICTURES[:1]],
        "attn_mask": [None, None],
        "weight": [1.0, 0.5],
        "weight_type": ["linear", "linear"],
        "start_at": [0.0, 0.0],
        "end_at": [1.0, 1.0],
    }
    patched = applied(here, "IPAdapterFromParams", ipadapter_params=params)
    here.check(here.calls(patched), here.prompt(plan("linear", "SD1.5", 0.5), here.features(PICTURES[:1])))


# ------------------------------------------------------------------------------------------------- nodes before 2024

V1_SCALINGS = {"original": "V only", "linear": "K+V", "channel penalty": "K+mean(V) w/ C penalty"}


def everywhere(base, weight):
    return {number: Acting(weight) for number in range(len(formulas.BLOCKS[base]))}


@BASES
@pytest.mark.parametrize("weight_type", V1_SCALINGS)
@pytest.mark.parametrize("unfold", [False, True])
def test_old_apply_acts_in_the_middle_block_too(base, weight_type, unfold):
    here, masks = world(base), torch.rand(2, 20, 30)
    patched = applied(
        here,
        "IPAdapterApply",
        image=PICTURES[:2],
        weight=0.6,
        weight_type=weight_type,
        unfold_batch=unfold,
        attn_mask=masks,
    )
    expected = here.prompt(
        everywhere(base, 0.6),
        here.features(PICTURES[:2]),
        pictures=3 if unfold else 0,
        mask=masks,
        mode="bicubic",
        scaling=V1_SCALINGS[weight_type],
    )
    here.check(here.calls(patched, batch=3), expected)


@KINDS
@pytest.mark.parametrize("noise", [0.2, 1.0])
def test_old_apply_with_noise(kind, noise):
    here = world("SD1.5", kind)
    patched = applied(here, "IPAdapterApply", image=PICTURES[:1], noise=noise)
    negative = here.features(formulas.noisy(PICTURES[:1], noise))
    expected = here.prompt(everywhere("SD1.5", 1.0), here.features(PICTURES[:1]), negative)
    here.check(here.calls(patched), expected)


@KINDS
def test_old_embeds_hold_references_and_negatives(kind):
    here, plus = world("SD1.5", kind), kind == "plus"
    inputs = {"image_1": PICTURES[:1], "image_2": PICTURES[1:2], "weight_1": 0.5, "weight_2": 0.9}
    (embeds,) = run(OLD_ENCODER, clip_vision=here.encoder, ipadapter_plus=plus, **inputs)
    features = here.features(PICTURES[:2])
    features = torch.stack([features[0] * 0.25, features[1] * 0.81])
    stacked = torch.stack([features, held(here.empty(), 2)])
    torch.testing.assert_close(embeds, stacked, rtol=1e-5, atol=1e-6)
    (both,) = run("IPAdapterBatchEmbeds", embeds, embeds * 2)
    inputs = {"weight": 0.7, "weight_type": "linear"}
    (patched,) = run("IPAdapterApplyEncoded", ipadapter=here.wire, embeds=both, model=here.model, **inputs)
    expected = here.prompt(everywhere("SD1.5", 0.7), torch.cat([features, features * 2]), both[1], scaling="K+V")
    here.check(here.calls(patched), expected)


@KINDS
@pytest.mark.parametrize("connected", [("pos_embed",), ("pos_embed", "neg_embed")])
def test_embeds_of_old_hold_the_negative_wherever_they_are_connected(kind, connected):
    here = world("SD1.5", kind)
    features, negative = here.features(PICTURES[:2]), here.features(NEGATIVES)
    patched = applied(here, "IPAdapterEmbeds", **dict.fromkeys(connected, torch.stack([features, negative])))
    here.check(here.calls(patched), here.prompt(plan("linear", "SD1.5"), features, negative))


# ------------------------------------------------------------------------------------------------------------- whole


@BASES
def test_a_whole_run(base):
    """ComfyUI's sampler with the node, and with the formulas in the place of each attention."""
    here = world(base)
    inputs = {
        "image": PICTURES[:2],
        "weight": 0.7,
        "weight_type": "ease in-out",
        "embeds_scaling": "K+mean(V) w/ C penalty",
    }
    patched = applied(here, **inputs)
    prompt = here.prompt(plan("ease in-out", base, 0.7), here.features(PICTURES[:2]), scaling=inputs["embeds_scaling"])
    by_hand = here.model.clone()
    for (number, depth), layer in here.layers.items():
        kind, index, _ = formulas.BLOCKS[base][number]
        if number in prompt.plan:
            by_hand.set_model_attn2_replace(in_place(prompt, number, layer), kind, index, depth)
    with here.whole():
        plain, found, expected = (tiny.sample(model, base) for model in (here.model, patched, by_hand))
    assert (expected - plain).abs().mean() > 0.01 * plain.abs().mean()
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


def in_place(prompt, number, layer):
    def attention(q, k, v, extra_options):
        acting, order = prompt.plan[number], extra_options["cond_or_uncond"]
        added = formulas.added(q, order, prompt.positive, prompt.negative, layer, acting, prompt.scaling)
        return optimized_attention(q, k, v, layer.heads) + added.to(q.dtype)

    return attention
