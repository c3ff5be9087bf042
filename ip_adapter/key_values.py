"""What one applied image prompt keeps while a sampler runs: the projected keys and values of every layer."""

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
        self.cond = _flat(cond)
        self.uncond = _flat(uncond)
        self._shapes = {"cond": _layout(cond), "uncond": _layout(uncond)}

    def layer(self, side: str, number: int) -> KeyValue:
        """Key and value (R, T, I) of a layer, as views. `side` is "cond" or "uncond"."""
        start, shape = self._shapes[side][number]
        pair = getattr(self, side)[start : start + 2 * shape.numel()].view(2, *shape)
        return pair[0], pair[1]


def _flat(layers: Sequence[KeyValue]) -> nn.Parameter:
    return nn.Parameter(torch.cat([t.flatten() for pair in layers for t in pair]), requires_grad=False)


def _layout(layers: Sequence[KeyValue]) -> list[tuple[int, torch.Size]]:
    """(offset, shape of the key) of each layer in the flat tensor."""
    offsets, start = list[tuple[int, torch.Size]](), 0
    for key, _ in layers:
        offsets.append((start, key.shape))
        start += 2 * key.numel()
    return offsets
