"""Files that are not models, are broken, or attack their reader: how to make each, and what the error must say.

    path = HOSTILE["link to itself"].make(folder, marker)

A bomb that went off would make `marker`.
"""

import os
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hostile_archives import ARCHIVES, torch_archive
from hostile_pickles import BOMBS, PICKLES, Bomb, P, state_dict, text
from hostile_safetensors import BROKEN, STRICTER

Content = bytes | Callable[[], bytes]
MAGIC, VERSION, BYTE_ORDER = P + b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", P + b"M\xe9\x03.", P + b"}."


def legacy(tensors: bytes, keys: bytes = text("0"), data: int = 24, before: bytes = MAGIC + VERSION) -> bytes:
    """A file as torch wrote it before version 1.6: pickles one after another, then the numbers."""
    return before + BYTE_ORDER + tensors + P + b"]" + keys + b"a." + bytes(data)


CONTENTS: dict[str, tuple[Content, str]] = {
    "empty": (b"", "is empty: the download was cut short"),
    "one letter": (b"{", r"is not a model file: it begins with b'\{'"),
    "eight bytes": (bytes(8), "is not a model file: it begins with"),
    "web page behind blanks": (b"\xef\xbb\xbf\r\n\t <html>", "is a web page, not a model"),
    "web page with a brace": (b"<style> {" + b" " * 100, "is a web page, not a model"),
    "ONNX model": (b"\x08\x06\x12\x07pytorch\x1a\x031.9:" + bytes(64), "is an ONNX model.*models/insightface/models"),
    "Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "is a Git LFS pointer"),
    "answer of a server": (b'{"error":"Unauthorized"}', r"is not a model file: it begins with b'\{\"error"),
    "GIF": (b"GIF89a" + bytes(100), "is not a model file: it begins with b'GIF89a"),
    "bomb in letters": (b"cos\nsystem\n(S'exit'\ntR.", "is not a model file: it begins with"),
    "another pickle": (pickle.dumps({"a": 1}, 2) * 2, "is a pickle, but not one that torch wrote"),
    "legacy of another version": (legacy(state_dict(), before=MAGIC + P + b"K\1."), "not one that torch wrote"),
    "legacy cut within its pickle": (legacy(state_dict())[:60], "breaks off"),
    "legacy cut within its numbers": (legacy(state_dict(), data=23), r"is cut short: \d+ of \d+ bytes"),
    "legacy with other keys": (legacy(state_dict(), text("1")), "list of tensor data does not fit"),
    "legacy with tuples as keys": (
        legacy(state_dict(), b")" + b"q\0h\0\x86" * 60),
        "list of tensor data does not fit",
    ),
    "legacy of too many instructions": (
        lambda: legacy(P + b"N" * 200_000 + b".", before=P + b"N" * 200_000 + MAGIC[2:] + VERSION),
        "more than 250,000 instructions",
    ),
}


def link_to(target: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(target)


PLACES: dict[str, tuple[Callable[[Path], object], str]] = {"folder": (Path.mkdir, "is a folder, not a file")}
if os.name == "posix":
    PLACES |= {
        "pipe": (os.mkfifo, "is a pipe, not a file"),
        "link to itself": (lambda path: path.symlink_to(path.name), "is a link that leads back to itself"),
        "link to nothing": (link_to("gone.safetensors"), "is a link to a file that is not there"),
        "link to a file below a file": (link_to(f"{__file__}/x"), "is a link to a file that is not there"),
        "link to /dev/zero": (link_to("/dev/zero"), "is a device, not a file"),
    }
if sys.platform == "linux":
    PLACES |= {
        "socket": (lambda path: os.mknod(path, 0o140600), "is a socket, not a file"),
        "file without a size": (link_to("/proc/self/maps"), "is not a model file: it begins with"),
        "file that cannot be read": (link_to("/proc/self/mem"), "could not be read: Input/output error"),
    }


@dataclass(frozen=True)
class Hostile:
    """A hostile file.

    make: (folder, marker) -> the file, made in the folder
    reason: what the error must say, as a regular expression
    """

    make: Callable[[Path, Path], Path]
    reason: str


def _file(suffix: str, content: Callable[[Path], bytes]) -> Callable[[Path, Path], Path]:
    def make(folder: Path, marker: Path) -> Path:
        path = folder / f"model{suffix}"
        path.write_bytes(content(marker))
        return path

    return make


def _place(put: Callable[[Path], object]) -> Callable[[Path, Path], Path]:
    def make(folder: Path, marker: Path) -> Path:
        put(folder / "model.safetensors")
        return folder / "model.safetensors"

    return make


def _files(kind: str, suffix: str, table: Mapping[str, tuple[Content, str]], wrap: Callable[[bytes], bytes] = bytes):
    def content(made: Content) -> Callable[[Path], bytes]:
        return lambda marker: wrap(made() if callable(made) else made)

    return {f"{kind}{name}": Hostile(_file(suffix, content(made)), reason) for name, (made, reason) in table.items()}


def _bombs(kind: str, table: Mapping[str, tuple[Bomb, str]], wrap: Callable[[bytes], bytes]) -> dict[str, Hostile]:
    def content(bomb: Bomb) -> Callable[[Path], bytes]:
        return lambda marker: wrap(bomb(marker))

    return {f"{kind}{name}": Hostile(_file(".bin", content(bomb)), reason) for name, (bomb, reason) in table.items()}


ONE_BOMB = {"os.system": BOMBS["os.system"]}  # the container differs, the pickle is read by the same steps
HOSTILE: dict[str, Hostile] = {
    **_files("safetensors: ", ".safetensors", BROKEN | STRICTER),
    **_files("content: ", ".safetensors", CONTENTS),
    **_files("archive: ", ".bin", ARCHIVES),
    **_files("pickle in an archive: ", ".bin", PICKLES, torch_archive),
    **_bombs("bomb in an archive: ", BOMBS, torch_archive),
    **_bombs("bomb in a legacy file: ", ONE_BOMB, legacy),
    **_bombs("bomb alone: ", ONE_BOMB, bytes),
    **{f"place: {name}": Hostile(_place(put), reason) for name, (put, reason) in PLACES.items()},
}
