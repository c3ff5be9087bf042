"""Layers of torch that show their shapes and hold nothing: to compare a network with a file takes no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


class _Linear(nn.Linear):
    def reset_parameters(self) -> None:
        """To draw first values takes most of the time that it takes to make a layer, even where none are kept."""


class _LayerNorm(nn.LayerNorm):
    def reset_parameters(self) -> None: ...


class _Conv2d(nn.Conv2d):
    def reset_parameters(self) -> None: ...


class PlanLayers:
    """The namespace that layers come from, in place of `torch.nn`: equal layers are one and the same.

    They are on the meta device. A network of them says in `state_dict` which tensors it needs, and can do nothing else.
    """

    def __init__(self) -> None:
        self._made: dict[object, nn.Module] = {}
        self.Linear = self._once(_Linear)
        self.LayerNorm = self._once(_LayerNorm)
        self.Conv2d = self._once(_Conv2d)

    def _once(self, kind: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        def layer(*sizes: Any, **options: Any) -> nn.Module:
            wanted = (kind, sizes, *sorted(options.items()))
            if wanted not in self._made:
                self._made[wanted] = kind(*sizes, **options | {"device": "meta"})
            return self._made[wanted]

        return layer
