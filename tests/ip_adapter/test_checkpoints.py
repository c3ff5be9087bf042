"""Every published file, by its keys and shapes, loads strictly if its family is ours, or is refused by what it is."""

import math

import pytest
import torch

from image_prompt.devtools.published import layouts
from image_prompt.ip_adapter import APPLIED, identify, load_adapter

LAYOUTS = layouts()
ADAPTERS = [name for name, layout in LAYOUTS.items() if "family" in layout]
OTHERS = [name for name, layout in LAYOUTS.items() if "refused" in layout]

BY_NAME = {  # file -> its family, where another file of the same shapes is of another
    "ip-adapter-faceid-plusv2_sd15.bin": "FaceID plus v2",
    "instantid-ip-adapter.bin": "InstantID",
}
READS = {  # family -> the features that it reads, with their widths and what stands for them in unconditional rows
    "FaceID": [("face_embeds", 512, "zeros")],
    "FaceID plus": [("face_embeds", 512, "zeros"), ("face_penultimate", 1280, "encoded zeros")],
    "FaceID plus v2": [("face_embeds", 512, "zeros"), ("face_penultimate", 1280, "encoded zeros")],
    "FaceID portrait": [("face_embeds", 512, "zeros")],
    "FaceID portrait unnorm": [("face_embeds_raw", 512, "zeros")],
    "InstantID": [("face_embeds_raw", 512, "zeros")],
    "Kolors FaceID plus": [("face_embeds_raw", 512, "zeros"), ("face_box_penultimate", 1024, "zeros")],
    "PuLID": [("face_embeds_raw", 512, "zeros"), ("face_eva_embeds", 768, "zeros"), ("face_eva_hidden", 1024, "zeros")],
    "IP-Adapter-Instruct": [
        ("penultimate", 1280, "encoded zeros"),
        ("instruction", 768, "empty text"),
        ("prompt", 768, "empty text"),
    ],
}
READS["PuLID v1.1"] = READS["PuLID"]
READS["InstantCharacter"] = [(f"character_{name}", 2688, "none") for name in ("shallow", "deep", "pieces")]
FACE_PACKS = {
    "antelopev2": {"InstantID", "Kolors FaceID plus", "PuLID", "PuLID v1.1"},
    "buffalo_l": {"FaceID", "FaceID plus", "FaceID plus v2", "FaceID portrait", "FaceID portrait unnorm"},
}
LORAS = {"SD1.5": 2 * 4 * 32, "SDXL": 2 * 4 * 140, "Anima": 2 * 10 * 28}  # tensors of the LoRA in a file
LEFT_OUT = {  # what a file holds besides the adapter
    "noobIPAMARK1_mark1": ("image_proj_model", "adapter_modules"),
    "csgo": ("conv_in_unet_sd", "controlnet_adapter_modules"),
    "csgo_4_32": ("conv_in_unet_sd", "controlnet_adapter_modules"),
}


def state_dict(name: str, file: str = "", *, nested: bool = True) -> dict:
    """A layout on the meta device, as a .bin or as a .safetensors holds it. The part "" is the top level.

    file: one of its files, whose dtypes it then has; without one, fp16
    """
    layout, sd = LAYOUTS[name], {}
    given = layout["files"][file]["dtype"] if file else "float16"
    for part, shapes in layout["tensors"].items():
        dtype = getattr(torch, given if isinstance(given, str) else given[part])
        tensors = {key: torch.empty(shape, device="meta", dtype=dtype) for key, shape in shapes.items()}
        if part and nested:
            sd[part] = tensors
        else:
            sd |= {f"{part}.{key}" if part else key: tensor for key, tensor in tensors.items()}
    return sd


def check(adapter, name, file):
    """That an adapter is what is known of the file, and holds all of its tensors."""
    layout = LAYOUTS[name]
    family = BY_NAME.get(file, layout["family"])
    assert adapter.family.name == family
    assert adapter.base_model == layout["base_model"]
    assert adapter.num_tokens == layout["num_tokens"]
    assert adapter.encoder_name == layout["encoder"]
    expected = READS.get(family) or [(layout["feature"], layout["feature_width"], layout["negative"])]
    found = zip(adapter.reads, adapter.feature_widths, strict=True)
    assert [(reads.name, width, reads.negative) for reads, width in found] == expected
    if family != "InstantID":  # its layout is that of the unnorm portrait
        assert (adapter.feature, adapter.feature_width) == (layout["feature"], layout["feature_width"])
    assert adapter.family.face_pack == next((pack for pack, names in FACE_PACKS.items() if family in names), "")
    has_lora = family in ("FaceID", "FaceID plus", "FaceID plus v2", "Anima")
    assert (adapter.family.has_lora, len(adapter.lora)) == (has_lora, LORAS[adapter.base_model] if has_lora else 0)
    parts = [shapes for part, shapes in layout["tensors"].items() if part not in LEFT_OUT.get(name, ())]
    numbers = sum(math.prod(shape) for shapes in parts for shape in shapes.values())
    assert numbers == sum(tensor.numel() for sd in (adapter.weights(), adapter.lora) for tensor in sd.values())


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_published_file_loads_strictly(name):
    for file, about in LAYOUTS[name]["files"].items():
        for nested in (True, False):
            sd = state_dict(name, file, nested=nested)
            adapter = load_adapter(sd, path=file)
            check(adapter, name, file)
            assert identify(sd).id in (adapter.family.id, adapter.family.like)
            wanted = {about["dtype"]} if isinstance(about["dtype"], str) else set(about["dtype"].values())
            assert {str(tensor.dtype) for tensor in adapter.state_dict().values()} == {f"torch.{one}" for one in wanted}


