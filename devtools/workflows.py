"""Workflows in two formats: as the browser saves them (UI format), and as the queue takes them (API format). Standard
library only.
"""

from __future__ import annotations

WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
FRONTEND_ONLY = {"MarkdownNote"}


def declared(info: dict) -> dict:
    """The inputs of a node, {name: (type, options)}, of what /object_info says about it."""
    return {**info["input"].get("required", {}), **info["input"].get("optional", {})}


def is_widget(kind: object) -> bool:
    return isinstance(kind, list) or kind in WIDGETS


def widget_names(info: dict) -> list[str | None]:
    """The inputs that `widgets_values` lists, in order; None for what the browser adds beside one."""
    names: list[str | None] = []
    for name, (kind, *rest) in declared(info).items():
        if is_widget(kind):
            options = rest[0] if rest else {}
            extra = options.get("control_after_generate") or options.get("image_upload")
            names += [name, None] if extra else [name]
    return names


def nodes_of(ui: dict) -> list[dict]:
    return [node for node in ui["nodes"] if node["type"] not in FRONTEND_ONLY]


def to_api(ui: dict, object_info: dict) -> dict:
    """Convert a workflow from UI format to the API format that the browser would queue."""
    links = {link[0]: [str(link[1]), link[2]] for link in ui["links"]}
    prompt = {}
    for node in nodes_of(ui):
        names = widget_names(object_info[node["type"]])
        assert len(names) == len(node["widgets_values"]), node["type"]
        inputs = {name: value for name, value in zip(names, node["widgets_values"]) if name}
        inputs |= {slot["name"]: links[slot["link"]] for slot in node["inputs"] if slot["link"] is not None}
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs, "_meta": {"title": node["title"]}}
    return prompt
