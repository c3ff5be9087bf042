"""The noise prediction with an IP-Adapter equals that of diffusers, on the same random weights.

Two narrow UNets with the topology of SD1.5 (16 cross-attentions) and SDXL (70) are made in diffusers and converted for
ComfyUI. Both sides get one file: diffusers reads it with its own loader, ComfyUI through the pack's Apply node and the
sampler, which hands out the conditional and the unconditional prediction of one evaluation.
"""

from functools import cache
from types import SimpleNamespace
from typing import Any

import comfy.ops
import comfy.samplers
import comfy.utils
import pytest
import tiny
import torch
from comfy.clip_vision import Output
from comfy.model_patcher import ModelPatcher
from diffusers import UNet2DConditionModel
from torch import Tensor

from image_prompt.devtools import published
from image_prompt.ip_adapter import Share, Strength, load_adapter
from image_prompt.nodes.applying.attach import attach, image_prompt
from image_prompt.nodes.loading.adapter import ImagePromptAdapter

TIMESTEP = 601
SIZE = (12, 8)
BATCH = 2
UNETS: dict[str, dict[str, Any]] = {
    "SD1.5": dict(block_out_channels=(32, 64, 128, 128), attention_head_dim=4, cross_attention_dim=768),
    "SDXL": dict(
        block_out_channels=(32, 64, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(2, 4, 4),
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    ),
}
FEATURES = {"base": (1024,), "plus": (257, 1280), "full-face": (257, 1280)}


def randomise(module: torch.nn.Module) -> None:
    """Fill a model so that activations keep their size. Norms of 1 and biases of 0 would hide mix-ups."""
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            parameter.data = torch.randn(parameter.shape) * 0.7 / parameter[0].numel() ** 0.5
        else:
            parameter.data = torch.randn(parameter.shape) * 0.1 + float(name.endswith("weight"))


@cache
def unets(base: str) -> tuple[UNet2DConditionModel, ModelPatcher]:
    """The same weights in diffusers and in ComfyUI."""
    torch.manual_seed(0)
    theirs = UNet2DConditionModel(sample_size=8, **UNETS[base]).eval()
    randomise(theirs)
    ours = tiny.unet(base)
    keys = comfy.utils.unet_to_diffusers(ours.model.model_config.unet_config)
    weights = theirs.state_dict()
    ours.model.diffusion_model.load_state_dict({keys[key]: tensor for key, tensor in weights.items()}, strict=True)
    return theirs, ours


PROJECTIONS = {
    "base": published.base,
    "plus": lambda context: published.resampler(context, heads=2),
    "full-face": published.full_face,
}


@cache
def adapter_file(base: str, family: str) -> dict[str, dict[str, Tensor]]:
    """A nested .bin; its layers are numbered as diffusers numbers its attention processors."""
    unet, _ = unets(base)
    context = unet.config.cross_attention_dim
    paths = [name.removesuffix(".processor") for name in unet.attn_processors if ".attn2." in name]
    widths = [unet.get_submodule(path).to_q.out_features for path in paths]
    shapes = published.adapter(PROJECTIONS[family](context), widths, context)
    return published.nested(published.fill(shapes, seed=1, spread=0.1))


@cache
def inputs(base: str, family: str, references: int = 1) -> SimpleNamespace:
    torch.manual_seed(2)
    context = UNETS[base]["cross_attention_dim"]
    uncond = torch.zeros(1, *FEATURES[family]) if family == "base" else torch.randn(1, *FEATURES[family])
    return SimpleNamespace(
        noise=torch.randn(BATCH, 4, *SIZE),
        text=torch.randn(2, 1, 77, context),  # conditional, unconditional
        pooled=torch.randn(2, 1, 1280),
        features=torch.randn(references, *FEATURES[family]),
        negative=uncond.expand(references, *FEATURES[family]),
    )


def conditioning(base: str, given: SimpleNamespace) -> list[list[Any]]:
    extra = {"width": 832, "height": 576, "crop_w": 16, "crop_h": 32, "target_width": 800, "target_height": 512}
    return [[[text, {"pooled_output": pooled, **extra}]] for text, pooled in zip(given.text, given.pooled)]


def predict_here(base: str, model: ModelPatcher, given: SimpleNamespace) -> tuple[Tensor, Tensor, Tensor]:
    """ComfyUI's noisy input at one timestep and the conditional and unconditional noise predictions."""
    model, seen = model.clone(), {}
    sigma = model.model.model_sampling.sigma(torch.tensor(float(TIMESTEP)))

    def capture(args: dict[str, Any]) -> Tensor:
        seen.update(args)
        return args["cond"]

    model.set_model_sampler_cfg_function(capture, disable_cfg1_optimization=True)
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(*conditioning(base, given))
    guider.set_cfg(5.0)
    sigmas = torch.stack((sigma, torch.zeros_like(sigma)))
    guider.sample(
        given.noise,
        torch.zeros_like(given.noise),
        comfy.samplers.sampler_object("euler"),
        sigmas,
        disable_pbar=True,
        seed=0,
    )
    return seen["input"] / (sigma**2 + 1) ** 0.5, seen["cond"] / sigma, seen["uncond"] / sigma


def predict_diffusers(
    base: str, given: SimpleNamespace, scaled: Tensor, file: Any, scale: float
) -> tuple[Tensor, Tensor]:
    """The same two predictions by diffusers, as rows of one batch."""
    unet, _ = unets(base)
    added: dict[str, Any] = {}
    if file is None:
        unet.encoder_hid_proj, unet.config.encoder_hid_dim_type = None, None
        unet.set_default_attn_processor()
    else:
        unet._load_ip_adapter_weights([file], low_cpu_mem_usage=False)
        for processor in unet.attn_processors.values():
            if hasattr(processor, "scale"):
                processor.scale = [scale]
        rows = torch.stack((given.features, given.negative))  # (2, references, ...)
        added["image_embeds"] = [rows.repeat_interleave(BATCH, dim=0)]
    if base == "SDXL":
        added["text_embeds"] = given.pooled.flatten(0, 1).repeat_interleave(BATCH, dim=0)
        added["time_ids"] = torch.tensor([[576.0, 832, 32, 16, 512, 800]]).repeat(2 * BATCH, 1)
    text = given.text.flatten(0, 1).repeat_interleave(BATCH, dim=0)
    noise = unet(scaled.repeat(2, 1, 1, 1), TIMESTEP, text, added_cond_kwargs=added).sample
    cond, uncond = noise.chunk(2)
    return cond, uncond


def with_adapter(apply: Any, base: str, family: str, given: SimpleNamespace, weight: float) -> ModelPatcher:
    module = load_adapter(adapter_file(base, family), ops=comfy.ops.manual_cast)
    assert module.family.name == family
    return apply(unets(base)[1], ImagePromptAdapter(module, "random.bin"), *outputs(family, given), weight)


def outputs(family: str, given: SimpleNamespace) -> list[Output]:
    """The features and the negative that the family asks for, each as a CLIP_VISION_OUTPUT."""
    features = Output()
    if family == "base":
        features.image_embeds = given.features
    else:
        features.penultimate_hidden_states = given.features
        features.negative_penultimate = given.negative[:1]
    return [features]


def assert_close(ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor]) -> None:
    for side, a, b in zip(("cond", "uncond"), ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-5, msg=lambda text, side=side: f"{side}: {text}")


