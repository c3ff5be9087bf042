"""UNets of the published widths, of ComfyUI alone: whole ones with random weights, and hollow ones."""

from collections.abc import Callable, Iterator

import comfy.ldm.modules.attention
import comfy.model_patcher
import comfy.sample
import comfy.supported_models
import torch
from comfy.ldm.modules.attention import BasicTransformerBlock, SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import Downsample, ResBlock, Upsample
from comfy.model_base import BaseModel
from comfy.model_patcher import ModelPatcher

from . import host
from .files import random_values

topologies = host.load("topologies", host.ROOT / "demo" / "nodes" / "topologies.py")

CPU = torch.device("cpu")
CLASSES = {"SD1.5": comfy.supported_models.SD15, "SDXL": comfy.supported_models.SDXL}
WIDTHS = {"SD1.5": (768, 768), "SDXL": (2048, 1280)}  # text context, pooled text


def _places(rows: list[tuple[str, int, int, int, int]]) -> list[tuple[str, int, int, int, int]]:
    """One (kind, index, depth, width, heads) for each block of (kind, index, number of blocks, width, heads)."""
    return [(kind, index, depth, width, heads) for kind, index, depths, width, heads in rows for depth in range(depths)]


PLACES = {  # of the cross-attentions, in file order
    "SD1.5": _places(
        [("input", index, 1, (320, 640, 1280)[index // 3], 8) for index in (1, 2, 4, 5, 7, 8)]
        + [("output", index, 1, (1280, 640, 320)[(index - 3) // 3], 8) for index in range(3, 12)]
        + [("middle", 0, 1, 1280, 8)]
    ),
    "SDXL": _places(
        [("input", 4, 2, 640, 10), ("input", 5, 2, 640, 10), ("input", 7, 10, 1280, 20), ("input", 8, 10, 1280, 20)]
        + [("output", index, 10, 1280, 20) for index in range(3)]
        + [("output", index, 2, 640, 10) for index in range(3, 6)]
        + [("middle", 0, 10, 1280, 20)]
    ),
}


def random_unet(base: str, dtype: torch.dtype) -> ModelPatcher:
    model = _model(base, dtype, CPU)
    for name, parameter in model.diffusion_model.named_parameters():
        parameter.data.copy_(random_values(name, parameter.shape))
    return _patcher(model)


def hollow_unet(base: str, dtype: torch.dtype) -> ModelPatcher:
    """A UNet that calls its cross-attentions in the true shapes and places, and does and holds as little else as can
    be, so that what is patched into them is most of its time. Its text keys and values are constants.
    """
    model = _model(base, dtype, torch.device("meta"))
    unet = model.diffusion_model
    for name, parameter in list(unet.named_parameters()):
        owner, _, key = name.rpartition(".")
        scalar = torch.tensor(float(key == "weight"), dtype=parameter.dtype)
        whole = torch.nn.Parameter(scalar.expand(parameter.shape), requires_grad=False)  # the size without the memory
        setattr(unet.get_submodule(owner), key, whole)
    for module, forward in _hollow(unet):
        module.forward = forward
    return _patcher(model)


def shorten_text_attention() -> None:
    """Attention to one word gives that word, without computing it. To be called before the pack is imported."""
    whole = comfy.ldm.modules.attention.optimized_attention

    def attention(q, k, v, *args, **options):
        return v.expand_as(q).contiguous() if k.shape[1] == 1 else whole(q, k, v, *args, **options)

    comfy.ldm.modules.attention.optimized_attention = attention


def sample(model: ModelPatcher, base: str, size: int, steps: int = 1, words: int = 77) -> torch.Tensor:
    """Euler steps with guidance (two rows) on a square latent."""
    context, pooled = WIDTHS[base]
    latent = torch.zeros(1, 4, size, size)
    positive, negative = (
        [[torch.ones(1, words, context) * value, {"pooled_output": torch.ones(1, pooled)}]] for value in (0.1, -0.1)
    )
    noise = comfy.sample.prepare_noise(latent, 0)
    return comfy.sample.sample(
        model, noise, steps, 5.0, "euler", "simple", positive, negative, latent, disable_pbar=True
    )


def _model(base: str, dtype: torch.dtype, device: torch.device) -> BaseModel:
    config = CLASSES[base](topologies.unet_config(base, dtype=dtype))
    config.set_inference_dtype(dtype, None)
    return config.get_model({}, "", device=device).eval()


def _patcher(model: BaseModel) -> ModelPatcher:
    return comfy.model_patcher.CoreModelPatcher(model, load_device=CPU, offload_device=CPU)


def _hollow(unet: torch.nn.Module) -> Iterator[tuple[torch.nn.Module, Callable[..., object]]]:
    """What the parts of a UNet do instead. One channel passes between them, and 0.0 for what is added."""
    yield unet.time_embed, lambda _: 0.0
    if unet.num_classes is not None:
        yield unet.label_emb, lambda _: 0.0
    yield unet.input_blocks[0][0], lambda x: x[:, :1]
    yield unet.out, lambda x: x.expand(-1, 4, -1, -1)
    for module in unet.modules():
        if isinstance(module, ResBlock):
            yield module, lambda x, _: x[:, :1]
        elif isinstance(module, Downsample):
            yield module, lambda x: x[:, :, ::2, ::2]
        elif isinstance(module, Upsample):
            yield module, lambda x, output_shape: torch.nn.functional.interpolate(x, output_shape[-2:])
        elif isinstance(module, SpatialTransformer):
            yield module, HollowTransformer(module)
        elif isinstance(module, BasicTransformerBlock):
            module.is_res = False  # there is nothing to add
            idle = (module.norm1, module.norm2, module.norm3, module.ff, module.attn2.to_q, module.attn2.to_out)
            yield from ((part, lambda x: x) for part in idle)
            yield module.attn1, lambda *_, **__: 0.0
            yield from ((part, _constant(part)) for part in (module.attn2.to_k, module.attn2.to_v))


class HollowTransformer:
    """Core's SpatialTransformer without its transpositions: the blocks always start from the same random tokens."""

    def __init__(self, module: SpatialTransformer):
        self.module, self.tokens = module, torch.empty(0)

    def __call__(self, x: torch.Tensor, context: torch.Tensor, transformer_options: dict[str, object]) -> torch.Tensor:
        rows, _, height, width = x.shape
        shape = (rows, height * width, self.module.in_channels)
        if self.tokens.shape != shape:
            self.tokens = torch.randn(shape, dtype=x.dtype)
        tokens = self.tokens
        transformer_options["activations_shape"] = [rows, self.module.in_channels, height, width]
        for number, block in enumerate(self.module.transformer_blocks):
            transformer_options["block_index"] = number
            tokens = block(tokens, context=context, transformer_options=transformer_options)
        return x + tokens[:, :1, :1, None]  # what is patched in must show in the end


def _constant(linear: torch.nn.Linear) -> Callable[[torch.Tensor], torch.Tensor]:
    row = torch.randn(1, 1, linear.out_features, dtype=linear.weight.dtype)
    return lambda context: row.expand(*context.shape[:2], -1)
