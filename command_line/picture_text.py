"""What a picture says of the files that it was made with, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..model_files.pictures import MadeWith, Whereabouts
from .terminal import described, size_text, wrapped

KINDS = {"adapter": "IP-Adapter", "encoder": "image encoder", "lora": "LoRA"}


def lines(record: MadeWith, found: list[Whereabouts]) -> list[str]:
    """A record as text. found: what `whereabouts` says of each file; empty if no folder of models is known"""
    text = wrapped(f"made with Image Prompt {record.version} and {_count(len(record.files))}", "  ")
    for number, file in enumerate(record.files):
        here = found[number][0] if found else "not looked for: no ComfyUI was found. Give one with --comfyui PATH"
        facts = [("what", _what(file)), ("size", _size(file)), ("node", file["node"]), ("on this disk", here)]
        text += [*wrapped(f"{file['folder']}/{file['name']}", "  "), *described(facts, "    ")]
    return text


def _count(files: int) -> str:
    return "no file that is known" if not files else "one file" if files == 1 else f"{files} files"


def _size(file: Mapping[str, Any]) -> str:
    size = file.get("size")
    return size_text(size) if isinstance(size, int) else "not known"


def _what(file: Mapping[str, Any]) -> str:
    name, family, base, encoder, dtype = (
        str(file.get(key) or "") for key in ("kind", "family", "base_model", "encoder", "dtype")
    )
    kind = KINDS.get(name, name)
    said = {"adapter": f" that reads {encoder}", "encoder": f" {encoder}"}.get(name, "") if encoder else ""
    words = f"{kind}{f' ({family})' if family else ''}{f' for {base}' if base else ''}{said}"
    return f"{words}, {dtype}" if dtype else words
