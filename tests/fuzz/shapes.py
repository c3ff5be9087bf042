"""Make one nearly right input of another: JSON with odd values, and containers whose lengths and sums still fit."""

import io
import json
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from target import Change, Raw

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 3, 0.5, 1e308, -1e308, 2**31, 2**63, 2**64 - 1, 10**400),
    *(float("inf"), float("-inf"), float("nan")),
    *(
        "",
        " ",
        "0",
        "-1",
        "1e999",
        "nan",
        "9" * 5000,
        "\0",
        "\ud800",
        "\x1b[2J",
        "a\nb",
        "../x",
        "/",
        "C:\\x",
        "é" * 300,
        "a" * 5000,
    ),
    *([], {}, [[]], [None], [0], [0, 0], [{}], {"": {}}, {"a": []}),
)
MAKE_MORE = 40  # entries of a list that was repeated


def json_with(*words: str) -> Change:
    """JSON of which values, keys and their places change. words: texts that mean something in it"""

    def change(data: bytes, most: int, draw: Random, raw: Raw) -> bytes:
        if draw.random() < 0.1:
            return raw(data, most)
        try:
            tree = json.loads(data)
            whole = [tree]
            for _ in range(draw.choice((1, 1, 1, 2, 4))):
                _change_one(whole, draw, words)
            made = json.dumps(whole[0]).encode()
        except (ValueError, RecursionError, MemoryError):
            return raw(data, most)
        return made if len(made) <= most else raw(data, most)

    return change


def _change_one(whole: list[Any], draw: Random, words: Sequence[str]) -> None:
    places = _places(whole)
    holder, key = draw.choice(places)
    act = draw.choice((_odd, _odd, _deep, _delete, _copy, _wrap, _nudge, _word, _rename, _repeat))
    act(holder, key, draw, places, words)


def _places(whole: list[Any]) -> list[tuple[Any, Any]]:
    """Every value, as the table or list that holds it and its key there."""
    places: list[tuple[Any, Any]] = [(whole, 0)]
    for holder, key in places:  # it grows
        value = holder[key]
        inside = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        places += [(value, each) for each in inside]
    return places


def _odd(holder: Any, key: Any, draw: Random, *_: Any) -> None:
    holder[key] = json.loads(json.dumps(draw.choice(ODD)))


def _deep(holder: Any, key: Any, draw: Random, *_: Any) -> None:
    for _ in range(draw.choice((5, 40, 300, 600, 800, 900))):
        holder[key] = [holder[key]]


def _delete(holder: Any, key: Any, draw: Random, places: Any, words: Any) -> None:
    if holder is not places[0][0]:
        del holder[key]


def _copy(holder: Any, key: Any, draw: Random, places: Any, words: Any) -> None:
    other, place = draw.choice(places)
    holder[key] = json.loads(json.dumps(other[place]))


def _wrap(holder: Any, key: Any, draw: Random, *_: Any) -> None:
    value = holder[key]
    holder[key] = draw.choice(([value], [value, value], {"a": value}, str(value)[:500]))


def _nudge(holder: Any, key: Any, draw: Random, *_: Any) -> None:
    value = holder[key]
    if isinstance(value, (int, float)):
        holder[key] = draw.choice((value + 1, value - 1, -value, value * 2, float(value) if abs(value) < 2**60 else 0))
    elif isinstance(value, str) and value:
        at = draw.randrange(len(value))
        holder[key] = (
            value[:at] + draw.choice(("", value[at] * 2, ":", ",", " ", "\n", "0", "\u2028")) + value[at + 1 :]
        )


def _word(holder: Any, key: Any, draw: Random, places: Any, words: Sequence[str]) -> None:
    holder[key] = draw.choice(words) if words else ""


def _rename(holder: Any, key: Any, draw: Random, places: Any, words: Sequence[str]) -> None:
    if isinstance(holder, dict):
        names = [other for table, other in places if isinstance(table, dict)]
        holder[draw.choice((*names, *words, "", "0", "\ud800", "\x1b[2J", "a" * 5000))] = holder.pop(key)


