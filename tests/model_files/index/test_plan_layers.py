"""What an adapter is, found out without making it, is what it is when it is made."""

from functools import partial

import pytest
import torch

from image_prompt.devtools.published import layouts, shapes
from image_prompt.ip_adapter import load_adapter
from image_prompt.ip_adapter.checkpoint import describe
from image_prompt.model_files.index.plan_layers import PlanLayers

NAMES = ["ip-adapter_sd15", "ip-adapter-faceid-plus_sd15", "instantx-flux-ip-adapter", "csgo_4_32", "pulid_v1.1"]


def tensors(name):
    return {key: torch.empty(shape, device="meta") for key, shape in shapes(name).items()}


def said(adapter):
    texts = (adapter.family.id, adapter.base_model, adapter.encoder_name, adapter.needs_projection, adapter.title)
    return (*texts, adapter.num_tokens, adapter.layer_widths, {key: t.shape for key, t in adapter.weights().items()})


@pytest.mark.parametrize("name", NAMES)
def test_a_description_says_what_the_adapter_says(name):
    assert layouts()[name]["family"]
    assert said(describe(tensors(name), ops=PlanLayers())) == said(load_adapter(tensors(name)))


@pytest.mark.parametrize("change", ["missing", "shape", "extra"])
def test_a_description_refuses_what_loading_refuses(change):
    sd = tensors("ip-adapter-faceid-plus_sd15")
    key = "ip_adapter.31.to_v_ip.weight"  # of a layer like others, which the description makes once
    if change == "missing":
        del sd[key]
    elif change == "shape":
        sd[key] = torch.empty(3, 5, device="meta")
    else:
        sd["ip_adapter.31.to_v_ip.bias"] = torch.empty(3, device="meta")
    errors = []
    for read in (partial(describe, ops=PlanLayers()), load_adapter):
        with pytest.raises(ValueError) as error:
            read(sd)
        errors.append(str(error.value))
    assert errors[0] == errors[1] and "ip_adapter.31" in errors[0]
