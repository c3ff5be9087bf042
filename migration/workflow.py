"""Workflows as the browser saves them: read the graphs in them, and write what was planned."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from .graph import PRIMITIVE, Graph, Mode, Node, Source
from .ids import free_numbers
from .json_values import Json, entries, members, objects, places
from .layout import WIDTH, Box, free_place, height_of, node_box
from .links import ID, Link, read_links, written
from .old_nodes import OLD_NODES, old_node
from .our_nodes import OUR_NODES, REFERENCES
from .plan import Placed, Plan
from .rules import CHECKPOINT, Ours, is_link

MODES: Mapping[Any, Mode] = {2: "muted", 4: "bypassed"}
FROM_OUTSIDE, TO_OUTSIDE = -10, -20  # ids under which a subgraph's own inputs and outputs stand in its links
THEIRS = ("cnr_id", "aux_id", "ver")  # properties that say of which pack a node is
PACK = "image-prompt"
OPTIONAL = 7  # the shape of a socket that may be left free


def is_workflow(data: object) -> bool:
    return isinstance(members(data).get("nodes"), list) and isinstance(members(data).get("links"), list)


def scopes(data: Json) -> Iterator[tuple[str, Json]]:
    """The name and the content of the workflow itself, whose name is "", and of its subgraphs."""
    yield "", data
    for each in objects(members(data.get("definitions")).get("subgraphs")):
        if is_workflow(each):
            yield str(each.get("name") or "subgraph"), each


# --------------------------------------------------------------------------------------------------------------- read


def read(data: Json) -> list[tuple[str, Graph]]:
    """The graphs of a workflow, by the names of `scopes` and in their order."""
    shown = _shown(data)
    return [(name, _graph(scope, shown.get(str(scope.get("id")), set()))) for name, scope in scopes(data)]


def _shown(data: Json) -> dict[str, set[tuple[str, str]]]:
    """{id of a subgraph: (id, name) of the widgets inside that its nodes show}."""
    found = dict[str, set[tuple[str, str]]]()
    for node in _instances(data):
        found.setdefault(node["type"], set()).update((str(id), str(name)) for id, name in _proxies(node))
    return found


def _instances(data: Json) -> Iterator[Json]:
    """The nodes that show widgets of the inside of a subgraph."""
    return (node for _, scope in scopes(data) for node in scope["nodes"] if _proxies(node))


def _proxies(node: Json) -> list[Any]:
    return [pair for pair in entries(members(node.get("properties")).get("proxyWidgets")) if len(entries(pair)) == 2]


def _graph(scope: Json, shown: Iterable[tuple[str, str]]) -> Graph:
    links = {link.id: link for link in read_links(scope["links"])}
    nodes = {str(node["id"]): _node(node, links, shown) for node in scope["nodes"]}
    leaving = [link for link in links.values() if link.target == _outside(scope, "outputNode", TO_OUTSIDE)]
    outside = {str(link.id): Source(str(link.origin), link.origin_slot) for link in leaving}
    if outside:
        nodes[str(TO_OUTSIDE)] = Node(str(TO_OUTSIDE), "an output of the subgraph", "", outside)
    return Graph(nodes)


def _outside(scope: Json, name: str, usual: int) -> ID:
    return members(scope.get(name)).get("id", usual)


def _node(node: Json, links: Mapping[int, Link], shown: Iterable[tuple[str, str]]) -> Node:
    id, sockets, row = str(node["id"]), objects(node.get("inputs")), _row(node)
    found = {str(each["name"]): links.get(each.get("link", 0)) for each in sockets}
    linked = {name: Source(str(link.origin), link.origin_slot) for name, link in found.items() if link}
    return Node(
        id,
        node["type"],
        row,
        _widgets(node, row) | linked,
        MODES.get(node.get("mode"), "active"),
        node["title"] if _has_own_title(node) else "",
        frozenset(name for inner, name in shown if inner == id),
    )


def _row(node: Json) -> str:
    return old_node(node["type"], [each["name"] for each in objects(node.get("inputs"))])


def _has_own_title(node: Json) -> bool:
    title, row = node.get("title"), _row(node)
    return bool(title) and not (row and title == OLD_NODES[row].title)


def _widgets(node: Json, row: str) -> Json:
    """The values of widgets: all of the other pack's nodes, and of others those that rules ask for."""
    values, given = entries(node.get("widgets_values")), members(node.get("widgets_values"))
    if given:
        pass
    elif row:
        given = dict(zip(OLD_NODES[row].widgets, values))
    elif node["type"].startswith(PRIMITIVE):
        given = {"value": values[0]} if values and values[1:2] in ([], ["fixed"]) else {}
    else:
        given = {CHECKPOINT[0]: values[0]} if values and node["type"].startswith(("Checkpoint", "UNETLoader")) else {}
    return {name: value for name, value in given.items() if value is not None}


