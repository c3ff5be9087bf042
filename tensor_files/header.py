"""Read the header of a model file: the names, shapes and dtypes of its tensors, without their data.

Nothing in the file is run. Whatever it holds, reading ends within about a second, with the header or with the reason
why it could not be read.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, TypeVar

from .printable_text import printable
from .safetensors_header import looks_like_safetensors, read_safetensors
from .tensor_info import TensorInfo, UnusableFile
from .torch_index import read_archive, read_legacy

HEAD_BYTES = 512
TENSOR = "torch tensor"
WRAPPERS = ("state_dict.", "model_state_dict.")  # of trainers, who put optimisers beside them
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True)
class Header:
    """The tensors that a model file holds, and its metadata.

    container: "safetensors", "torch archive", "torch pickle", or "torch tensor" for one that was saved alone
    tensors: by name; the keys of torch's nested dicts are joined with dots. A tensor alone is called ""
    starts: where the data of each tensor begin in a safetensors file
    """

    container: str
    tensors: Mapping[str, TensorInfo]
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    starts: Mapping[str, int] = field(default_factory=dict[str, int], compare=False)

    @property
    def state_dict(self) -> Mapping[str, TensorInfo]:
        """The tensors of the model, without what trainers wrap around them."""
        return self.tensors if self.container == "safetensors" else unwrapped(self.tensors)


Value = TypeVar("Value")


def unwrapped(table: Mapping[str, Value]) -> Mapping[str, Value]:
    """The state dict inside a trainer's checkpoint; any other table is returned as it is."""
    inside = (
        {key.removeprefix(wrapper): value for key, value in table.items() if key.startswith(wrapper)}
        for wrapper in WRAPPERS
    )
    return next(filter(None, inside), table)


def read_header(path: str | os.PathLike[str], one_tensor: bool = False, listed: bool = False) -> Header:
    """The header of a model file. The content says which container it is, not the file name.

    one_tensor: whether it may also be a file of `torch.save(tensor)`, which is no model
    listed: whether a listing has just shown that it is a regular file, which is asked only once more then

    Raises:
        UnusableFile: the path is not a model file that can be read; the text says why, and what to do.
        FileNotFoundError, NotADirectoryError: the path does not exist.
    """
    try:
        if not listed:
            _check_kind(os.stat(path))
        header = _read(path)
        if header.container == TENSOR and not one_tensor:
            raise UnusableFile("holds a Tensor, not a table of tensors: it is not a model file.")
        return header
    except UnusableFile as error:
        raise UnusableFile(f"{_name(path)} {error}") from error
    except OSError as error:
        if isinstance(error, (FileNotFoundError, NotADirectoryError)) and not os.path.islink(path):
            raise
        raise UnusableFile(f"{_name(path)} {_why(error)}") from error
    except Exception as error:  # zipfile and the codecs raise a dozen types for a broken file
        raise UnusableFile(
            f"{_name(path)} could not be read as a model file: {printable(str(error)[:200]) or type(error).__name__}. "
            "It is damaged, cut short, or has the wrong extension. Get the file again."
        ) from error


def _read(path: str | os.PathLike[str]) -> Header:
    with open(path, "rb", opener=_open) as file:
        status = os.fstat(file.fileno())
        _check_kind(status)  # another file may have taken its place
        head = file.read(HEAD_BYTES)
        file.seek(0)
        return _reader(head)(file, status.st_size)


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # opening a pipe waits for its other end


def _check_kind(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = next((kind for is_kind, kind in KINDS if is_kind(status.st_mode)), "something else")
        raise UnusableFile(f"is {kind}, not a file: it was not opened. Give the model file itself.")


def _safetensors(file: BinaryIO, size: int) -> Header:
    tensors, starts, metadata = read_safetensors(file, size)
    return Header("safetensors", tensors, metadata, starts)


def _archive(file: BinaryIO, size: int) -> Header:
    return _torch("torch archive", read_archive(file, size))


def _legacy(file: BinaryIO, size: int) -> Header:
    return _torch("torch pickle", read_legacy(file, size))


def _torch(container: str, found: TensorInfo | Mapping[str, TensorInfo]) -> Header:
    return Header(TENSOR, {"": found}) if isinstance(found, TensorInfo) else Header(container, found)


Reader = Callable[[BinaryIO, int], Header]
READERS: tuple[tuple[Callable[[bytes], bool], Reader], ...] = (
    (looks_like_safetensors, _safetensors),
    (lambda head: head.startswith(b"PK"), _archive),
    (lambda head: head.startswith(b"\x80"), _legacy),
)
NO_MODELS: tuple[tuple[Callable[[bytes], bool], str], ...] = (
    (lambda head: not head, "is empty: the download was cut short. Get the file again."),
    (
        lambda head: head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"),
        "is a web page, not a model: the link led to the page about the file, or to a login. Download the file itself.",
    ),
    (
        lambda head: re.match(rb"\x08[\x01-\x7f][\x12\x3a\x42]", head) is not None,  # its version, then another field
        "is an ONNX model, such as those of a face pack. The files of a face pack belong in a folder of its name in "
        "models/insightface/models, from where Load Face Analyser loads them.",
    ),
    (
        lambda head: head.startswith(b"version https://git-lfs"),
        "is a Git LFS pointer, not the model: it names the file that git left on the server. Get that file with "
        "`git lfs pull`, or download it.",
    ),
)


def _reader(head: bytes) -> Reader:
    for begins_so, reader in READERS:
        if begins_so(head):
            return reader
    for begins_so, what in NO_MODELS:
        if begins_so(head):
            raise UnusableFile(what)
    raise UnusableFile(
        f"is not a model file: it begins with {head[:16]!r}. The download failed, or the extension is wrong. Get the "
        "file again."
    )


def _why(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "may not be read by this user: permission denied. Change its permissions."
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        return "is a link to a file that is not there. Make the link anew, or get the file."
    if error.errno == errno.ELOOP:
        return "is a link that leads back to itself. Make the link anew, or get the file."
    return f"could not be read: {error.strerror or error}. Check the disk, then try again."


def _name(path: str | os.PathLike[str]) -> str:
    return printable(os.path.basename(os.path.normpath(os.fsdecode(path))))
