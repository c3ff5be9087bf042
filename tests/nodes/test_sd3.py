"""SD3.5 Large with InstantX's IP-Adapter: the prediction equals that of diffusers, and nothing changes but what should.

A narrow transformer of 38 joint blocks is made in diffusers and converted by ComfyUI itself. Both sides read one file.
"""

from functools import cache
from types import SimpleNamespace
from typing import Any

import comfy.model_detection
import comfy.samplers
import pytest
import tiny
import torch
from comfy.clip_vision import Output
from comfy.model_patcher import ModelPatcher
from diffusers import SD3Transformer2DModel
from diffusers.models.attention_processor import JointAttnProcessor2_0
from test_diffusers import randomise
from torch import Tensor

from image_prompt.devtools.published import nested

SIGMA, BATCH, BLOCKS = 0.6, 2, 38
SIZE = (12, 8)


@cache
def transformers() -> tuple[SD3Transformer2DModel, ModelPatcher]:
    """The same weights in diffusers and in ComfyUI."""
    torch.manual_seed(0)
    theirs = SD3Transformer2DModel(
        sample_size=32,
        num_layers=BLOCKS,
        attention_head_dim=64,
        num_attention_heads=2,
        joint_attention_dim=4096,
        caption_projection_dim=128,
        pooled_projection_dim=2048,
        pos_embed_max_size=16,
        qk_norm="rms_norm",
    ).eval()
    randomise(theirs)
    ours = tiny.sd3()
    copies = {key: tensor.clone() for key, tensor in theirs.state_dict().items()}  # it writes into what it is given
    weights = comfy.model_detection.convert_diffusers_mmdit(copies)
    for block in (1, BLOCKS - 1):  # it takes the block with the number of the last head for the last block
        for kind in ("weight", "bias"):
            key = f"joint_blocks.{block}.context_block.adaLN_modulation.1.{kind}"
            weights[key] = torch.cat(weights[key].chunk(2)[::-1])
    ours.model.diffusion_model.load_state_dict(weights, strict=True)
    return theirs, ours


@cache
def inputs(references: int = 1, negative: bool = False) -> SimpleNamespace:
    """negative: whether the unconditional rows have pictures of their own"""
    torch.manual_seed(2)
    return SimpleNamespace(
        noise=torch.randn(BATCH, 16, *SIZE),
        text=torch.randn(2, 1, 9, 4096),  # conditional, unconditional
        pooled=torch.randn(2, 1, 2048),
        features=torch.randn(references, 7, 24),
        negative=torch.randn(1, 7, 24) if negative else None,
    )


def predict_here(model: ModelPatcher, given: SimpleNamespace) -> tuple[Tensor, Tensor, Tensor]:
    """ComfyUI's noisy latent at one sigma, and the conditional and unconditional velocities."""
    model, seen = model.clone(), {}
    sigmas = torch.tensor([SIGMA, 0.0])

    def capture(args: dict[str, Any]) -> Tensor:
        seen.update(args)
        return args["cond"]

    model.set_model_sampler_cfg_function(capture, disable_cfg1_optimization=True)
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(
        *([[text, {"pooled_output": pooled}]] for text, pooled in zip(given.text, given.pooled, strict=True))
    )
    guider.set_cfg(5.0)
    euler = comfy.samplers.sampler_object("euler")
    guider.sample(given.noise, torch.zeros_like(given.noise), euler, sigmas, disable_pbar=True, seed=0)
    return seen["input"], seen["cond"] / SIGMA, seen["uncond"] / SIGMA


def predict_diffusers(given: SimpleNamespace, latent: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """The same two velocities, each from a call of its own; without the adapter for a scale of 0.

    Its own resampler makes the tokens of each reference, and they are joined here.
    """
    transformer, ours = transformers()
    if scale:
        transformer._load_ip_adapter_weights(nested(tiny.sd3_file(ours)), low_cpu_mem_usage=False)
        for processor in transformer.attn_processors.values():
            processor.scale = scale
    try:
        found = []
        negative = torch.zeros_like(given.features) if given.negative is None else given.negative
        for text, pooled, features in zip(given.text, given.pooled, (given.features, negative), strict=True):
            kwargs = {}
            if scale:
                tokens, embedding = transformer.image_proj(features, torch.full((len(features),), 1000 * SIGMA))
                kwargs["ip_hidden_states"] = tokens.flatten(0, 1).expand(BATCH, -1, -1)
                kwargs["temb"] = embedding[:1].expand(BATCH, -1)
            out = transformer(
                hidden_states=latent,
                encoder_hidden_states=text.expand(BATCH, -1, -1),
                pooled_projections=pooled.expand(BATCH, -1),
                timestep=torch.full((BATCH,), 1000 * SIGMA),
                joint_attention_kwargs=kwargs,
            ).sample
            found.append(out)
    finally:
        transformer.image_proj = None
        transformer.set_attn_processor(JointAttnProcessor2_0())
    return found[0], found[1]


def steered(apply: Any, given: SimpleNamespace, weight: float = 0.6, **options: Any) -> ModelPatcher:
    model = transformers()[1]
    negative = None if given.negative is None else pictures_of(given.negative)
    adapter = tiny.wrapped(tiny.sd3_file(model))
    return apply(model, adapter, pictures_of(given.features), weight, negative=negative, **options)


def pictures_of(states: Tensor) -> Output:
    """What an image encoder gives, as far as the adapter reads it."""
    features = Output()
    features.penultimate_hidden_states = states
    return features


def assert_close(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> None:
    for side, a, b in zip(("cond", "uncond"), ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-5, msg=lambda text, side=side: f"{side}: {text}")


def test_without_an_adapter_the_transformers_agree():
    given = inputs()
    latent, *ours = predict_here(transformers()[1], given)
    assert_close(tuple(ours), predict_diffusers(given, latent, 0.0))
    assert 0.1 < ours[0].std() < 10  # or the tolerance would say nothing


@pytest.mark.parametrize("references, negative", [(1, False), (2, True)])
def test_the_prediction_equals_diffusers(apply, references, negative):
    given = inputs(references, negative)
    latent, *ours = predict_here(steered(apply, given), given)
    theirs = predict_diffusers(given, latent, 0.6)
    assert_close(tuple(ours), theirs)
    without = predict_diffusers(given, latent, 0.0)
    assert min((a - b).abs().max() for a, b in zip(theirs, without, strict=True)) > 1e-2  # the adapter acts
