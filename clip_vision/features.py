"""What an image encoder can be asked for. Letters: B images, N patches, T tokens, W width, D width of image_embeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, SupportsIndex, cast

import torch
from torch import Tensor

from ..tensor_files.placement import DTYPES, find_device, find_dtype

OTHERS: Mapping[str, int] = (
    MappingProxyType(  # features of faces, texts and characters -> how many dimensions they have
        {
            "face_embeds": 2,
            "face_embeds_raw": 2,
            "face_penultimate": 3,
            "face_box_penultimate": 3,
            "face_eva_embeds": 2,
            "face_eva_hidden": 3,
            "instruction": 3,
            "prompt": 3,
            "character_shallow": 3,
            "character_deep": 3,
            "character_pieces": 3,
        }
    )
)
WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)

Pick = SupportsIndex | slice | Sequence[int] | Sequence[bool] | Tensor


@dataclass(frozen=True, eq=False, repr=False)
class VisionFeatures:
    """The features of B images; a field is None unless it was asked for.

    The T tokens of CLIP and DINOv2 are the class token, DINOv2's registers where it has them, then N patches row by
    row; SigLIP and the largest PE-Core have patches only.

    image_embeds (B, D): CLIP's projection of `cls`, which CSD, the encoder of styles, L2-normalises; for SigLIP the
        same as `pooled`, and for PE-Core its projection. DINOv2 has none.
    cls (B, W): the class token after the last layer and its norm (transformers' `pooler_output` of CLIP and DINOv2).
    patches (B, N, W): `last` without the class token and registers.
    projected_patches (B, N + 1, D): CLIP's last norm and projection of `last`, class token first: row 0 equals
        `image_embeds`.
    penultimate (B, T, W): the input of the last layer (transformers' `hidden_states[-2]`).
    last (B, T, W): transformers' `last_hidden_state`: the output of the last layer, which for SigLIP, DINOv2 and
        PE-Core has passed the last norm and for CLIP has not.
    hidden {index: (B, T, W)}: transformers' `hidden_states[index]`, never normed: 0 is the input of the first
        layer, -1 or `depth` the output of the last. Keys are the indices that were asked for.
    pooled (B, W): the attention pooling of SigLIP (transformers' `pooler_output`) and PE-Core.
    others {name: (B, ...)}: what else is known of the pictures, such as the face in each, by the names of `OTHERS`.
    encoder: the name of the encoder; empty if it is not known.

    They act as a batch of B pictures: `len`, iteration, and an index, a slice, a list or a tensor of indices give
    features of these pictures. One picture alone keeps its dimension, B = 1.
    """

    image_embeds: Tensor | None = None
    cls: Tensor | None = None
    patches: Tensor | None = None
    projected_patches: Tensor | None = None
    penultimate: Tensor | None = None
    last: Tensor | None = None
    pooled: Tensor | None = None
    hidden: Mapping[int, Tensor] | None = None
    others: Mapping[str, Tensor] | None = None
    encoder: str = ""

    def select(self, name: str) -> Tensor:
        """The feature called `name`. ValueError when it is unknown or was not asked for."""
        feature = getattr(self, name) if name in FEATURES else None
        if feature is None:
            raise ValueError(f"The features hold no {name!r}, only {self.names()}. Encode with want=({name!r},).")
        return feature

    def names(self) -> list[str]:
        return [name for name in FEATURES if getattr(self, name) is not None]

    def as_dict(self) -> dict[str, Tensor]:
        """The features that are there, by name, without `hidden` and `others`."""
        return {name: self.select(name) for name in self.names()}

    def to(
        self,
        *target: torch.device | str | torch.dtype,
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
    ) -> VisionFeatures:
        """These features on a device, in a dtype, or both. ValueError if there is no such device, or no such dtype."""
        for each in target:
            if isinstance(each, torch.dtype) or isinstance(each, str) and each in DTYPES:
                dtype = each
            else:
                device = find_device(each)
        found = None if device is None else find_device(device)
        return self._each(lambda tensor: tensor.to(found, None if dtype is None else find_dtype(dtype, torch.float32)))

    def __len__(self) -> int:
        return len(next(iter((*self.as_dict().values(), *self._hidden_and_others().values())), ()))

    def __getitem__(self, pictures: Pick) -> VisionFeatures:
        rows = _rows(pictures, len(self))
        return self._each(lambda tensor: tensor[rows])

    def __iter__(self) -> Iterator[VisionFeatures]:
        return (self[number] for number in range(len(self)))

    def __repr__(self) -> str:
        tensors = {**self.as_dict(), **self._hidden_and_others()}
        shapes = [f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items()]
        count = f"{len(self)} picture{'' if len(self) == 1 else 's'}"
        return f"VisionFeatures({', '.join([self.encoder or 'unknown encoder', count, *shapes])})"

    def _each(self, change: Callable[[Tensor], Tensor]) -> VisionFeatures:
        named: dict[str, Any] = {name: change(tensor) for name, tensor in self.as_dict().items()}
        hidden = {index: change(state) for index, state in (self.hidden or {}).items()}
        others = {name: change(tensor) for name, tensor in (self.others or {}).items()}
        return replace(self, **named, hidden=hidden or None, others=others or None)

    def _hidden_and_others(self) -> dict[str, Tensor]:
        return {**{f"hidden {index}": state for index, state in (self.hidden or {}).items()}, **(self.others or {})}


FEATURES = tuple(field.name for field in fields(VisionFeatures) if field.name not in ("hidden", "others", "encoder"))


def concatenate(parts: Sequence[VisionFeatures]) -> VisionFeatures:
    """Features of consecutive images by one encoder, each with the same fields, as one."""
    named: dict[str, Any] = {name: torch.cat([part.select(name) for part in parts]) for name in parts[0].names()}
    states = [part.hidden or {} for part in parts]
    hidden = {index: torch.cat([state[index] for state in states]) for index in states[0]}
    return replace(parts[0], **named, hidden=hidden or None)


def _rows(pictures: Pick, count: int) -> slice | Tensor:
    """What takes these of `count` pictures from a tensor and keeps its first dimension.

    Raises:
        IndexError: there are fewer pictures.
        ValueError: it is no index.
    """
    if isinstance(pictures, slice):
        numbers = range(count)[pictures]
        return pictures if numbers.step > 0 else torch.tensor(numbers, dtype=torch.long)
    chosen = _as_tensor(pictures)
    if chosen.dtype == torch.bool and chosen.shape == (count,):
        return chosen.nonzero().flatten()
    if chosen.dtype not in WHOLE or chosen.ndim > 1:
        raise ValueError(
            "Pictures are chosen by a number, a slice, a list or tensor of numbers, or one True or False for each, not "
            f"by one of type {type(pictures).__name__}. A feature is chosen by its name with select(name)."
        )
    numbers = cast("list[int]", cast(Any, chosen.flatten()).tolist())
    if wrong := [number for number in numbers if not -count <= number < count]:
        raise IndexError(f"There is no picture {wrong[0]}: the features are those of {count}, counted from 0.")
    chosen = chosen.long() % max(count, 1)
    return chosen if chosen.ndim else slice(int(chosen), int(chosen) + 1)


def _as_tensor(pictures: object) -> Tensor:
    if isinstance(pictures, tuple):  # of a tensor it would choose along several axes
        return torch.empty(())
    try:
        chosen = torch.as_tensor(pictures, device="cpu")
    except (TypeError, ValueError, RuntimeError):  # a text, or lists of several lengths
        return torch.empty(())
    return chosen if chosen.numel() else chosen.long()  # an empty list makes a tensor of floats
