"""Features that were computed before, found again by the content of a picture. Letters: B pictures."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor

LIMIT = 128 << 20  # bytes
LARGEST = 4  # an entry of more than this part of the limit would push out too many others, and is not kept

Row = dict[str, Tensor]  # {feature: (...)} of one picture


class FeatureCache:
    """Features of single pictures on the CPU. The least recently used go once they take more than `limit` bytes.

    A key has to tell the encoder, with its dtype, and the picture as the encoder reads it. Any thread may use it.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        """ValueError if the limit is no number of bytes."""
        if not isinstance(cast(object, limit), int) or limit < 0:
            raise ValueError(f"The limit of the features that are kept is {limit!r}: give a number of bytes, or 0.")
        self.limit = limit
        self._lock = threading.Lock()
        self._rows: OrderedDict[Hashable, Row] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, key: Hashable, want: Collection[str]) -> Row | None:
        """The features of a picture, or None if one that is wanted is not known."""
        with self._lock:
            row = self._rows.get(key)
            if row is None or not row.keys() >= set(want):
                return None
            self._rows.move_to_end(key)
            return {name: row[name] for name in want}

    def keep(self, key: Hashable, row: Mapping[str, Tensor]) -> None:
        """Keep a copy of the features of a picture, beside others of it that are known."""
        if _size(row) * LARGEST > self.limit:
            return
        copied: Row = {name: feature.detach().to("cpu", copy=True) for name, feature in row.items()}
        with self._lock:
            copied = {**self._rows.get(key, Row()), **copied}
            if (size := _size(copied)) * LARGEST > self.limit:
                return
            self._drop(key)
            self._rows[key] = copied
            self._bytes += size
            while self._bytes > self.limit:
                self._drop(next(iter(self._rows)))

    def clear(self) -> None:
        """Forget all features."""
        with self._lock:
            self._rows.clear()
            self._bytes = 0

    def stats(self) -> dict[str, int]:
        """Pictures and bytes that are kept."""
        with self._lock:
            return {"pictures": len(self._rows), "bytes": self._bytes, "limit": self.limit}

    def _drop(self, key: Hashable) -> None:
        if (row := self._rows.pop(key, None)) is not None:
            self._bytes -= _size(row)


def encode_once(
    cache: FeatureCache,
    keys: Sequence[Hashable],
    want: Collection[str],
    encode: Callable[[list[int]], Mapping[str, Tensor]],
    one_at_a_time: AbstractContextManager[Any] | None = None,
) -> dict[str, Tensor]:
    """Features (B, ...) of pictures, in memory of their own. Each picture that the cache does not know is encoded once.

    Args:
        keys: of the pictures, as `FeatureCache` takes them
        want: names of the features
        encode: features (b, ...) by name of some of the pictures, given their numbers. It may leave a feature out that
            the encoder does not have
        one_at_a_time: a lock that is held while encoding, so that threads that ask for the same picture wait for it
    """
    rows = _known(cache, keys, want)
    if all(key in rows for key in keys):
        return _stacked(rows, keys)
    with one_at_a_time or nullcontext():
        rows |= _known(cache, [key for key in keys if key not in rows], want)  # by another thread meanwhile
        numbers = {key: number for number, key in reversed(list(enumerate(keys))) if key not in rows}
        missing = sorted(numbers, key=numbers.__getitem__)
        found = encode([numbers[key] for key in missing]) if missing else dict[str, Tensor]()
        for place, key in enumerate(missing):
            rows[key] = {name: feature[place] for name, feature in found.items()}
            cache.keep(key, rows[key])
    return dict(found) if len(missing) == len(keys) else _stacked(rows, keys)


def _known(cache: FeatureCache, keys: Sequence[Hashable], want: Collection[str]) -> dict[Hashable, Row]:
    return {key: row for key in dict.fromkeys(keys) if (row := cache.find(key, want)) is not None}


def _stacked(rows: Mapping[Hashable, Row], keys: Sequence[Hashable]) -> dict[str, Tensor]:
    return {name: torch.stack([rows[key][name].to("cpu") for key in keys]) for name in rows[keys[0]]}


def digest(tensor: Tensor) -> bytes:
    """A hash of the numbers and the shape of a tensor that is on the CPU."""
    whole = hashlib.sha256(repr((tuple(tensor.shape), tensor.dtype)).encode())
    whole.update(cast(Any, tensor.detach().contiguous()).numpy())
    return whole.digest()


def _size(row: Mapping[str, Tensor]) -> int:
    return sum(feature.nbytes for feature in row.values())
