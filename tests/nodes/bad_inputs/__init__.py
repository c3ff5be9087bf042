"""The tables of all bad inputs that nodes refuse, and the message for each. test_bad_inputs.py runs them.

A row adds to the inputs with which the node works (`good`), or replaces some. A function makes its value from these.
"""

from collections.abc import Sequence
from typing import Any

from image_prompt.nodes.compat.node import Node

from .excuses import EXCUSES as EXCUSES
from .good import GOOD
from .good import good as good_of_own
from .other_packs.good import ROWS, run
from .other_packs.good import good as good_of_row
from .other_packs.rows import ROWS as OF_OTHER_PACKS
from .own import ROWS as OF_OUR_OWN
from .row import Bad as Bad
from .row import Inputs

BAD_INPUTS = (*OF_OUR_OWN, *OF_OTHER_PACKS)
ALL_NODES: tuple[type | Node, ...] = (*GOOD, *ROWS.values())


def good(node: type | Node) -> Inputs:
    """New inputs with which the node works. The files that it reads lie in the folders that ComfyUI has now."""
    return good_of_row(node) if isinstance(node, Node) else good_of_own(node)


def execute(node: type | Node, inputs: Inputs) -> Any:
    return run(node, **inputs) if isinstance(node, Node) else node.execute(**inputs)


def name_of(node: type | Node) -> str:
    """By which tests call it, and excuses name it."""
    return f"{node.pack} {node.id}" if isinstance(node, Node) else node.__name__


def inputs_of(node: type | Node) -> Sequence[str]:
    """All of them, without the hidden ones; the sockets that grow are one."""
    return (
        [each.name for each in node.inputs]
        if isinstance(node, Node)
        else [each.id for each in node.GET_SCHEMA().inputs]
    )
