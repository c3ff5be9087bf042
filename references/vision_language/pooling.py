"""The states of all tokens -> one vector. Letters: L tokens, W width of the model."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Pool = Callable[[Tensor], Tensor]


def _last(states: Tensor) -> Tensor:
    return states[-1]


def _mean(states: Tensor) -> Tensor:
    return states.mean(dim=0)


_POOLS: dict[str, tuple[str, Pool]] = {  # name -> what the space is called, (L, W) -> (W,)
    "last": ("last token", _last),  # that for which Qwen3-VL-Embedding was trained
    "mean": ("mean of tokens", _mean),
}
POOLINGS = tuple(_POOLS)


def feature_of(pooling: str) -> str:
    """What `Space.feature` is of a pooling. ValueError if it is unknown."""
    return _POOLS[_known(pooling)][0]


def pooling_of(feature: str) -> str | None:
    """The pooling that a `Space.feature` is of; None if it is of another encoder."""
    return next((pooling for pooling, (name, _) in _POOLS.items() if name == feature), None)


def pooled(states: Tensor, pooling: str) -> Tensor:
    """(L, W) -> (W,). ValueError if the pooling is unknown."""
    return _POOLS[_known(pooling)][1](states)


def _known(pooling: object) -> str:
    if not isinstance(pooling, str) or pooling not in _POOLS:
        raise ValueError(f"The pooling is {pooling!r:.80}: give one of {', '.join(map(repr, POOLINGS))}.")
    return pooling
