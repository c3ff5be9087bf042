"""Whether a folder holds a Qwen3-VL, and whether all that it needs is there. Only JSON and headers are read.

Letters: W width of the model.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, cast

from ...tensor_files import TensorInfo, printable, read_from, read_header

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
KIND = "qwen3_vl"
TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"))
UNUSED = ("lm_head.weight",)  # it makes words of states
LONGEST = 64 << 20  # bytes of a JSON file
LAYOUT = {"patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2}  # of all Qwen3-VL
GET = "Get the whole folder as it was published"


@dataclass(frozen=True)
class Folder:
    """A folder that holds a Qwen3-VL.

    layers, width, context: of the part that reads texts; the most tokens that it was made for
    numbers: how many there are in the weights
    """

    path: Path
    layers: int
    width: int
    context: int
    numbers: int

    @property
    def name(self) -> str:
        """Without the folders above it."""
        return shown(self.path)


def shown(path: Path) -> str:
    return printable(path.absolute().name, 200)


def is_vision_language(path: str | os.PathLike[str]) -> bool:
    """Whether it is the folder of a Qwen3-VL: its config.json says so."""
    return kind_of(path) == KIND


def kind_of(path: str | os.PathLike[str]) -> str:
    """The `model_type` in the config.json of a folder; empty if there is none."""
    try:
        config = _read(Path(path) / CONFIG)
    except (OSError, ValueError, TypeError):
        return ""
    kind = config.get("model_type")
    return kind if isinstance(kind, str) else ""


def checked_folder(path: str | os.PathLike[str]) -> Folder:
    """What a folder holds.

    Raises:
        ValueError: it is no Qwen3-VL, or something is missing in it, or damaged.
    """
    folder = Path(path)
    config = _config(folder)
    text, vision = _part(config, "text_config"), _part(config, "vision_config")
    sizes = [text.get(name) for name in ("num_hidden_layers", "hidden_size", "max_position_embeddings")]
    if any(not isinstance(size, int) or size < 1 for size in sizes) or _differs(vision, LAYOUT):
        raise ValueError(f"The config.json in {shown(folder)} does not describe a Qwen3-VL as published. {GET}.")
    if "quantization_config" in config:
        raise ValueError(
            f"The weights in {shown(folder)} are quantized, and are not read: get the model in bf16, as it was "
            "published first."
        )
    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZERS):
        raise ValueError(f"There is no tokenizer.json in {shown(folder)}, without which no text is read. {GET}.")
    tensors = _tensors(folder)
    numbers = sum(prod(info.shape) for key, info in tensors.items() if key not in UNUSED)
    layers, width, context = cast("list[int]", sizes)
    return Folder(folder, layers, width, context, numbers)


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = _read(folder / CONFIG)
    except (FileNotFoundError, NotADirectoryError):
        if not folder.exists():
            raise ValueError(f"There is no folder {printable(str(folder))!r}.") from None
        raise ValueError(
            f"There is no config.json in {shown(folder)}, so it is not the folder of a vision-language model."
        ) from None
    except (OSError, ValueError) as error:
        raise ValueError(f"The config.json in {shown(folder)} cannot be read: {_why(error)}") from error
    if config.get("model_type") != KIND:
        raise ValueError(
            f"The folder {shown(folder)} holds a model of type {config.get('model_type')!r:.80}. Of vision-language "
            f'models only Qwen3-VL ("{KIND}") is read, such as Qwen3-VL-Embedding-2B.'
        )
    return config


def _part(config: dict[str, Any], name: str) -> dict[str, Any]:
    part = config.get(name)
    return cast("dict[str, Any]", part) if isinstance(part, dict) else {}


def _differs(part: dict[str, Any], expected: dict[str, int]) -> bool:
    return any(part.get(name, value) != value for name, value in expected.items())


def _tensors(folder: Path) -> dict[str, TensorInfo]:
    """Name -> shape and dtype of all tensors in the weights, whose headers are sound."""
    found: dict[str, TensorInfo] = {}
    for name in _weight_files(folder):
        with read_from(name):
            header = read_header(folder / name)
        if header.container != "safetensors":
            raise ValueError(f"{name} in {shown(folder)} is not a safetensors file. {GET}.")
        found.update(header.tensors)
    return found


def _weight_files(folder: Path) -> list[str]:
    if (folder / WEIGHTS).is_file():
        return [WEIGHTS]
    if not (folder / INDEX).is_file():
        pickled = any(folder.glob("*.bin"))
        why = "only torch files (.bin), which may hold code and are not loaded" if pickled else "none"
        raise ValueError(
            f"The weights are read from {WEIGHTS}, or from the files that {INDEX} names: in "
            f"{shown(folder)} there are {why}. {GET}."
        )
    try:
        names = sorted(set(_read(folder / INDEX)["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{INDEX} in {shown(folder)} cannot be read: {_why(error)}") from error
    if not names:
        raise ValueError(f"{INDEX} in {shown(folder)} names no weights. {GET}.")
    if outside := [name for name in names if os.path.basename(str(name)) != name]:
        raise ValueError(f"{INDEX} names a file outside of {shown(folder)}: {printable(str(outside[0]), 200)!r}.")
    if missing := [name for name in names if not os.path.isfile(folder / name)]:  # of any length
        raise ValueError(
            f"Of the weights in {shown(folder)}, {printable(', '.join(missing[:3]), 200)} is missing. {GET}."
        )
    return names


def _why(error: Exception) -> str:
    """In one line, without the folders above."""
    return printable((isinstance(error, OSError) and error.strerror) or str(error), 200)


def _read(path: Path) -> dict[str, Any]:
    """A JSON object. OSError, or ValueError if it is something else."""
    with open(path, "rb") as file:
        data = file.read(LONGEST + 1)
    try:
        found = json.loads(data) if len(data) <= LONGEST else None
    except RecursionError:
        found = None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return cast("dict[str, Any]", found)
