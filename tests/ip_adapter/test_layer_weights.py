"""Layer weights: presets against published numbers, curves and typed-in numbers against formulas written out here."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from image_prompt.ip_adapter import (
    BASE_MODELS,
    DEPTH_CURVES,
    LAYER_SETS,
    PRESETS,
    PUBLISHED_BLOCKS,
    WEIGHT_TYPES,
    Block,
    CurveWeights,
    Family,
    PresetWeights,
    Share,
    acting_in,
    layer_summary,
    layer_table,
    match_layers,
    parse_layer_weights,
    select_layers,
    weight_type,
)
from image_prompt.ip_adapter.layers import acting_blocks

from .unets import comfy_block, diffusers_layers

PUBLISHED = json.loads((Path(__file__).parent / "weight_types.json").read_text())
BLOCKS = {base: [tuple(block) for block in blocks] for base, blocks in PUBLISHED["blocks"].items()}
UNETS = {"SD1.5": "sd15", "SDXL": "sdxl"}
BASES = pytest.mark.parametrize("base", UNETS)


HALVES = ("first", "second")
BY_DEPTH = {  # the preset -> its factor at a depth from 0 to 1
    "first half": lambda x: 1.0 if x < 0.5 else 0.0,
    "second half": lambda x: 0.0 if x < 0.5 else 1.0,
    "middle half": lambda x: 0.0 if x < 0.25 or x > 0.75 else 1.0,
    "falling": lambda x: 1.0 - x,
    "rising": lambda x: x,
    "there and back": lambda x: 2.0 * min(x, 1.0 - x),
}


def unet(base):
    """The cross-attentions of diffusers' UNet, in the order of the file."""
    return [comfy_block(path, width) for path, width in diffusers_layers(UNETS[base])]


def flux(count=19):
    return [Block("double", index, 0, 32) for index in reversed(range(count))]


def by_block(base, shares):
    """{block: share}, which every layer of the block has; blocks without share are left out."""
    layers = {}
    for block in unet(base):
        layers.setdefault((block.kind, block.index), []).append(shares.get(block))
    assert all(len(set(found)) == 1 for found in layers.values())
    return {name: found[0] for name, found in layers.items() if found[0]}


def amounts(weights, blocks, base):
    """The weight of every layer that acts, by kind, index and depth, in the order in which they are given."""
    return {
        (block.kind, block.index, block.depth): share.amount for block, share in weights.shares(blocks, base).items()
    }


@BASES
def test_the_published_blocks_are_those_of_diffusers(base):
    assert sorted(PUBLISHED_BLOCKS[base], key=repr) == sorted(unet(base), key=repr)
    assert list(dict.fromkeys((block.kind, block.index) for block in PUBLISHED_BLOCKS[base])) == BLOCKS[base]
    assert PUBLISHED_BLOCKS["Kolors"] == PUBLISHED_BLOCKS["SDXL"]


def test_the_published_blocks_are_as_many_as_the_base_models_have():
    counted = {base: Counter(block.kind for block in blocks) for base, blocks in PUBLISHED_BLOCKS.items()}
    assert counted == {base.name: dict(base.blocks) for base in BASE_MODELS}
    assert counted["Flux"] == {"double": 19, "single": 38} and counted["SD3.5 Large"] == {"joint": 38}


def test_adapters_of_one_model_that_act_in_different_blocks_are_told_apart():
    plain, more = {"host": "flux", "base_model": "Flux"}, {"double": 1, "single": 1}
    families = [
        Family(id="a", name="A", blocks={"double": 1}, acts="block", **plain),
        Family(id="b", name="B", blocks=more, also_for=("Chroma",), **plain),
        Family(id="c", name="C", blocks={"double": 2, "single": 4}, acts="block", **plain),
        Family(id="d", name="D", blocks=more, **plain),
        Family(id="e", name="E", base_model="SDXL", blocks={"input": 1}, layer_sets="CSGO"),
    ]
    found = {each.title: each for each in acting_in("Flux", families)}
    blocks = PUBLISHED_BLOCKS["Flux"]
    assert {title: (each.acts, len(each.among(blocks))) for title, each in found.items()} == {
        "Flux (A)": ("block", 19),
        "Flux (B, D)": ("attention", 57),
        "Flux (C)": ("block", 20),
    }
    assert [block.index for block in found["Flux (C)"].among(blocks)] == [*range(0, 19, 2), *range(0, 38, 4)]
    assert [each.title for each in acting_in("Chroma", families)] == ["Chroma"]
    assert acting_in("SDXL", families) == acting_in("Anima", families) == []


