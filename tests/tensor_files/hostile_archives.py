"""Zip archives that are broken, were not written by torch, or attack their reader, and what the error must say."""

import io
import pickle
import struct
import zipfile
from collections.abc import Callable

from hostile_pickles import P, Reduced, rebuilt, state_dict, storage

Content = bytes | Callable[[], bytes]
LIST, END, LOCAL = b"PK\x01\x02", b"PK\x05\x06", b"PK\x03\x04"  # how the records of an archive begin


def archive(entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as made:
        for entry, data in entries.items():
            made.writestr(entry, data)
    return file.getvalue()


def torch_archive(pickled: bytes, method: int = zipfile.ZIP_STORED, **more: bytes) -> bytes:
    entries = {"data.pkl": pickled, "version": b"3\n", "data/0": bytes(16), **more}
    return archive({f"archive/{entry}": data for entry, data in entries.items()}, method)


def patched(data: bytes, record: bytes, place: int, layout: str, *values: int, times: int = -1) -> bytes:
    """The archive with `values` at `place` in every record of a kind, or in the first `times` of them."""
    found = bytearray(data)
    at = found.find(record)
    while at >= 0 and times:
        struct.pack_into(layout, found, at + place, *values)
        at, times = found.find(record, at + 4), times - 1
    return bytes(found)


def twice() -> bytes:
    """An archive with one name twice, written without the warning of zipfile."""
    made = archive({"archive/data.pkl": state_dict(), "archive/data.pk2": state_dict(), "archive/data/0": bytes(16)})
    return made.replace(b"data.pk2", b"data.pkl")


def big() -> bytes:
    return torch_archive(P + b"N" * (32 << 20) + b".", zipfile.ZIP_DEFLATED)


def understated() -> bytes:
    """An archive whose entry claims a thousand bytes but unpacks to 32 MB."""
    return patched(patched(big(), LOCAL, 22, "<I", 1000, times=1), LIST, 24, "<I", 1000, times=1)


def list_alone(count: int) -> bytes:
    """An archive with a list of entries, but without the entries."""
    listed = b"".join(
        struct.pack("<4s4B4H3I5H2I", LIST, 20, 0, 20, *[0] * 8, len(entry), *[0] * 6) + entry
        for entry in (b"%x" % index for index in range(count))
    )
    return LOCAL + listed + struct.pack("<4s4H2IH", END, 0, 0, count % 65536, count % 65536, len(listed), 4, 0)


TORCH = torch_archive(state_dict())
BEFORE_END = TORCH.rfind(END)
TWO_DISKS = TORCH[:BEFORE_END] + struct.pack("<4sIQI", b"PK\6\7", 1, 0, 2) + TORCH[BEFORE_END:]
CODE = {"constants.pkl": P + b").", "code/model.py": b""}
BOMB = {"constants.pkl": pickle.dumps(Reduced(print, ("boom",)))}

ARCHIVES: dict[str, tuple[Content, str]] = {
    "cut off": (TORCH[:-40], "is cut short: it begins as a torch archive"),
    "empty archive": (archive({}), "not one that torch wrote: there is no data.pkl"),
    "data.pkl at the top": (archive({"data.pkl": state_dict()}), "not one that torch wrote"),
    "two data.pkl": (archive({"a/data.pkl": state_dict(), "b/data.pkl": state_dict()}), "its archive has 2 data.pkl"),
    "the same data.pkl twice": (twice, "two entries of the same name"),
    "TorchScript": (torch_archive(state_dict(), **CODE), "is a TorchScript archive"),
    "entry with ..": (torch_archive(state_dict(), **{"../../x": b""}), "an entry that leads outside of it"),
    "absolute entry": (archive({"/data.pkl": state_dict()}), "an entry that leads outside of it"),
    "entry of Windows": (archive({"C:\\x/data.pkl": state_dict()}), "an entry that leads outside of it"),
    "encrypted": (patched(patched(TORCH, LOCAL, 6, "<H", 1), LIST, 8, "<H", 1), "is an encrypted archive"),
    "compressed by LZMA": (torch_archive(state_dict(), zipfile.ZIP_LZMA), "compressed in a way that torch does not"),
    "bomb": (big, "data.pkl has 33,554,435 bytes"),
    "bomb that understates its size": (understated, "could not be read as a model file: .*CRC"),
    "pickle larger than the file": (patched(TORCH, LIST, 20, "<2I", *[2**20] * 2, times=1), "data that are not in it"),
    "pickle with a wrong sum": (patched(TORCH, LIST, 16, "<I", 7, times=1), "could not be read .*CRC"),
    "entry behind the file": (patched(TORCH, LIST, 42, "<I", 2**31), "data that are not in it"),
    "entries that overlap": (
        patched(archive({f"archive/{entry}": bytes(1000) for entry in "abc"}), LIST, 20, "<2I", 1200, 1200),
        "entries of its archive overlap",
    ),
    "entry on another disk": (patched(TORCH, LIST, 34, "<H", 3), "data that are not in it"),
    "several disks": (TWO_DISKS, "could not be read as a model file: .*disks"),
    "list of 4 GB": (patched(TORCH, END, 12, "<I", 2**32 - 2), "could not be read|the list of what"),
    "list of 4 MB": (lambda: list_alone(80_000), "the list of what is in the archive has 4,[0-9,]+ bytes"),
    "storage that is not there": (torch_archive(state_dict(rebuilt(storage(key="7")))), "'7' there are 0 of 16 bytes"),
    "storage cut short": (torch_archive(state_dict(rebuilt(storage(5)))), "'0' there are 16 of 20 bytes"),
}
