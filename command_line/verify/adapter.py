"""Compare an IP-Adapter with diffusers.

Letters: B references, T image tokens, N queries, C context width, I width of a layer.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ...ip_adapter import Attended, IPAdapter, load, plan_attention, scale_key
from ...tensor_files.weights import open_weights
from .comparison import Comparison, Outputs, library, version

LOADED = ("base", "plus", "kolors-plus", "full-face", "flux-xlabs")  # ids of the families that diffusers can load
PARTS = {  # how diffusers divides a file
    "image_proj": ("image_proj.", "ip_adapter_proj_model."),
    "ip_adapter": ("ip_adapter.", "double_blocks."),
}
XLABS = {  # how diffusers renames the layers of XLabs
    "processor.": "",
    "ip_adapter_double_stream_k_proj": "to_k_ip",
    "ip_adapter_double_stream_v_proj": "to_v_ip",
}
DEPTH = 4  # layers of the resampler that diffusers builds
LONGEST = 300  # characters of an error of diffusers
REFERENCES, POSITIONS, QUERIES = 2, 257, 32
UNREADABLE = (  # from diffusers, for a file it does not know
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
)
NOTE = (
    "Features and queries are random numbers. The projection, and the keys, values and attention of every layer are "
    "diffusers' own, in the order in which diffusers gives the layers of the file to its model."
)

Parts = dict[str, dict[str, Tensor]]


class Host(Protocol):
    """How diffusers loads an adapter for one architecture, and attends to its image tokens."""

    def load(self, parts: Parts) -> tuple[nn.Module, Sequence[Any]]:
        """The projection, and the attention processors in the order of the layers of the file."""
        ...

    def query(self, width: int) -> tuple[Tensor, int]:
        """The query (B, N, I) that the layers of this width compute, and their number of heads."""
        ...

    def attend(self, processor: Any, width: int, tokens: Tensor) -> Tensor:
        """What a layer adds to its model: (B, N, I)."""
        ...


def compare_adapter(file: str) -> Comparison:
    """Compare the image tokens, and what every layer adds to its model."""
    diffusers = library("diffusers")
    adapter = load(file, "cpu", torch.float32)
    if adapter.family.id not in LOADED:
        raise ValueError(
            f"diffusers does not load files of the family {adapter.family.name}. It loads base, plus and full-face for "
            "SD1.5, SDXL and Kolors, and XLabs for Flux: only these are compared."
        )
    shape = (REFERENCES, *((POSITIONS,) if adapter.reads[0].rank == 3 else ()), adapter.feature_width)
    features = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    widths = adapter.layer_widths
    host = _host(diffusers, adapter)
    ours = _ours(adapter, host, features)
    del adapter  # before diffusers loads the file: it may have gigabytes
    return Comparison(version("diffusers"), ours, _theirs(file, host, features, widths), [NOTE])


def _ours(adapter: IPAdapter, host: Host, features: Tensor) -> Outputs:
    tokens = adapter.tokens(features)
    outputs: Outputs = {"image tokens": tokens}
    for number, width in enumerate(adapter.layer_widths):
        query, heads = host.query(width)
        ((key, value),) = adapter.key_value(tokens, [number])
        added = torch.zeros_like(query)
        attended = Attended(slice(0, REFERENCES), scale_key(key, heads), value)
        plan_attention(query, [attended], heads)(query, added, [1.0])
        outputs[_named(number, width)] = added
    return outputs


def _theirs(file: str, host: Host, features: Tensor, widths: Sequence[int]) -> Outputs:
    parts = _parts(file)
    try:
        projection, processors = host.load(parts)
        if len(processors) != len(widths):
            raise ValueError(f"it makes {len(processors)} layers of the {len(widths)} in the file")
        tokens = projection(features)
        outputs: Outputs = {"image tokens": tokens}
        for number, (width, processor) in enumerate(zip(widths, processors, strict=True)):
            outputs[_named(number, width)] = host.attend(processor, width, tokens)
    except UNREADABLE as error:
        why = _why_not(parts, error)
        raise ValueError(f"{version('diffusers')} cannot use this file ({why}), so it is not compared.") from error
    return outputs


def _why_not(parts: Parts, error: Exception) -> str:
    """Why diffusers cannot use a file, to stand in brackets."""
    depth = len({key.split(".")[1] for key in parts["image_proj"] if key.startswith("layers.")})
    if depth and depth != DEPTH:
        return f"its resampler has {depth} layers, and diffusers builds one of {DEPTH} for every file"
    return f"{type(error).__name__}: {textwrap.shorten(str(error), LONGEST, placeholder='...')}"


def _named(number: int, width: int) -> str:
    return f"layer {number}, {width} wide"


def _parts(file: str) -> Parts:
    """The tensors of the file as diffusers divides and names them."""
    parts: Parts = {part: {} for part in PARTS}
    with open_weights(file) as weights:
        for key in weights.tensors:
            part = next((part for part, prefixes in PARTS.items() if key.startswith(prefixes)), None)
            if part is None:
                raise ValueError(f"diffusers does not load files that hold {key}: this one is not compared.")
            name = key.partition(".")[2]
            for theirs, plain in XLABS.items():
                name = name.replace(theirs, plain)
            parts[part][name] = weights.read(key)
    return parts


def _host(diffusers: Any, adapter: IPAdapter) -> Host:
    if adapter.family.host == "flux":
        return _Flux(diffusers, adapter.layer_widths[0], adapter.context_width, len(adapter.layer_widths))
    return _UNet(diffusers, adapter.base_model, adapter.layer_widths, adapter.context_width)


def _identity(linear: Any) -> None:
    nn.init.eye_(linear.weight)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)


def _hidden_states(width: int) -> Tensor:
    return torch.randn(REFERENCES, QUERIES, width, generator=torch.Generator().manual_seed(width))


# -------------------------------------------------------------------------------------------------------------- UNets

SD15: Mapping[str, Any] = {"cross_attention_dim": 768}  # the default of diffusers' class
SDXL: Mapping[str, Any] = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "cross_attention_dim": 2048,
}
TOPOLOGIES: Mapping[str, tuple[Mapping[str, Any], tuple[int, ...]]] = {
    # base model -> config of diffusers' class, and for each of its levels a layer of the file that is as wide
    "SD1.5": (SD15, (0, 2, 4, 15)),
    "SDXL": (SDXL, (0, 0, 4)),  # the first level has no cross-attention
    "Kolors": (SDXL, (0, 0, 4)),
}


class _UNet:
    """A UNet without weights, as wide as the layers of the adapter: diffusers reads its names and widths alone."""

    def __init__(self, diffusers: Any, base_model: str, widths: Sequence[int], context: int):
        config, levels = TOPOLOGIES[base_model]
        channels = tuple(widths[layer] for layer in levels)
        with torch.device("meta"):
            self._unet = diffusers.UNet2DConditionModel(
                **config, block_out_channels=channels, attention_head_dim=1, norm_num_groups=1
            )
        self._attention = diffusers.models.attention_processor.Attention
        self._context = context

    def load(self, parts: Parts) -> tuple[nn.Module, Sequence[Any]]:
        found = self._unet._convert_ip_adapter_attn_to_diffusers([parts], low_cpu_mem_usage=False)
        projection = self._unet._convert_ip_adapter_image_proj_to_diffusers(
            parts["image_proj"], low_cpu_mem_usage=False
        )
        return projection, [processor for processor in found.values() if hasattr(processor, "to_k_ip")]

    def query(self, width: int) -> tuple[Tensor, int]:
        return _hidden_states(width), _heads(width, 64)

    def attend(self, processor: Any, width: int, tokens: Tensor) -> Tensor:
        """The attention to the text is zero, because the text is."""
        hidden, heads = self.query(width)
        attention = self._attention(width, self._context, heads=heads, dim_head=width // heads)
        _identity(attention.to_q)
        _identity(attention.to_out[0])
        return processor(attention, hidden, (torch.zeros(REFERENCES, 1, self._context), [tokens]))


def _heads(width: int, head: int) -> int:
    return width // head if width % head == 0 else 1


# --------------------------------------------------------------------------------------------------------------- Flux


class _Flux:
    """A stand-in for a Flux transformer: diffusers reads the names and the width of its blocks alone."""

    def __init__(self, diffusers: Any, width: int, context: int, blocks: int):
        self._loader = diffusers.FluxTransformer2DModel
        self._model = SimpleNamespace(
            attn_processors={f"transformer_blocks.{number}.attn.processor": None for number in range(blocks)},
            config=SimpleNamespace(joint_attention_dim=context),
            inner_dim=width,
            dtype=torch.float32,
            device=torch.device("cpu"),
        )
        heads = _heads(width, 128)
        attention: Any = library("diffusers.models.transformers.transformer_flux").FluxAttention
        self._attention = attention(
            width,
            heads,
            width // heads,
            bias=True,
            added_proj_bias=True,
            added_kv_proj_dim=width,
            context_pre_only=False,
        )
        for parameter in self._attention.parameters():
            nn.init.zeros_(parameter)
        _identity(self._attention.to_q)
        nn.init.ones_(self._attention.norm_q.weight)

    def load(self, parts: Parts) -> tuple[nn.Module, Sequence[Any]]:
        projection = self._loader._convert_ip_adapter_image_proj_to_diffusers(
            self._model, parts["image_proj"], low_cpu_mem_usage=False
        )
        found = self._loader._convert_ip_adapter_attn_to_diffusers(self._model, [parts], low_cpu_mem_usage=False)
        return projection, list(found.values())

    def query(self, width: int) -> tuple[Tensor, int]:
        heads = self._attention.heads
        query = self._attention.norm_q(_hidden_states(width).view(REFERENCES, QUERIES, heads, -1))
        return query.flatten(-2), heads

    def attend(self, processor: Any, width: int, tokens: Tensor) -> Tensor:
        text = torch.zeros(REFERENCES, 1, width)
        return processor(self._attention, _hidden_states(width), text, ip_hidden_states=[tokens])[2]
