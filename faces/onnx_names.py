"""Read the names of the first nodes of an ONNX file: the format is Protocol Buffers, and needs no library for that.

Source: https://protobuf.dev/programming-guides/encoding and onnx/onnx.proto, where a model has its graph in field 7, a
graph its nodes in field 1, and a node its name in field 3.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

GRAPH, NODE, NAME = 7, 1, 3
VARINT, EIGHT_BYTES, LENGTH, FOUR_BYTES = 0, 1, 2, 5  # types of fields
SIZES = {EIGHT_BYTES: 8, FOUR_BYTES: 4}
LONGEST = 10  # bytes of a number


def first_node_names(path: Path, count: int) -> list[str]:
    """The names of the first nodes of the graph, as far as they can be read; none if the file is no ONNX model."""
    names: list[str] = []
    try:
        model = memoryview(path.read_bytes())
        for number, graph in _fields(model):
            if number == GRAPH:
                nodes = (each for at, each in _fields(graph) if at == NODE)
                for node in nodes:
                    names.append(
                        next((bytes(each).decode(errors="replace") for at, each in _fields(node) if at == NAME), "")
                    )
                    if len(names) == count:
                        return names
    except (IndexError, ValueError):
        pass
    return names


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(number, content) of the fields of a message that have a length; the others are passed over."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == LENGTH:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise ValueError("cut short")
            yield tag >> 3, data[at : at + length]
            at += length
        elif kind == VARINT:
            _, at = _varint(data, at)
        elif kind in SIZES:
            at += SIZES[kind]
        else:
            raise ValueError("no message")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number, and where the next thing begins."""
    value = 0
    for place in range(LONGEST):
        byte = data[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("a number without an end")
