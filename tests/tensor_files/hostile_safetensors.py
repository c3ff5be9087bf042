"""Broken and hostile safetensors files: their content, or what makes it, and what the error must say."""

import json
import struct
from collections.abc import Callable

Content = bytes | Callable[[], bytes]


def safetensors(header: object, data: int = 0, length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + bytes(data)


def tensor(start: object = 0, end: object = 8, shape: object = (2,), dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def million(value: bytes) -> Callable[[], bytes]:
    return lambda: safetensors(b'{"a": [' + (value + b",") * 1_000_000 + value + b"]}")


ENTRY = json.dumps(tensor()).encode()
GOOD = safetensors({"a": tensor()}, 8)

BROKEN: dict[str, tuple[Content, str]] = {
    "header cut off": (GOOD[:40], r"is cut short: 40 of \d+ bytes"),
    "header longer than the file": (safetensors({"a": tensor()}, 8, 5000), "is cut short: .* of 5,008 bytes"),
    "header ends early": (safetensors(b'{"a": }'), "not the JSON it should be"),
    "header is not UTF-8": (safetensors(b'{"\xff": 1}'), "not the JSON it should be"),
    "half a surrogate pair": (safetensors({"\ud800": tensor()}, 8), "letters that do not exist"),
    "half a surrogate pair in the metadata": (safetensors({"__metadata__": {"a": "\udfff"}}), "letters that do not"),
    "metadata of numbers": (safetensors({"__metadata__": {"a": 1}}), "__metadata__ is not a table of texts"),
    "metadata is a number": (safetensors({"__metadata__": 1}), "__metadata__ is not a table of texts"),
    "tensor is a text": (safetensors({"a": "F32"}), "does not describe 'a' as a tensor"),
    "no offsets": (safetensors({"a": {"dtype": "F32", "shape": [2]}}), "does not describe 'a' as a tensor"),
    "three offsets": (safetensors({"a": {**tensor(), "data_offsets": [0, 4, 8]}}, 8), "does not describe 'a'"),
    "unknown dtype": (safetensors({"a": tensor(dtype="F33")}, 8), "does not describe 'a' as a tensor of a known dtype"),
    "dtype is a list": (safetensors({"a": tensor(dtype=["F32"])}, 8), "does not describe 'a'"),
    "negative offset": (safetensors({"a": tensor(-8, 0)}), "offsets of 'a' are impossible"),
    "offset with a fraction": (safetensors({"a": tensor(0.0, 8.0)}, 8), "offsets of 'a' are impossible"),
    "offset is false": (safetensors({"a": tensor(False, 8)}, 8), "offsets of 'a' are impossible"),
    "offset of 2^64": (safetensors({"a": tensor(2**64 - 8, 2**64)}, 8), "offsets of 'a' are impossible"),
    "shape is a text": (safetensors({"a": tensor(shape="2")}, 8), "shape .* of 'a' are impossible"),
    "dtype too large for its bytes": (safetensors({"a": tensor(dtype="F64")}, 8), "8 bytes are set aside for 'a'"),
    "tensors overlap": (safetensors({"a": tensor(0, 8), "b": tensor(4, 12)}, 12), "data of 'b' overlaps"),
    "gap between tensors": (safetensors({"a": tensor(0, 8), "b": tensor(12, 20)}, 20), "data of 'b' leaves a gap"),
    "gap before the first tensor": (safetensors({"a": tensor(8, 16)}, 16), "data of 'a' leaves a gap"),
    "data cut off": (GOOD[:-1], r"is cut short: \d+ of \d+ bytes"),
    "more data than tensors": (GOOD + b"\0", "1 bytes follow after its last tensor"),
    "many names twice": (
        lambda: safetensors(b"{" + b",".join(b'"%x":1,"%x":1' % (i, i) for i in range(100_000)) + b"}"),
        "names '.*' twice",
    ),
    "header of 2^63 bytes": (safetensors({}, length=2**63), "header is 9,223,372,036,854,775,808 bytes long"),
    "header of 2^64 - 1 bytes": (safetensors({}, length=2**64 - 1), "is not a model file: it begins with"),
    "header is a list": (safetensors(b"[]"), "is not a model file: it begins with"),
    "nested lists": (safetensors(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"), "nest too deep"),
    "nested tables": (safetensors(b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "nest too deep"),
    "nested behind a quotation mark": (safetensors(b'{"\\"":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "too deep"),
    "nested behind a backslash": (safetensors(b'{"\\\\":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "too deep"),
    "a million numbers": (million(b"1"), "header holds more than 350,000 values"),
    "15 MB of quotation marks": (lambda: safetensors(b"{" + b'""' * (15 << 19) + b"}"), "more than 350,000 values"),
    "number of 300,000 digits": (safetensors(b'{"a": [' + b"1" * 300_000 + b"]}"), "a number of 300,000 digits"),
    "name of a million letters": (safetensors({"a" * 1_000_000: 1}), r"'a{77}\.\.\.'"),
    "name that writes on the terminal": (safetensors({"\x1b[2J\n": 1}), r"'\\x1b\[2J\\n'"),
}

# What the safetensors library reads, and this pack does not.
STRICTER: dict[str, tuple[Content, str]] = {
    "same name twice": (safetensors(b'{"a": %s, "a": %s}' % (ENTRY, ENTRY), 8), "names 'a' twice"),
    "header of 20 MB": (lambda: safetensors({"__metadata__": {"a": " " * (20 << 20)}}), "header is 20,971,5.. bytes"),
    "shape of ten thousand dimensions": (safetensors({"a": tensor(shape=[1] * 10_000, end=4)}, 4), "are impossible"),
}
