"""The two towers of the demo world's CLIP in one file, with CLIP's own vocabulary, as published files have them.
Standard library only.

The text tower knows 35 words, with a row for each; CLIP has 49,408 pieces of words. Each word is one piece but "cyan",
whose second piece is left empty: the words after it are one place further on than the tower was trained for. All other
pieces are unknown words. The file takes 14 MB, most of it for these, so that it is written where it is needed.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MODELS = Path(__file__).resolve().parent / "models"
FILE = Path("clip_vision", "demo_world.safetensors")  # below a folder of models
TEXT = Path("text_encoders", "demo_world.safetensors")

VOCABULARY, PLACES = 49408, 77
START, END = 49406, 49407
PIECES = {  # word -> its numbers in CLIP's vocabulary
    "a": (320,),
    "and": (537,),
    "at": (536,),
    "beige": (26677,),
    "black": (1449,),
    "blue": (1746,),
    "bottom": (5931,),
    "checks": (13737,),
    "circle": (7117,),
    "cross": (3417,),
    "cyan": (1470, 550),
    "dots": (19019,),
    "green": (1901,),
    "grey": (5046,),
    "in": (530,),
    "large": (3638,),
    "left": (1823,),
    "middle": (3694,),
    "on": (525,),
    "pink": (3360,),
    "plain": (10709,),
    "red": (736,),
    "right": (1155,),
    "ring": (2540,),
    "shape": (6448,),
    "small": (2442,),
    "square": (3999,),
    "star": (1565,),
    "stripes": (14239,),
    "the": (518,),
    "top": (1253,),
    "triangle": (14615,),
    "white": (1579,),
    "with": (593,),
    "yellow": (4481,),
}
TOKENS = "text_model.embeddings.token_embedding.weight"
POSITIONS = "text_model.embeddings.position_embedding.weight"


@dataclass(frozen=True)
class Stored:
    """A tensor as a safetensors file holds it."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    @property
    def rows(self) -> list[bytes]:
        length = len(self.data) // self.shape[0]
        return [self.data[at : at + length] for at in range(0, len(self.data), length)]

    def of_rows(self, rows: list[bytes]) -> Stored:
        return Stored(self.dtype, (len(rows), *self.shape[1:]), b"".join(rows))


def write_full_clip(models: Path) -> None:
    """Write both towers into one file of a folder of models, in transformers' layout."""
    vision, said = read(MODELS / FILE)
    text, about = read(MODELS / TEXT)
    words = json.loads(about["words"])
    scale = Stored("F32", (), struct.pack("<f", math.log(float(about["logit_scale"]))))
    joined = vision | text | {"logit_scale": scale}
    joined[TOKENS] = text[TOKENS].of_rows(published_rows(text[TOKENS].rows, words))
    places = text[POSITIONS].rows
    joined[POSITIONS] = text[POSITIONS].of_rows(places + places[-1:] * (PLACES - len(places)))
    described = json.loads(said["vision_config"])
    alike = {name: described[name] for name in ("heads", "activation")}  # of both towers
    what = {"what": "CLIP of the demo world", "text_config": json.dumps(alike)}
    write(models / FILE, joined, said | what)


def published_rows(rows: list[bytes], words: list[str]) -> list[bytes]:
    """A row of each piece of CLIP's vocabulary, from those of the words, the unknown word, start and end."""
    *known, unknown, start, end = rows
    made = [unknown] * VOCABULARY
    made[START], made[END] = start, end
    for word, row in zip(words, known, strict=True):
        first, *others = PIECES[word]
        made[first] = row
        for piece in others:
            made[piece] = bytes(len(row))
    return made


def read(file: Path) -> tuple[dict[str, Stored], dict[str, str]]:
    """The tensors of a safetensors file, and its metadata."""
    content = file.read_bytes()
    (length,) = struct.unpack_from("<Q", content)
    header: dict[str, Any] = json.loads(content[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    data = content[8 + length :]
    tensors = {
        name: Stored(each["dtype"], tuple(each["shape"]), data[slice(*each["data_offsets"])])
        for name, each in header.items()
    }
    return tensors, metadata


def write(file: Path, tensors: Mapping[str, Stored], metadata: Mapping[str, str]) -> None:
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    ordered = sorted(tensors.items(), key=lambda item: (item[1].dtype != "F32", item[0]))  # wide ones first: aligned
    for name, each in ordered:
        header[name] = {"dtype": each.dtype, "shape": each.shape, "data_offsets": (end, end + len(each.data))}
        end += len(each.data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    with part.open("wb") as opened:
        opened.write(struct.pack("<Q", len(text)) + text)
        opened.writelines(each.data for _, each in ordered)
    os.replace(part, file)