def test_a_list_is_counted_against_the_blocks_in_which_an_adapter_acts():
    blocks = PUBLISHED_BLOCKS["Flux"]
    xlabs, instantx = acting_blocks(blocks, {"double": 1}), acting_blocks(blocks, {"double": 1, "single": 1})
    nineteen, whole = (parse_layer_weights(",".join(["0.5"] * count)) for count in (19, 57))
    assert len(nineteen.shares(xlabs, "Flux")) == 19 and len(whole.shares(instantx, "Flux")) == 57
    both = parse_layer_weights("1, 0.25").shares(instantx, "Flux")
    assert both == {block: Share(1.0 if block.kind == "double" else 0.25) for block in blocks}
    message = "There are 19 layer weights, Flux takes 1 (for all), 2 (for double and single) or 57 (one for each block)"
    with pytest.raises(ValueError, match=re.escape(message)):
        nineteen.shares(instantx, "Flux")


@BASES
@pytest.mark.parametrize("name", PUBLISHED["factors"]["SDXL"])
def test_a_weight_type_has_the_factors_of_the_pack(base, name):
    found = by_block(base, weight_type(name).shares(unet(base), base))
    for block, factor in zip(BLOCKS[base], PUBLISHED["factors"][base][name], strict=True):
        assert (found[block].amount if block in found else 0.0) == pytest.approx(factor or 0.0, abs=1e-6)


W, C, B = 0.5, 3.0, 7.0  # weight, composition, boost
TAKEN = {  # weight type -> base model -> {numbers of blocks: share}; all others do not act
    "style and composition": {
        "SD1.5": {(0, 1, 2, 3, *range(9, 16)): Share(W), (4,): Share(0.25 * C), (5,): Share(C)},
        "SDXL": {(3,): Share(C), (6,): Share(W)},
    },
    "strong style and composition": {
        "SD1.5": {(*range(6), *range(7, 16)): Share(W)},
        "SDXL": {(3,): Share(C), (0, 1, 2, *range(5, 11)): Share(W)},
    },
    "style transfer precise": {
        "SD1.5": {
            (0, 1, 2, 3, *range(9, 16)): Share(W),
            (4,): Share(0.25 * B, "opposite"),
            (5,): Share(B, "opposite"),
        },
        "SDXL": {(6,): Share(W), (3,): Share(B, "opposite")},
    },
    "composition precise": {
        "SD1.5": {
            (4,): Share(0.25 * W),
            (5,): Share(W),
            (0, 1, 2, 3, *range(9, 16)): Share(B, "opposite"),
            (7, 8): Share(0.1 * B, "opposite"),
        },
        "SDXL": {(3,): Share(W), (6,): Share(B, "opposite"), (0, 1, 2, 5, *range(7, 11)): Share(0.1 * B, "opposite")},
    },
}


@BASES
@pytest.mark.parametrize("name", WEIGHT_TYPES)
def test_a_weight_type_takes_the_right_weight_in_the_right_rows(base, name):
    preset, blocks = weight_type(name), unet(base)
    found = by_block(base, preset.shares(blocks, base, weight=W, composition=C, boost=B))
    if rows := TAKEN.get(name):
        assert found == {BLOCKS[base][t]: share for numbers, share in rows[base].items() for t in numbers}
    else:  # nothing but the weight, in proportion
        plain = by_block(base, preset.shares(blocks, base))
        assert {block: Share(W * share.amount) for block, share in plain.items()} == found


def test_the_tables_have_all_weight_types_and_our_presets():
    assert set(WEIGHT_TYPES) == set(PUBLISHED["factors"]["SDXL"])
    assert len(WEIGHT_TYPES) == 16  # 15 that the pack lists, and one that it makes of two inputs
    by_sets = ("all", "style and composition", "style", "strong style", "precise style", "composition")
    assert tuple(PRESETS) == (*by_sets, *BY_DEPTH)


