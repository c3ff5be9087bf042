"""A preset takes the file that IPAdapter_plus takes if that is what the preset says, and else the file that is."""

import pytest
import torch

from image_prompt.devtools import published
from image_prompt.ip_adapter import load_adapter
from image_prompt.nodes.compat import presets
from image_prompt.nodes.compat.presets import PRESETS, adapter_of, check_base, encoder_of, preset_named

NAMES = {  # (preset, base model): (layout of the content, names under which programs publish or install it)
    ("light", "SD1.5"): (
        "ip-adapter_sd15",
        ("ip-adapter_sd15_light.safetensors", "ip-adapter_sd15_light_v11.bin", "sd15_light_v11.bin"),
    ),
    ("standard", "SD1.5"): ("ip-adapter_sd15", ("ip-adapter_sd15.safetensors", "ip-adapter_sd15.bin")),
    ("standard", "SDXL"): ("ip-adapter_sdxl_vit-h", ("ip-adapter_sdxl_vit-h.safetensors", "ip-adapter_sdxl_vit-h.bin")),
    ("vit-g", "SD1.5"): ("ip-adapter_sd15_vit-G", ("ip-adapter_sd15_vit-G.safetensors",)),
    ("vit-g", "SDXL"): ("ip-adapter_sdxl", ("ip-adapter_sdxl.safetensors", "ip-adapter_sdxl.bin")),
    ("plus", "SD1.5"): ("ip-adapter-plus_sd15", ("ip-adapter-plus_sd15.safetensors", "sdxl/ip-adapter-plus_sd15.bin")),
    ("plus", "SDXL"): ("ip-adapter-plus_sdxl_vit-h", ("ip-adapter-plus_sdxl_vit-h.safetensors",)),
    ("plus face", "SD1.5"): ("ip-adapter-plus_sd15", ("ip-adapter-plus-face_sd15.safetensors",)),
    ("plus face", "SDXL"): ("ip-adapter-plus_sdxl_vit-h", ("ip-adapter-plus-face_sdxl_vit-h.safetensors",)),
    ("full face", "SD1.5"): (
        "ip-adapter-full-face_sd15",
        ("ip-adapter-full-face_sd15.safetensors", "full_face_sd15.safetensors"),
    ),
    ("composition", "SD1.5"): ("ip-adapter-plus_sd15", ("ip_plus_composition_sd15.safetensors",)),
    ("composition", "SDXL"): ("ip-adapter-plus_sdxl_vit-h", ("ip_plus_composition_sdxl.safetensors",)),
    ("kolors", "SDXL"): ("Kolors-IP-Adapter-Plus", ("ip_adapter_plus_general.bin", "Kolors-IP-Adapter-Plus.bin")),
    ("kolors", "Kolors"): ("Kolors-IP-Adapter-Plus", ("kolors_ip_adapter_plus_general.bin",)),
    ("faceid", "SD1.5"): ("ip-adapter-faceid_sd15", ("ip-adapter-faceid_sd15.bin",)),
    ("faceid", "SDXL"): ("ip-adapter-faceid_sdxl", ("ip-adapter-faceid_sdxl.bin",)),
    ("faceid plus", "SD1.5"): ("ip-adapter-faceid-plus_sd15", ("ip-adapter-faceid-plus_sd15.bin",)),
    ("faceid plus v2", "SD1.5"): ("ip-adapter-faceid-plus_sd15", ("ip-adapter-faceid-plusv2_sd15.bin",)),
    ("faceid plus v2", "SDXL"): ("ip-adapter-faceid-plusv2_sdxl", ("ip-adapter-faceid-plusv2_sdxl.bin",)),
    ("faceid portrait", "SD1.5"): (
        "ip-adapter-faceid-portrait_sd15",
        ("ip-adapter-faceid-portrait-v11_sd15.bin", "ip-adapter-faceid-portrait_sd15.bin"),
    ),
    ("faceid portrait", "SDXL"): ("ip-adapter-faceid-portrait_sdxl", ("ip-adapter-faceid-portrait_sdxl.bin",)),
    ("faceid portrait unnorm", "SDXL"): (
        "ip-adapter-faceid-portrait_sdxl_unnorm",
        ("ip-adapter-faceid-portrait_sdxl_unnorm.bin",),
    ),
}
H = ("CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors", "SD1.5/model.safetensors", "sd15/pytorch_model.bin")
G = ("CLIP-ViT-bigG-14-laion2B-39B-b160k.safetensors", "sdxl_models/image_encoder/model.safetensors")
ENCODERS = {"light": H, "standard": H, "vit-g": G, "plus": H, "plus face": H, "full face": H, "composition": H}


def put(folders, name, layout, folder="ipadapter"):
    path = folders / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    published.write_header(path, published.bigger() if layout == "bigG" else published.shapes(layout))


def taken(preset, base):
    return adapter_of(preset_named(preset), base).replace("\\", "/")


def module(layout):
    return load_adapter({key: torch.empty(shape, device="meta") for key, shape in published.shapes(layout).items()})


def test_the_tables_above_have_every_preset():
    assert {(row.begins, base) for row in PRESETS for base in row.adapters} == NAMES.keys()


@pytest.mark.parametrize(("preset", "base"), NAMES)
def test_every_published_name_is_found(preset, base, folders):
    layout, names = NAMES[preset, base]
    for name in names:
        put(folders, name, layout)
        assert taken(preset, base) == name
        (folders / "ipadapter" / name).unlink()


@pytest.mark.parametrize(("preset", "base"), NAMES)
def test_of_several_the_first_in_the_order_of_names_is_taken(preset, base, folders):
    """The exact name would be preferred if the content alone decided."""
    layout, (name, *_) = NAMES[preset, base]
    for each in (name, f"0-{name}", f"zz-{name}"):
        put(folders, each, layout)
    assert taken(preset, base) == f"0-{name}"


