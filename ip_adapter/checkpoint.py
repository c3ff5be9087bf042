"""Identify an adapter by its keys and shapes, and load it strictly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    """The layers of an adapter, and the model that they are for.

    by_number: the tensors of each layer, in the order of the file
    """

    base: BaseModel
    by_number: Mapping[int, StateDict]


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
    metadata: Mapping[str, str] | None = None,
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
        metadata: of the file

    Raises:
        ForeignFile: as `identify`.
        ValueError: as `identify`; or files of `family` have other shapes; or `metadata` says that it is used in another
            way; or tensors are missing, left over, of the wrong shape, quantised, NaN or infinite.
    """
    plan = _planned(sd, name, path, family, metadata)
    parts = plan.parts
    loaded = normalise(sd, read) if read else parts
    weights, lora = (
        {key: tensor.to(device=device, dtype=dtype) for key, tensor in tensors.items()}
        for tensors in (loaded.state_dict(), loaded.lora)
    )
    _check_values({**weights, **lora})
    return _filled(plan.build(ops, dtype), weights, lora)


def describe(sd: object, *, path: str = "", metadata: Mapping[str, str] | None = None, ops: Ops = nn) -> IPAdapter:
    """The adapter that `load_adapter` would make, without weights: meta tensors are enough. Raises as that.

    ops: the namespace of layers that show their shapes, and need no values
    """
    return _planned(sd, "", path, "", metadata, ops).adapter


@dataclass(frozen=True)
class Plan:
    """What a file makes.

    adapter: shows what the adapter will be, and can do nothing
    build: makes it, on the meta device
    """

    parts: AdapterParts
    adapter: IPAdapter
    build: Callable[[Ops, torch.dtype | None], IPAdapter]


def _planned(sd: object, name: str, path: str, family: str, metadata: Mapping[str, str] | None, ops: Ops = nn) -> Plan:
    """What `load_adapter` will make of a file. Raises as that, as far as it needs no values."""
    parts = normalise(sd)
    layers = _measure_layers(parts.ip_adapter, parts.family)
    chosen = _chosen_family(parts, layers.base, path or name, family)
    if objection := chosen.objection(metadata or {}):
        raise ValueError(objection)

    def build(ops: Ops, dtype: torch.dtype | None) -> IPAdapter:
        return IPAdapter(
            chosen,
            layers.base,
            parts.image_proj,
            layers.by_number,
            name=name,
            ops=ops,
            device="meta",
            dtype=dtype,
        )

    plan = build(ops, None)
    if not chosen.through_model and plan.token_width != plan.context_width:
        raise ValueError(
            f"The adapter file is damaged: its projection gives tokens {plan.token_width} wide, its layers take "
            f"{plan.context_width}."
        )
    check_shapes(plan.weights(), parts.state_dict())
    if parts.lora:
        check_lora(parts.lora, plan.layer_widths, layers.base.context_width)
    _check_dtypes({**parts.state_dict(), **parts.lora})
    return Plan(parts, plan, build)


def copy_adapter(adapter: IPAdapter, *, ops: Ops = nn) -> IPAdapter:
    """A copy of an adapter, on the CPU, that shares no tensor with it but those of its LoRA.

    ops: the namespace that layers come from
    """
    weights = {key: tensor.detach().to("cpu", copy=True) for key, tensor in adapter.weights().items()}
    image_proj, layers = (
        {key.removeprefix(part): tensor for key, tensor in weights.items() if key.startswith(part)}
        for part in ("image_proj.", "ip_adapter.")
    )
    measured = _measure_layers(layers, adapter.family)
    made = IPAdapter(
        adapter.family, measured.base, image_proj, measured.by_number, name=adapter.name, ops=ops, device="meta"
    )
    return _filled(made, weights, adapter.lora)


def _filled(adapter: IPAdapter, weights: Mapping[str, Tensor], lora: dict[str, Tensor]) -> IPAdapter:
    """The adapter with these tensors in it, which it takes as they are."""
    apart = {f"ip_adapter.{key}": key for key in adapter.sampling_layers.state_dict()}
    adapter.load_state_dict({key: each for key, each in weights.items() if key not in apart}, strict=True, assign=True)
    adapter.sampling_layers.load_state_dict({key: weights[each] for each, key in apart.items()}, assign=True)
    adapter.sampling_layers.requires_grad_(False).eval()
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
    """Divide the tensors of the layers, which have to be those of one of the family's base models.

    Raises:
        ValueError: keys, numbers or widths fit none of these models.
    """
    if odd := [key for key in sd if not LAYER_KEY.fullmatch(key)]:
        raise ValueError(f"The adapter file holds keys that no layer has: {first(odd)}.")
    by_number: dict[int, dict[str, Tensor]] = {}
    for key in sorted(sd, key=lambda key: int(key.split(".")[0])):
        number, _, name = key.partition(".")
        by_number.setdefault(int(number), {})[name] = sd[key]
    base = _base_model(by_number, family)
    expected = base.numbers(family.blocks)
    missing = [str(n) for n in expected if n not in by_number]
    extra = [str(n) for n in by_number if n not in expected]
    if missing or extra:
        raise ValueError(
            f"{family.name} for {base.name} has {len(expected)} layers, numbered {expected[0]}, {expected[1]} ... "
            f"{expected[-1]}; this file has {len(by_number)} (missing: {first(missing) or 'none'}; unexpected: "
            f"{first(extra) or 'none'})."
        )
    return Layers(base, by_number)


def _base_model(layers: Mapping[int, StateDict], family: Family) -> BaseModel:
    """The model that layers are for, by the width of the tokens that they take, if these are like those of text."""
    if not family.like_text:
        return family.base_models[0]
    number = next(iter(layers))
    _, context = shape_of(
        {f"{number}.{name}": each for name, each in layers[number].items()}, f"{number}.to_k_ip.weight", 2
    )
    base = next((base for base in family.base_models if base.context_width == context), None)
    if base is None:
        known = ", ".join(f"{base.name}: {base.context_width}" for base in family.base_models)
        raise ValueError(f"The adapter's layers take tokens {context} wide, which fits no supported model ({known}).")
    return base


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
