"""What one applied image prompt keeps while a sampler runs: the projected keys and values of every layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

KeyValue = tuple[Tensor, Tensor]  # key and value, each (R, T, I)


class ImageKeyValues(nn.Module):
    """Keys and values of all layers, for the conditional and the unconditional rows.

    They lie in one flat tensor a side, so that moving them to a device is two copies, however many layers there are.
    """

    def __init__(self, cond: Sequence[KeyValue], uncond: Sequence[KeyValue]):
        super().__init__()
        self._places: dict[str, list[tuple[int, torch.Size]]] = {}
        for side, layers in (("cond", cond), ("uncond", uncond)):
            like = layers[0][0] if layers else torch.empty(0)
            self._make_room(side, [key.shape for key, _ in layers], like.dtype, like.device)
            for number, pair in enumerate(layers):
                for room, given in zip(self.layer(side, number), pair, strict=True):
                    room.copy_(given)

    @classmethod
    def empty(
        cls,
        widths: Sequence[int],
        cond: tuple[int, int],
        uncond: tuple[int, int],
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> ImageKeyValues:
        """Room for layers of these inner widths, to be written through `layer`. cond, uncond: R and T of each side."""
        made = cls((), ())
        for side, (rows, tokens) in (("cond", cond), ("uncond", uncond)):
            made._make_room(side, [torch.Size((rows, tokens, width)) for width in widths], dtype, device)
        return made

    def layer(self, side: str, number: int) -> KeyValue:
        """Key and value (R, T, I) of a layer, as views. `side` is "cond" or "uncond"."""
        start, shape = self._places[side][number]
        pair = getattr(self, side)[start : start + 2 * shape.numel()].view(2, *shape)
        return pair[0], pair[1]

    def _make_room(
        self,
        side: str,
        keys: Sequence[torch.Size],
        dtype: torch.dtype | None,
        device: torch.device | str | None,
    ) -> None:
        """keys: the shape of each layer's key, which is that of its value too."""
        starts = [2 * sum(shape.numel() for shape in keys[:number]) for number in range(len(keys) + 1)]
        self._places[side] = list(zip(starts, keys))
        setattr(self, side, nn.Parameter(torch.empty(starts[-1], dtype=dtype, device=device), requires_grad=False))
