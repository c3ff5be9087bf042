"""The noise prediction with an IP-Adapter equals that of diffusers, on the same random weights.

Two narrow UNets with the topology of SD1.5 (16 cross-attentions) and SDXL (70) are made in diffusers and converted for
ComfyUI. Both sides get the same files: diffusers reads them with its own loader, ComfyUI through the pack's Apply nodes
and the sampler, which hands out the conditional and the unconditional prediction of one evaluation.
"""

from collections.abc import Sequence
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
from diffusers.image_processor import IPAdapterMaskProcessor
from diffusers.loaders import IPAdapterMixin
from torch import Tensor

from image_prompt.devtools import published
from image_prompt.ip_adapter import Share, Strength, load_adapter
from image_prompt.nodes.applying.attach import attach, image_prompt
from image_prompt.nodes.controls.apply_references import ApplyReferences
from image_prompt.nodes.controls.layer_weights import ImagePromptLayerWeights
from image_prompt.nodes.controls.reference import MakeReference
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
def inputs(base: str, family: str, references: int = 1, size: tuple[int, int] = SIZE) -> SimpleNamespace:
    torch.manual_seed(2)
    context = UNETS[base]["cross_attention_dim"]
    uncond = torch.zeros(1, *FEATURES[family]) if family == "base" else torch.randn(1, *FEATURES[family])
    return SimpleNamespace(
        noise=torch.randn(BATCH, 4, *size),
        text=torch.randn(2, 1, tiny.LENGTH, context),  # conditional, unconditional
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
    base: str, given: SimpleNamespace, scaled: Tensor, file: Any, scale: Any
) -> tuple[Tensor, Tensor]:
    """The same two predictions by diffusers, as rows of one batch."""
    return predict_with_files(base, [given], scaled, [] if file is None else [file], scale)


def predict_with_files(
    base: str, given: Sequence[SimpleNamespace], scaled: Tensor, files: list[Any], scale: Any, masks: Any = None
) -> tuple[Tensor, Tensor]:
    """Those of diffusers with several files, each with its references, and with scales as its pipelines take them."""
    unet, first = unets(base)[0], given[0]
    added: dict[str, Any] = {}
    if not files:
        unet.encoder_hid_proj, unet.config.encoder_hid_dim_type = None, None
        unet.set_default_attn_processor()
    else:
        unet._load_ip_adapter_weights(files, low_cpu_mem_usage=False)
        IPAdapterMixin.set_ip_adapter_scale(SimpleNamespace(unet=unet), scale)
        rows = [torch.stack((each.features, each.negative)) for each in given]  # (2, references, ...)
        added["image_embeds"] = [each.repeat_interleave(BATCH, dim=0) for each in rows]
    if base == "SDXL":
        added["text_embeds"] = first.pooled.flatten(0, 1).repeat_interleave(BATCH, dim=0)
        added["time_ids"] = torch.tensor([[576.0, 832, 32, 16, 512, 800]]).repeat(2 * BATCH, 1)
    text = first.text.flatten(0, 1).repeat_interleave(BATCH, dim=0)
    attention = None if masks is None else {"ip_adapter_masks": masks}
    noise = unet(
        scaled.repeat(2, 1, 1, 1), TIMESTEP, text, added_cond_kwargs=added, cross_attention_kwargs=attention
    ).sample
    cond, uncond = noise.chunk(2)
    return cond, uncond


def with_adapter(apply: Any, base: str, family: str, given: SimpleNamespace, weight: float) -> ModelPatcher:
    return apply(unets(base)[1], adapter(base, family), output(family, given), weight)


def adapter(base: str, family: str) -> ImagePromptAdapter:
    module = load_adapter(adapter_file(base, family), ops=comfy.ops.manual_cast)
    assert module.family.name == family
    return ImagePromptAdapter(module, "random.bin")


def output(family: str, given: SimpleNamespace, only: int | None = None) -> Output:
    """What the encoder hands out for the references, or for one of them: features and negative that the family reads.

    only: the number of the reference
    """
    features, shown = Output(), given.features if only is None else given.features[only : only + 1]
    if family == "base":
        features.image_embeds = shown
    else:
        features.penultimate_hidden_states = shown
        features.negative_penultimate = given.negative[:1]
    return features


def reference(features: Output, weight: float = 1.0, **options: Any) -> Any:
    return MakeReference.execute(features, weight=weight, **options).args[0]


def apply_references(model: ModelPatcher, adapter: ImagePromptAdapter, *references: Any) -> ModelPatcher:
    given = {f"reference_{number}": each for number, each in enumerate(references, 1)}
    return ApplyReferences.execute(model, adapter, given).args[0]


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


