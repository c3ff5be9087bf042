"""`identify FILE --verify` agrees with transformers and diffusers where this pack does, and shows where it does not."""

import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from image_prompt.command_line import command
from image_prompt.command_line.verify import adapter as verify_adapter
from image_prompt.command_line.verify import comparison as verify
from image_prompt.command_line.verify import encoder as verify_encoder
from image_prompt.devtools import published
from image_prompt.devtools.stages import ROOT

sys.path.append(str(Path(__file__).parents[1] / "clip_vision"))

import test_dino  # noqa: E402
import witness  # noqa: E402

DEMO = ROOT / "demo" / "models"
ENCODER, ADAPTER = DEMO / "clip_vision/demo_world.safetensors", DEMO / "ipadapter/ip-adapter_demo_world.safetensors"


@pytest.fixture
def told(capsys):
    """What the command tells programs: (exit code, the comparison, those of its rows that differ)."""

    def told(file: Path, *options: object) -> tuple[int, dict, list[str]]:
        code = command.main(["identify", "--verify", "--json", str(file), *map(str, options)])
        (compared,) = json.loads(capsys.readouterr().out)
        assert compared["problem"] == ""
        differing = [row["what"] for row in compared["differences"] if not row["agrees"]]
        assert compared["agrees"] is not bool(differing) and code == bool(differing)
        return code, compared, differing

    return told


@pytest.fixture
def refused(capsys):
    """Why the command does not compare a file."""

    def refused(file: object, *options: object) -> str:
        assert command.main(["identify", "--verify", "--json", str(file), *map(str, options)]) == 1
        (told,) = json.loads(capsys.readouterr().out)
        assert (told["agrees"], told["differences"]) == (False, [])
        return told["problem"]

    return refused


# ----------------------------------------------------------------------------------------------------------- encoders

HIDDEN = [f"hidden state {number}" for number in range(5)]