@pytest.mark.parametrize("base", ["SD1.5", "SDXL", "Kolors"])
@pytest.mark.parametrize("name", ["all", "style", "composition", "style and composition"])
def test_a_preset_with_the_name_of_a_layer_set_is_that_set(base, name):
    blocks = unet("SDXL" if base == "Kolors" else base)
    chosen = select_layers(match_layers(blocks, [block.width for block in blocks]), base, name)
    assert PresetWeights(name).shares(blocks, base) == dict.fromkeys(chosen, Share())


@BASES
def test_strong_and_precise_style_treat_the_blocks_of_composition_differently(base):
    style, composition = LAYER_SETS[base]["style"], LAYER_SETS[base]["composition"]
    strong = by_block(base, PresetWeights("strong style").shares(unet(base), base))
    assert strong == dict.fromkeys(set(BLOCKS[base]) - composition, Share())
    precise = by_block(base, PresetWeights("precise style").shares(unet(base), base))
    assert precise == dict.fromkeys(style, Share()) | dict.fromkeys(composition, Share(1.0, "opposite"))


def test_flux_has_no_named_sets():
    assert set(PresetWeights("all").shares(flux(), "Flux").values()) == {Share()}
    for name in set(PRESETS) - {"all", *BY_DEPTH}:
        message = "the model is Flux: choose all, first half, .*, or a curve or values in Image Prompt Layer Weights."
        with pytest.raises(ValueError, match=message):
            PresetWeights(name).shares(flux(), "Flux")


@pytest.mark.parametrize("count", [1, 2, 5, 19, 24, 28, 38, 57])
def test_a_preset_by_depth_is_a_function_of_depth_alone(count):
    for name, expected in BY_DEPTH.items():
        found = amounts(PresetWeights(name), flux(count), "Flux")
        depths = [n / (count - 1) if n else 0.0 for n in range(count)]
        assert found == {
            ("double", n, 0): pytest.approx(expected(x)) for n, x in enumerate(depths) if expected(x) != 0.0
        }, name


def test_a_preset_by_depth_goes_by_the_blocks_of_a_unet():
    found = by_block("SDXL", PresetWeights("rising").shares(unet("SDXL"), "SDXL"))
    assert found == {name: Share(pytest.approx(t / 10)) for t, name in enumerate(BLOCKS["SDXL"]) if t}
    halves = [by_block("SD1.5", PresetWeights(f"{half} half").shares(unet("SD1.5"), "SD1.5")) for half in HALVES]
    assert [set(half) for half in halves] == [set(BLOCKS["SD1.5"][:8]), set(BLOCKS["SD1.5"][8:])]


CURVES = {  # at 0, 1/4, 1/2, 3/4 and 1
    "linear": (0.0, 0.25, 0.5, 0.75, 1.0),
    "ease in": (0.0, 0.0625, 0.25, 0.5625, 1.0),
    "ease out": (0.0, 0.4375, 0.75, 0.9375, 1.0),
    "ease in-out": (0.0, 0.15625, 0.5, 0.84375, 1.0),
    "ease out-in": (0.0, 0.4375, 0.5, 0.5625, 1.0),
    "there and back": (0.0, 0.5, 1.0, 0.5, 0.0),
    "smooth there and back": (0.0, 0.5, 1.0, 0.5, 0.0),
}


@pytest.mark.parametrize("name", DEPTH_CURVES)
def test_a_curve_goes_from_the_first_weight_to_the_last(name):
    found = amounts(CurveWeights(name, 2.0, -1.0), flux(5), "Flux")
    expected = {("double", n, 0): 2.0 - 3.0 * x for n, x in enumerate(CURVES[name])}
    assert found == {key: pytest.approx(amount) for key, amount in expected.items()} and list(found) == list(expected)
    assert CurveWeights(name, 0.3, 1.0).shares(flux(1), "Flux") == {flux(1)[0]: Share(0.3)}


def test_the_smooth_way_there_and_back_is_a_smoothstep():
    assert DEPTH_CURVES["smooth there and back"](0.125) == pytest.approx(3 * 0.25**2 - 2 * 0.25**3)


