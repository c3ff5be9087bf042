"""A row of the tables of bad inputs, and the values that many rows give."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from image_prompt.ip_adapter import APPLIED_TO
from image_prompt.nodes.compat.node import Node

Inputs = dict[str, Any]

NOTHING, TEXT, LIST, DICT = None, "a word", [1, 2], {"image_proj": {}, "ip_adapter": {}}
NOT_A_NUMBER, ENDLESS = float("nan"), float("inf")
MODELS = f"{', '.join(APPLIED_TO[:-1])} or {APPLIED_TO[-1]}"
IMAGE = "connect an IMAGE output, which is .pictures, height, width, channels"
RANGE = "must be a number between 0 and 1"


@dataclass(frozen=True)
class Bad:
    """One bad input of a node, or several that do not fit together.

    node: the class of one of ours, or the row of one of another pack
    message: a regular expression
    """

    node: type | Node
    inputs: Mapping[str, Any]
    message: str
