"""Every published file, by its keys and shapes, loads strictly if its family is ours, or is refused by what it is."""

import pytest
import torch

from image_prompt.devtools.published import layouts
from image_prompt.ip_adapter import APPLIED, identify, load_adapter

LAYOUTS = layouts()
ADAPTERS = [name for name, layout in LAYOUTS.items() if "family" in layout]
OTHERS = [name for name, layout in LAYOUTS.items() if "refused" in layout]


def state_dict(name: str, nested: bool = True) -> dict:
    """A layout on the meta device, as a .bin or as a .safetensors holds it. The part "" is the top level."""
    sd = {}
    for part, shapes in LAYOUTS[name]["tensors"].items():
        tensors = {key: torch.empty(shape, device="meta", dtype=torch.float16) for key, shape in shapes.items()}
        if part and nested:
            sd[part] = tensors
        else:
            sd |= {f"{part}.{key}" if part else key: tensor for key, tensor in tensors.items()}
    return sd


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_published_adapter_loads_strictly(name):
    layout, sd = LAYOUTS[name], state_dict(name)
    adapter = load_adapter(sd)
    assert identify(sd) is adapter.family
    assert adapter.family.name == layout["family"]
    assert adapter.base_model == layout["base_model"]
    assert adapter.num_tokens == layout["num_tokens"]
    assert adapter.feature == layout["feature"]
    assert adapter.feature_width == layout["feature_width"]
    assert adapter.encoder_name == layout["encoder"]
    assert adapter.negative == layout["negative"]
    assert all(tensor.dtype == torch.float16 for tensor in adapter.state_dict().values())


def test_every_other_file_is_refused_by_its_name():
    for name in OTHERS:
        for sd in (state_dict(name), state_dict(name, nested=False)):
            with pytest.raises(ValueError) as error:
                load_adapter(sd)
            assert f"This file is {LAYOUTS[name]['refused']}, not" in str(error.value), name


def test_every_family_has_a_published_file():
    assert {LAYOUTS[name]["family"] for name in ADAPTERS} == {family.name for family in APPLIED}


@pytest.mark.parametrize(
    "name, widths",
    [
        ("ip-adapter_sd15", [320] * 2 + [640] * 2 + [1280] * 5 + [640] * 3 + [320] * 3 + [1280]),
        ("ip-adapter_sdxl", [640] * 4 + [1280] * 50 + [640] * 6 + [1280] * 10),
    ],
)
def test_layer_widths_are_in_file_order(name, widths):
    assert load_adapter(state_dict(name)).layer_widths == tuple(widths)


def test_heads_and_depth_of_the_resampler_come_from_the_tensors():
    plus = load_adapter(state_dict("ip-adapter-plus_sdxl_vit-h")).image_proj
    kolors = load_adapter(state_dict("Kolors-IP-Adapter-Plus")).image_proj
    assert (len(plus.layers), plus.layers[0].heads) == (4, 20)
    assert (len(kolors.layers), kolors.layers[0].heads) == (4, 12)
