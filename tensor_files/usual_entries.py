"""Read the tensors of a safetensors header that is written in the usual way, several times faster than as any JSON.

All of it is checked as the reader of any JSON does. To that is left whatever is unusual, whether right or wrong.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass

from .tensor_info import DTYPE_BITS, MAX_NUMBER, TensorInfo, is_shape

# A name, a dtype and a shape in one, where the data begin and where they end. What is in them is checked afterwards.
ENTRY = re.compile(
    r'"([^"]*)": ?\{"dtype": ?("[^"]{1,16}", ?"shape": ?\[[^]]{0,180}\]), ?'
    r'"data_offsets": ?\[([^],]{1,19}), ?([^],]{1,19})\]\}'
)
GROUPS = 4
NUMBER = "(?:0|[1-9][0-9]{0,18})"  # JSON has no leading zeros
KIND = re.compile(rf'"(\w+)", ?"shape": ?\[((?:{NUMBER}(?:, ?{NUMBER})*)?)\]', re.ASCII)
SEPARATORS = {",", ", "}


@dataclass(frozen=True)
class Entries:
    """The tensors of a header.

    head: the text before them
    starts: where the data of each begin, counted from the end of the header
    end: where the last data end
    """

    head: str
    tensors: dict[str, TensorInfo]
    starts: dict[str, int]
    end: int


def usual_entries(text: str) -> Entries | None:
    """The tensors of a header, if nothing else follows the first of them and all is as it should be; else None.

    text: without control characters
    """
    begin = _first(text)
    parts = ENTRY.split(text[begin:])
    between = parts[:: GROUPS + 1]  # and before the first, and after the last
    if between[0] or between[-1].rstrip(" ") != "}" or not SEPARATORS.issuperset(between[1:-1]):
        return None
    names, kinds, first, last = (parts[group :: GROUPS + 1] for group in range(1, GROUPS + 1))
    starts, ends = _numbers(first), _numbers(last)
    known = {kind: _kind(kind) for kind in set(kinds)}
    if len(set(names)) < len(names) or "\\" in "".join(names) or not starts or not ends:
        return None
    infos, sizes = [known[kind][0] for kind in kinds], [known[kind][1] for kind in kinds]
    if list(map(operator.sub, ends, starts)) != sizes or not _side_by_side(starts, ends):
        return None
    return Entries(text[:begin], dict(zip(names, infos)), dict(zip(names, starts)), max(ends))


def _first(text: str) -> int:
    """Where the name of the first tensor begins. In a text of the metadata quotation marks are written otherwise."""
    after_name = text.rfind('"', 0, max(0, text.find('{"dtype"')))
    return max(0, text.rfind('"', 0, max(0, after_name)))


def _numbers(texts: Sequence[str]) -> list[int]:
    """The numbers, if all of them are written as JSON has them; else none."""
    joined = f",{',,'.join(texts)},"
    digits = joined.replace(",", "")
    zeros_alone = joined.count(",0") == joined.count(",0,")
    return list(map(int, texts)) if digits.isascii() and digits.isdigit() and zeros_alone else []


def _kind(text: str) -> tuple[TensorInfo, int | None]:
    """A tensor, and how many bytes it has: None if there is no such dtype or shape."""
    match = KIND.fullmatch(text)
    dtype, shape = match.groups() if match else ("", "")
    sizes = tuple(map(int, shape.split(","))) if shape else ()
    size, rest = divmod(math.prod(sizes) * DTYPE_BITS.get(dtype, 0), 8)
    return TensorInfo(dtype, sizes), size if dtype in DTYPE_BITS and is_shape(sizes) and not rest else None


def _side_by_side(starts: Sequence[int], ends: Sequence[int]) -> bool:
    """Whether the data begin at 0 and lie side by side, without gaps, up to a place that there may be."""
    if starts != [0, *ends[:-1]]:  # they are in another order than their names
        starts, ends = zip(*sorted(zip(starts, ends)))
    return list(starts) == [0, *ends[:-1]] and ends[-1] <= MAX_NUMBER
