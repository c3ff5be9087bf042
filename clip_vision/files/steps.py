"""How the tensors of a file become weights of our modules, whichever layout it has. Letters: N tokens, W width."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

IMAGE, TEXT = "image encoder", "text encoder"  # what a file holds, in errors

RANKS = (  # our name of a weight -> its dimensions
    (r".*\.batched", (3,)),  # (1, N, W)
    (r"patch_embedding\.weight", (4, 2)),  # (W, 3, P, P); NaFlex SigLIP2, which has (W, 3 P P), is refused by name
    (r"head\.probe", (3,)),
    (r"logit_(scale|bias)", (0, 1)),
    (r"class_embedding|.*bias|.*norm[12]?\.weight|.*\.scale[12]", (1,)),
    (r".*", (2,)),
)
_RANKS = tuple((re.compile(pattern).fullmatch, rank) for pattern, rank in RANKS)


def check_tensors(names: Mapping[str, str], sd: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are none, quantised or of another rank than their weight, by {key in the file: our name}."""
    for key, name in names.items():
        _check_tensor(key, sd[key], _rank(name))


def _rank(name: str) -> tuple[int, ...]:
    """How many dimensions a weight may have."""
    return next(rank for fits, rank in _RANKS if fits(name))


def _check_tensor(key: str, tensor: Any, rank: tuple[int, ...]) -> None:
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{key} is a {type(tensor).__name__}, not a tensor: the file is damaged. Download it again.")
    if not tensor.is_floating_point():
        raise ValueError(
            f"{key} is stored as {tensor.dtype}: quantised encoders are not supported. "
            "Choose a file in fp32, fp16 or bf16."
        )
    if tensor.ndim not in rank or not tensor.numel():
        raise ValueError(
            f"{key} has shape {tuple(tensor.shape)}, not {rank[0]} dimensions of some length: the file "
            "is damaged. Download it again."
        )


@dataclass(frozen=True)
class Step:
    """Weights as our modules hold them, and the tensors of the file that they are made of."""

    keys: tuple[str, ...]
    names: tuple[str, ...]
    make: Callable[..., tuple[Tensor, ...]]

    def run(self, tensors: Iterable[Tensor]) -> dict[str, Tensor]:
        return dict(zip(self.names, self.make(*tensors), strict=True))


def _stacked(*parts: Tensor) -> tuple[Tensor]:
    first, length = parts[0], sum(map(len, parts))
    if first.is_meta:  # to concatenate these torch would import its compiler, which takes a second
        return (torch.empty((length, *first.shape[1:]), dtype=first.dtype, device="meta"),)  # `new_empty` is slow there
    return (torch.cat(parts),)


def _first_third(in_proj: Tensor) -> tuple[Tensor, Tensor]:
    width = len(in_proj) // 3
    return in_proj[:width], in_proj[width:]


def _transposed(tensor: Tensor) -> tuple[Tensor]:
    return (tensor.t().contiguous(),)


def _unbatched(positions: Tensor) -> tuple[Tensor]:
    return (positions.flatten(0, -2),)


def _flattened(token: Tensor) -> tuple[Tensor]:
    return (token.flatten(),)


def _around_zeros(q_bias: Tensor, v_bias: Tensor) -> tuple[Tensor]:
    return _stacked(q_bias, torch.zeros_like(q_bias), v_bias)


def _without_bias(projection: Tensor) -> tuple[Tensor, Tensor]:
    return projection.t().contiguous(), projection.new_zeros(projection.shape[1])


def _unchanged(tensor: Tensor) -> tuple[Tensor]:
    return (tensor,)


# Name of a weight -> names beside it, of which one is made; names in our modules; how.
FUSED = (
    (r"(layers\.\d+\.attention\.)q(\.\w+)", (r"\1k\2", r"\1v\2"), (r"\1qkv\2",), _stacked),
    (r"(layers\.\d+\.attention\.)q_bias", (r"\1v_bias",), (r"\1qkv.bias",), _around_zeros),
    (r"(layers\.\d+\.mlp\.)gate(\.\w+)", (r"\1value\2",), (r"\1fc1\2",), _stacked),
    (r"class_embedding\.batched", (), ("class_embedding",), _flattened),
    (r"position_embedding\.batched", (), ("position_embedding",), _unbatched),
    (r"registers\.batched", (), ("registers",), _unbatched),
    (r"head\.in_proj(\.\w+)", (), (r"head.q\1", r"head.kv\1"), _first_third),
    (r"projection\.transposed", (), ("projection.weight",), _transposed),
    (r"projection\.transposed_alone", (), ("projection.weight", "projection.bias"), _without_bias),
)

_FUSED = tuple((re.compile(rf"(?:{pattern})\Z"), beside, names, make) for pattern, beside, names, make in FUSED)
_IS_FUSED = re.compile("|".join(f"(?:{pattern})" for pattern, *_ in FUSED)).fullmatch


def steps_of(keys: Mapping[str, str], what: str = IMAGE) -> list[Step]:
    """How our weights are made of those in the file, by {our name: key} and in its order: one qkv per layer, the head's
    q and kv, the projection as a Linear.
    """
    left, steps = dict(keys), list[Step]()
    for name in keys:
        for pattern, beside, names, make in _FUSED if _IS_FUSED(name) else ():
            if pattern.fullmatch(name):
                parts = (name, *(pattern.sub(each, name) for each in beside))
                found = tuple(_there(left.pop(part, None), part, name, what) for part in parts)
                steps.append(Step(found, tuple(pattern.sub(each, name) for each in names), make))
    steps += (Step((key,), (name,), _unchanged) for name, key in left.items())
    place = {key: number for number, key in enumerate(keys.values())}
    return sorted(steps, key=lambda step: min(place[key] for key in step.keys))


def shapes_of(steps: Iterable[Step], sd: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our weights on the meta device: names, shapes and dtypes without values."""
    shapes: dict[str, Tensor] = {}
    for step in steps:
        tensors = [sd[key].to("meta") for key in step.keys]
        _check_alike(step.keys, tensors)
        shapes.update(step.run(tensors))
    return shapes


def _check_alike(keys: Sequence[str], parts: Sequence[Tensor]) -> None:
    if len(shapes := {tuple(part.shape) for part in parts}) > 1:
        raise ValueError(
            f"{' and '.join(keys)} have shapes {sorted(shapes)}, not one and the same: "
            "the file is damaged. Download it again."
        )


def _there(key: str | None, part: str, name: str, what: str) -> str:
    if key is None:
        raise ValueError(f"The {what} is incomplete: no {part} beside {name}. Download the file again.")
    return key


def check_shapes(encoder: nn.Module, name: str, sd: Mapping[str, Tensor], what: str = IMAGE) -> None:
    """Strict loading, in our words.

    encoder: without weights, such as they should be; name: its name

    Raises:
        ValueError: weights are missing, too many or of another shape.
    """
    wanted = {key: tuple(tensor.shape) for key, tensor in encoder.state_dict().items()}
    found = {key: tuple(tensor.shape) for key, tensor in sd.items()}
    if missing := sorted(wanted.keys() - found.keys()):
        raise ValueError(f"The {what} is incomplete: {len(missing)} weights are missing, first {missing[:4]}.")
    if extra := sorted(found.keys() - wanted.keys()):
        raise ValueError(f"The {what} has {len(extra)} weights that a {name} has no use for, first {extra[:4]}.")
    for key, shape in wanted.items():
        if found[key] != shape:
            raise ValueError(f"{key} has shape {found[key]}, a {name} needs {shape}.")
