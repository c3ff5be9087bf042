"""The keys and values that a model attends to.

They are projected once before sampling, or anew for each window of frames, or at each step.

Letters: R references, T image tokens, C context width, I inner width of a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from .adapter import IPAdapter
from .attention import NOTHING, Attended, Beside, Weights, image_attention, scale_key
from .families import Combine

WINDOW = 16  # references that a step projects at a time; up to as many are always projected before sampling

KeyValue = tuple[Tensor, Tensor]  # key, with the softmax scale in it, and value, each (R, T, I)


class Constant(nn.Module):
    """The keys and values of all layers, projected before sampling.

    They lie in one flat tensor, so that one copy moves all layers to a device.
    """

    def __init__(
        self,
        rows: int,
        tokens: Sequence[int],
        widths: Sequence[int],
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ):
        """Reserve memory for R = `rows` references, to be filled through `layer`.

        tokens, widths: T and I of each layer
        """
        super().__init__()
        self.rows = rows
        self._shapes = [(rows, count, width) for count, width in zip(tokens, widths, strict=True)]
        sizes = [2 * rows * count * width for _, count, width in self._shapes]
        self._starts = [sum(sizes[:number]) for number in range(len(sizes))]
        self.flat = nn.Parameter(torch.empty(sum(sizes), dtype=dtype, device=device), requires_grad=False)

    def layer(self, number: int) -> KeyValue:
        """The key and the value of a layer, each (R, T, I), as views that can be written to."""
        start, shape = self._starts[number], self._shapes[number]
        pair = self.flat[start : start + 2 * shape[0] * shape[1] * shape[2]].view(2, *shape)
        return pair[0], pair[1]

    def scale_values(self, factors: Sequence[float]) -> None:
        """Multiply the values of each reference by its factor. The references may be joined in one row."""
        if not self.rows:
            return
        scale = torch.tensor(factors, dtype=self.flat.dtype, device=self.flat.device).view(-1, 1, 1)
        for number in range(len(self._shapes)):
            value = self.layer(number)[1]
            value.view(len(factors), -1, value.shape[-1]).mul_(scale)


class PerWindow(nn.Module):
    """The tokens of many references; each call of a layer projects only those that its rows attend to.

    A video has one reference for each frame, and the model sees a window of frames at a time. The keys and values of
    all frames would take many times the memory of a window. The adapter has to stay loaded while the model runs.
    """

    def __init__(self, adapter: IPAdapter, tokens: Tensor, layers: Sequence[int], heads: Sequence[int]):
        """Keep tokens (R, T, C). `layers`: numbers of the adapter's layers. `heads`: attention heads of each layer."""
        super().__init__()
        self.rows = len(tokens)
        self.tokens = nn.Parameter(tokens, requires_grad=False)  # (R, T, C)
        self._adapter = [adapter]  # in a list: its weights are not part of this module
        self._layers, self._heads = list(layers), list(heads)

    def pick(self, number: int, references: Tensor, like: Tensor) -> KeyValue:
        """The key and the value of some references, each (number of references, T, I), in a layer.

        number: number of the layer
        references: numbers of the references, on the device of `like`
        like: a tensor whose device and dtype the result gets
        """
        tokens = self.tokens[references.to(self.tokens.device)].to(like.device)
        ((key, value),) = self._adapter[0].key_value(tokens, [self._layers[number]])
        return scale_key(key, self._heads[number]).to(like), value.to(like)


class Stepped(NamedTuple):
    """The tokens of one evaluation of the model.

    tokens: (R, T, C); R is 1 if all references are joined
    embedding: of the timestep, (1, E)
    factors: on the values of each reference, (R, 1, 1), where all are joined; None: none
    """

    tokens: Tensor
    embedding: Tensor
    factors: Tensor | None = None


class PerStep(nn.Module):
    """What tokens are made of that follow the timestep. The adapter has to stay loaded while the model runs."""

    def __init__(
        self, adapter: IPAdapter, states: Tensor, layers: Sequence[int], heads: Sequence[int], *, joined: bool = False
    ):
        """Keep the states (R, N, M) that `IPAdapter.prepare` gives.

        layers: numbers of the adapter's layers
        heads: attention heads of each layer
        joined: whether all references act as one
        """
        super().__init__()
        self.rows = min(len(states), 1) if joined else len(states)
        self.states = nn.Parameter(states, requires_grad=False)
        self._adapter = [adapter]  # in a list: its weights are not part of this module
        self._layers, self._heads, self._joined = list(layers), list(heads), joined
        self._factors: tuple[float, ...] = ()

    def scale_values(self, factors: Sequence[float]) -> None:
        """As `Constant.scale_values`."""
        self._factors = tuple(factors)

    def at(self, timestep: Tensor, like: Tensor, adapter: IPAdapter | None = None) -> Stepped:
        """The tokens at a timestep from 0 to 1000, (1,).

        like: a tensor whose device and dtype they get
        adapter: a copy of the adapter on that device, if there is one
        """
        tokens, embedding = (adapter or self._adapter[0]).step(self.states.to(like), timestep.to(like.device))
        tokens = tokens.flatten(0, 1).unsqueeze(0) if self._joined else tokens
        factors = tokens.new_tensor(self._factors).view(-1, 1, 1) if self._factors and self.rows else None
        return Stepped(tokens, embedding[:1], factors)

    def key_value(self, number: int, at: Stepped, adapter: IPAdapter | None = None) -> KeyValue:
        """The key and the value of a layer, each (R, T, I). number: of the layer. adapter: as `at` takes it"""
        layer, heads = self._layers[number], self._heads[number]
        key, value = (adapter or self._adapter[0]).layer_key_value(at.tokens, layer, at.embedding)
        if at.factors is not None:
            value = (value.reshape(len(at.factors), -1, value.shape[-1]) * at.factors).view_as(value)
        return scale_key(key, heads), value


Keys = Constant | PerWindow | PerStep


class Sides(nn.Module):
    """The keys and values of the references ("cond") and of the negative images ("uncond")."""

    def __init__(self, cond: Keys, uncond: Keys):
        super().__init__()
        self.cond = cond
        self.uncond = uncond

    def side(self, name: str) -> Keys:
        """The keys and values of one side. `name`: "cond" or "uncond"."""
        return cast("Keys", getattr(self, name))


Pick = Callable[[Tensor, Tensor], KeyValue]  # of the numbers of references, and the query


@dataclass(frozen=True, eq=False)
class Picked:
    """A step of a plan for rows that attend to one reference each. It takes `WINDOW` rows at a time and keeps nothing.

    pick: gives the key and the value (R, T, I) of references, on the device and in the dtype of a query
    rows: the rows of the call, neighbours of each other
    references: the number of each row's reference, on the device of the call
    mask: (1 or the number of rows, L latent tokens), or None
    number: as `Attended.number`
    heads: number of attention heads
    combine, layer: as `Attended` has them
    """

    pick: Pick
    rows: slice
    references: Tensor
    mask: Tensor | None
    number: int
    heads: int
    combine: Combine = "add"
    layer: nn.Module | None = None

    def __call__(self, q: Tensor, out: Tensor, weights: Weights, beside: Beside = NOTHING) -> None:
        for start in range(0, len(self.references), WINDOW):
            some = slice(start, start + WINDOW)
            references = self.references[some]
            key, value = self.pick(references, q)
            first = self.rows.start + start
            mask = self.mask if self.mask is None or len(self.mask) == 1 else self.mask[some]
            rows = slice(first, first + len(references))
            attended = Attended(rows, key, value, mask, self.number, self.combine, self.layer)
            image_attention(q, [attended], self.heads, out, weights, beside)