def test_the_demo_encoder_agrees_on_the_pattern_and_on_a_photograph(told, capsys):
    code, compared, _ = told(ENCODER)
    assert code == 0 and compared["library"].startswith("transformers 5.")
    assert [row["what"] for row in compared["differences"]] == ["image_embeds", "last", "penultimate", *HIDDEN]
    assert told(ENCODER, "--picture", ROOT / "demo/images/astronaut.jpg")[0] == 0
    assert command.main(["identify", "--verify", str(ENCODER)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "hidden state 4 " in said and "they are not compared; the weights and the computation are." in said
    assert "AGREES: all 8 are equal up to rounding" in said


@pytest.mark.parametrize("kind", ["SigLIP", "without a projection", "OpenCLIP"])
@torch.no_grad()
def test_every_layout_and_kind_of_encoder_agrees(told, tmp_path, kind):
    row = witness.ROWS["SigLIP base/16-224" if kind == "SigLIP" else "CLIP ViT-B/32"]
    weights = witness.state_dict(witness.narrow(row, layers=2))
    if kind == "without a projection":
        del weights["visual_projection.weight"]
    weights = witness.to_openclip(weights) if kind == "OpenCLIP" else weights
    save_file(
        {key: tensor.contiguous() for key, tensor in weights.items()},
        tmp_path / "e.safetensors",
        witness.description(row),
    )
    code, compared, _ = told(tmp_path / "e.safetensors")
    rows = {row["what"] for row in compared["differences"]}
    assert code == 0 and "hidden state 2" in rows
    assert {"SigLIP": "pooled", "OpenCLIP": "image_embeds"}.get(kind, "last") in rows
    assert ("image_embeds" in rows) == (kind == "OpenCLIP")
    assert any("renamed" in note for note in compared["notes"]) == (kind == "OpenCLIP")


@torch.no_grad()
@pytest.mark.parametrize("kind", ["plain", "gated registers"])
def test_dino_agrees(told, tmp_path, kind):
    weights = {key: tensor.contiguous() for key, tensor in test_dino.published(test_dino.narrow(kind)).items()}
    save_file(weights, tmp_path / "e.safetensors", {"vision_config": json.dumps({"heads": test_dino.HEADS})})
    code, compared, _ = told(tmp_path / "e.safetensors")
    assert code == 0 and {"cls", "hidden state 3"} <= {row["what"] for row in compared["differences"]}


@torch.no_grad()
def test_an_encoder_that_transformers_does_not_know_is_not_compared(refused, tmp_path):
    openclip = witness.to_openclip(witness.state_dict(witness.narrow(witness.ROWS["CLIP ViT-L/14"], layers=1)))
    csd = {key.replace("visual.", "backbone."): tensor for key, tensor in openclip.items()}
    csd["last_layer_style"] = csd.pop("backbone.proj")
    save_file(csd, tmp_path / "e.safetensors", witness.description(witness.ROWS["CSD ViT-L/14"]))
    assert "transformers has no encoder like CSD ViT-L/14" in refused(tmp_path / "e.safetensors")


def test_a_wrong_weight_shows_from_its_layer_on(told, monkeypatch):
    load = verify_encoder.load

    def broken(*arguments, **options):
        encoder = load(*arguments, **options)
        encoder.layers[2].mlp.fc1.weight[0] *= 1.5
        return encoder

    monkeypatch.setattr(verify_encoder, "load", broken)
    assert told(ENCODER)[2] == ["image_embeds", "last", "penultimate", "hidden state 3", "hidden state 4"]


def test_the_folder_of_a_file_tells_which_encoder_it_holds(told, capsys, tmp_path, monkeypatch):
    """As the index says, and `clip_vision.load`."""
    file = Path("CLIP-ViT-L-14-laion2B-s32B-b82K", "model.safetensors")
    published.write_header(tmp_path / file, published.shapes(published.VIT_L))
    alike = {"last": torch.ones(2)}
    monkeypatch.setattr(verify, "_comparison", lambda identity: lambda *_: verify.Comparison("none", alike, alike, []))
    monkeypatch.chdir(tmp_path)
    assert "CLIP ViT-L/14 LAION-2B" in told(file)[1]["what"]
    assert command.main(["identify", str(file)]) == 0
    assert "CLIP ViT-L/14 LAION-2B" in capsys.readouterr().out


# ----------------------------------------------------------------------------------------------------------- adapters

UNET = [32] * 2 + [64] * 2 + [96] * 5 + [64] * 3 + [32] * 3 + [96]  # of SD1.5, in the order of a file
DEEP = [32] * 4 + [64] * 20 + [64] * 30 + [32] * 6 + [64] * 10  # of SDXL
FILES = {
    "plus": published.adapter(published.resampler(768, 24, heads=2), UNET, 768),
    "full face": published.adapter(published.full_face(768, 24), UNET, 768),
    "SDXL": published.adapter(published.base(2048, 24), DEEP, 2048),
    "XLabs": published.xlabs(published.base(4096, 24), [256] * 19, 4096),
}


@pytest.mark.parametrize("file", FILES)
def test_every_family_that_diffusers_loads_agrees(told, tmp_path, file):
    save_file(published.fill(FILES[file], seed=3, spread=0.1), tmp_path / "a.safetensors")
    code, compared, _ = told(tmp_path / "a.safetensors")
    layers = {"SDXL": 70, "XLabs": 19}.get(file, 16)
    assert code == 0 and len(compared["differences"]) == layers + 1
    assert compared["library"].startswith("diffusers ")


def test_the_demo_adapter_agrees_and_two_layers_that_are_exchanged_show(told, monkeypatch):
    assert told(ADAPTER)[0] == 0
    load = verify_adapter.load

    def exchanged(*arguments, **options):
        adapter = load(*arguments, **options)
        layers = adapter.ip_adapter
        layers["1"], layers["3"] = layers["3"], layers["1"]
        return adapter

    monkeypatch.setattr(verify_adapter, "load", exchanged)
    assert told(ADAPTER)[2] == ["layer 0, 32 wide", "layer 1, 32 wide"]


def test_another_scale_of_the_keys_shows_in_every_layer(told, monkeypatch):
    monkeypatch.setattr(verify_adapter, "scale_key", lambda key, heads: key)
    assert len(told(ADAPTER)[2]) == 16


# ---------------------------------------------------------------------------------------------------- what is refused


def test_what_is_not_compared_says_why(refused, tmp_path):
    save_file({"lora_unet_x.lora_down.weight": torch.zeros(4, 4)}, tmp_path / "lora.safetensors")
    assert "There is no file nowhere" in refused("nowhere")
    assert "cannot be used, and is not compared. This file is a LoRA" in refused(tmp_path / "lora.safetensors")
    assert "is not a picture that PIL can read" in refused(ENCODER, "--picture", ENCODER)
    assert "There is no picture" in refused(ENCODER, "--picture", tmp_path / "none.png")


def test_a_picture_of_too_many_pixels_is_refused(refused, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert "could not be read" in refused(ENCODER, "--picture", ROOT / "demo/images/astronaut.jpg")


@pytest.mark.parametrize("depth", [2, 5])
def test_a_resampler_of_another_depth_than_that_of_diffusers_is_not_compared(refused, tmp_path, depth):
    file = published.adapter(published.resampler(768, 24, heads=2, depth=depth), UNET, 768)
    save_file(published.fill(file, seed=3), tmp_path / "a.safetensors")
    said = refused(tmp_path / "a.safetensors")
    assert f" cannot use this file (its resampler has {depth} layers, and diffusers builds one of 4 for" in said


@pytest.mark.parametrize("fault", ["a layer is missing", "a layer has another width"])
def test_what_diffusers_cannot_compute_is_not_compared(refused, monkeypatch, fault):
    load = verify_adapter._UNet.load

    def broken(*arguments):
        projection, processors = load(*arguments)
        if fault == "a layer is missing":
            return projection, processors[1:]
        return projection, [*processors[1:], processors[0]]

    monkeypatch.setattr(verify_adapter._UNet, "load", broken)
    why = "ValueError: it makes 15 layers of the 16" if fault == "a layer is missing" else "RuntimeError: "
    assert f" cannot use this file ({why}" in refused(ADAPTER)


def test_a_file_that_is_not_compared_leaves_the_others_their_comparison(capsys):
    files = [str(ADAPTER), "nowhere", str(ADAPTER)]
    assert command.main(["identify", "--verify", "--json", *files]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [each["agrees"] for each in told] == [True, False, True] and set(told[0]) == set(told[1])
    assert command.main(["identify", "--verify", *files]) == 1
    said = capsys.readouterr().out
    assert said.count("AGREES: ") == 2 and "nowhere\n  NOT COMPARED: There is no file nowhere. Give" in said


def test_what_diffusers_says_is_cut_between_words(refused, monkeypatch):
    def fails(*_):
        raise RuntimeError("Missing keys:\n" + ' "layers.0.norm.weight",' * 20)

    monkeypatch.setattr(verify_adapter._UNet, "load", fails)
    said = refused(ADAPTER)
    assert '(RuntimeError: Missing keys: "layers.0.' in said and '"layers.0.norm.weight",...), so it is not' in said
    assert len(said) < 400


def test_a_library_that_is_missing_or_broken_is_named(refused, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "pip install transformers" in refused(ENCODER)
    (tmp_path / "broken_library.py").write_text("raise RuntimeError('two versions that do not fit')")
    (tmp_path / "needy_library.py").write_text("import no_such_module")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="cannot be imported: RuntimeError: two versions that do not fit"):
        verify.library("broken_library")
    with pytest.raises(ValueError, match="needs no_such_module, which is not installed: pip install no_such_module"):
        verify.library("needy_library")


def test_a_picture_without_a_comparison_is_refused(capsys):
    assert command.main(["identify", str(ENCODER), "--picture", "x.png"]) == 1
    assert "--verify" in capsys.readouterr().err


def test_a_wrong_shape_is_no_comparison():
    with pytest.raises(ValueError, match=r"last has the shape \[2\] here and \[3\] there"):
        verify.difference("last", torch.ones(2), torch.ones(3))


def test_zeros_agree_with_zeros_alone():
    zeros, ones = torch.zeros(2), torch.ones(2)
    pairs = ((zeros, zeros), (zeros, ones), (ones, zeros), (ones, -ones), (zeros / 0, zeros / 0))
    assert [verify.difference("last", *pair).agrees for pair in pairs] == [True, False, False, False, False]
