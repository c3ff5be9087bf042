"""Tokenizers of SigLIP and SigLIP2, from the files that users have: their encoders' files hold none.

tokenizer.json is read by `tokenizers`, sentencepiece files (spiece.model, tokenizer.model) by `sentencepiece`.
"""

from __future__ import annotations

import os
import re
import string
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from ...tensor_files.weights import checked_path, named_weights
from .tokens import Tokenizer

BESIDE = ("tokenizer.json", "tokenizer.model", "spiece.model")  # as repositories name them
MODELS = (".safetensors", ".sft")  # of Gemma 2, where they hold its tokenizer:
SPIECE = "spiece_model"

END = 1
PUNCTUATION = str.maketrans("", "", string.punctuation)


def canonical(text: str) -> str:
    """Lower case, without punctuation, and with single spaces, as SigLIP was trained."""
    return re.sub(r"\s+", " ", text.lower().translate(PUNCTUATION)).strip()


def lower(text: str) -> str:
    """Letter by letter, as Lowercase of `tokenizers`: no sigma is a final one."""
    return "".join(map(str.lower, text))


@dataclass(frozen=True)
class Style:
    """How a model reads texts. pad: the number of the token that fills texts up"""

    clean: Callable[[str], str]
    pad: int


STYLES = {"</s>": Style(canonical, pad=1), "<eos>": Style(lower, pad=0)}  # by the name of the end token, 1: SigLIP, 2


def tokenizer_beside(encoder: str, vocabulary: int) -> tuple[Tokenizer | None, list[str]]:
    """The tokenizer with so many tokens in the folder of an encoder's file, or None; what else was found there.

    It is called as in its repository, alone or after the name of the encoder: "siglip.tokenizer.json" beside
    "siglip.safetensors".
    """
    folder, file = os.path.split(encoder)
    others: list[str] = []
    for name in (*(f"{os.path.splitext(file)[0]}.{end}" for end in BESIDE), *BESIDE):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            tokenizer = read_tokenizer(path)
            if tokenizer.vocabulary == vocabulary:
                return tokenizer, others
            others.append(f"{name} has {tokenizer.vocabulary:,} tokens")
    return None, others


def read_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """The tokenizer of a SigLIP in a file: tokenizer.json, a sentencepiece file, or a Gemma 2 that holds one.

    Raises:
        ValueError: the file cannot be read, is another model's, or needs a Python package that is not there.
    """
    path = checked_path(path)
    if not os.path.isfile(path):
        raise ValueError(f"There is no file {path}: give the path of tokenizer.json or of a sentencepiece file.")
    if path.endswith(".json"):
        return _from_json(path)
    if path.endswith(MODELS):
        return _from_pieces(path, _pieces_in_weights(path))
    with open(path, "rb") as file:
        return _from_pieces(path, file.read())


def _from_json(path: str) -> Tokenizer:
    with _needed("tokenizers", path):
        import tokenizers
    try:
        found: Any = tokenizers.Tokenizer.from_file(path)
    except Exception as error:  # tokenizers raises Exception itself
        raise ValueError(f"{path} is no tokenizer.json that can be read: {error}. Get the file again.") from error
    found.no_truncation()
    found.no_padding()
    style = _style(path, found.id_to_token(END))

    def numbers(text: str) -> list[int]:
        return found.encode(style.clean(text), add_special_tokens=False).ids

    return Tokenizer(numbers, found.get_vocab_size(with_added_tokens=True), end=END, pad=style.pad)


def _from_pieces(path: str, data: bytes) -> Tokenizer:
    with _needed("sentencepiece", path):
        import sentencepiece
    try:
        pieces: Any = cast(Any, sentencepiece).SentencePieceProcessor(model_proto=data)
        size = int(pieces.get_piece_size())
        end: str | None = pieces.id_to_piece(END) if size > END else None  # UnicodeDecodeError where it is no text
    except Exception as error:  # sentencepiece raises RuntimeError, and others without data
        raise ValueError(f"{path} is no sentencepiece file that can be read: {error}. Get the file again.") from error
    style = _style(path, end)

    def numbers(text: str) -> list[int]:
        return pieces.encode(style.clean(text))

    return Tokenizer(numbers, size, end=END, pad=style.pad)


def _pieces_in_weights(path: str) -> bytes:
    with named_weights(path, path) as weights:
        if SPIECE not in weights.tensors:
            raise ValueError(
                f"it holds no tokenizer ({SPIECE}). Give a Gemma 2 text encoder for ComfyUI, tokenizer.json or a "
                "sentencepiece file."
            )
        tensor: Any = weights.read(SPIECE)
        return tensor.numpy().tobytes()


def _style(path: str, end: str | None) -> Style:
    if end not in STYLES:
        raise ValueError(
            f"{path} is no tokenizer of a SigLIP: its token {END} is {end!r}, not one of {', '.join(STYLES)}. Give the "
            "tokenizer.json or the sentencepiece file from the encoder's own repository."
        )
    return STYLES[end]


@contextmanager
def _needed(package: str, path: str) -> Generator[None]:
    """Say what a package that is missing is for, and how to get it."""
    try:
        yield
    except ImportError as error:
        raise ValueError(f"{path} is read with the package {package}: pip install {package}. ({error})") from error
