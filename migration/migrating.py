"""Read a prompt or a workflow, and write it with our nodes in place of those of the other pack."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from . import prompt, workflow
from .graph import Graph, Node
from .layers import Base
from .plan import Plan, plan

LARGEST = 64 << 20  # bytes of a file; workflows of thousands of nodes have one or two million
MIDDLE = (
    "Our nodes also act in the middle block of the model, where those of the other pack have not acted since September "
    "2024: so the picture differs a little. Where it must not, connect Image Prompt Layer Weights with the preset "
    "'values' and the values '1, 0, 1' to layer_weights of a Reference."
)
STILL = "The nodes that stay run as before: this pack has them too, and where the other pack is installed, its own run."


@dataclass(frozen=True)
class Change:
    """What became of an old node.

    where: the name of its subgraph; "" outside of one
    became: the types of our nodes, that which took its place first; none if it is not needed any more
    notes: what is different
    """

    where: str
    id: str
    type: str
    title: str
    became: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Kept:
    """An old node that stays, and why."""

    where: str
    id: str
    type: str
    title: str
    why: str


@dataclass(frozen=True)
class Migration:
    """A file with our nodes in it.

    text: what to write; as it was if nothing was rewritten
    format: "prompt" or "workflow"
    in_middle: whether references act in the middle block now, and did not before
    """

    text: str
    format: str
    changes: list[Change] = field(default_factory=list[Change])
    stays: list[Kept] = field(default_factory=list[Kept])
    in_middle: bool = False


def migrate(text: str, base: Base | None = None) -> Migration:
    """Rewrite a prompt of the API or a workflow of the browser.

    base: the model, where names in the file do not say it

    Raises:
        ValueError: it is neither, or it is damaged, or has none of the nodes.
    """
    data = _parsed(text)
    try:
        if workflow.is_workflow(data):
            graphs = workflow.read(data)
            plans = [plan(graph, base) for _, graph in graphs]
            written = workflow.write(text, data, plans)
        elif prompt.is_prompt(data):
            graphs = [("", prompt.read(data))]
            plans = [plan(graphs[0][1], base)]
            written = prompt.write(text, data, graphs[0][1], plans[0])
        else:
            raise ValueError(
                "It is neither a workflow, which has nodes and links, nor a prompt of the API, which has a class_type "
                "and inputs for each node: save it again with Export or Export (API)."
            )
    except (KeyError, TypeError, AttributeError, IndexError, ArithmeticError) as error:
        raise ValueError(f"The workflow is damaged ({error!r:.80}): save it again in ComfyUI.") from error
    except RecursionError as error:
        raise ValueError("Its nodes hang together in a longer row than can be followed.") from error
    return _told(text, written, "workflow" if workflow.is_workflow(data) else "prompt", graphs, plans)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"It is not JSON ({error!s:.80}): save the workflow again in ComfyUI.") from error


def _told(text: str, written: str, format: str, graphs: list[tuple[str, Graph]], plans: list[Plan]) -> Migration:
    named = [(name, plan) for (name, _), plan in zip(graphs, plans, strict=True)]
    changes = [
        Change(*_who(name, each.node), each.types, each.notes) for name, plan in named for each in plan.rewritten
    ]
    stays = [Kept(*_who(name, node), why) for name, plan in named for node, why in plan.stays]
    if not changes and not stays:
        raise ValueError("There are no nodes of ComfyUI_IPAdapter_plus in it: there is nothing to rewrite.")
    in_middle = any(plan.in_middle for plan in plans)
    return Migration(written if changes else text, format, changes, stays, in_middle)


def _who(name: str, node: Node) -> tuple[str, str, str, str]:
    return name, node.id, node.type, node.title
