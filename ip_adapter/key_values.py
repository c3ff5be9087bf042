"""The keys and values that the layers of a model attend to: projected once, or for the frames of a window only.

R references, T image tokens, C context width, I inner width of a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from .adapter import IPAdapter
from .attention import Attended, Weights, image_attention, scale_key

WINDOW = 16  # references of which every key and value is kept; more of them are projected where they are needed

KeyValue = tuple[Tensor, Tensor]  # key, with the softmax scale in it, and value, each (R, T, I)


class Constant(nn.Module):
    """Keys and values of all layers, projected before sampling.

    They lie in one flat tensor, so that moving them to a device is one copy, however many layers there are.
    """

    def __init__(
        self,
        rows: int,
        tokens: int,
        widths: Sequence[int],
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ):
        """Room for `rows` references of `tokens` each in layers of these inner widths, to be written by `layer`."""
        super().__init__()
        self.rows = rows
        self._shapes = [(rows, tokens, width) for width in widths]
        sizes = [2 * rows * tokens * width for width in widths]
        self._starts = [sum(sizes[:number]) for number in range(len(sizes))]
        self.flat = nn.Parameter(torch.empty(sum(sizes), dtype=dtype, device=device), requires_grad=False)

    def layer(self, number: int) -> KeyValue:
        """As views."""
        start, shape = self._starts[number], self._shapes[number]
        pair = self.flat[start : start + 2 * shape[0] * shape[1] * shape[2]].view(2, *shape)
        return pair[0], pair[1]

    def pick(self, number: int, references: Tensor, like: Tensor) -> KeyValue:
        """Of some references, on the device and in the dtype of `like`. `references`: their numbers, on its device."""
        key, value = (t.to(like)[references] for t in self.layer(number))
        return key, value


class PerWindow(nn.Module):
    """The tokens of many references, of which a call of a layer projects those that its rows are about.

    A film has a reference for each frame and shows the model a window of them at a time, so that keys and values of
    all would be many times those of a window. The adapter is needed while the model runs.
    """

    def __init__(self, adapter: IPAdapter, tokens: Tensor, layers: Sequence[int], heads: Sequence[int]):
        super().__init__()
        self.rows = len(tokens)
        self.tokens = nn.Parameter(tokens, requires_grad=False)  # (R, T, C)
        self._adapter = [adapter]  # in a list: its weights are not part of this module
        self._layers, self._heads = list(layers), list(heads)

    def pick(self, number: int, references: Tensor, like: Tensor) -> KeyValue:
        """Of some references, on the device and in the dtype of `like`. `references`: their numbers, on its device."""
        tokens = self.tokens.to(like.device)[references]
        ((key, value),) = self._adapter[0].key_value(tokens, [self._layers[number]])
        return scale_key(key, self._heads[number]).to(like), value.to(like)


Keys = Constant | PerWindow


class Sides(nn.Module):
    """The keys and values of the references and of the negative images."""

    def __init__(self, cond: Keys, uncond: Keys):
        super().__init__()
        self.cond = cond
        self.uncond = uncond

    def side(self, name: str) -> Keys:
        """`name` is "cond" or "uncond"."""
        return cast("Keys", getattr(self, name))


@dataclass(frozen=True, eq=False)
class Picked:
    """A step of a plan for rows of which each has a reference of its own: a window of them at a time, kept nowhere.

    layer: its number in `keys`
    references: of each row, on the device of the call
    mask: (1 or the number of rows, L), or None
    number: `Attended.number`
    """

    keys: Keys
    layer: int
    rows: slice
    references: Tensor
    mask: Tensor | None
    number: int
    heads: int

    def __call__(self, q: Tensor, out: Tensor, weights: Weights) -> None:
        for start in range(0, len(self.references), WINDOW):
            some = slice(start, start + WINDOW)
            references = self.references[some]
            key, value = self.keys.pick(self.layer, references, q)
            first = self.rows.start + start
            mask = self.mask if self.mask is None or len(self.mask) == 1 else self.mask[some]
            attended = Attended(slice(first, first + len(references)), key, value, mask, self.number)
            image_attention(q, [attended], self.heads, out, weights)
