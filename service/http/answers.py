"""What is answered, in OpenAI's shape, as the text of JSON. Letters: n inputs, A and B inputs on two sides."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor

from .errors import said

if TYPE_CHECKING:
    from ..embedding import Compared, Embedded

OWNER = "image-prompt"


def embeddings_answer(model: str, embedded: Embedded, as_base64: bool) -> bytes:
    write = _as_base64 if as_base64 else _as_numbers
    data = ",".join(
        f'{{"object":"embedding","index":{index},"embedding":{write(vector)}}}'
        for index, vector in enumerate(_rows(embedded.embedding.vectors))
    )
    return f'{{"object":"list","data":[{data}],{_end(model, embedded.tokens, embedded.warnings)}}}'.encode()


def similarity_answer(model: str, compared: Compared) -> bytes:
    probabilities = "" if compared.probabilities is None else f'"probabilities":{_table(compared.probabilities)},'
    end = _end(model, compared.tokens, compared.warnings)
    return f'{{"object":"similarity","similarity":{_table(compared.cosines)},{probabilities}{end}}}'.encode()


def models_answer(names: Sequence[str]) -> dict[str, Any]:
    return {"object": "list", "data": [model_answer(name) for name in names]}


def model_answer(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": OWNER}


def _end(model: str, tokens: int, warnings: Sequence[str]) -> str:
    more: dict[str, Any] = {"model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    if warnings:
        more["warnings"] = [said(each) for each in warnings]
    return json.dumps(more)[1:-1]


def _rows(vectors: Tensor) -> list[list[float]]:
    return cast("list[list[float]]", cast(Any, vectors).tolist())


def _table(numbers: Tensor) -> str:
    return f"[{','.join(map(_as_numbers, _rows(numbers)))}]"


def _as_numbers(vector: Sequence[float]) -> str:
    """As JSON, with the digits that float32 has. Twice as fast as the json package, which writes more."""
    return f"[{','.join(['%.9g'] * len(vector))}]" % tuple(vector)


def _as_base64(vector: Sequence[float]) -> str:
    return f'"{base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()}"'
