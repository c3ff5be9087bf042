"""What the influence map shows of a record."""

import json
from pathlib import Path
from types import SimpleNamespace

import comfy.samplers
import folder_paths
import numpy as np
import pytest
import tiny
import torch
from comfy_extras.nodes_custom_sampler import SamplerCustom
from PIL import Image

from image_prompt.nodes import display
from image_prompt.nodes.influence import influence_map
from image_prompt.nodes.influence.heat import coloured, live_picture
from image_prompt.nodes.influence.influence import Choice, Influence, Record
from image_prompt.nodes.influence.influence_map import InfluenceMap
from image_prompt.nodes.influence.record_influence import RecordInfluence

MAPS = torch.rand(2, 3, 4, 6, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.5, 0.5]).view(2, 1, 1, 1)


def shown(maps=MAPS, **options):
    influence = Influence(Choice(frozenset()))
    samples = torch.zeros(maps.shape[1], 4, *maps.shape[2:])
    influence.keep(Record(("a cat", "a dog")[: len(maps)], maps, evaluations=1), samples)
    return InfluenceMap.execute(influence, {"samples": samples}, **options)


def test_masks_have_all_pictures_of_a_reference_after_the_other():
    """On images as large as the latent, nothing is resized."""
    pictures, masks, _ = shown(image=torch.zeros(3, 4, 6, 3)).args
    torch.testing.assert_close(masks, MAPS.flatten(0, 1) / MAPS.max())
    assert pictures.shape == (6, 4, 6, 3)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        ("share of the maximum", MAPS / MAPS.max()),
        ("share of each maximum", torch.stack([each / each.max() for each in MAPS])),
        ("as measured", MAPS.clamp(max=1.0)),
    ],
)
def test_scales(scale, expected):
    _, masks, report = shown(image=torch.zeros(1, 4, 6, 3), scale=scale).args
    torch.testing.assert_close(masks.view(2, 3, 4, 6), expected)
    assert report == "\n".join(
        f"{name}: mean {each.mean():.3f}, highest {each.max():.3f}" for name, each in zip(("a cat", "a dog"), MAPS)
    )


@pytest.mark.parametrize("scale", ["share of the maximum", "share of each maximum", "as measured"])
def test_no_influence_is_black_and_not_nan(scale):
    pictures, masks, _ = shown(torch.zeros_like(MAPS), scale=scale).args
    assert pictures.max() == masks.max() == 0


def test_without_an_image_the_map_is_as_large_as_the_decoded_pictures():
    pictures, masks, _ = shown().args
    assert pictures.shape == (6, 32, 48, 3) and masks.shape == (6, 32, 48)
    torch.testing.assert_close(pictures, coloured(masks))


def test_colours_are_those_that_the_browser_has():
    table = json.loads(Path(__file__).with_name("heat_colours.json").read_text())
    values, expected = ([row[name] for row in table] for name in ("value", "colour"))
    torch.testing.assert_close(coloured(torch.tensor(values)), torch.tensor(expected))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_it_is_drawn_over_the_image_of_the_same_picture(channels):
    image = torch.rand(3, 4, 6, channels)
    pictures, masks, _ = shown(image=image, opacity=0.5).args
    behind = image[..., :3].expand(-1, -1, -1, 3).repeat(2, 1, 1, 1)
    part = 0.5 * masks.unsqueeze(-1)
    torch.testing.assert_close(pictures, (1 - part) * behind + part * coloured(masks))
    assert torch.equal(shown(image=image, opacity=0.0).args[0], behind)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((12, 19), ""),
        ((768, 1150), ""),
        ((1024, 1024), "The map is stretched: the image is 1024x1024, the latent 4x6."),
    ],
)
def test_an_image_of_other_proportions_is_said_to_stretch_the_map(size, message):
    *_, report = shown(image=torch.zeros(1, *size, 3)).args
    assert report.splitlines()[2:] == [message] * bool(message)


def test_the_live_picture_has_a_place_for_each_reference_and_grey_where_none_is():
    maps = torch.stack([torch.full((2, 4, 8), value) for value in (0.5, 0.25, 0.0)])
    picture = live_picture(maps)
    assert picture.shape == (128, 256, 3)
    places = [picture[line : line + 64, column : column + 128] for line in (0, 64) for column in (0, 128)]
    expected = [*coloured(torch.tensor([1.0, 0.5, 0.0])), torch.full((3,), 0.21)]
    for place, colour in zip(places, expected, strict=True):
        torch.testing.assert_close(place, colour.expand_as(place))


def test_the_node_shows_the_pictures(monkeypatch):
    monkeypatch.setattr(influence_map, "SHOWN", 4)
    output = shown()
    assert InfluenceMap.define_schema().is_output_node
    assert [*output.ui] == ["images", "animated"]  # nobody looks
    files = output.ui["images"]
    assert len(files) == 4
    first = np.asarray(Image.open(f"{folder_paths.get_temp_directory()}/{files[0]['filename']}")) / 255
    np.testing.assert_allclose(first, output.args[0][0], atol=1 / 255)


