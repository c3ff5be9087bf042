"""Read the `parameters` that A1111's web UI, and those built like it, write into pictures.

prompt, in lines
Negative prompt: text, in lines
Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x768, Model: name, Lora hashes: "a: 12, b: 34"
"""

from __future__ import annotations

import re
from typing import Any

from .numbers import LONGEST_NAME, LONGEST_TEXT, MOST, number

NEGATIVE = "Negative prompt:"
FACT = re.compile(r'(?<![^:,"])([^:,"]{1,60}):\s*("(?:[^"\\]|\\.)*"|[^,]*)(?:,|$)')
LORA = re.compile(r"<lora:([^:<>]+)((?::[^:<>]*)*)>")
SIZE = re.compile(r"(\d{1,6})x(\d{1,6})")
UNIT = re.compile(r"ControlNet \d+")  # a unit of the extension, which applies IP-Adapters too
NUMBERS = {
    "steps": "Steps",
    "cfg": "CFG scale",
    "guidance": "Distilled CFG Scale",
    "seed": "Seed",
    "denoise": "Denoising strength",
}
WORDS = {"model": "Model", "sampler": "Sampler", "scheduler": "Schedule type"}


def described(text: str) -> dict[str, Any]:
    """What `generation` says, as far as it is there; empty if this is no such text."""
    prompt, negative, facts = _split(text)
    if not {"Steps", "Sampler", "Seed", "Model"} & facts.keys():
        return {}
    found: dict[str, Any] = {"program": "A1111"}
    found |= {name: facts[key][:LONGEST_NAME] for name, key in WORDS.items() if facts.get(key)}
    found |= {name: value for name, key in NUMBERS.items() if (value := number(facts.get(key))) is not None}
    if size := SIZE.fullmatch(facts.get("Size", "")):
        found["size"] = [int(size[1]), int(size[2])]
    if loras := [_lora(name, rest) for name, rest in LORA.findall(prompt)[:MOST]]:
        found["loras"] = loras
    if units := [unit for key, value in facts.items() if UNIT.fullmatch(key) and (unit := _image_prompt(value))]:
        found["image_prompts"] = units[:MOST]
    return found | {"prompt": prompt[:LONGEST_TEXT], "negative": negative[:LONGEST_TEXT]}


def _split(text: str) -> tuple[str, str, dict[str, str]]:
    """The prompt, the negative prompt and the facts, which are in the last line that begins with steps."""
    lines = text.replace("\r\n", "\n").split("\n")
    begin = next((number for number in reversed(range(len(lines))) if lines[number].startswith("Steps: ")), len(lines))
    negative = next((number for number in range(begin) if lines[number].startswith(NEGATIVE)), begin)
    facts = _facts(" ".join(lines[begin:]))
    return (
        "\n".join(lines[:negative]).strip(),
        "\n".join(lines[negative:begin]).removeprefix(NEGATIVE).strip(),
        facts,
    )


def _facts(text: str) -> dict[str, str]:
    found = ((name.strip(), value.strip()) for name, value in FACT.findall(text[:LONGEST_TEXT]))
    return {name: _unquoted(value) for name, value in found}


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if len(value) > 1 and value[0] == value[-1] == '"' else value


def _lora(name: str, rest: str) -> dict[str, Any]:
    """`<lora:name:0.8>`, or with the weights of the text encoder and of the diffusion model: `<lora:name:0.8:0.5>`."""
    weights = [value for each in rest.split(":") if (value := number(each.rpartition("=")[2])) is not None]
    return {"name": name.strip()[:LONGEST_NAME], "weight": weights[min(1, len(weights) - 1)] if weights else 1.0}


def _image_prompt(unit: str) -> dict[str, Any] | None:
    facts = _facts(unit)
    if "ip-adapter" not in f"{facts.get('Module', '')} {facts.get('Model', '')}".casefold():
        return None
    numbers = {"weight": "Weight", "start": "Guidance Start", "end": "Guidance End"}
    return {
        "node": "ControlNet",
        "adapter": facts.get("Model", "").partition(" [")[0][:LONGEST_NAME],
        **{name: value for name, key in numbers.items() if (value := number(facts.get(key))) is not None},
    }