def test_every_other_file_is_refused_by_its_name():
    for name in OTHERS:
        for nested in (True, False):
            with pytest.raises(ValueError) as error:
                load_adapter(state_dict(name, nested=nested))
            assert f"This file is {LAYOUTS[name]['refused']}, not" in str(error.value), name


def test_every_family_has_a_published_file():
    families = {BY_NAME.get(file, LAYOUTS[name]["family"]) for name in ADAPTERS for file in LAYOUTS[name]["files"]}
    assert families == {family.name for family in APPLIED}


PLUS, UNNORM = "ip-adapter-faceid-plus_sd15", "ip-adapter-faceid-portrait_sdxl_unnorm"


@pytest.mark.parametrize(
    ("name", "path", "dtypes", "family"),
    [
        (PLUS, "", (), "faceid-plus"),
        (PLUS, "/srv/comfyui-v2/ipadapter/mine.bin", (), "faceid-plus"),
        (PLUS, "faces/FaceID-PlusV2.safetensors", (), "faceid-plus-v2"),
        ("ip-adapter-faceid-plusv2_sdxl", "renamed.bin", (), "faceid-plus-v2"),
        (UNNORM, "mine.bin", ("image_proj", "ip_adapter"), "instantid"),
        (UNNORM, "mine.bin", ("image_proj",), "faceid-portrait-unnorm"),
        (UNNORM, "ip-adapter-faceid-portrait_sdxl_unnorm.bin", ("image_proj", "ip_adapter"), "faceid-portrait-unnorm"),
        (UNNORM, "InstantID/ip-adapter_fp16.safetensors", (), "instantid"),
    ],
)
def test_path_and_dtypes_tell_files_of_equal_shapes_apart(name, path, dtypes, family):
    """dtypes: the parts in fp32; the others are in fp16"""
    sd = state_dict(name)
    for part in dtypes:
        sd[part] = {key: tensor.float() for key, tensor in sd[part].items()}
    assert load_adapter(sd, path=path).family.id == family


@pytest.mark.parametrize(
    ("name", "path", "family"),
    [
        (PLUS, "faceid-plusv2.bin", "faceid-plus"),
        (PLUS, "faceid-plus.bin", "faceid-plus-v2"),
        ("ip-adapter-faceid-plusv2_sdxl", "", "faceid-plus"),
        (UNNORM, "instantid.bin", "faceid-portrait-unnorm"),
        (UNNORM, "unnorm.bin", "instantid"),
    ],
)
def test_a_family_that_is_named_wins_over_the_path(name, path, family):
    assert load_adapter(state_dict(name), path=path, family=family).family.id == family


def test_a_family_of_other_shapes_is_refused_with_those_that_fit():
    words = (
        r"unnorm.bin is .*portrait unnorm.*cannot be FaceID plus: "
        r"choose FaceID portrait unnorm \(faceid-portrait-unnorm\) or InstantID"
    )
    with pytest.raises(ValueError, match=words):
        load_adapter(state_dict(UNNORM), path="unnorm.bin", family="faceid-plus")


@pytest.mark.parametrize(
    "name, widths",
    [
        ("ip-adapter_sd15", [320] * 2 + [640] * 2 + [1280] * 5 + [640] * 3 + [320] * 3 + [1280]),
        ("ip-adapter_sdxl", [640] * 4 + [1280] * 50 + [640] * 6 + [1280] * 10),
        ("csgo", [640] * 4 + [1280] * 50 + [640] * 6),
    ],
)
def test_layer_widths_are_in_file_order(name, widths):
    assert load_adapter(state_dict(name)).layer_widths == tuple(widths)


def test_heads_and_depth_of_the_resampler_come_from_the_tensors():
    plus = load_adapter(state_dict("ip-adapter-plus_sdxl_vit-h")).image_proj
    kolors = load_adapter(state_dict("Kolors-IP-Adapter-Plus")).image_proj
    assert (len(plus.layers), plus.layers[0].heads) == (4, 20)
    assert (len(kolors.layers), kolors.layers[0].heads) == (4, 12)
