"""Regions: text to masks, against PIL, and references with them, which act as with the same masks of their own."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from PIL import Image, ImageDraw

from image_prompt.nodes.applying.sampling import CARRIED
from image_prompt.nodes.controls.apply_references import ApplyReferences
from image_prompt.nodes.controls.conditioning import ReferencesToConditioning
from image_prompt.nodes.controls.mask_shapes import feathered
from image_prompt.nodes.controls.reference import MakeReference, References
from image_prompt.nodes.controls.region_text import PROBLEMS, drawn, parse_regions, shapes_of_each
from image_prompt.nodes.controls.regions import ImagePromptRegions
from image_prompt.nodes.encoding.encode import EncodeImagePrompt

TABLE = json.loads((Path(__file__).parents[1] / "scripts" / "regions" / "texts.json").read_text(encoding="utf-8"))
HALVES = "1: rect 0 0, 0.5 1\n2: rect 0.5 0, 1 1"
SIDES = {"width": 64, "height": 64}


def sockets(*references):
    return {f"reference_{number}": each for number, each in enumerate(references)}


def regions(*references, **options):
    """The references and the masks that Regions makes of them."""
    return ImagePromptRegions.execute(sockets(*references), **options).args


def reference(features, **options):
    return MakeReference.execute(features, **options).args[0]


def sampled(model, adapter, base, *references, **options):
    return tiny.sample(ApplyReferences.execute(model, adapter, sockets(*references), **options).args[0], base)


@pytest.fixture
def two(features, encoder, pictures):
    return reference(features), reference(EncodeImagePrompt.execute(encoder, pictures[1:]).args[0], weight=0.7)


@pytest.mark.parametrize("row", TABLE["texts"], ids=lambda row: row["text"])
def test_a_text_says_shapes_or_what_is_wrong(row):
    if "wrong" in row:
        ((line, problem, given),) = row["wrong"]
        with pytest.raises(ValueError) as error:
            parse_regions(row["text"])
        assert str(error.value) == f"Line {line} of the regions {PROBLEMS[problem].format(given=given)}."
        assert ImagePromptRegions.validate_inputs(row["text"]) == str(error.value)
        return
    found = parse_regions(row["text"])
    assert [(each.line, each.label, each.cut) for each in found] == [
        (shape["line"], shape["label"], shape["cut"]) for shape in row["shapes"]
    ]
    assert [[list(point) for point in each.points] for each in found] == [shape["points"] for shape in row["shapes"]]
    assert ImagePromptRegions.validate_inputs(row["text"]) is True


@pytest.mark.parametrize("row", TABLE["labels"], ids=lambda row: row["label"])
def test_a_line_is_for_the_reference_of_its_number_or_name(row):
    names = {int(number): name or f"reference {number}" for number, name in row["references"].items()}
    shapes = parse_regions(f"{row['label']}: rect 0 0, 1 1")
    if row["number"]:
        assert shapes_of_each(shapes, names) == {row["number"]: shapes}
    else:
        with pytest.raises(ValueError, match=f"for reference '{row['label']}'"):
            shapes_of_each(shapes, names)


@pytest.mark.parametrize("row", TABLE["masks"], ids=lambda row: f"{row['text']}, {row['feather']:g}")
def test_shapes_are_masks(row):
    mask = feathered(drawn(parse_regions(row["text"]), (4, 4)), row["feather"])
    torch.testing.assert_close(mask[0], torch.tensor(row["mask"], dtype=torch.float32))


def star(points, turned=0.1):
    """A polygon whose outline crosses itself: every second corner of a regular one."""
    angles = turned + 2 * np.pi * 2 * np.arange(points) / points
    return [(0.5 + 0.45 * np.cos(each), 0.5 + 0.45 * np.sin(each)) for each in angles]


@pytest.mark.parametrize("points", [star(5), star(7), [(0.1, 0.2), (0.9, 0.05), (0.4, 0.95)]], ids=len)
def test_a_polygon_is_that_of_pil(points):
    """Both take what the outline encloses an odd number of times; PIL draws it larger, and by one pixel wider."""
    height, width, times = 48, 80, 32
    text = ", ".join(f"{x:.4f} {y:.4f}" for x, y in points)
    mask = drawn(parse_regions(f"1: polygon {text}"), (height, width))
    image = Image.new("L", (width * times, height * times))
    ImageDraw.Draw(image).polygon([(x * width * times, y * height * times) for x, y in points], fill=255)
    expected = torch.from_numpy(np.array(image)).reshape(height, times, width, times).float().mean((1, 3)) / 255
    assert (mask[0] - expected).abs().mean() < 2e-3 and (mask[0] - expected).abs().max() < 0.15
    assert 0.1 < mask.mean() < 0.6 and ((mask > 0.2) & (mask < 0.8)).sum() > 20


def test_an_empty_text_leaves_the_references_as_they_are(two):
    found, masks = regions(*two)
    assert isinstance(found, References) and all(one is other for one, other in zip(found, two, strict=True))
    assert torch.equal(masks, torch.ones(2, 128, 128))


def test_masks_have_an_eighth_of_the_size_or_that_of_the_latent(two):
    assert regions(*two, width=100, height=64)[1].shape == (2, 8, 13)
    assert regions(*two, latent={"samples": torch.zeros(3, 4, 10, 20)})[1].shape == (2, 10, 20)
    output = ImagePromptRegions.execute(sockets(*two), latent={"samples": torch.zeros(3, 4, 10, 20)})
    assert output.ui == {"image_prompt_regions": [{"width": 20, "height": 10}]}


@pytest.mark.parametrize("feather", [0.0, 0.25])
def test_regions_give_the_bits_of_the_same_masks(model, base, adapter, two, feather):
    given, masks = regions(*two, regions=HALVES, feather=feather, **SIDES)
    left = torch.zeros(1, 8, 8)
    left[..., :4] = 1.0
    own = [
        MakeReference.execute(each.features, weight=each.weight, mask=mask, feather=feather).args[0]
        for each, mask in zip(two, (left, 1.0 - left))
    ]
    found = sampled(model, adapter, base, given)
    assert torch.equal(masks, torch.cat([each.mask for each in own]))
    assert torch.equal(found, sampled(model, adapter, base, *own))
    assert not torch.equal(found, sampled(model, adapter, base, *two))


def test_a_reference_without_a_region_acts_everywhere(model, base, adapter, two):
    given, masks = regions(*two, regions="2: rect 0 0, 0.5 1", **SIDES)
    assert given[0] is two[0] and masks[0].min() == 1
    own = reference(two[1].features, weight=0.7, mask=masks[1:])
    assert torch.equal(sampled(model, adapter, base, given), sampled(model, adapter, base, two[0], own))


def test_a_region_and_an_own_mask_multiply_at_the_larger_size(features):
    own = torch.rand(3, 16, 4, generator=torch.Generator().manual_seed(0))
    ((found,), masks) = regions(reference(features, mask=own), regions="1: rect 0 0, 1 0.5", **SIDES)
    large = torch.nn.functional.interpolate(own[None], (16, 8), mode="bilinear")[0]
    region = torch.nn.functional.interpolate(masks[None], (16, 8), mode="bilinear")[0]
    torch.testing.assert_close(found.mask, large * region)
    assert masks.shape == (1, 8, 8)  # the region alone


def test_several_in_one_socket_count_on(model, base, adapter, features):
    """They act and are called as if each had a socket of its own, in Regions too."""
    one, two, three, four = (reference(features, weight=weight) for weight in (0.2, 0.4, 0.6, 0.8))
    given = {"reference_1": References((one, two)), "reference_2": three, "reference_8": four}
    text = "\n".join(f"{label}: rect 0 0, 0.5 1" for label in ("2", "reference 3", "4", "9"))
    found, masks = ImagePromptRegions.execute(given, text, **SIDES).args
    assert [each.weight for each in found] == [0.2, 0.4, 0.6, 0.8] and masks.mean((1, 2)).tolist() == [0.5] * 4
    each = sampled(model, adapter, base, *found, overlap="normalise")
    assert torch.equal(sampled(model, adapter, base, found, overlap="normalise"), each)
    names = [carried_names(model, adapter, base, some) for some in ([found], found)]
    assert names[0] == names[1] == [("reference 1",), ("reference 2",), ("reference 3",), ("reference 4",)]


def carried_names(model, adapter, base, references):
    positive = tiny.conditions(base)[0]
    made = ReferencesToConditioning.execute(model, adapter, positive, sockets(*references)).args[1]
    return [prompt.names for prompt, _ in made[0][1][CARRIED]]


def test_a_line_may_begin_with_a_name(features):
    left, right = reference(features, name="left"), reference(features, name="the right: one", weight=0.5)
    _, masks = regions(left, right, regions="the right: one: rect 0.5 0, 1 1\nleft: rect 0 0, 0.5 1", **SIDES)
    assert masks[0, 0].tolist() == [1.0] * 4 + [0.0] * 4 and torch.equal(masks[1], 1 - masks[0])


@pytest.mark.parametrize("label", ["3", "right", "0"])
def test_a_label_of_nobody_is_refused_with_those_there_are(features, label):
    with pytest.raises(ValueError) as error:
        regions(reference(features, name="left"), reference(features), regions=f"# two\n{label}: rect 0 0, 1 1")
    assert str(error.value) == (
        f"Line 2 of the regions is for reference '{label}': connected are 1 (left), 2 (reference 2). Begin the line "
        "with a number or name of these, or connect the reference."
    )
    with pytest.raises(ValueError, match="for reference '1': no reference is connected"):
        regions(regions="1: rect 0 0, 1 1")
    with pytest.raises(ValueError, match="Two references are called left"):
        regions(reference(features, name="left"), reference(features, name="left"))


def test_a_large_picture_takes_no_time():
    started = time.process_time()
    drawn(parse_regions("1: polygon " + ", ".join(f"{x:.4f} {y:.4f}" for x, y in star(31))), (256, 256))
    assert time.process_time() - started < 1.0
