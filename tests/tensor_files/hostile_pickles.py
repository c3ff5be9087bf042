"""Pickles that attack their reader or hold no tensors, instruction by instruction, and what the error must say."""

import os
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Content = bytes | Callable[[], bytes]
Bomb = Callable[[Path], bytes]
P = b"\x80\x02"  # a pickle of protocol 2 begins so


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def name(module: str, attribute: str) -> bytes:
    return b"c" + f"{module}\n{attribute}\n".encode()


def storage(count: int = 4, key: str = "0", kind: str = "storage") -> bytes:
    place = text(kind) + name("torch", "FloatStorage") + text(key) + text("cpu") + b"J" + struct.pack("<i", count)
    return b"(" + place + b"tQ"


def rebuilt(place: bytes, offset: bytes = b"K\0", shape: bytes = b"K\4\x85", stride: bytes = b"K\1\x85") -> bytes:
    return name("torch._utils", "_rebuild_tensor_v2") + b"(" + place + offset + shape + stride + b"\x89}tR"


TENSOR = rebuilt(storage())  # four floats, which are all of the storage 0


def state_dict(value: bytes = TENSOR, key: bytes = text("a")) -> bytes:
    return P + b"}" + key + value + b"s."


# -------------------------------------------------------------------------------------------------------------- bombs


@dataclass
class Reduced:
    """An object that is pickled as a call."""

    function: Callable[..., object]
    arguments: tuple[object, ...]

    def __reduce__(self) -> tuple[object, ...]:
        return self.function, self.arguments


OPEN = name("builtins", "open")
MAKE = name("os", "mkdir")
EXTENSION = 0xF1  # the number under which EXT finds builtins.open


def for_opening(marker: Path) -> bytes:
    return text(str(marker)) + text("w")


def dumped(protocol: int) -> Bomb:
    return lambda marker: pickle.dumps({"a": Reduced(open, (str(marker), "w"))}, protocol)


def shell(marker: Path) -> bytes:
    return pickle.dumps({"a": Reduced(os.system, (f'echo > "{marker}"',))}, 2)


def instruction(before: bytes, after: bytes) -> Bomb:
    return lambda marker: state_dict(before + for_opening(marker) + after)


def new_object(marker: Path) -> bytes:
    """A pickle that calls os.mkdir without REDUCE: `tuple.__new__(tuple, map.__new__(map, os.mkdir, [marker]))`."""
    made = name("builtins", "tuple") + name("builtins", "map") + b"(" + MAKE
    return state_dict(made + b"(" + text(str(marker)) + b"lt\x81\x85\x81")


def dotted(marker: Path) -> bytes:
    return b"\x80\x04\x8c\x02os\x8c\x0dpath.os.mkdir\x93" + text(str(marker)) + b"\x85R."


def by_state(marker: Path) -> bytes:
    """A pickle that makes a harmless partial, turns it harmful with `__setstate__`, then calls it."""
    partial = name("functools", "partial") + name("builtins", "print") + b"\x85\x81"
    return state_dict(partial + b"(" + OPEN + b"(" + for_opening(marker) + b"t}Ntb" + b")R")


def by_torch(marker: Path) -> bytes:
    """A pickle that has torch load another pickle inside it without any check."""
    inner = dumped(2)(marker)
    data = b"B" + struct.pack("<I", len(inner)) + inner
    return state_dict(name("torch.storage", "_load_from_bytes") + data + b"\x85R")


# `pickle.load` runs the code of each, which makes the marker.
BOMBS: dict[str, tuple[Bomb, str]] = {
    "os.system": (shell, r"It asks for (posix|nt)\.system"),
    "STACK_GLOBAL": (dumped(4), r"It asks for \w+\.open"),
    "dotted name": (dotted, r"It asks for os\.path\.os\.mkdir"),
    "INST": (instruction(b"(", b"ibuiltins\nopen\n"), "It uses the instruction INST"),
    "OBJ": (instruction(b"(" + OPEN, b"o"), r"It asks for builtins\.open"),
    "EXT1": (instruction(b"\x82\xf1", b"\x86R"), "It uses the instruction EXT1"),
    "NEWOBJ": (new_object, r"It asks for builtins\.tuple"),
    "BUILD with __setstate__": (by_state, r"It asks for functools\.partial"),
    "torch._load_from_bytes": (by_torch, r"It asks for torch\.storage\._load_from_bytes"),
    "as a key": (lambda marker: state_dict(key=OPEN + for_opening(marker) + b"\x86R"), r"It asks for builtins\.open"),
    "as a persistent id": (instruction(OPEN, b"\x86RQ"), r"It asks for builtins\.open"),
    "as an attribute": (instruction(name("collections", "OrderedDict") + b")R" + OPEN, b"\x86Rb"), "for builtins.open"),
}


# ------------------------------------------------------------------------------------------------- what is no bomb


def tables_of_tables(depth: int, width: int) -> bytes:
    """Tables that each hold the one before under `width` keys: to walk them all takes width^depth steps."""
    made = P + b"}q\0"
    for level in range(depth):
        entries = b"".join(text(str(index)) + b"h" + bytes([level]) for index in range(width))
        made += b"}(" + entries + b"uq" + bytes([level + 1])
    return made + b"."