def test_a_curve_goes_by_blocks_or_by_layers():
    found = by_block("SDXL", CurveWeights("linear", 0.0, 1.0).shares(unet("SDXL"), "SDXL"))
    assert {name: share.amount for name, share in found.items()} == {
        name: pytest.approx(t / 10) for t, name in enumerate(BLOCKS["SDXL"]) if t
    }
    found = amounts(CurveWeights("linear", 1.0, 70.0, by="layers"), unet("SDXL"), "SDXL")
    assert list(found.values()) == pytest.approx(range(1, 71))
    assert list(found)[:3] == [("input", 4, 0), ("input", 4, 1), ("input", 5, 0)]


@pytest.mark.parametrize("text", ["0.5", " .5\n", "5e-1", "+0.50"])
@BASES
def test_one_value_is_for_all(base, text):
    assert parse_layer_weights(text).shares(unet(base), base) == dict.fromkeys(unet(base), Share(0.5))


@BASES
def test_three_values_are_for_input_middle_and_output(base):
    found = by_block(base, parse_layer_weights("-1, 0,\n2.5").shares(unet(base), base))
    expected = {name: Share({"input": -1.0, "output": 2.5}[name[0]]) for name in BLOCKS[base] if name[0] != "middle"}
    assert found == expected


@pytest.mark.parametrize("base, count", [("SD1.5", 16), ("SDXL", 11), ("SDXL", 70), ("Flux", 19)])
def test_a_full_list_goes_in_the_order_of_execution(base, count):
    blocks = flux() if base == "Flux" else unet(base)
    values = [(n + 1) / 16 for n in range(count)]
    found = parse_layer_weights("\n".join(map(str, values))).shares(blocks, base)
    if count == len(blocks):
        assert list(found) == sorted(blocks, key=lambda block: (block.kind, block.index, block.depth))
        assert [share.amount for share in found.values()] == values
    else:
        assert by_block(base, found) == {name: Share(value) for name, value in zip(BLOCKS[base], values)}


def test_an_index_counts_blocks_or_layers():
    blocks = unet("SDXL")
    found = by_block("SDXL", parse_layer_weights(" 6 : -2,3:0.5 ").shares(blocks, "SDXL"))
    assert found == {("input", 8): Share(0.5), ("output", 1): Share(-2.0)}
    found = amounts(parse_layer_weights("69:1, 4:0.25", "layers"), blocks, "SDXL")
    assert found == {("input", 7, 0): 0.25, ("output", 5, 1): 1.0}
    assert amounts(parse_layer_weights("18:1, 3:0"), flux(), "Flux") == {("double", 18, 0): 1.0}


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "Layer weight 1 is '': it must be a number between -5 and 5, such as 0.5."),
        ("1, nan", "Layer weight 2 is 'nan': it must be a number"),
        ("inf", "Layer weight 1 is 'inf'"),
        ("1e999", "Layer weight 1 is '1e999'"),
        ("1, 2, ", "Layer weight 3 is ''"),
        ("1 2 3", "Layer weight 1 is '1 2 3'"),
        ("5.01", "Layer weight 1 is '5.01': it must be a number between -5 and 5"),
        ("1_0", "Layer weight 1 is '1_0'"),
        ("x" * 60, f"Layer weight 1 is '{'x' * 40}...'"),
        ("3:0.5, 6", "'6' is not number:weight, such as 3:0.5: the numbers of the blocks begin at 0, and either all"),
        ("3:0.5;", "The layer weight of number 3 is '0.5;'"),
        ("3:nan", "The layer weight of number 3 is 'nan'"),
        ("1.0:1", "'1.0:1' is not number:weight"),
        ("-1:1", "'-1:1' is not number:weight"),
        ("3:1, 03:1", "Number 3 of the blocks has two layer weights: give one for each."),
    ],
)
def test_a_text_that_is_no_list_of_weights_is_refused(text, message):
    with pytest.raises(ValueError) as refusal:
        parse_layer_weights(text)
    assert str(refusal.value).startswith(message)


