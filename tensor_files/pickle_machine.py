"""The state of a pickle while it is read as data: a stack, a memo, and values that cannot run anything.

A value is a number, a text, bytes, a tuple, a list, a `Table`, or a stand-in from a closed table of names. No class or
function that a file names is ever imported, so nothing can run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, cast

from .tensor_info import UnusableFile, damaged, quoted, too_large

MAX_BYTES = 16 << 20  # published pickles are below 1 MB
MAX_NAME = 256
MAX_ARGUMENTS = 16

SAFE = "Use a .safetensors version of the file."
INSTEAD = {  # class of a published file that is a whole module -> what to use instead
    "CSD_CLIP": "It is the style encoder CSD as a module (csd_clip.pth of IP-Adapter-Art): use the checkpoint of CSD "
    "itself, pytorch_model.bin of tomg-group-umd/CSD-ViT-L, or save the state_dict() of the module as safetensors.",
}


class Table:
    """A dict or an OrderedDict as a list of pairs, because its keys may be of any kind and are not compared."""

    __slots__ = ("items",)

    def __init__(self, items: list[Any] | None = None) -> None:
        self.items: list[Any] = [] if items is None else items


class Name:
    """The stand-in for a class or function that a file may name and call."""

    def __init__(self, stand_in: Callable[..., Any]) -> None:
        self.stand_in = stand_in


class Machine:
    """The state of reading one pickle.

    names: the stand-ins of what the pickle may name, by "module.name"
    load: the value of a persistent id, by which torch refers to the numbers of a tensor
    """

    def __init__(self, file: BinaryIO, names: Mapping[str, Any], load: Callable[[Any], Any]) -> None:
        self.file = file
        self.names = names
        self.load = load
        self.left = MAX_BYTES
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def take(self, count: int) -> bytes:
        self.left -= count
        if self.left < 0:
            raise too_large(f"its pickle is longer than {MAX_BYTES >> 20} MB")
        data = self.file.read(count)
        if len(data) < count:
            raise damaged("its pickle breaks off")
        return data

    def line(self) -> str:
        data = self.file.readline(MAX_NAME)
        self.left -= len(data)
        if not data.endswith(b"\n"):
            raise damaged("its pickle breaks off within a name")
        return data[:-1].decode()

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def named(self, module: Any, name: Any) -> Any:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError("a name that is not a text")
        full = f"{module}.{name}"
        if full not in self.names:
            raise more_than_tensors(f"asks for {quoted(full)[1:-1]}", INSTEAD.get(name, SAFE))
        return self.names[full]


def call(name: Any, arguments: Any) -> Any:
    few = isinstance(arguments, tuple) and len(cast(tuple[Any, ...], arguments)) <= MAX_ARGUMENTS
    if not (few and isinstance(name, Name)):
        raise TypeError("a call of what cannot be called")
    return name.stand_in(*arguments)


def more_than_tensors(what_it_does: str, instead: str = SAFE) -> UnusableFile:
    return UnusableFile(
        "is a pickle that holds more than tensors; reading it could run code, so it was not read. "
        f"{instead} (It {what_it_does}.)"
    )
