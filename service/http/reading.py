"""Read what a request asks for. Bytes in, `Input` and `Wish` out: nothing is loaded, fetched or opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from ...references.inputs import Input
from ...tensor_files import printable
from ..embedding.model import Wish
from .errors import Refused
from .given import described, fields, read_json
from .limits import Limits
from .pictures import WANTED, is_data_url, picture_in

WISHES = ("dimensions", "instruction", "pooling", "user")
EMBEDDINGS = ("model", "input", "encoding_format", *WISHES)
SIMILARITY = ("model", "a", "b", *WISHES)
INPUT = ("text", "image")  # fields of an input that is an object
FORMATS = ("float", "base64")
LONGEST_NAME = 500  # characters
MARKS = (b",", b"[", b"{")
LARGEST = 1 << 20  # for a number of dimensions
NEEDED = (
    "give a text, a picture as data:image/...;base64,..., a list of these, or for vision-language models also objects "
    '{"text": ..., "image": ...}'
)


@dataclass(frozen=True, eq=False)
class EmbeddingsAsked:
    """as_base64: whether the vectors are sent as their bytes, little-endian float32"""

    model: str
    inputs: Sequence[Input]
    wish: Wish
    as_base64: bool


@dataclass(frozen=True, eq=False)
class SimilarityAsked:
    model: str
    a: Sequence[Input]
    b: Sequence[Input]
    wish: Wish


def embeddings_asked(body: bytes | bytearray, limits: Limits) -> EmbeddingsAsked:
    """Raises a Refused if this cannot be asked, which names the field and what is expected."""
    given = _fields(body, EMBEDDINGS, limits)
    read = _Inputs(limits)
    chosen = given.get("encoding_format")
    if chosen is not None and chosen not in FORMATS:
        raise Refused(400, f"encoding_format is {described(chosen)}: it is float or base64.", param="encoding_format")
    return EmbeddingsAsked(_model(given), read.of(given, "input"), _wish(given, limits), chosen == "base64")


def similarity_asked(body: bytes | bytearray, limits: Limits) -> SimilarityAsked:
    """Raises a Refused if this cannot be asked, which names the field and what is expected."""
    given = _fields(body, SIMILARITY, limits)
    read = _Inputs(limits)
    return SimilarityAsked(_model(given), read.of(given, "a"), read.of(given, "b"), _wish(given, limits))


def _fields(body: bytes | bytearray, known: Sequence[str], limits: Limits) -> dict[str, Any]:
    if len(body) > limits.marks and (marks := sum(map(body.count, MARKS))) > limits.marks:
        raise Refused(400, f"{marks:,} commas and brackets are too many: one request has at most {limits.marks:,}.")
    return fields(read_json(body), known)


def _model(given: dict[str, Any]) -> str:
    name = given.get("model")
    if not isinstance(name, str) or not name:
        raise Refused(400, f"model is {_given(given, 'model')}: give the name of an encoder.", param="model")
    if len(name) > LONGEST_NAME:
        raise Refused(404, f"No encoder has a name of {len(name):,} characters.", param="model", code="model_not_found")
    return name


def _wish(given: dict[str, Any], limits: Limits) -> Wish:
    _text(given, "user", limits)  # clients of OpenAI send who asks, and nobody reads it
    dimensions = given.get("dimensions")
    if dimensions is not None and (type(dimensions) is not int or not 1 <= dimensions <= LARGEST):
        raise Refused(
            400,
            f"dimensions is {described(dimensions)}: it is a whole number, how many numbers a vector has.",
            param="dimensions",
        )
    return Wish(dimensions, _text(given, "instruction", limits), _text(given, "pooling", limits))


def _text(given: dict[str, Any], name: str, limits: Limits) -> str | None:
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Refused(400, f"{name} is {described(value)}: it is a text.", param=name)
    try:
        return _checked(value, limits)
    except ValueError as error:
        raise Refused(400, f"{name}: {error}", param=name) from error


def _given(given: dict[str, Any], name: str) -> str:
    return described(given[name]) if name in given else "not given"


class _Inputs:
    """Reads the inputs of one request, which share its limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits, self._count, self._pixels = limits, 0, 0

    def of(self, given: dict[str, Any], name: str) -> list[Input]:
        value = given.get(name)
        items = cast("list[object]", value) if isinstance(value, list) else [value]
        if not items or isinstance(value, (int, float, type(None))):
            raise Refused(400, f"{name} is {_given(given, name)}: {NEEDED}.", param=name)
        if _are_tokens(items):
            raise Refused(
                400,
                f"{name} holds numbers, which are tokens of another model: {NEEDED}. OpenAIEmbeddings of LangChain "
                "sends texts with check_embedding_ctx_length=False.",
                param=name,
            )
        self._count += len(items)
        if self._count > self._limits.inputs:
            raise Refused(
                400, f"{self._count:,} inputs are too many: one request has at most {self._limits.inputs}.", param=name
            )
        return [self._one(item, name, number) for number, item in enumerate(items, 1)]

    def _one(self, item: object, name: str, number: int) -> Input:
        try:
            return self._read(item)
        except ValueError as error:
            of = "" if name == "input" else f" of {name}"
            raise Refused(400, f"Input {number}{of}: {error}", param=name) from error

    def _read(self, item: object) -> Input:
        if isinstance(item, str):
            return Input(image=self._picture(item)) if is_data_url(item) else Input(_checked(item, self._limits))
        if not isinstance(item, dict):
            raise ValueError(f"it is {described(item)}: {NEEDED}.")
        given = cast("dict[str, object]", item)
        text, image = given.get("text"), given.get("image")
        if unknown := [each for each in given if each not in INPUT]:
            raise ValueError(f"there is no field {printable(unknown[0], 100)!r} in it, only {' and '.join(INPUT)}.")
        if text is not None and not isinstance(text, str):
            raise ValueError(f"its text is {described(text)}: give a text.")
        return Input(
            "" if text is None else _checked(text, self._limits), None if image is None else self._picture(image)
        )

    def _picture(self, url: object) -> Any:
        if not isinstance(url, str) or not is_data_url(url):
            raise ValueError(f"its image is {described(url)}, and no URL is fetched and no path is read: {WANTED}.")
        image = picture_in(url, self._limits.pixels)
        self._pixels += image.width * image.height
        if self._pixels > self._limits.all_pixels:
            raise ValueError(
                f"with it the pictures of the request have {self._pixels:,} pixels, and at most "
                f"{self._limits.all_pixels:,} are read at once: make them smaller, or send several requests."
            )
        return image


def _checked(text: str, limits: Limits) -> str:
    if len(text) > limits.characters:
        raise ValueError(f"the text has {len(text):,} characters, and at most {limits.characters:,} are read.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"the text holds half of a surrogate pair, at character {error.start + 1}.") from error
    return text


def _are_tokens(items: Sequence[object]) -> bool:
    """Whether these are numbers, or lists of numbers, as clients send that cut texts into tokens themselves."""
    first = items[0]
    inner = cast("list[object]", first)[:1] if isinstance(first, list) else [first]
    return all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in inner) and bool(inner)
