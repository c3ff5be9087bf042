"""The kinds of blocks that diffusion models are made of."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal[
    "input",  # blocks of a UNet, as ComfyUI names them
    "output",
    "middle",
    "double",  # of Flux, with text and picture apart
    "single",  # of Flux, with both in one sequence
    "joint",  # of Stable Diffusion 3
    "block",  # of a transformer whose blocks are all alike
]

KINDS: tuple[Kind, ...] = get_args(Kind)  # in the order in which files number their layers