def test_a_browser_is_given_each_map_and_the_pictures_behind(monkeypatch):
    monkeypatch.setattr(display, "prompt_server", lambda: SimpleNamespace(client_id="a browser"))
    image = torch.rand(3, 4, 6, 4)
    output = shown(image=image)
    (found,) = output.ui["image_prompt_influence_map"]
    assert [*output.ui] == ["images", "animated", "image_prompt_influence_map"]
    assert (found["pictures"], found["height"], found["width"]) == (3, 4, 6)
    assert [each["name"] for each in found["references"]] == ["a cat", "a dog"]
    for numbers, values in zip(found["references"], MAPS, strict=True):
        assert numbers["highest"] == pytest.approx(values.max().item())
        assert numbers["means"] == pytest.approx(values.mean((1, 2)).tolist())
    sheets = [read_temporary(found[name]) for name in ("maps", "behind")]
    maps, behind = (each.reshape(each.shape[0] // 4, 4, each.shape[1] // 6, 6, 3).swapaxes(1, 2) for each in sheets)
    shares = (MAPS / MAPS.amax((1, 2, 3), keepdim=True)).flatten(0, 1).numpy()
    assert np.abs(maps.reshape(-1, 4, 6, 3)[:6, ..., 0] - shares).max() <= 1.01 / 255
    assert np.abs(behind.reshape(-1, 4, 6, 3)[:3] - image[..., :3].numpy()).max() <= 1.01 / 255


def test_a_browser_is_given_as_many_maps_as_it_can_show(monkeypatch):
    monkeypatch.setattr(display, "prompt_server", lambda: SimpleNamespace(client_id="a browser"))
    (found,) = shown(torch.rand(2, 40, 4, 6)).ui["image_prompt_influence_map"]
    assert found["pictures"] == 32 and found["behind"] is None and len(found["references"][1]["means"]) == 32


def read_temporary(file):
    return np.asarray(Image.open(f"{folder_paths.get_temp_directory()}/{file['filename']}")) / 255


def test_references_are_named_in_the_order_in_which_they_are_applied(model, adapter, features, two_references, apply):
    """Also those that never acted in what was recorded."""
    patched = apply(apply(model, adapter, features, end=0.1), adapter, two_references)
    watched, influence = RecordInfluence.execute(
        apply(patched, adapter, two_references, batch="one per image"), start=0.5
    ).args
    samples = tiny.sample(watched, "SD1.5", steps=4)
    *_, report = InfluenceMap.execute(influence, {"samples": samples}).args
    names = [line.split(":")[0] for line in report.splitlines()]
    assert names == ["image prompt 1", "image prompt 2, picture 1", "image prompt 2, picture 2", "image prompt 3"]
    assert report.startswith("image prompt 1: mean 0.000, highest 0.000\n")
    assert all("mean 0.000" not in line for line in report.splitlines()[1:])


def half(samples):
    """The samples as ComfyUI hands them on if it keeps all between nodes in half precision."""
    return samples.half()


@pytest.mark.parametrize("kept", [torch.clone, half])
def test_the_map_is_that_of_the_run_that_made_the_latent(model, adapter, two_references, apply, kept):
    """Each of two samplers in a row, whatever ran last; not that of a latent that was changed afterwards."""
    watched, influence = RecordInfluence.execute(apply(model, adapter, two_references)).args
    runs = []
    for steps in (2, 3):
        runs.append((tiny.sample(watched, "SD1.5", steps=steps), influence.record))
    assert not torch.allclose(runs[0][1].maps, runs[1][1].maps)
    for samples, record in runs:
        *_, text = InfluenceMap.execute(influence, {"samples": kept(samples)}).args
        assert text == influence_map.report(record)
    with pytest.raises(ValueError, match="without a node between that changes it"):
        InfluenceMap.execute(influence, {"samples": kept(samples.flip(-1))})
    assert influence.of(samples * (1 + 1e-6)) is None


def test_both_outputs_of_a_custom_sampler_have_the_map(model, adapter, features, apply):
    watched, influence = RecordInfluence.execute(apply(model, adapter, features)).args
    positive, negative = tiny.conditions("SD1.5")
    sampler, sigmas = comfy.samplers.sampler_object("euler"), torch.tensor([8.0, 4.0, 1.0])
    latent = {"samples": torch.zeros(1, 4, 8, 8)}
    outputs = SamplerCustom.execute(watched, True, 3, 3.0, positive, negative, sampler, sigmas, latent).args
    assert not torch.equal(outputs[0]["samples"], outputs[1]["samples"])
    one, other = (InfluenceMap.execute(influence, output).args[2] for output in outputs)
    assert one == other


def test_without_references_the_map_is_black(model):
    """Such as when the only one is switched off: the graph runs to its end."""
    watched, influence = RecordInfluence.execute(model).args
    samples, image = tiny.sample(watched, "SD1.5", batch=2), torch.rand(2, 8, 8, 3)
    pictures, masks, text = InfluenceMap.execute(influence, {"samples": samples}, image=image).args
    assert text == "No reference acts."
    assert masks.shape == (2, 8, 8) and masks.max() == 0
    assert torch.equal(pictures, image)


def test_the_map_is_as_large_as_the_picture_of_models_whose_latents_are_pixels():
    model = tiny.chroma(radiance=True, depth=1, depth_single_blocks=1)
    watched, influence = RecordInfluence.execute(model).args
    samples = tiny.sample(watched, "Chroma Radiance", size=(32, 48), steps=1)
    _, masks, _ = InfluenceMap.execute(influence, {"samples": samples}).args
    assert masks.shape == (1, 32, 48)


def test_nothing_to_show_says_what_to_connect(model, adapter, features, apply):
    def refusal(watched, influence, steps=2, samples=None):
        sampled = tiny.sample(watched, "SD1.5", steps=steps)
        with pytest.raises(ValueError) as error:
            InfluenceMap.execute(influence, {"samples": sampled if samples is None else samples})
        return str(error.value)

    patched = apply(model, adapter, features)
    watched, influence = RecordInfluence.execute(patched).args
    assert "Nothing was recorded: connect the model of Record Influence to a sampler" in refusal(patched, influence)
    assert "No step of the sampler lies in the part" in refusal(*RecordInfluence.execute(patched, start=0.9).args)
    assert "The latent, 1 picture of 8x9, is not what one of the last 16 recorded runs made: connect" in refusal(
        watched, influence, samples=torch.zeros(1, 4, 8, 9)
    )