def test_references_with_a_mask_each_equal_diffusers(base):
    """The edges of the masks are those of tokens, or in the middle of one, where every way of resizing agrees."""
    size, weights = (16, 8), (0.6, 0.9)
    masks = torch.full((2, 8 * size[0], 8 * size[1]), 0.1)
    masks[0, :, : 8 * size[1] // 2] = 0.8
    masks[1, : 8 * size[0] // 2] = 0.5
    given, file = inputs(base, "base", references=2, size=size), adapter_file(base, "base")
    each = [
        reference(output("base", given, number), weight, mask=masks[number : number + 1])
        for number, weight in enumerate(weights)
    ]
    scaled, *ours = predict_here(base, apply_references(unets(base)[1], adapter(base, "base"), *each), given)
    read = IPAdapterMaskProcessor(do_binarize=False).preprocess(list(masks.unsqueeze(1)))
    read = read.reshape(1, *masks.shape)
    theirs = predict_with_files(base, [given], scaled, [file], [list(weights)], [read])
    assert_close(tuple(ours), theirs)
    turned = predict_with_files(base, [given], scaled, [file], [list(weights)], [read.flip(1)])
    assert min(distance(theirs, turned)) > 1e-2  # each has its own mask


def test_two_adapters_at_once_equal_diffusers(base):
    families, weights = ("base", "plus"), (0.6, 0.4)
    given = [inputs(base, family) for family in families]
    model = unets(base)[1]
    for family, each, weight in zip(families, given, weights, strict=True):
        model = apply_references(model, adapter(base, family), reference(output(family, each), weight))
    scaled, *ours = predict_here(base, model, given[0])
    files = [adapter_file(base, family) for family in families]
    theirs = predict_with_files(base, given, scaled, files, list(weights))
    assert_close(tuple(ours), theirs)
    turned = predict_with_files(base, given, scaled, files, list(weights[::-1]))
    assert min(distance(theirs, turned)) > 1e-2  # each has its own weight


@pytest.mark.parametrize(
    ("base", "scales", "values"),
    [
        (
            "SD1.5",
            {
                "down": {"block_0": [0.9, 0.1], "block_1": [0.2, 0.8], "block_2": [0.7, 0.3]},
                "mid": 0.5,
                "up": {"block_1": [1.0, 0.0, 0.6], "block_2": [0.4, 0.9, 0.2], "block_3": [0.1, 0.7, 0.3]},
            },
            "0.9, 0.1, 0.2, 0.8, 0.7, 0.3, 0.5, 1, 0, 0.6, 0.4, 0.9, 0.2, 0.1, 0.7, 0.3",
        ),
        (
            "SDXL",
            {
                "down": {"block_1": [0.9, 0.1], "block_2": [0.2, 0.8]},
                "mid": 0.5,
                "up": {"block_0": [1.0, 0.0, 0.6], "block_1": [0.4, 0.9, 0.2]},
            },
            "0.9, 0.1, 0.2, 0.8, 0.5, 1, 0, 0.6, 0.4, 0.9, 0.2",
        ),
    ],
    ids=["SD1.5", "SDXL"],
)
def test_weights_of_blocks_equal_the_scales_of_diffusers(base, scales, values):
    given, file = inputs(base, "base"), adapter_file(base, "base")
    weights = ImagePromptLayerWeights.execute(preset="values", values=values).args[0]
    acting = reference(output("base", given), layer_weights=weights)
    scaled, *ours = predict_here(base, apply_references(unets(base)[1], adapter(base, "base"), acting), given)
    theirs = predict_diffusers(base, given, scaled, file, scales)
    assert_close(tuple(ours), theirs)
    assert min(distance(theirs, predict_diffusers(base, given, scaled, file, 0.5))) > 1e-2  # the numbers matter


def test_style_and_composition_of_two_references_equal_diffusers():
    """The scales are those that diffusers' own documentation gives for SDXL."""
    base, scales = "SDXL", [{"up": {"block_0": [0.0, 1.0, 0.0]}}, {"down": {"block_2": [0.0, 1.0]}}]
    given, file = inputs(base, "base", references=2), adapter_file(base, "base")
    each = [
        reference(output("base", given, number), layers=name) for number, name in enumerate(("style", "composition"))
    ]
    scaled, *ours = predict_here(base, apply_references(unets(base)[1], adapter(base, "base"), *each), given)
    alone = [
        SimpleNamespace(**{**vars(given), "features": rows, "negative": given.negative[:1]})
        for rows in given.features.split(1)
    ]
    theirs = predict_with_files(base, alone, scaled, [file, file], scales)
    assert_close(tuple(ours), theirs)
    turned = predict_with_files(base, alone, scaled, [file, file], scales[::-1])
    assert distance(theirs, turned)[0] > 1e-2  # which is which matters; the negative is the same


@pytest.mark.parametrize("family", ["base", "plus"])
def test_the_opposite_rows_push_away_from_the_reference(base, family):
    """The negative rows see the reference, and the positive rows see nothing."""
    given, file = inputs(base, family), adapter_file(base, family)
    model, ours = unets(base)[1], adapter(base, family)
    layers = dict.fromkeys(range(len(ours.module.layer_widths)), Share(rows="opposite"))
    cond, uncond = ({ours.module.feature: side} for side in (given.features, given.negative[:1]))
    prompt = image_prompt(model, ours, cond, uncond, Strength(0.6, layers))
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