def test_the_newer_light_file_is_taken_before_the_older_one(folders):
    put(folders, "a-sd15_light.safetensors", "ip-adapter_sd15")
    put(folders, "z-sd15_light_v11.bin", "ip-adapter_sd15")
    assert taken("light", "SD1.5") == "z-sd15_light_v11.bin"


OTHER = {"SD1.5": "ip-adapter-full-face_sd15", "SDXL": "ip-adapter_sd15", "Kolors": "ip-adapter_sd15"}


@pytest.mark.parametrize(("preset", "base"), NAMES)
def test_the_content_wins_over_names(preset, base, folders):
    layout, (name, *_) = NAMES[preset, base]
    other = "ip-adapter_sd15_vit-G" if preset == "full face" else OTHER[base]
    renamed = f"mine {preset}.safetensors"
    put(folders, name, other)
    put(folders, renamed, layout)
    assert taken(preset, base) == renamed


@pytest.mark.parametrize(("preset", "base"), NAMES)
def test_what_to_get_is_said_where_there_is_none(preset, base, folders):
    _, names = NAMES[preset, base]
    with pytest.raises(ValueError) as error:
        taken(preset, base)
    said = str(error.value)
    assert said.startswith("Not found: IP-Adapter for ") and "https://huggingface.co/" in said
    assert any(f"Get {name.rpartition('.')[0]}" in said for name in (*names, "Kolors-IP-Adapter-Plus.bin"))
    assert "models/ipadapter" in said


@pytest.mark.parametrize(("preset", "names"), ENCODERS.items())
def test_the_encoder_is_found_under_every_published_name(preset, names, folders):
    adapter = module(NAMES[preset, "SD1.5"][0])
    for name in names:
        put(folders, name, "bigG" if names is G else published.VIT_H, "clip_vision")
        assert encoder_of(preset_named(preset), adapter).replace("\\", "/") == name
        (folders / "clip_vision" / name).unlink()


def test_of_several_encoders_the_first_in_the_order_of_names_is_taken(folders):
    for name in (H[0], f"0-{H[0]}"):
        put(folders, name, published.VIT_H, "clip_vision")
    assert encoder_of(preset_named("plus"), module("ip-adapter-plus_sd15")) == f"0-{H[0]}"


def test_the_encoder_that_the_adapter_reads_is_taken_whatever_it_is_called(folders):
    put(folders, H[0], "bigG", "clip_vision")
    put(folders, "mine.safetensors", published.VIT_H, "clip_vision")
    assert encoder_of(preset_named("plus"), module("ip-adapter-plus_sd15")) == "mine.safetensors"


def test_an_adapter_that_reads_only_an_identity_needs_no_encoder(folders):
    assert encoder_of(preset_named("faceid"), module("ip-adapter-faceid_sd15")) == ""


def test_a_missing_encoder_is_explained(folders):
    with pytest.raises(ValueError, match=r"(?s)The preset 'VIT-G.*Not found: .*Get CLIP-ViT-bigG-14"):
        encoder_of(preset_named("vit-g"), module("ip-adapter_sdxl"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        *((row.text, row.text) for row in PRESETS),
        ("plus", "PLUS (high strength)"),
        ("FaceID Plus V2", "FACEID PLUS V2"),
    ],
)
def test_presets_are_known_by_their_first_words(text, found):
    assert preset_named(text).text == found


@pytest.mark.parametrize("text", ["", "FACEID 2", "strong", None, 3])
def test_another_preset_is_refused(text):
    with pytest.raises(ValueError, match=r"The preset is .*: choose one of LIGHT - SD1\.5 only"):
        preset_named(text)


@pytest.mark.parametrize(
    ("preset", "base", "words"),
    [
        (
            "light",
            "SDXL",
            r"The preset 'LIGHT - SD1\.5 only \(low strength\)' is for SD1\.5 models, and the model is SDXL",
        ),
        ("full face", "SDXL", r"is for SD1\.5 models, and the model is SDXL: choose another preset\."),
        ("faceid plus", "SDXL", r"is for SD1\.5 models"),
        ("faceid portrait unnorm", "SD1.5", r"is for SDXL models, and the model is SD1\.5: choose another preset"),
        ("kolors", "SD1.5", r"is for SDXL and Kolors models"),
        ("plus", "Kolors", r"is for SD1\.5 and SDXL models, and the model is Kolors: choose Kolors\."),
        ("plus", "Flux", r"and the model is Flux: connect one of these models\."),
    ],
)
def test_a_preset_without_adapters_for_a_model_says_so(preset, base, words):
    with pytest.raises(ValueError, match=words):
        check_base(preset_named(preset), base)


def test_the_state_changes_with_the_files_that_would_be_taken(folders):
    seen = [presets.files_state("PLUS (high strength)")]
    for name, layout, folder in [
        ("ip-adapter-plus_sd15.safetensors", "ip-adapter-plus_sd15", "ipadapter"),
        ("0 ip-adapter-plus_sd15.safetensors", "ip-adapter-plus_sd15", "ipadapter"),
        ("mine.safetensors", "ip-adapter-plus_sdxl_vit-h", "ipadapter"),
        ("CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors", published.VIT_H, "clip_vision"),
    ]:
        put(folders, name, layout, folder)
        seen.append(presets.files_state("PLUS (high strength)"))
        assert presets.files_state("PLUS (high strength)") == seen[-1]
    assert len(set(seen)) == len(seen)
    put(folders, "ip-adapter_sd15.safetensors", "ip-adapter_sd15")
    assert presets.files_state("PLUS (high strength)") == seen[-1]