def distance(ours: tuple[Tensor, Tensor], theirs: tuple[Tensor, Tensor]) -> list[float]:
    return [(a - b).abs().max().item() for a, b in zip(ours, theirs, strict=True)]


@pytest.fixture(params=["SD1.5", "SDXL"])
def base(request) -> str:
    return request.param


def test_without_an_adapter_the_unets_agree(base):
    given = inputs(base, "base")
    scaled, *ours = predict_here(base, unets(base)[1], given)
    assert_close(tuple(ours), predict_diffusers(base, given, scaled, None, 0.0))
    assert 0.1 < ours[0].std() < 10  # or the tolerance would say nothing


@pytest.mark.parametrize("family", ["base", "plus", "full-face"])
def test_noise_prediction_equals_diffusers(base, family, apply):
    scale = 0.6
    given, file = inputs(base, family), adapter_file(base, family)
    scaled, *ours = predict_here(base, with_adapter(apply, base, family, given, scale), given)
    theirs = predict_diffusers(base, given, scaled, file, scale)
    assert_close(tuple(ours), theirs)
    assert min(distance(theirs, predict_diffusers(base, given, scaled, file, 0.0))) > 1e-2  # the adapter acts


def test_two_references_together_equal_diffusers(base, apply):
    given, file = inputs(base, "plus", references=2), adapter_file(base, "plus")
    scaled, *ours = predict_here(base, with_adapter(apply, base, "plus", given, 0.6), given)
    assert_close(tuple(ours), predict_diffusers(base, given, scaled, file, 0.6))


@pytest.mark.parametrize("family", ["base", "plus"])
def test_the_opposite_rows_push_away_from_the_reference(base, family):
    """The negative rows see the reference, and the positive rows see nothing."""
    given, file = inputs(base, family), adapter_file(base, family)
    adapter = ImagePromptAdapter(load_adapter(file, ops=comfy.ops.manual_cast), "random.bin")
    model = unets(base)[1]
    layers = dict.fromkeys(range(len(adapter.module.layer_widths)), Share(rows="opposite"))
    cond, uncond = ({adapter.module.feature: side} for side in (given.features, given.negative[:1]))
    prompt = image_prompt(model, adapter, cond, uncond, Strength(0.6, layers))
    scaled, *ours = predict_here(base, attach(model, [prompt]), given)
    plain, _ = predict_diffusers(base, given, scaled, None, 0.0)
    swapped = SimpleNamespace(**{**vars(given), "negative": given.features})
    _, pushed = predict_diffusers(base, swapped, scaled, file, 0.6)
    assert_close(tuple(ours), (plain, pushed))


def test_leaving_out_the_middle_block_is_noticed(base, apply):
    given, file = inputs(base, "base"), adapter_file(base, "base")
    patched = with_adapter(apply, base, "base", given, 1.0)
    slots = patched.model_options["transformer_options"]["patches_replace"]["attn2"]
    middle = [slot for slot in slots if slot[0] == "middle"]
    for slot in middle:
        del slots[slot]
    assert len(middle) == {"SD1.5": 1, "SDXL": 10}[base]
    scaled, *ours = predict_here(base, patched, given)
    assert min(distance(tuple(ours), predict_diffusers(base, given, scaled, file, 1.0))) > 1e-3
