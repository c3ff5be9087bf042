"""What a picture was made with, in one line for people."""

from __future__ import annotations

from typing import Any, cast

from .numbers import number

NUMBERS = {"steps": "{:g} steps", "cfg": "CFG {:g}", "guidance": "guidance {:g}", "seed": "seed {}"}


def summary(metadata: Any) -> str:
    """Such as "sd15.safetensors, LoRA ink 0.8, euler normal, 25 steps, CFG 6"; an empty text if nothing is known."""
    said = cast("dict[str, Any]", metadata) if isinstance(metadata, dict) else {}
    sampler = " ".join(str(said[name]) for name in ("sampler", "scheduler") if said.get(name))
    numbers = [text.format(value) for name, text in NUMBERS.items() if (value := number(said.get(name))) is not None]
    loras = [f"LoRA {_row(row, 'name')}" for row in rows(said, "loras")]
    prompts = [f"image prompt {_row(row, 'adapter', 'node')}" for row in rows(said, "image_prompts")]
    return ", ".join(filter(None, [str(said.get("model") or ""), *loras, sampler, *numbers, *prompts]))


def rows(said: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The rows of a list in metadata, such as its LoRAs."""
    found = said.get(name)
    listed = cast("list[Any]", found) if isinstance(found, list) else []
    return [cast("dict[str, Any]", row) for row in listed if isinstance(row, dict)]


def _row(row: dict[str, Any], *names: str) -> str:
    called = next((str(row[name]) for name in names if row.get(name)), "")
    weight = number(row.get("weight"))
    return called if weight is None else f"{called} {weight:g}"