# -------------------------------------------------------------------------------------------------------------- write


def write(text: str, data: Json, plans: Sequence[Plan]) -> str:
    """The workflow with what was planned for each of its graphs, in the order of `scopes`."""
    made = copy.deepcopy(data)
    numbers = free_numbers([*_ids(made), made.get("last_node_id")])
    links = free_numbers([*_link_ids(made), made.get("last_link_id")])
    for (_, scope), plan in zip(scopes(made), plans, strict=True):
        if plan.new or plan.removed:
            ids = _Writer(scope, plan, numbers, links).write()
            _show_again(made, scope, plan, ids)
    _count(made, next(numbers) - 1, next(links) - 1)
    return json.dumps(made, indent=2 if "\n" in text else None, ensure_ascii=False) + "\n"


def _ids(data: Json) -> Iterator[ID]:
    return (node["id"] for _, scope in scopes(data) for node in scope["nodes"])


def _link_ids(data: Json) -> Iterator[ID]:
    return (link.id for _, scope in scopes(data) for link in read_links(scope["links"]))


def _count(data: Json, node: int, link: int) -> None:
    """Write the highest ids where the browser keeps them."""
    for _, scope in scopes(data):
        if "last_node_id" in scope:
            scope |= {"last_node_id": node, "last_link_id": link}
        if isinstance(scope.get("state"), dict):
            scope["state"] |= {"lastNodeId": node, "lastLinkId": link}


def _show_again(data: Json, scope: Json, plan: Plan, ids: Mapping[str, ID]) -> None:
    """Let the nodes of a subgraph show the widgets that took the place of those inside that they showed."""
    for node in _instances(data):
        if node["type"] == scope.get("id"):
            for pair in _proxies(node):
                if ours := plan.widgets.get((str(pair[0]), str(pair[1]))):
                    pair[:] = [str(ids[ours[0]]), ours[1]]


