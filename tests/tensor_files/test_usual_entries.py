"""Headers written in the usual way are read fast, and exactly as any other JSON is read."""

import json
import random

import pytest
import safetensors.torch
import torch

from image_prompt.tensor_files import UnusableFile
from image_prompt.tensor_files.safetensors_header import _any, _usual

METADATA = {
    "format": "pt",
    "tags": '{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]},"b\\\\": "}]"}',
    "größe": "\n",
}
LETTERS = b'0129"{}[],: -aF\\\x01.'


def table(count=6):
    found, end = {}, 0
    for number in range(count):
        shape = [number, 3, 2][: number % 4]
        size = 2
        for each in shape:
            size *= each
        found[f"blocks.{number}.größe"] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    return found


def shuffled(entries):
    names = list(entries)
    random.Random(0).shuffle(names)
    return {name: entries[name] for name in names}


def written(entries, separators=(",", ":"), padding=""):
    return (json.dumps(entries, separators=separators, ensure_ascii=False) + padding).encode()


USUAL = {
    "compact": written(table()),
    "of Python": written(table(), (", ", ": ")),
    "metadata": written({"__metadata__": METADATA, **table()}),
    "metadata, of Python": written({"__metadata__": METADATA, **table()}, (", ", ": ")),
    "padded": written(table(), padding=" " * 7),
    "data in another order": written(shuffled(table())),
}


@pytest.mark.parametrize("raw", USUAL.values(), ids=USUAL)
def test_what_is_usual_is_read_fast_and_as_any_other(raw):
    assert _usual(raw) == _any(raw) is not None


def test_what_the_library_writes_is_usual():
    tensors = {f"{number}.weight": torch.zeros(number, 2, dtype=torch.bfloat16) for number in range(5)}
    file = safetensors.torch.save(tensors, {"format": "pt"})
    raw = file[8 : 8 + int.from_bytes(file[:8], "little")]
    assert _usual(raw) == _any(raw) is not None


def entry(text, old, new):
    assert old in text
    return text.replace(old, new, 1).encode()


ONE = '{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},"b":{"dtype":"F16","shape":[1],"data_offsets":[4,6]}}'
UNUSUAL = {
    "a name twice": entry(ONE, '"b"', '"a"'),
    "metadata that is a tensor": entry(ONE, '"b"', '"__metadata__"'),
    "a leading zero": entry(ONE, "[0,4]", "[00,4]"),
    "a leading zero in a shape": entry(ONE, "[2]", "[02]"),
    "digits of another script": entry(ONE, "[4,6]", "[\N{ARABIC-INDIC DIGIT FOUR},6]"),
    "a sign": entry(ONE, "[4,6]", "[+4,6]"),
    "an underscore": entry(ONE, "[2]", "[0_2]"),
    "an unknown dtype": entry(ONE, '"F16","shape":[1],"data_offsets":[4,6]', '"F1","shape":[1],"data_offsets":[4,3]'),
    "an overlap": entry(ONE, "[4,6]", "[3,5]"),
    "a gap": entry(ONE, "[4,6]", "[5,7]"),
    "no comma": entry(ONE, "},", "}"),
    "two commas": entry(ONE, "},", "},,"),
    "a comma at the start": entry(ONE, "{", "{,"),
    "a comma at the end": entry(ONE, "]}}", "]},}"),
    "text behind it": f"{ONE}1".encode(),
    "a control character in a name": entry(ONE, '"b"', '"b\x01"'),
    "an escape in a name": entry(ONE, '"b"', r'"b\u0041"'),
    "a quotation mark in a name": entry(ONE, '"b"', r'"x\"b"'),
    "an unusual tensor before them": entry(ONE, "{", '{"c":{"shape":[1],"data_offsets":[0,2],"dtype":"F16"},'),
    "metadata without a comma": entry(ONE, "{", '{"__metadata__":{}'),
    "metadata of numbers": entry(ONE, "{", '{"__metadata__":{"a":1},'),
    "bytes that are no text": ONE.encode().replace(b'"b"', b'"\xff"'),
    "nothing": b"",
    "no tensors": b"{}",
}  # fmt: skip


@pytest.mark.parametrize("raw", UNUSUAL.values(), ids=UNUSUAL)
def test_what_is_unusual_is_left_to_the_other_reader(raw):
    assert _usual(raw) is None


def test_whatever_one_byte_does_to_a_header_both_readers_say_the_same():
    draw, usual = random.Random(0), 0
    for raw in USUAL.values():
        for _ in range(400):
            damaged = bytearray(raw)
            damaged[draw.randrange(len(raw))] = draw.choice(LETTERS)
            try:
                expected = _any(bytes(damaged))
            except UnusableFile:
                expected = None
            found = _usual(bytes(damaged))
            assert found in (None, expected), bytes(damaged)
            usual += found is not None
    assert usual > 100
