"""A library whose pictures lie in ComfyUI's input folder, and whose vectors lie on an arc: neighbours are alike."""

import hashlib
import os
from pathlib import Path

import numpy as np
from PIL import Image

from image_prompt.devtools.comfyui import Server
from image_prompt.references.library import NewPicture, Writer, libraries_folder
from image_prompt.references.space import Space

NAME = "arc of pictures"
SPACE = Space("CLIP ViT-H/14", 8, "0123456789abcdef")
PATHS = [f"arc-{number}.png" for number in range(5)]  # the first is the newest


def put_library(server: Server, name: str = NAME, paths: list[str] = PATHS, root: Path | None = None) -> Path:
    """Make it, unless it is there already, and return its folder."""
    folder = libraries_folder(server.base / "user") / name
    root = Path(os.path.realpath(root or server.base / "input"))
    if not folder.exists():
        with Writer.open(folder, SPACE) as writer:
            for number, path in reversed([*enumerate(paths)]):
                writer.add([new_picture(root, path, number)], vector(number)[None])
    return folder


def new_picture(root: Path, path: str, number: int) -> NewPicture:
    if not (root / path).exists():
        Image.new("RGB", (80, 60), (40 * number, 90, 200)).save(root / path)
    status, data = (root / path).stat(), (root / path).read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    return NewPicture(
        root, path, status.st_size, status.st_mtime_ns, sha256, width=80, height=60, text=f"number {number}"
    )


def vector(number: int) -> np.ndarray:
    found = np.zeros(SPACE.dimension, np.float32)
    found[:2] = np.cos(0.2 * number), np.sin(0.2 * number)
    return found
