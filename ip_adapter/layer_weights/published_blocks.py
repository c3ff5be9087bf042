"""The blocks of the published models, to say how layer weights turn out where no model is at hand."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..families.kinds import Kind
from ..layers import Block

Row = tuple[Kind, tuple[int, ...], int, int]  # kind, indices, layers of each block, their width

SD15: tuple[Row, ...] = (
    ("input", (1, 2), 1, 320),
    ("input", (4, 5), 1, 640),
    ("input", (7, 8), 1, 1280),
    ("middle", (0,), 1, 1280),
    ("output", (3, 4, 5), 1, 1280),
    ("output", (6, 7, 8), 1, 640),
    ("output", (9, 10, 11), 1, 320),
)
SDXL: tuple[Row, ...] = (
    ("input", (4, 5), 2, 640),
    ("input", (7, 8), 10, 1280),
    ("middle", (0,), 10, 1280),
    ("output", (0, 1, 2), 10, 1280),
    ("output", (3, 4, 5), 2, 640),
)
FLUX: tuple[Row, ...] = (("double", tuple(range(19)), 1, 3072), ("single", tuple(range(38)), 1, 3072))


def _blocks(rows: tuple[Row, ...]) -> tuple[Block, ...]:
    return tuple(
        Block(kind, index, depth, width)
        for kind, indices, layers, width in rows
        for index in indices
        for depth in range(layers)
    )


PUBLISHED_BLOCKS: Mapping[str, tuple[Block, ...]] = MappingProxyType(
    {
        "SD1.5": _blocks(SD15),
        "SDXL": _blocks(SDXL),
        "Kolors": _blocks(SDXL),
        "Flux": _blocks(FLUX),
        "Chroma": _blocks(FLUX),
        "SD3.5 Large": _blocks((("joint", tuple(range(38)), 1, 2432),)),
        "Anima": _blocks((("block", tuple(range(28)), 1, 2048),)),
    }
)
