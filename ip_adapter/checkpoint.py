"""Identify an adapter by its keys and shapes, and load it strictly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .adapter import IPAdapter
from .containers import LAYER_KEY, normalise
from .families import Family
from .families.base_models import BaseModel
from .loading import Ops, Read, StateDict, check_shapes, first, shape_of


@dataclass(frozen=True)
class Layers:
    """What the per-layer tensors say: the model they are for, the inner width of every layer in file order, and whether
    keys and values have a bias.
    """

    base: BaseModel
    widths: tuple[int, ...]
    bias: bool


def identify(sd: object) -> Family:
    """The family of a file from keys and shapes alone (meta tensors will do).

    ValueError with the reason against every candidate, or, for a known kind of file, what it is and what to do.
    """
    return normalise(sd).family


def load_adapter(
    sd: object,
    *,
    read: Read | None = None,
    name: str = "",
    ops: Ops = nn,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> IPAdapter:
    """An adapter from the flat or nested dict of tensors of its file.

    read: gives the values of a key, each once, where those in a flat `sd` are on the meta device; only what belongs to
    the adapter is asked for, and nothing of a file that is refused. name: of the file, for messages about features.
    ops: where layers come from. device, dtype: where and in what precision the weights are kept, by default as loaded.
    ValueError as `identify`, and for missing, additional, misshapen, quantised and non-finite tensors.
    """
    parts = normalise(sd)
    layers = _measure_layers(parts.ip_adapter, parts.family)

    def build(ops: Ops, dtype: torch.dtype | None) -> IPAdapter:
        return IPAdapter(
            parts.family,
            layers.base,
            parts.image_proj,
            layers.widths,
            bias=layers.bias,
            name=name,
            ops=ops,
            device="meta",
            dtype=dtype,
        )

    plan = build(nn, None)
    if plan.context_width != layers.base.context_width:
        raise ValueError(
            f"The adapter file is damaged: its projection gives tokens {plan.context_width} wide, its layers take "
            f"{layers.base.context_width}."
        )
    check_shapes(plan.state_dict(), parts.state_dict())
    _check_dtypes(parts.state_dict())
    loaded = normalise(sd, read) if read else parts
    weights = {key: tensor.to(device=device, dtype=dtype) for key, tensor in loaded.state_dict().items()}
    _check_values(weights)
    adapter = build(ops, dtype)
    adapter.load_state_dict(weights, strict=True, assign=True)
    return adapter.requires_grad_(False).eval()


def _measure_layers(sd: StateDict, family: Family) -> Layers:
    """ValueError unless the layers are those of one of the family's base models, with keys and values alike."""
    if odd := [key for key in sd if not LAYER_KEY.fullmatch(key)]:
        raise ValueError(f"The adapter file holds keys that no layer has: {first(odd)}.")
    numbers = sorted({int(key.split(".")[0]) for key in sd})
    _, context = shape_of(sd, f"{numbers[0]}.to_k_ip.weight", 2)
    base = next((base for base in family.base_models if base.context_width == context), None)
    if base is None:
        known = ", ".join(f"{base.name}: {base.context_width}" for base in family.base_models)
        raise ValueError(f"The adapter's layers take tokens {context} wide, which fits no supported model ({known}).")
    expected = base.numbers
    missing = [str(n) for n in expected if n not in numbers]
    extra = [str(n) for n in numbers if n not in expected]
    if missing or extra:
        raise ValueError(
            f"An adapter for {base.name} has {base.layers} layers, numbered {expected[0]}, {expected[1]} ... "
            f"{expected[-1]}; this file has {len(numbers)} (missing: {first(missing) or 'none'}; unexpected: "
            f"{first(extra) or 'none'})."
        )
    widths = tuple(shape_of(sd, f"{n}.to_k_ip.weight", 2)[0] for n in expected)
    return Layers(base, widths, bias=any(key.endswith(".bias") for key in sd))


def _check_dtypes(sd: StateDict) -> None:
    if wrong := [f"{key} ({tensor.dtype})" for key, tensor in sd.items() if not tensor.is_floating_point()]:
        raise ValueError(
            f"The adapter's weights are not floating point: {first(wrong)}. Quantised adapters are not supported: "
            "choose the file in fp32, fp16 or bf16."
        )


def _check_values(sd: StateDict) -> None:
    if broken := [key for key, tensor in sd.items() if not (tensor.is_meta or _is_finite(tensor))]:
        raise ValueError(f"The adapter file is damaged: NaN or infinity in {first(broken)}. Get the file again.")


def _is_finite(tensor: Tensor) -> bool:
    """A sum is finite only if every term is, and takes no memory; torch cannot sum 8 bit floats as they are."""
    terms = tensor.float() if tensor.itemsize == 1 else tensor
    return bool(terms.sum(dtype=torch.promote_types(terms.dtype, torch.float32)).isfinite())
