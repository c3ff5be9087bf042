"""The SHA-256 of a file, or of the folder of a model. Standard library only."""

from __future__ import annotations

import hashlib
from pathlib import Path

BLOCK = 1 << 22  # bytes that are read at once
PARTS = (".json", ".safetensors", ".txt")  # files of a vision-language model; merges.txt belongs to its tokenizer


def sha256_of(path: Path) -> str:
    """Of a file, in hex; of a folder that of the names and the SHA-256 of the files in it that make a model.

    Raises:
        OSError: it cannot be read.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in PARTS and file.is_file())
        lines = "".join(f"{file.name} {_of_file(file)}\n" for file in files)
        return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()
    return _of_file(path)


def _of_file(path: Path) -> str:
    whole = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            whole.update(block)
    return whole.hexdigest()
