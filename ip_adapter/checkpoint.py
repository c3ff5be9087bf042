"""Identify an adapter by its keys and shapes, and load it strictly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .adapter import IPAdapter
from .containers import LAYER_KEY, AdapterParts, normalise
from .families import FAMILIES, Family, Hints, alike, hint_of, told_apart
from .families.base_models import BaseModel
from .loading import Ops, Read, StateDict, check_shapes, first, shape_of
from .lora import check_lora


@dataclass(frozen=True)
class Layers:
    """What the tensors of an adapter's layers say about it.

    base: the model that it is for
    widths: the inner width of every layer, in the order of the file
    bias: whether keys and values have a bias
    """

    base: BaseModel
    widths: tuple[int, ...]
    bias: bool


DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}  # torch's -> as safetensors names it


def identify(sd: object) -> Family:
    """The family of a file, found from its keys and shapes alone. The tensors may be on the meta device.

    Where files of several families have the same shapes, it is the first of them: `load_adapter` tells them apart.

    Raises:
        ForeignFile: it is a known kind of file, but not a supported adapter. The message says what to do with it.
        ValueError: it is not a known adapter. The message says for every family why it is not of that one.
    """
    return normalise(sd).family


def load_adapter(
    sd: object,
    *,
    read: Read | None = None,
    name: str = "",
    path: str = "",
    family: str = "",
    ops: Ops = nn,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> IPAdapter:
    """Load an adapter from the flat or nested dict of tensors of its file.

    Args:
        read: gives the values of a key if the tensors in a flat `sd` are on the meta device. It is called once for each
            key that belongs to the adapter, and never for a file that is refused
        name: name of the file, for messages about features
        path: of the file, by default its name. It tells families apart whose files have the same shapes
        family: the id of the family, where the shapes leave a choice; "" to decide by the path and the dtypes
        ops: the namespace that layers come from
        device, dtype: where and in what precision the weights are kept, by default as loaded

    Raises:
        ForeignFile: as `identify`.
        ValueError: as `identify`; or files of `family` have other shapes; or tensors are missing, left over, of the
            wrong shape, quantised, NaN or infinite.
    """
    parts = normalise(sd)
    layers = _measure_layers(parts.ip_adapter, parts.family)
    chosen = _chosen_family(parts, layers.base, path or name, family)

    def build(ops: Ops, dtype: torch.dtype | None) -> IPAdapter:
        return IPAdapter(
            chosen,
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
    if not chosen.through_model and plan.token_width != layers.base.context_width:
        raise ValueError(
            f"The adapter file is damaged: its projection gives tokens {plan.token_width} wide, its layers take "
            f"{layers.base.context_width}."
        )
    check_shapes(plan.state_dict(), parts.state_dict())
    check_lora(parts.lora, layers.widths, layers.base.context_width)
    _check_dtypes({**parts.state_dict(), **parts.lora})
    loaded = normalise(sd, read) if read else parts
    weights, lora = (
        {key: tensor.to(device=device, dtype=dtype) for key, tensor in tensors.items()}
        for tensors in (loaded.state_dict(), loaded.lora)
    )
    _check_values({**weights, **lora})
    adapter = build(ops, dtype)
    adapter.load_state_dict(weights, strict=True, assign=True)
    adapter.lora = lora
    return adapter.requires_grad_(False).eval()


def _chosen_family(parts: AdapterParts, base: BaseModel, path: str, wanted: str) -> Family:
    """The family of a file among those whose files have the same shapes: the one that is wanted, or hinted at."""
    if not wanted:
        dtypes = frozenset(DTYPES.get(tensor.dtype, str(tensor.dtype)) for tensor in parts.state_dict().values())
        return told_apart(parts.family, Hints(hint_of(path), base.name, dtypes))
    possible = alike(parts.family)
    chosen = next((each for each in possible if each.id == wanted), None)
    if chosen is None:
        choices = " or ".join(f"{each.name} ({each.id})" for each in possible)
        asked = next((each.name for each in FAMILIES if each.id == wanted), wanted)
        raise ValueError(
            f"{hint_of(path) or 'This adapter'} is {parts.family.kind} ({parts.family.name}) by its shapes, so it "
            f"cannot be {asked}: choose {choices}, or leave the choice open."
        )
    return chosen


def _measure_layers(sd: StateDict, family: Family) -> Layers:
    """Measure the layers, which have to be those of one of the family's base models.

    Raises:
        ValueError: keys, numbers or widths fit none of these models.
    """
    if odd := [key for key in sd if not LAYER_KEY.fullmatch(key)]:
        raise ValueError(f"The adapter file holds keys that no layer has: {first(odd)}.")
    numbers = sorted({int(key.split(".")[0]) for key in sd})
    _, context = shape_of(sd, f"{numbers[0]}.to_k_ip.weight", 2)
    base = next((base for base in family.base_models if base.context_width == context), None)
    if base is None:
        known = ", ".join(f"{base.name}: {base.context_width}" for base in family.base_models)
        raise ValueError(f"The adapter's layers take tokens {context} wide, which fits no supported model ({known}).")
    expected = base.numbers[: base.layers - family.idle_layers]
    missing = [str(n) for n in expected if n not in numbers]
    extra = [str(n) for n in numbers if n not in expected]
    if missing or extra:
        raise ValueError(
            f"{family.name} for {base.name} has {len(expected)} layers, numbered {expected[0]}, {expected[1]} ... "
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
    """Whether no term is NaN or infinite: only then is the sum finite, and a sum takes no memory."""
    terms = tensor.float() if tensor.itemsize == 1 else tensor  # torch cannot sum 8 bit floats
    return bool(terms.sum(dtype=torch.promote_types(terms.dtype, torch.float32)).isfinite())
