"""Numbers for new nodes and links: beyond all that are there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import count

NUMBER = re.compile(r"\d{1,15}", re.ASCII)


def free_numbers(taken: Iterable[object]) -> Iterator[int]:
    """Numbers that no id contains; ids are numbers, or texts like "12:5" of nodes in subgraphs."""
    return count(1 + max((int(part) for each in taken for part in NUMBER.findall(str(each))), default=0))