class _Writer:
    """Writes what was planned into one graph of a workflow."""

    def __init__(self, scope: Json, plan: Plan, numbers: Iterator[int], link_numbers: Iterator[int]) -> None:
        self.scope = scope
        self.plan = plan
        self.link_numbers = link_numbers
        self.old: dict[str, Json] = {str(node["id"]): node for node in scope["nodes"]}
        self.ids: dict[str, ID] = {
            key: self.old[placed.near]["id"] if placed.instead else next(numbers) for key, placed in plan.new.items()
        }
        self.as_lists = not any(isinstance(each, dict) for each in scope["links"]) and "version" in scope
        self.links, self.cut = list[Link](), list[Link]()  # what is there, and what was
        self.beneath = dict[tuple[str, str], Any]()  # values of widgets that show again where their link is taken away
        for (id, name), ours in plan.widgets.items():
            values = _widgets(self.old[id], _row(self.old[id]))
            self.beneath |= {ours: values[name]} if name in values else {}
        changed = {key for key, placed in plan.new.items() if placed.instead} | plan.removed
        for link in read_links(scope["links"]):
            is_cut = str(link.target) in changed or str(link.origin) in plan.removed
            (self.cut if is_cut else self.links).append(link)
        self.raw_ids: dict[str, ID] = {str(link.origin): link.origin for link in [*self.links, *self.cut]}
        self.raw_ids |= {id: node["id"] for id, node in self.old.items()}

    def write(self) -> Mapping[str, ID]:
        """Change the graph. {key of a new node: its id}."""
        boxes = self._places()
        made = {key: self._node(key, placed, boxes[key]) for key, placed in self.plan.new.items()}
        instead = {key: made[key] for key, placed in self.plan.new.items() if placed.instead}
        kept = [instead.get(id, node) for id, node in self.old.items() if id not in self.plan.removed]
        self.scope["nodes"] = [*kept, *(node for key, node in made.items() if key not in instead)]
        self._connect_ends()
        self.scope["links"] = [written(link, self.as_lists) for link in self.links]
        self._clear_reroutes()
        return self.ids

    # ------------------------------------------------------------------------------------------------------- nodes

    def _node(self, key: str, placed: Placed, box: Box) -> Json:
        kind, old = OUR_NODES[placed.node.type], self.old[placed.near]
        given, id = placed.node.inputs, self.ids[key]
        colours = {name: old[name] for name in ("color", "bgcolor") if name in old}
        titled = {"title": old["title"]} if placed.instead and _has_own_title(old) else {}
        return {
            "id": id,
            "type": placed.node.type,
            "pos": [box.x, box.y + node_box(0, 0, 0, 0).height],
            "size": [box.width, box.height - node_box(0, 0, 0, 0).height],
            "flags": copy.deepcopy(members(old.get("flags"))) if placed.instead else {},
            "order": old.get("order", 0),
            "mode": old.get("mode", 0),
            "inputs": self._inputs(id, placed),
            "outputs": [{"name": name, "type": type, "links": []} for name, type in kind.outputs],
            **titled,
            "properties": self._properties(old if placed.instead else {}, placed.node.type),
            "widgets_values": [
                self.beneath.get((key, name), default) if is_link(given.get(name)) else given.get(name, default)
                for name, (_, default) in kind.widgets.items()
            ],
            **colours,
        }

    def _properties(self, old: Json, type: str) -> Json:
        kept = {name: value for name, value in members(old.get("properties")).items() if name not in THEIRS}
        return {**kept, "Node name for S&R": type, "cnr_id": PACK}

    def _inputs(self, id: ID, placed: Placed) -> list[Json]:
        """The sockets of a node, and widgets that are linked, each with its link."""
        kind, given = OUR_NODES[placed.node.type], placed.node.inputs
        growing = [name for name in kind.sockets if name.startswith(REFERENCES)]
        count = sum(name in given for name in growing)
        shown = {name: type for name, type in kind.sockets.items() if name not in growing[count + 1 :]}
        made: list[Json] = [{"name": name, "type": type, "link": None} for name, type in shown.items()]
        for each in made:
            if each["name"] in growing:
                each["label"] = each["name"].removeprefix("references.")
                each |= {"shape": OPTIONAL} if each["name"] != growing[0] else {}
        for name, (type, _) in kind.widgets.items():
            if is_link(given.get(name)):
                made.append({"name": name, "type": type, "widget": {"name": name}, "link": None})
        for slot, each in enumerate(made):
            value = given.get(each["name"])
            if isinstance(value, Source | Ours):
                each["link"] = self._link(value, id, slot, each["type"].split(",")[0])
        return made

    # ------------------------------------------------------------------------------------------------------- links

    def _link(self, value: Source | Ours, target: ID, slot: int, type: str) -> int:
        """The number of a link to an input: of one that was there, with its reroutes, or of a new one."""
        if isinstance(value, Ours):
            origin, at = self.ids[value.key], value.slot
        else:
            origin, at = self.raw_ids[value.node], value.slot
        same = (each for each in self.cut if (each.origin, each.origin_slot, each.target) == (origin, at, target))
        link = next(same, None)
        if link:
            self.cut.remove(link)
            link.target_slot, link.type = slot, type
        else:
            link = Link(next(self.link_numbers), origin, at, target, slot, type)
        self.links.append(link)
        return link.id

    def _connect_ends(self) -> None:
        """Bring the lists of links that nodes and the sockets of the subgraph have up to date."""
        leaving = dict[tuple[ID, int], list[int]]()
        for link in self.links:
            leaving.setdefault((link.origin, link.origin_slot), []).append(link.id)
        lost = {link.id for link in self.cut}
        outside = _outside(self.scope, "inputNode", FROM_OUTSIDE)
        ends = [("linkIds", outside, slot, each) for slot, each in enumerate(objects(self.scope.get("inputs")))]
        for node in self.scope["nodes"]:
            for each in objects(node.get("inputs")):
                if each.get("link") in lost:
                    each["link"] = None
            ends += [("links", node["id"], slot, each) for slot, each in enumerate(objects(node.get("outputs")))]
        for name, id, slot, end in ends:
            there = leaving.get((id, slot), [])
            if set(entries(end.get(name))) != set(there):
                end[name] = there

    def _clear_reroutes(self) -> None:
        """Take links that are gone out of the bends that people made in them."""
        known = {link.id for link in self.links}
        extra = members(self.scope.get("extra"))
        for holder in (self.scope, extra):
            if bends := objects(holder.get("reroutes")):
                for bend in bends:
                    bend["linkIds"] = [id for id in entries(bend.get("linkIds")) if id in known]
                holder["reroutes"] = [bend for bend in bends if bend["linkIds"] or bend.get("floating")]
        if more := objects(extra.get("linkExtensions")):
            extra["linkExtensions"] = [each for each in more if each.get("id") in known]

    # ------------------------------------------------------------------------------------------------------ places

    def _places(self) -> dict[str, Box]:
        """Where every new node goes, with its title. Groups grow around those of their nodes that need more room."""
        gone = {key for key, placed in self.plan.new.items() if placed.instead} | self.plan.removed
        taken = [_box(node) for id, node in self.old.items() if id not in gone]
        found = dict[str, Box]()
        for key, placed in sorted(self.plan.new.items(), key=lambda item: not item[1].instead):
            near = _box(self.old[placed.near])
            group = next((each for each in self._groups() if _bounds(each).holds(near)), None)
            box = free_place(self._wanted(placed, near), taken, _bounds(group) if group else None)
            taken.append(box)
            found[key] = box
            if group:
                self._grow(group, box, taken)
        return found

    def _wanted(self, placed: Placed, near: Box) -> Box:
        kind = OUR_NODES[placed.node.type]
        width = max(near.width, WIDTH) if placed.instead else WIDTH
        return node_box(near.x, near.y + node_box(0, 0, 0, 0).height, width, height_of(kind, len(kind.sockets)))

    def _groups(self) -> list[Json]:
        return [each for each in objects(self.scope.get("groups")) if len(places(each.get("bounding"))) == 4]

    def _grow(self, group: Json, box: Box, taken: Iterable[Box]) -> None:
        """Let a group hold a box, unless it would then hold nodes that it did not."""
        before, after = _bounds(group), _bounds(group).around(box)
        if before.holds(box):
            return
        if not any(after.meets(each) and not before.meets(each) for each in taken if each is not box):
            group["bounding"] = [after.x, after.y, after.width, after.height]


def _box(node: Json) -> Box:
    (x, y), (width, height) = _pair(node.get("pos"), (0.0, 0.0)), _pair(node.get("size"), (WIDTH, 100.0))
    return node_box(x, y, width, height)


def _pair(value: Any, usual: tuple[float, float]) -> tuple[float, float]:
    """Two numbers, which older files write as {"0": ..., "1": ...}."""
    numbers = places([*members(value).values()][:2] or entries(value)[:2])
    return (numbers[0], numbers[1]) if len(numbers) == 2 else usual


def _bounds(group: Json) -> Box:
    return Box(*group["bounding"])
