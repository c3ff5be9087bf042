"""Check the list of entries in torch's zip archive, and unpack the pickle in it and nothing else."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from typing import BinaryIO

from .pickle_machine import MAX_BYTES
from .tensor_info import UnusableFile, damaged, quoted, too_large

MAX_LIST = 2 << 20  # an entry takes about 80 bytes, so the list of a full SDXL checkpoint takes 0.2 MB
PICKLE = "data.pkl"
CODE = "constants.pkl"  # only TorchScript has it
ENCRYPTED = 1
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Archive:
    """The parts of an archive that describe its tensors.

    folder: what the names of all entries begin with
    sizes: the bytes of every entry, by name
    pickle: the bytes of data.pkl
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        with _opened(_ShortReads(file), size) as archive:  # pyright: ignore
            entries = archive.infolist()
            _check(entries, size)
            index = _index(entries)
            self.folder = index.filename.removesuffix(PICKLE)
            self.sizes = {entry.filename: entry.file_size for entry in entries}
            self.pickle = _unpacked(archive, index)


class _ShortReads(io.BufferedReader):
    """A file that refuses long reads, because an archive itself says how long its list of entries is."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_LIST:
            raise too_large(f"the list of what is in the archive has {size:,} bytes")
        return super().read(size)


def _opened(file: io.BufferedReader, size: int) -> zipfile.ZipFile:
    if not zipfile.is_zipfile(file):
        raise UnusableFile(
            f"is cut short: it begins as a torch archive, but the end is missing ({size:,} bytes are here). Get the "
            "file again."
        )
    return zipfile.ZipFile(file)


def _check(entries: Sequence[zipfile.ZipInfo], size: int) -> None:
    names = {entry.filename for entry in entries}
    if any(name.endswith(f"/{CODE}") for name in names):
        raise UnusableFile(
            "is a TorchScript archive, as OpenAI published CLIP: that is code, which is not run here. Use the "
            "transformers version (model.safetensors), or save the model's state dict as .safetensors."
        )
    if len(names) < len(entries):
        raise damaged("its archive has two entries of the same name")
    for entry in entries:
        if entry.filename.startswith("/") or "\\" in entry.filename or ".." in entry.filename.split("/"):
            raise damaged(f"its archive has an entry that leads outside of it, {quoted(entry.filename)}")
        if entry.flag_bits & ENCRYPTED:
            raise UnusableFile("is an encrypted archive: it cannot be read. Unpack it with its password.")
        if entry.volume or not 0 <= entry.header_offset <= size - entry.compress_size:
            raise damaged(f"its archive lists data that are not in it, {quoted(entry.filename)}")
    if sum(entry.compress_size for entry in entries) > size:
        raise damaged("the entries of its archive overlap")


def _index(entries: Sequence[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    found = [entry for entry in entries if entry.filename.count("/") == 1 and entry.filename.endswith(f"/{PICKLE}")]
    if not found:
        raise UnusableFile(
            f"is a zip archive, but not one that torch wrote: there is no {PICKLE} in it. Unpack it, and use the model "
            "file in it."
        )
    if len(found) > 1:
        raise damaged(f"its archive has {len(found)} {PICKLE}")
    return found[0]


def _unpacked(archive: zipfile.ZipFile, index: zipfile.ZipInfo) -> bytes:
    if index.file_size > MAX_BYTES:
        raise too_large(f"its {PICKLE} has {index.file_size:,} bytes")
    if index.compress_type not in METHODS:
        raise damaged(f"its {PICKLE} is compressed in a way that torch does not use")
    with archive.open(index) as file:
        data = b"".join(iter(lambda: file.read(MAX_LIST), b""))
    if len(data) != index.file_size:
        raise damaged(f"its {PICKLE} has {len(data):,} of {index.file_size:,} bytes")
    return data
