"""Layer weights as text: what they come to in the blocks of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from ..layers import Block, by_name
from ..strength import Share

NOT_ACTING = "-"


def layer_table(shares: Mapping[Block, Share], blocks: Sequence[Block]) -> str:
    """One line for each block, in the order of execution, such as `input 4    0.500 x2` for its two layers."""
    return "\n".join(f"{_name(*name):<11}{_cell(layers, shares)}" for name, layers in by_name(blocks).items())


def layer_summary(shares: Mapping[Block, Share], blocks: Sequence[Block]) -> str:
    """The table in one line: neighbouring blocks with equal weights together, and no blocks that do not act."""
    cells = ((name, _cell(layers, shares)) for name, layers in by_name(blocks).items())
    parts = [
        f"{_name(kind, *(index for (_, index), _ in run))} = {cell}"
        for (kind, cell), run in groupby(cells, lambda each: (each[0][0], each[1]))
        if cell != NOT_ACTING
    ]
    return "; ".join(parts) or "acts in no layer"


def _name(kind: str, *indices: int) -> str:
    if kind == "middle":
        return kind
    return f"{kind} {indices[0]}" if len(indices) == 1 else f"{kind} {indices[0]}-{indices[-1]}"


def _cell(layers: Sequence[Block], shares: Mapping[Block, Share]) -> str:
    """The weights of the layers of one block: equal ones that follow each other are counted."""
    return ", ".join(_runs([shares.get(layer, Share(0.0)) for layer in layers]))


def _runs(shares: Sequence[Share]) -> Iterator[str]:
    for share, run in groupby(shares):
        count = len(list(run))
        times = f" x{count}" if count > 1 else ""
        away = ", pushed away" if share.rows == "opposite" else ""
        yield f"{share.amount:.3f}{times}{away}" if share.amount else NOT_ACTING + times * (count < len(shares))