@pytest.mark.parametrize(
    "base, text, message",
    [
        (
            "SD1.5",
            "1, 1",
            "2 layer weights, SD1.5 takes 1 (for all), 3 (for input, middle and output) or 16 (one for each",
        ),
        ("SD1.5", ",".join("1" * 11), "There are 11 layer weights, SD1.5 takes"),
        ("SDXL", ",".join("1" * 16), "output), 11 (one for each block) or 70 (one for each layer): give as many"),
        ("Flux", "1, 1, 1", "There are 3 layer weights, Flux takes 1 (for all) or 19 (one for each block): give as"),
        (
            "SD1.5",
            "16:1",
            "for number 16 of the blocks, SD1.5 has 16 blocks with 16 layers: number the blocks from 0 to 15.",
        ),
        ("SDXL", "12:1", "for number 12 of the blocks, SDXL has 11 blocks with 70 layers"),
    ],
)
def test_weights_for_another_model_are_refused(base, text, message):
    with pytest.raises(ValueError) as refusal:
        parse_layer_weights(text).shares(flux() if base == "Flux" else unet(base), base)
    assert message in str(refusal.value)


def test_names_that_are_none_are_refused():
    with pytest.raises(
        ValueError, match="There is no preset 'colour': choose one of all, style and composition, style"
    ):
        PresetWeights("colour")
    with pytest.raises(ValueError, match="There is no curve 'hold': choose one of linear, ease in"):
        CurveWeights("hold")


def test_equal_layer_weights_are_one_value():
    """As parts of keys of caches they have to be."""
    assert len({parse_layer_weights("1:1"), parse_layer_weights(" 1 : 1.0"), parse_layer_weights("1:1", "layers")}) == 2
    assert len({PresetWeights("all"), PresetWeights(), CurveWeights(), CurveWeights("linear", 1.0, 0.0)}) == 2


def test_the_table_has_a_line_for_each_block():
    blocks = unet("SDXL")
    assert layer_table(PresetWeights("precise style").shares(blocks, "SDXL"), blocks).splitlines() == [
        "input 4    -",
        "input 5    -",
        "input 7    -",
        "input 8    1.000 x10, pushed away",
        "middle     -",
        "output 0   -",
        "output 1   1.000 x10",
        "output 2   -",
        "output 3   -",
        "output 4   -",
        "output 5   -",
    ]
    found = layer_table(parse_layer_weights("0:0.0667, 5:-2, 7:1", "layers").shares(blocks, "SDXL"), blocks)
    assert found.splitlines()[:3] == ["input 4    0.067, -", "input 5    -", "input 7    -, -2.000, -, 1.000, - x6"]


def test_the_summary_joins_equal_neighbours_of_a_kind():
    blocks = unet("SD1.5")
    assert (
        layer_summary(PresetWeights("strong style").shares(blocks, "SD1.5"), blocks)
        == "input 1-5 = 1.000; output 8-11 = 1.000"
    )
    assert (
        layer_summary(parse_layer_weights("0.5").shares(blocks, "SD1.5"), blocks)
        == "input 1-8 = 0.500; middle = 0.500; output 3-11 = 0.500"
    )
    assert layer_summary(parse_layer_weights("0").shares(blocks, "SD1.5"), blocks) == "acts in no layer"


@pytest.mark.parametrize(
    "name, middle",
    [
        ("linear", 1.0),
        ("weak middle", 0.2),
        ("strong middle", 1.0),
        ("weak input", 1.0),
        ("strong style transfer", 1.0),
    ],
)
def test_the_middle_block_acts_in_graphs_from_before_it_was_left_out(name, middle):
    old = weight_type(name, middle=True).shares(unet("SDXL"), "SDXL")
    new = weight_type(name).shares(unet("SDXL"), "SDXL")
    added = {block: share for block, share in old.items() if block not in new}
    assert {block.kind for block in added} == {"middle"} and len(added) == 10
    assert {share.amount for share in added.values()} == {middle}
    assert {block: old[block] for block in new} == new


@pytest.mark.parametrize("name", ["style transfer", "composition", "style and composition"])
def test_weight_types_that_list_their_blocks_never_had_the_middle_block(name):
    for base in ("SD1.5", "SDXL"):
        blocks = unet(base)
        assert weight_type(name, middle=True).shares(blocks, base) == weight_type(name).shares(blocks, base)
