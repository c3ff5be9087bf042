"""The two IP-Adapters, on the frozen UNet, text and vision towers (https://arxiv.org/abs/2308.06721, section 3).

The reference is the picture itself. As in the paper text, image, or both are dropped now and then; text more often,
because captions of so small a world leave the image little to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from demo.nodes.weights import read
from demo.nodes.world import CONTEXT, unet
from image_prompt.clip_vision import VisionEncoder, load_encoder
from image_prompt.ip_adapter.projections import LayerSizes, LinearProjection, Resampler

from .data import draws
from .loop import Losses, Recipe
from .setting import Setting, initialise
from .unet import Diffusion

BATCH = 32
STEPS = {"base": 2800, "plus": 8000}  # a resampler learns later
NO_TEXT, NO_IMAGE, NEITHER = 0.35, 0.05, 0.05
Block = tuple[str, int]


class Adapter(nn.Module):
    """An image projection, and keys and values for every cross-attention, in the numbering of the published files."""

    def __init__(self, projection: nn.Module, blocks: dict[Block, nn.Module]):
        super().__init__()
        self.image_proj = projection
        self.blocks = list(blocks)
        self.ip_adapter = nn.ModuleDict(
            {
                str(2 * number + 1): nn.ModuleDict(
                    {
                        "to_k_ip": nn.Linear(CONTEXT, attention.to_k.out_features, bias=False),
                        "to_v_ip": nn.Linear(CONTEXT, attention.to_v.out_features, bias=False),
                    }
                )
                for number, attention in enumerate(blocks.values())
            }
        )
        for layer, attention in zip(self.ip_adapter.values(), blocks.values(), strict=True):
            layer["to_k_ip"].weight.data.copy_(attention.to_k.weight)  # the paper starts from the text's
            layer["to_v_ip"].weight.data.copy_(attention.to_v.weight)

    def patches(self, features: Tensor) -> dict[Block, Callable[..., Tensor]]:
        """What ComfyUI calls in place of each cross-attention."""
        tokens = self.image_proj(features)
        return {
            block: attention_with(layer["to_k_ip"](tokens), layer["to_v_ip"](tokens))
            for block, layer in zip(self.blocks, self.ip_adapter.values(), strict=True)
        }


def attention_with(key: Tensor, value: Tensor) -> Callable[..., Tensor]:
    def attend(q: Tensor, k: Tensor, v: Tensor, options: dict[str, Any]) -> Tensor:
        heads = options["n_heads"]

        def attention(k: Tensor, v: Tensor) -> Tensor:
            parts = [t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v)]
            return F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)

        return attention(k, v) + attention(key, value)

    return attend


def recipe(name: str, setting: Setting) -> tuple[Recipe, nn.Module]:
    world = Diffusion(setting)
    encoder = load_vision(setting).to(setting.device)
    model = unet()
    model.load_state_dict(read(setting.finished("diffusion_models"))[0])
    model = model.to(setting.device).eval().requires_grad_(False)
    torch.manual_seed(setting.seed)
    projection = initialise(PROJECTIONS[name](encoder), setting.seed)
    if isinstance(projection, Resampler):
        nn.init.normal_(projection.latents, std=projection.latents.shape[-1] ** -0.5)
    module = Adapter(projection, cross_attentions(model)).to(setting.device)

    def loss(module: nn.Module, step: int) -> Losses:
        numbers, generator = draws(setting.seed, step, setting.batch(BATCH), len(world.latents))
        captions = world.captions(numbers, generator, 0.0)
        chance = torch.rand(len(numbers), generator=generator)
        no_image = (chance < NO_IMAGE + NEITHER).to(setting.device)
        no_text = ((chance < NEITHER) | (chance > 1 - NO_TEXT)).tolist()
        context = world.context(["" if without else said for said, without in zip(captions, no_text, strict=True)])
        features = seen(encoder, FEATURES[name], world.data.batch(numbers).to(setting.device), no_image)
        noisy, steps, answer = world.noised(world.latents[numbers], generator)
        options = {"patches_replace": {"attn2": module.patches(features)}}
        return {"loss": F.mse_loss(model(noisy, steps, context=context, transformer_options=options), answer)}

    return Recipe(name, setting.steps or STEPS[name], BATCH, 1e-3, loss, average=0.998), module


@torch.no_grad()
def seen(encoder: VisionEncoder, feature: str, pixels: Tensor, without: Tensor) -> Tensor:
    """The features that an adapter reads, and for rows `without` an image those that stand for no image."""
    inputs = (pixels - 0.5) / 0.5
    if feature == "image_embeds":  # base: a zero embedding
        return encoder(inputs).image_embeds * ~without[:, None]
    inputs = inputs * ~without[:, None, None, None]  # plus: the states of a zero tensor
    return encoder(inputs, want=("penultimate",)).penultimate


FEATURES = {"base": "image_embeds", "plus": "penultimate"}
PROJECTIONS: dict[str, Callable[[VisionEncoder], nn.Module]] = {
    "base": lambda encoder: LinearProjection(encoder.config.projection, CONTEXT, 4),
    "plus": lambda encoder: Resampler(
        encoder.config.width, LayerSizes(width=128, heads=2, ff_width=256, depth=2), 16, CONTEXT
    ),
}


def cross_attentions(model: nn.Module) -> dict[Block, nn.Module]:
    """The cross-attentions by ComfyUI's name of their block, in the order of the published files: down, up, middle."""
    found: dict[Block, nn.Module] = {}
    kinds = {"input": model.input_blocks, "output": model.output_blocks, "middle": [model.middle_block]}
    for kind, blocks in kinds.items():
        for number, block in enumerate(blocks):
            for module in block.modules():
                if hasattr(module, "attn2"):
                    found[kind, number] = module.attn2
    return found


def load_vision(setting: Setting) -> VisionEncoder:
    weights, metadata = read(setting.finished("clip_vision"))
    return load_encoder(weights, metadata=metadata, dtype=torch.float32)


def export(name: str, module: nn.Module) -> dict[str, tuple[str, dict[str, Tensor], dict[str, str]]]:
    what = {"base": "IP-Adapter of the demo world, 4 tokens", "plus": "IP-Adapter plus of the demo world, 16 tokens"}
    file = {"base": "ip-adapter_demo_world", "plus": "ip-adapter-plus_demo_world"}
    return {f"ipadapter/{file[name]}.safetensors": (what[name], published(module.state_dict()), {})}


def published(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights under the keys of tencent-ailab/IP-Adapter: the halves of a resampler's layer are numbered."""
    renamed = {}
    for name, tensor in weights.items():
        name = re.sub(r"(layers\.\d+)\.ff\.", r"\1.1.", name)
        renamed[re.sub(r"(layers\.\d+)\.(norm|to_)", r"\1.0.\2", name)] = tensor
    return renamed
