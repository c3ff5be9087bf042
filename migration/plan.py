"""Decide for a whole graph which nodes are rewritten, which stay, and which are no longer needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .graph import REROUTE, Graph, Mode, Node, Source, Stays
from .layers import Base
from .rules import APPLIES, CROP, ENCODERS, LOADERS, STYLE_AND_COMPOSITION, UNIFIED, NewNode, Pieces, Rules, helper_key


@dataclass(frozen=True)
class Placed:
    """A node of ours and whence it comes.

    near: id of the old node that it stands for or helps
    instead: whether it takes the place and the id of that node
    """

    node: NewNode
    near: str
    mode: Mode
    instead: bool


@dataclass(frozen=True)
class Rewritten:
    """What became of an old node. types: of our nodes, that which took its place first; none if it is not needed"""

    node: Node
    types: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass
class Plan:
    """What to do with a graph.

    new: {key: node of ours}, in the order in which they run
    removed: ids of nodes of the file that nothing needs any more
    stays: (old node, why it is not rewritten)
    widgets: {(id, name) of an old widget: (key, name) of ours}
    in_middle: whether anything acts in the middle block that did not before
    """

    new: dict[str, Placed] = field(default_factory=dict[str, Placed])
    removed: set[str] = field(default_factory=set[str])
    rewritten: list[Rewritten] = field(default_factory=list[Rewritten])
    stays: list[tuple[Node, str]] = field(default_factory=list[tuple[Node, str]])
    widgets: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict[tuple[str, str], tuple[str, str]])
    in_middle: bool = False


def plan(graph: Graph, base: Base | None = None) -> Plan:
    """What becomes of the nodes of a graph.

    base: the model, where names do not say it
    """
    pieces, reasons = _asked(graph, base)
    gone = _gone(graph, pieces)
    used = _used(pieces, [id for id in gone if _applies(graph.nodes[id])])
    made = Plan()
    for node in graph.nodes.values():
        if not node.row:
            continue
        if node.id in gone:
            _rewrite(made, node, pieces[node.id], needed=node.id in used or node.row in UNIFIED)
        elif node.id in used:
            _add(made, node, pieces[node.id], instead=False)
            made.stays.append((node, f"{_reading(graph, node, gone)} It stays for them, and ours is beside it."))
        else:
            made.stays.append((node, reasons.get(node.id) or _reading(graph, node, gone)))
    _move_crops(made, graph, pieces, gone)
    made.removed |= _dead_reroutes(graph, gone)
    return made


def _asked(graph: Graph, base: Base | None) -> tuple[dict[str, Pieces], dict[str, str]]:
    """What each node could become, and why the others stay."""
    rules, pieces, reasons = Rules(graph, base), dict[str, Pieces](), dict[str, str]()
    for node in graph.nodes.values():
        try:
            if node.row:
                pieces[node.id] = rules.pieces(node)
        except Stays as reason:
            reasons[node.id] = str(reason)
    return pieces, reasons


def _applies(node: Node) -> bool:
    return node.row in APPLIES or node.row in STYLE_AND_COMPOSITION


def _used(pieces: Mapping[str, Pieces], applying: Iterable[str]) -> set[str]:
    """The ids of the nodes of which those that are applied read what they become."""
    used, further = set[str](), list(applying)
    while further:
        fresh = pieces[further.pop()].uses - used
        used |= fresh
        further += fresh
    return used


def _gone(graph: Graph, pieces: Mapping[str, Pieces]) -> set[str]:
    """The ids of the old nodes that are not in the new file: those of which everything that reads them is gone too."""
    gone = {id for id in pieces if _applies(graph.nodes[id])}
    makers = [graph.nodes[id] for id in pieces if id not in gone]
    while found := {each.id for each in makers if each.id not in gone and _is_free(graph, each, gone)}:
        gone |= found
    return gone


def _is_free(graph: Graph, node: Node, gone: set[str]) -> bool:
    readers = graph.readers(node.id, 1 if node.row in UNIFIED else None)
    chained = node.row == CROP and any(each.row == CROP for each in readers)
    return bool(readers) and not chained and all(each.id in gone for each in readers)


def _reading(graph: Graph, node: Node, gone: set[str]) -> str:
    others = [f"{each.id} ({each.type})" for each in graph.readers(node.id) if each.id not in gone]
    return f"It is read by nodes that stay: {', '.join(dict.fromkeys(others))}." if others else "Nothing reads it."


def _rewrite(made: Plan, node: Node, pieces: Pieces, needed: bool) -> None:
    if node.row == CROP or not (needed or _applies(node)):
        made.removed.add(node.id)
        made.rewritten.append(Rewritten(node, (), tuple(pieces.notes)))
        return
    _add(made, node, pieces, instead=True)
    made.widgets |= {(node.id, name): ours for name, ours in pieces.widgets.items()}
    made.in_middle |= pieces.in_middle
    types = (pieces.main.type, *(each.type for each in pieces.helpers.values()))
    made.rewritten.append(Rewritten(node, types, tuple(dict.fromkeys(pieces.notes))))


def _add(made: Plan, node: Node, pieces: Pieces, instead: bool) -> None:
    for word, helper in pieces.helpers.items():
        made.new[helper_key(node.id, word)] = Placed(helper, node.id, node.mode, False)
    made.new[node.id] = Placed(pieces.main, node.id, node.mode, instead)


def _move_crops(made: Plan, graph: Graph, pieces: Mapping[str, Pieces], gone: Iterable[str]) -> None:
    """Let Encode crop the images that nodes which are gone cropped."""
    for placed in made.new.values():
        image = placed.node.inputs.get("image")
        origin = graph.origin(image)[0] if isinstance(image, Source) else None
        if origin and origin.row == CROP and origin.id in gone:
            placed.node.inputs |= pieces[origin.id].main.inputs


def _dead_reroutes(graph: Graph, gone: set[str]) -> set[str]:
    """Reroutes of wires that are not there any more."""
    dead = set[str]()
    for node in graph.nodes.values():
        source = next(node.sources(), None) if node.type == REROUTE else None
        origin, slot = graph.origin(source) if source else (None, 0)
        if origin and origin.id in gone and _is_retyped(origin, slot):
            dead.add(node.id)
    return dead


def _is_retyped(origin: Node, slot: int) -> bool:
    return origin.row in (*ENCODERS, "IPAdapterModelLoader", CROP) or (origin.row in LOADERS and slot == 1)