def _repeat(holder: Any, key: Any, draw: Random, *_: Any) -> None:
    if isinstance(holder, list) and len(holder) < MAKE_MORE:
        holder.insert(key, json.loads(json.dumps(holder[key])))


def texts_of(*words: str) -> Change:
    """Texts of which whole words change."""

    def change(data: bytes, most: int, draw: Random, raw: Raw) -> bytes:
        if draw.random() < 0.4:
            return raw(data, most)
        text = data.decode(errors="replace")
        for _ in range(draw.choice((1, 1, 2, 4))):
            begin = draw.randrange(len(text) + 1)
            end = min(len(text), begin + draw.choice((0, 0, 1, 3)))
            text = text[:begin] + draw.choice((*words, "\n", " ", ",", ":", "-", ".", "0", "9" * 5000)) + text[end:]
        return text.encode()[:most]

    return change


def safetensors_with(*words: str) -> Change:
    """A safetensors file whose header changes as JSON does, and mostly has its true length and the data it names."""
    in_header = json_with(*words)

    def change(data: bytes, most: int, draw: Random, raw: Raw) -> bytes:
        length = int.from_bytes(data[:8], "little")
        if draw.random() < 0.15 or length > len(data):
            return raw(data, most)
        header = in_header(data[8 : 8 + length], most, draw, raw)
        numbers = data[8 + length :]
        if draw.random() < 0.7:
            header, numbers = _fitting(header, numbers, most)
        return (len(header).to_bytes(8, "little") + header + numbers)[:most]

    return change


BYTES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8, "F64": 8, "U8": 1, "I8": 1, "BOOL": 1, "F8_E4M3": 1}


def _fitting(header: bytes, numbers: bytes, most: int) -> tuple[bytes, bytes]:
    """The header with offsets side by side, where shapes and dtypes are usable, and as many bytes of data."""
    try:
        table, end = json.loads(header), 0
        for name, entry in table.items():
            if name != "__metadata__":
                size = BYTES[entry["dtype"]]
                for each in entry["shape"]:
                    size *= each
                entry["data_offsets"] = [end, end := end + size]
        fitting = json.dumps(table).encode()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return header, numbers
    return (fitting, (numbers + bytes(most))[:end]) if isinstance(end, int) and 0 <= end <= most else (header, numbers)


def pictures_with(texts: Change) -> Change:
    """A PNG picture of which the parts change, and keep their sums."""

    def change(data: bytes, most: int, draw: Random, raw: Raw) -> bytes:
        parts = _parts(data)
        if draw.random() < 0.2 or not parts:
            return raw(data, most)
        number = draw.randrange(len(parts))
        kind, content = parts[number]
        act = draw.randrange(4)
        if act == 0:
            parts.insert(number, parts[draw.randrange(len(parts))])
        elif act == 1:
            parts[number] = draw.choice((b"tEXt", b"zTXt", b"iTXt", b"comf", b"IDAT", b"IEND")), content
        else:
            begin = content.find(b"\0") + 1 if act == 2 else 0
            inside = texts if act == 2 else lambda data, most, draw, raw: raw(data, most)
            parts[number] = kind, content[:begin] + inside(content[begin:], most, draw, raw)
        return (data[:8] + b"".join(_part(*each) for each in parts))[:most]

    return change