TUPLES = b")" + b"q\0h\0\x86" * 60  # tuples of the same tuples: to walk, hash, compare or print them never ends
BUILDS = name("torch._tensor", "_rebuild_from_type_v2")
IN_TABLES = P + b"}(" + text("a.b") + TENSOR + text("a") + b"}" + text("b") + TENSOR + b"su."

PICKLES: dict[str, tuple[Content, str]] = {
    "tables of the same tables": (tables_of_tables(10, 10), "more than 200,000 entries"),
    "table that holds itself": (P + b"}q\0" + text("a") + b"h\0s.", "nest more than 16 deep"),
    "tuples of the same tuples": (P + TUPLES + b".", "holds a tuple, not a table of tensors"),
    "tuples as a name": (P + TUPLES + b"q\0h\0\x93.", "contradicts itself"),
    "tuples as a persistent id": (P + TUPLES + b"Q.", "refers to something other"),
    "tuples as the key of a storage": (P + b"(" + text("storage") + TUPLES * 4 + b"tQ.", "in an unknown way"),
    "deep tuples": (P + b")" + b"\x85" * 200_000 + b".", "holds a tuple, not a table of tensors"),
    "memo at 2^32 - 1": (P + b"Nr\xff\xff\xff\xff.", "holds a NoneType, not a table of tensors"),
    "memo never filled": (P + b"h\7.", "contradicts itself"),
    "LONG4 of 2 GB": (P + b"\x8b\xff\xff\xff\x7f.", "uses the instruction LONG4"),
    "text of 4 GB": (P + b"X\xff\xff\xff\xffabc.", "longer than 16 MB"),
    "text of 2^64 bytes": (P + b"\x8d" + b"\xff" * 8 + b"abc.", "longer than 16 MB"),
    "frame of 2^64 bytes": (b"\x80\x04\x95" + b"\xff" * 8 + b"N.", "holds a NoneType, not a table of tensors"),
    "a million instructions": (lambda: P + b"N" * 1_000_000 + b".", "more than 250,000 instructions"),
    "empty pickle": (b"", "breaks off"),
    "nothing but its end": (b".", "contradicts itself"),
    "breaks off": (state_dict()[:-20], "breaks off"),
    "breaks off within a name": (P + b"ctorch", "breaks off within a name"),
    "name without an end": (P + b"c" + b"a" * 1_000_000, "breaks off within a name"),
    "name that is no UTF-8": (P + b"c\xff\n\xff\n.", "contradicts itself"),
    "name that writes on the terminal": (P + b"c\x1b[2J\nx\n.", r"It asks for \\x1b\[2J\.x"),
    "instruction that is none": (P + b"\xff.", r"an unknown instruction, b'\\xff'"),
    "text that is no UTF-8": (P + b"X\1\0\0\0\xff.", "contradicts itself"),
    "value without a key": (P + b"}(Nu.", "contradicts itself"),
    "item of a number": (P + b"K\1NNs.", "contradicts itself"),
    "call of a number": (P + b"K\1)R.", "contradicts itself"),
    "call without a tuple": (P + name("torch", "device") + b"]R.", "contradicts itself"),
    "call with 100,000 arguments": (P + name("torch", "device") + b"(" + b"N" * 100_000 + b"tR.", "contradicts itself"),
    "tensor of nothing": (state_dict(name("torch._utils", "_rebuild_tensor_v2") + b")R"), "contradicts itself"),
    "tensor as its own numbers": (state_dict(rebuilt(TENSOR)), "contradicts itself"),
    "tensor built of builders": (state_dict(BUILDS + b"q\7(h\7h\7h\7NtR"), "builds a tensor in an unknown way"),
    "module as a storage": (state_dict(rebuilt(storage(kind="module"))), "in an unknown way"),
    "storage of another folder": (state_dict(rebuilt(storage(key="../" * 20 + "etc/passwd"))), "does not say where"),
    "storage of -1 numbers": (state_dict(rebuilt(storage(-1))), "does not say where"),
    "tensor larger than its storage": (state_dict(rebuilt(storage(), shape=b"K\5\x85")), "reaches past its numbers"),
    "tensor behind its storage": (state_dict(rebuilt(storage(), offset=b"K\1")), "reaches past its numbers"),
    "stride beyond its storage": (state_dict(rebuilt(storage(), stride=b"K\2\x85")), "reaches past its numbers"),
    "negative dimension": (state_dict(rebuilt(storage(), shape=b"J\xff\xff\xff\xff\x85")), "shape of .* impossible"),
    "more dimensions than strides": (state_dict(rebuilt(storage(), shape=b"K\1K\4\x86")), "contradicts itself"),
    "name twice, in a table and beside": (IN_TABLES, r"names 'a\.b' twice"),
    "name of 10,000 letters": (state_dict(key=text("a" * 10_000)), "name of a tensor in it has 10,000 letters"),
    "one tensor": (P + TENSOR + b".", "holds a Tensor, not a table of tensors"),
    "one number": (P + b"K\1.", "holds a int, not a table of tensors"),
}
