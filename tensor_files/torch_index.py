"""Read which tensors a file of `torch.save` holds, from its pickle in a zip archive or at the start of the file."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from .pickle_machine import Table
from .pickle_steps import all_steps, read_pickle
from .tensor_info import MAX_TENSORS, TensorInfo, UnusableFile, cut_short, damaged, quoted, too_large
from .torch_archive import Archive
from .torch_names import NAMES, Storage, storage_of

MAX_DEPTH = 16
MAX_ENTRIES = 4 * MAX_TENSORS
MAX_LETTERS = 512  # in the name of a tensor
LEGACY_START = (0x1950A86A20F9469CFC6C, 1001)  # magic number, version
COUNT_BYTES = 8  # before the numbers of each storage


Found = dict[str, TensorInfo] | TensorInfo


def read_archive(file: BinaryIO, size: int) -> Found:
    """The tensors of a file in torch's present format, or the one tensor that is all it holds."""
    archive = Archive(file, size)

    def load(persistent_id: Any) -> Storage:
        storage = storage_of(persistent_id)
        found = archive.sizes.get(f"{archive.folder}data/{storage.key}", 0)
        if found < storage.size:
            raise damaged(f"of the tensor data {quoted(storage.key)} there are {found:,} of {storage.size:,} bytes")
        return storage

    return _tensors(read_pickle(io.BytesIO(archive.pickle), NAMES, load, all_steps()))


def read_legacy(file: BinaryIO, size: int) -> Found:
    """As `read_archive`, of a file in torch's format before version 1.6.

    It holds five pickles (magic number, version, byte order, tensors, keys of the storages), then the numbers.
    """
    storages: dict[str, int] = {}
    steps = all_steps()

    def load(persistent_id: Any) -> Storage:
        storage = storage_of(persistent_id)
        storages[storage.key] = storage.size
        return storage

    def next_pickle() -> Any:
        return read_pickle(file, NAMES, load, steps)

    if (next_pickle(), next_pickle()) != LEGACY_START:
        raise UnusableFile("is a pickle, but not one that torch wrote: it is not a model file. Get the file again.")
    next_pickle()
    tensors = _tensors(next_pickle())
    if not _are_keys(next_pickle(), storages):
        raise damaged("its list of tensor data does not fit its tensors")
    expected = file.tell() + sum(COUNT_BYTES + length for length in storages.values())
    if size < expected:
        raise cut_short(size, expected)
    return tensors


def _are_keys(value: Any, storages: dict[str, int]) -> bool:
    keys = cast(list[Any], value) if isinstance(value, list) else [None]
    return all(isinstance(key, str) for key in keys) and storages.keys() == {*keys}


def _tensors(value: Any) -> Found:
    """The tensors of nested tables in one dict, their keys joined with dots; a tensor alone as it is."""
    if isinstance(value, TensorInfo):
        return value
    if not isinstance(value, Table):
        raise UnusableFile(f"holds a {type(value).__name__}, not a table of tensors: it is not a model file.")
    tensors: dict[str, TensorInfo] = {}
    for name, tensor in _walk(value, "", 0, iter(range(MAX_ENTRIES))):
        if name in tensors:
            raise damaged(f"it names {quoted(name)} twice")
        tensors[name] = tensor
    return tensors


def _walk(table: Table, prefix: str, depth: int, entries: Iterator[int]) -> Iterator[tuple[str, TensorInfo]]:
    if depth > MAX_DEPTH:
        raise too_large(f"its tables nest more than {MAX_DEPTH} deep")
    for key, value in table.items:
        if next(entries, None) is None:
            raise too_large(f"its tables have more than {MAX_ENTRIES:,} entries")
        if not isinstance(key, (str, int)):  # optimisers have numbers as keys; no model has others
            continue
        name = f"{prefix}{key}"
        if len(name) > MAX_LETTERS:
            raise too_large(f"the name of a tensor in it has {len(name):,} letters")
        if isinstance(value, Table):
            yield from _walk(value, f"{name}.", depth + 1, entries)
        elif isinstance(value, TensorInfo):
            yield name, value
