"""The noise prediction with a FaceID adapter and its LoRA equals that of diffusers, on the same random weights.

diffusers loads the LoRA inside a file with peft. Here it is added to the weights of diffusers' attentions by hand.
"""

import copy
from functools import cache
from types import SimpleNamespace
from typing import Any

import comfy.ops
import pytest
import tiny
import torch
from comfy.model_patcher import ModelPatcher
from diffusers.loaders import IPAdapterMixin
from test_diffusers import BATCH, SIZE, TIMESTEP, UNETS, assert_close, distance, predict_here, unets
from torch import Tensor

from image_prompt.devtools import published
from image_prompt.ip_adapter import load_adapter
from image_prompt.nodes.encoding.features import ImageFeatures
from image_prompt.nodes.loading.adapter import AdapterOptions, ImagePromptAdapter

RANK = 8
WEIGHT = 0.7
POSITIONS = 9  # of the hidden states; published encoders have 257
FAMILIES = {  # id -> projection, whether diffusers takes the shortcut; None: it reads no picture
    "faceid": (published.identity, None),
    "faceid-plus": (lambda context: published.identity_perceiver(context, heads=2), False),
    "faceid-plus-v2": (lambda context: published.identity_perceiver(context, heads=2), True),
}
CASES = [  # and the number of faces; for SDXL, only version 2 of FaceID plus is published
    ("SD1.5", "faceid", 1),
    ("SD1.5", "faceid-plus", 2),
    ("SD1.5", "faceid-plus-v2", 1),
    ("SDXL", "faceid", 2),
    ("SDXL", "faceid-plus-v2", 2),
]


@cache
def file_of(base: str, family: str) -> dict[str, dict[str, Tensor]]:
    """A nested .bin with its LoRA inside; its layers are numbered as diffusers numbers its attention processors."""
    unet = unets(base)[0]
    context = unet.config.cross_attention_dim
    paths = [name.removesuffix(".processor") for name in unet.attn_processors if ".attn2." in name]
    widths = [unet.get_submodule(path).to_q.out_features for path in paths]
    shapes = published.adapter(FAMILIES[family][0](context), widths, context) | published.lora(widths, context, RANK)
    return published.nested(published.fill(shapes, seed=1, spread=0.1, louder={"_lora.up": 0.7}))


@cache
def inputs(base: str, faces: int = 1) -> SimpleNamespace:
    torch.manual_seed(2)
    identities = torch.nn.functional.normalize(torch.randn(faces, 512), dim=1)
    return SimpleNamespace(
        noise=torch.randn(BATCH, 4, *SIZE),
        text=torch.randn(2, 1, tiny.LENGTH, UNETS[base]["cross_attention_dim"]),
        pooled=torch.randn(2, 1, 1280),
        identities=torch.stack((identities, torch.zeros_like(identities))),  # (2, faces, 512)
        hidden=torch.stack(
            (torch.randn(faces, POSITIONS, 1280), torch.randn(1, POSITIONS, 1280).expand(faces, -1, -1))
        ),
    )


def applied(apply: Any, base: str, family: str, given: SimpleNamespace, options: AdapterOptions) -> ModelPatcher:
    module = load_adapter(file_of(base, family), family=family, ops=comfy.ops.manual_cast)
    adapter = ImagePromptAdapter(module, "random.bin").with_options(options)
    features = ImageFeatures(
        face_embeds=given.identities[0],
        face_penultimate=given.hidden[0],
        negative_penultimate=given.hidden[1, :1],
        encoder="",
    )
    return apply(unets(base)[1], adapter, features, WEIGHT)


def with_lora(base: str, file: dict[str, dict[str, Tensor]], strength: float) -> Any:
    """diffusers' UNet with W + strength * up @ down in the place of W, in each projection of each attention."""
    unet = copy.deepcopy(unets(base)[0])
    for number, name in enumerate(unet.attn_processors):
        attention = unet.get_submodule(name.removesuffix(".processor"))
        for key, linear in (
            ("q", attention.to_q),
            ("k", attention.to_k),
            ("v", attention.to_v),
            ("out", attention.to_out[0]),
        ):
            down, up = (file["ip_adapter"][f"{number}.to_{key}_lora.{side}.weight"] for side in ("down", "up"))
            linear.weight.data = linear.weight + strength * (up @ down)
    return unet


def predict_diffusers(
    base: str, family: str, given: SimpleNamespace, scaled: Tensor, *, lora: float = 1.0, shortcut: float = 1.0
) -> tuple[Tensor, Tensor]:
    file = file_of(base, family)
    unet = with_lora(base, file, lora)
    unet._load_ip_adapter_weights([file], low_cpu_mem_usage=False)
    IPAdapterMixin.set_ip_adapter_scale(SimpleNamespace(unet=unet), WEIGHT)
    projection = unet.encoder_hid_proj.image_projection_layers[0]
    has_shortcut = FAMILIES[family][1]
    if has_shortcut is not None:
        projection.clip_embeds = given.hidden.repeat_interleave(BATCH, dim=0)
        projection.shortcut, projection.shortcut_scale = has_shortcut, shortcut
    added: dict[str, Any] = {"image_embeds": [given.identities.repeat_interleave(BATCH, dim=0)]}
    if base == "SDXL":
        added["text_embeds"] = given.pooled.flatten(0, 1).repeat_interleave(BATCH, dim=0)
        added["time_ids"] = torch.tensor([[576.0, 832, 32, 16, 512, 800]]).repeat(2 * BATCH, 1)
    text = given.text.flatten(0, 1).repeat_interleave(BATCH, dim=0)
    cond, uncond = unet(scaled.repeat(2, 1, 1, 1), TIMESTEP, text, added_cond_kwargs=added).sample.chunk(2)
    return cond, uncond


@pytest.mark.parametrize(("base", "family", "faces"), CASES)
def test_noise_prediction_equals_diffusers(base, family, faces, apply):
    given = inputs(base, faces)
    scaled, *ours = predict_here(base, applied(apply, base, family, given, AdapterOptions()), given)
    assert_close(tuple(ours), predict_diffusers(base, family, given, scaled))


def test_the_strengths_of_lora_and_shortcut_equal_diffusers(apply):
    given, strengths = inputs("SD1.5"), [(0.0, 1.7), (0.4, 1.0), (0.4, 1.7)]
    found = []
    for lora, shortcut in strengths:
        options = AdapterOptions(lora_strength=lora, shortcut=shortcut)
        scaled, *ours = predict_here("SD1.5", applied(apply, "SD1.5", "faceid-plus-v2", given, options), given)
        found.append(predict_diffusers("SD1.5", "faceid-plus-v2", given, scaled, lora=lora, shortcut=shortcut))
        assert_close(tuple(ours), found[-1])
    assert all(distance(each, found[-1])[0] > 1e-3 for each in found[:-1])  # both strengths act