def _parts(data: bytes) -> list[tuple[bytes, bytes]]:
    found, at = list[tuple[bytes, bytes]](), 8
    while at + 12 <= len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def _part(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(*parts: tuple[bytes, bytes]) -> bytes:
    """A PNG picture of these parts, which begins and ends as all do."""
    begin = (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_part(*each) for each in (begin, *parts, (b"IEND", b"")))


def pickles(data: bytes, most: int, draw: Random, raw: Raw) -> bytes:
    """Pickles of which whole instructions change."""
    steps = _steps(data)
    if draw.random() < 0.2 or not steps:
        return raw(data, most)
    for _ in range(draw.choice((1, 1, 2, 4))):
        number = draw.randrange(len(steps))
        act: Callable[[], Any] = draw.choice(
            (
                lambda: steps.pop(number) if len(steps) > 1 else None,
                lambda: steps.insert(number, draw.choice(steps)),
                lambda: steps.insert(number, draw.choice(INSTRUCTIONS)),
                lambda: steps.__setitem__(number, draw.choice(INSTRUCTIONS)),
                lambda: steps.__setitem__(number, steps[number][:1] + raw(steps[number][1:], 40)),
            )
        )
        act()
        if not steps:
            break
    return b"".join(steps)[:most]


def _steps(data: bytes) -> list[bytes]:
    """The instructions of all pickles at the start of the data, and what follows as the last."""
    ends, file = [0], io.BytesIO(data)
    try:
        while file.tell() < len(data):
            begin = file.tell()
            ends += [begin + at for _, _, at in pickletools.genops(file) if at]
            ends.append(file.tell())
    except Exception:  # pickletools raises what it likes for what is no pickle
        pass
    ends = sorted({*ends, len(data)})
    return [data[begin:end] for begin, end in zip(ends, ends[1:])]


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


NAMED = (
    *("torch._utils _rebuild_tensor", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_tensor_v3"),
    *("torch._utils _rebuild_parameter", "torch._tensor _rebuild_from_type_v2", "collections OrderedDict"),
    *("torch FloatStorage", "torch HalfStorage", "torch.storage UntypedStorage", "torch float32", "torch Size"),
    *("builtins set", "argparse Namespace", "numpy dtype", "numpy.core.multiarray scalar", "_codecs encode"),
    *("os system", "builtins eval", "builtins getattr", "torch.nn Module"),
)
INSTRUCTIONS: tuple[bytes, ...] = (
    *(code for code in map(lambda each: each.code.encode("latin-1"), pickletools.opcodes) if code not in b"cXTUBI"),
    *(b"c" + name.replace(" ", "\n").encode() + b"\n" for name in NAMED),
    *(_text(word) for word in ("storage", "0", "cpu", "a", "state_dict", "")),
    *(
        b"K\0",
        b"K\4",
        b"M\xff\xff",
        b"J\xff\xff\xff\xff",
        b"\x8a\x08" + b"\xff" * 7 + b"\x7f",
        b"\x8a\xff" + b"\x7f" * 255,
    ),
    *(b")", b"}", b"]", b"(", b"t", b"\x85", b"\x86", b"\x87", b"R", b"Q", b"b", b"s", b"u", b"a", b"e", b"0", b"2"),
)


def archives_with(inside: Change) -> Change:
    """A zip archive of which entries change, or its pickle, in a whole new archive."""

    def change(data: bytes, most: int, draw: Random, raw: Raw) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                if draw.random() < 0.2 or sum(each.file_size for each in archive.infolist()) > most:
                    return raw(data, most)
                entries = [(each.filename, archive.read(each)) for each in archive.infolist()]
        except Exception:  # zipfile raises a dozen types for a broken file
            return raw(data, most)
        if not entries:
            return raw(data, most)
        number = next((at for at, (name, _) in enumerate(entries) if name.endswith("data.pkl")), 0)
        if draw.random() < 0.75:
            entries[number] = entries[number][0], inside(entries[number][1], most, draw, raw)
        else:
            number = draw.randrange(len(entries))
            name, content = entries[number]
            entries[number] = draw.choice(
                ((name, content[:-1]), (name[1:], content), (f"../{name}", content), (name.upper(), content), ("", b""))
            )
        return _archive(entries, draw)[:most]

    return change


def _archive(entries: Sequence[tuple[str, bytes]], draw: Random) -> bytes:
    file, packed = io.BytesIO(), draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(file, "w", packed) as archive:
        for name, content in dict(entries).items():
            archive.writestr(zipfile.ZipInfo(name), content, packed)
    return file.getvalue()
