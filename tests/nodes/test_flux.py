"""Flux.1 with an XLabs IP-Adapter: the prediction equals that of diffusers, and nothing changes but what should.

A narrow transformer of 19 double blocks is made in diffusers and converted by ComfyUI itself. Both sides read one file.
"""

from functools import cache
from types import SimpleNamespace
from typing import Any

import comfy.model_detection
import comfy.ops
import comfy.samplers
import pytest
import tiny
import torch
from comfy.clip_vision import Output
from comfy.model_patcher import ModelPatcher
from diffusers import FluxPipeline, FluxTransformer2DModel
from diffusers.models.transformers.transformer_flux import FluxAttnProcessor
from safetensors.torch import save_file
from test_diffusers import randomise
from torch import Tensor

SIGMA, BATCH, GUIDANCE = 0.6, 2, 2.5
SIZE = (12, 8)


@cache
def transformers() -> tuple[FluxTransformer2DModel, ModelPatcher]:
    """The same weights in diffusers and in ComfyUI."""
    torch.manual_seed(0)
    theirs = FluxTransformer2DModel(
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
    ).eval()
    randomise(theirs)
    ours = tiny.flux()
    copies = {key: tensor.clone() for key, tensor in theirs.state_dict().items()}  # it writes into what it is given
    weights = comfy.model_detection.convert_diffusers_mmdit(copies)
    ours.model.diffusion_model.load_state_dict(weights, strict=True)
    return theirs, ours


@cache
def inputs(references: int = 1) -> SimpleNamespace:
    torch.manual_seed(2)
    return SimpleNamespace(
        noise=torch.randn(BATCH, 16, *SIZE),
        text=torch.randn(2, 1, 9, 4096),  # conditional, unconditional
        pooled=torch.randn(2, 1, 768),
        features=torch.randn(references, 24),
        negative=torch.randn(1, 24),
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
        *(
            [[text, {"pooled_output": pooled, "guidance": GUIDANCE}]]
            for text, pooled in zip(given.text, given.pooled, strict=True)
        )
    )
    guider.set_cfg(5.0)
    euler = comfy.samplers.sampler_object("euler")
    guider.sample(given.noise, torch.zeros_like(given.noise), euler, sigmas, disable_pbar=True, seed=0)
    return seen["input"], seen["cond"] / SIGMA, seen["uncond"] / SIGMA


def predict_diffusers(given: SimpleNamespace, latent: Tensor, folder: Any, scale: float) -> tuple[Tensor, Tensor]:
    """The same two velocities, each from a call of its own, as its pipeline does."""
    transformer, _ = transformers()
    rows = torch.stack((given.features, given.negative.expand(len(given.features), -1))).unsqueeze(1)
    if folder is not None:
        parts = dict.fromkeys(("scheduler", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"))
        pipeline = FluxPipeline(**parts, transformer=transformer)
        pipeline.load_ip_adapter(
            str(folder),
            weight_name="flux.safetensors",
            image_encoder_pretrained_model_name_or_path=None,
            low_cpu_mem_usage=False,
        )
        pipeline.set_ip_adapter_scale(scale)
    try:
        height, width = (size // 2 for size in SIZE)
        ids = torch.cartesian_prod(torch.arange(1.0), torch.arange(height * 1.0), torch.arange(width * 1.0))
        found = []
        for text, pooled, row in zip(given.text, given.pooled, rows, strict=True):
            kwargs = {} if folder is None else {"ip_adapter_image_embeds": [row.expand(BATCH, -1, -1)]}
            out = transformer(
                hidden_states=FluxPipeline._pack_latents(latent, BATCH, 16, *SIZE),
                encoder_hidden_states=text.expand(BATCH, -1, -1),
                pooled_projections=pooled.expand(BATCH, -1),
                timestep=torch.full((BATCH,), SIGMA),
                guidance=torch.full((BATCH,), GUIDANCE),
                img_ids=ids,
                txt_ids=torch.zeros(text.shape[1], 3),
                joint_attention_kwargs=kwargs,
            ).sample
            found.append(FluxPipeline._unpack_latents(out, SIZE[0] * 8, SIZE[1] * 8, 8))
    finally:
        transformer.encoder_hid_proj, transformer.config.encoder_hid_dim_type = None, None
        transformer.set_attn_processor(FluxAttnProcessor())
    return found[0], found[1]


@pytest.fixture
def file(tmp_path):
    """The folder of an adapter's file."""
    save_file(tiny.flux_file(transformers()[1]), tmp_path / "flux.safetensors")
    return tmp_path


def steered(apply: Any, given: SimpleNamespace, weight: float = 0.6, **options: Any) -> ModelPatcher:
    features, negative = Output(), Output()
    features.image_embeds, negative.image_embeds = given.features, given.negative
    model = transformers()[1]
    return apply(model, tiny.wrapped(tiny.flux_file(model)), features, weight, negative=negative, **options)


def assert_close(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> None:
    for side, a, b in zip(("cond", "uncond"), ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-5, msg=lambda text, side=side: f"{side}: {text}")


def test_without_an_adapter_the_transformers_agree():
    given = inputs()
    latent, *ours = predict_here(transformers()[1], given)
    assert_close(tuple(ours), predict_diffusers(given, latent, None, 0.0))
    assert 0.1 < ours[0].std() < 10  # or the tolerance would say nothing


@pytest.mark.parametrize("references", [1, 2])
def test_the_prediction_equals_diffusers(file, apply, references):
    given = inputs(references)
    latent, *ours = predict_here(steered(apply, given), given)
    theirs = predict_diffusers(given, latent, file, 0.6)
    assert_close(tuple(ours), theirs)
    without = predict_diffusers(given, latent, None, 0.0)
    assert min((a - b).abs().max() for a, b in zip(theirs, without, strict=True)) > 1e-2  # the adapter acts
