"""Files that hold any text, and an encoder of texts: filling a library needs neither torch nor pictures for that."""

import hashlib
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from image_prompt.references.filling import Content
from image_prompt.references.space import Space

SPACE = Space("CLIP ViT-B/32", 8)


def read(path: Path, data: bytes, space: Space) -> Content:
    if data.startswith(b"bad"):
        raise ValueError(f"The picture {path.name} is bad.")
    return Content(data, None, len(data), 1, int.from_bytes(data[:8], "little"), {"data": data.decode()})


class FakeEncoder:
    """Its numbers depend on which pictures are encoded together, as those of matrix products do."""

    space = SPACE

    def __init__(self) -> None:
        self.batches: list[list[bytes]] = []

    def embed_images(self, pictures: list[bytes]) -> SimpleNamespace:
        self.batches.append(list(pictures))
        if any(picture.startswith(b"odd") for picture in pictures):
            raise ValueError("An odd picture.")
        return SimpleNamespace(vectors=np.stack([self.vector(picture, pictures) for picture in pictures]))

    def vector(self, picture: bytes, together: list[bytes]) -> np.ndarray:
        drawn = np.frombuffer(hashlib.sha256(picture).digest(), np.uint8)[:8] - 127.5
        drawn += hashlib.sha256(b"".join(together)).digest()[0] / 256
        return (drawn / np.linalg.norm(drawn)).astype(np.float32)


def write(folder: Path, **contents: str) -> None:
    """Files with these contents; __ in a name is a folder."""
    for name, content in contents.items():
        path = folder / f"{name.replace('__', '/')}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def everything(library: Path) -> tuple[str, dict[str, bytes]]:
    """All that is known of the pictures, and the bytes of the parts."""
    with closing(sqlite3.connect(library / "pictures.sqlite")) as connection:
        dump = "\n".join(connection.iterdump())
    return dump, {name: (library / "vectors" / name).read_bytes() for name in sorted(os.listdir(library / "vectors"))}
