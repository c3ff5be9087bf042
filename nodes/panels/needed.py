"""Which model files the open graph needs, and whether they are there."""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import folder_paths

from ...ip_adapter import FAMILIES
from ...model_files.catalogue import Catalogue, Entry
from ...model_files.catalogue.old_family_words import ids_of
from ...model_files.folders import ADAPTER_TYPES
from ...model_files.index import IndexedFile
from ...model_files.matching import APPLIED_TO, Need, Row, about, full_name, glance
from ...model_files.matching.explanation import advice
from ...model_files.matching.requirement import file_as_dict
from ...tensor_files import printable
from ..compat.presets import preset_named
from ..folders import ADAPTER_FOLDER, ENCODER_FOLDER, FACE_FOLDER, LORA_FOLDER, adapter_place, model_names
from ..loading import model_library
from ..loading.model_bases import base_of_listed
from ..loading.models import AUTO, AUTOMATIC, listed
from .graph import Graph, GraphNode, PublishedModel

PATIENCE = 5.0  # seconds to read files
FOUND, RENAMED, MISSING, UNUSABLE = "found", "renamed", "missing", "unusable"
THERE = (FOUND, RENAMED)
OURS = (*ADAPTER_TYPES, ENCODER_FOLDER, FACE_FOLDER)  # folders of which every file is for image prompts
LONGEST = 200  # characters of a name that a graph gives

FILES: Mapping[tuple[str, str], tuple[str, str]] = MappingProxyType(  # (node, input) -> (kind of the file, its folder)
    {
        ("ImagePromptLoadAdapter", "adapter_name"): ("adapter", ADAPTER_FOLDER),
        ("ImagePromptLoadEncoder", "encoder_name"): ("encoder", ENCODER_FOLDER),
        ("ImagePromptFaceAnalyserLoader", "face_pack"): ("face pack", FACE_FOLDER),
        ("CLIPVisionLoader", "clip_name"): ("encoder", ENCODER_FOLDER),
        ("IPAdapterModelLoader", "ipadapter_file"): ("adapter", ADAPTER_FOLDER),
        ("IPAdapterInsightFaceLoader", "model_name"): ("face pack", FACE_FOLDER),
        ("IPAdapterSD3Loader", "ipadapter"): ("adapter", ADAPTER_FOLDER),
        ("IPAdapterFluxLoader", "ipadapter"): ("adapter", "ipadapter-flux"),
        ("LoadFluxIPAdapter", "ipadatper"): ("adapter", "xlabs_ipadapters"),
        ("LoadFluxIPAdapter", "clip_vision"): ("encoder", ENCODER_FOLDER),
        ("InstantIDModelLoader", "instantid_file"): ("adapter", "instantid"),
        ("PulidModelLoader", "pulid_file"): ("adapter", "pulid"),
    }
)
# nodes that look for files by what these are for -> the needs for a text of an input and a base model
BY_PURPOSE: Mapping[str, tuple[str, Callable[[str, str], Sequence[Need]]]] = MappingProxyType(
    {
        "ImagePromptLoadModels": ("purpose", lambda purpose, base: _purposes(purpose, base)),
        **dict.fromkeys(
            ("IPAdapterUnifiedLoader", "IPAdapterUnifiedLoaderFaceID", "IPAdapterUnifiedLoaderCommunity"),
            ("preset", lambda preset, base: [preset_named(preset).need(base)]),
        ),
    }
)


def needed(graph: Graph) -> dict[str, Any]:
    """The files that a graph needs, as plain data: `items`, each as a row of the report with the nodes that need it."""
    known = model_library.catalogue()
    ours = Graph(graph.nodes, [model for model in graph.models if _is_ours(model, known)])
    if not (ours.models or any(map(_takes_files, graph.nodes.values()))):  # no folder is read for it
        return {"items": [], "missing": 0, "notes": [], "unread": []}
    return _Search(ours, known).result()


def _takes_files(node: GraphNode) -> bool:
    return node.type in BY_PURPOSE or any((node.type, name) in FILES for name in node.values)


def _is_ours(model: PublishedModel, known: Catalogue) -> bool:
    """Whether a file that a workflow says it needs is for image prompts: core tells of all others."""
    if model.folder not in folder_paths.folder_names_and_paths:
        return False
    return model.name != "" and (model.folder in OURS or known.named(model.name) != [])


def _purposes(purpose: str, base: str) -> list[Need]:
    purposes = AUTOMATIC if purpose == AUTO else (purpose,)
    return [Need("adapter", purpose=each, base_model=base) for each in purposes]


class _Search:
    def __init__(self, graph: Graph, known: Catalogue):
        self.graph, self.catalogue = graph, known
        self.end = time.monotonic() + PATIENCE
        self.report = model_library.report(PATIENCE)
        self.rows = {row.entry.id: row for row in self.report.rows}
        self.items: dict[object, dict[str, Any]] = {}
        self.notes: list[dict[str, str]] = []

    def result(self) -> dict[str, Any]:
        for node in self.graph.nodes.values():
            for name, text in node.values.items():
                if place := FILES.get((node.type, name)):
                    self.named(node, text, *place)
            if by_purpose := BY_PURPOSE.get(node.type):
                self.looked_for(node, *by_purpose)
        for model in self.graph.models:
            self.published(model)
        items = list(self.items.values())
        return {
            "items": items,
            "missing": sum(item["status"] not in THERE for item in items),
            "notes": self.notes,
            "unread": list(self.report.unread),
        }

    def named(self, node: GraphNode, text: str, kind: str, folder: str) -> None:
        """A file that is chosen in a loader by its name."""
        if not text:
            return
        if kind == "face pack":
            self.face_pack(node, text)
            return
        folder, name = adapter_place(text) if folder == ADAPTER_FOLDER else (folder, text)
        file = self.listed(folder, name)
        entry = next((entry for entry in self.catalogue.named(text) if entry.kind == kind), None)
        if file:
            self.add(node, file.file.path, _of_file(file))
            known = next((each for each in self.catalogue.named(full_name(file)) if each.kind == kind), None)
            self.company(node, file, known)
        elif entry:
            self.entry(node, entry, text)
            self.company(node, None, entry)
        else:
            self.add(node, (folder, text), self.unknown(text, folder))

    def looked_for(self, node: GraphNode, name: str, needs_of: Callable[[str, str], Sequence[Need]]) -> None:
        """What a node looks for by the base model and the text of its input."""
        base = self.base_of(node)
        if not base:
            self.note(node, "which files it takes is known once the file of its model is there, and chosen.")
            return
        if base not in APPLIED_TO:
            self.note(node, f"its model is {base}, and IP-Adapters are for {', '.join(APPLIED_TO)}.")
            return
        try:
            needs = needs_of(node.values.get(name, AUTO), base)
        except ValueError as error:
            self.note(node, str(error))
            return
        found = [self.glance(need) for need in needs]
        best = next((each for each in found if each.found), None) or next((each for each in found if each.wanted), None)
        if best is None:
            self.note(node, f"no such file is known to be published: {needs[0]}.")
        elif best.found:
            self.add(node, best.found.file.path, _of_file(best.found))
            alike = self.catalogue.named(full_name(best.found))
            entry = next((each for each in best.wanted if each in alike), next(iter(best.wanted), None))
            self.company(node, best.found, entry)
        else:
            self.entry(node, best.wanted[0])
            self.company(node, None, best.wanted[0])

    def company(self, node: GraphNode, file: IndexedFile | None, entry: Entry | None) -> None:
        """What an adapter needs besides: its encoders, its LoRA and its face pack."""
        identity = file.identity if file else None
        if (identity.kind if identity else entry and entry.kind) != "adapter":
            return
        families = [identity.family] if identity else ids_of(entry.family) if entry else []
        rows = [row for row in FAMILIES if row.id in families]
        encoder = identity.encoder if identity else entry.encoder if entry else ""
        if encoder:
            self.need(node, Need.encoder_of(identity) if identity else Need("encoder", encoder=encoder))
        for row in rows[:1]:
            if row.second_encoder:
                self.need(node, Need("encoder", encoder=row.second_encoder))
        pack = (entry.face_pack if entry else "") or next((row.face_pack for row in rows if row.face_pack), "")
        if pack:
            self.face_pack(node, pack)
        for each in self.catalogue.find(kind="lora"):
            if entry and each.id == entry.companion:
                self.need(node, Need.for_entry(each))

    def need(self, node: GraphNode, need: Need) -> None:
        resolution = self.glance(need)
        if resolution.found:
            self.add(node, resolution.found.file.path, _of_file(resolution.found))
        elif resolution.wanted:
            self.entry(node, resolution.wanted[0])
        else:
            folder = LORA_FOLDER if need.kind == "lora" else ENCODER_FOLDER
            self.add(node, str(need), self.unknown(str(need), folder))

    def entry(self, node: GraphNode, entry: Entry, named: str = "") -> None:
        """A published file. named: as the graph calls it"""
        row = self.rows.get(entry.id) or Row(entry, MISSING, None, advice(entry))
        item = row.to_dict(self.report.places)
        if row.status == FOUND and row.file and named:
            chosen, here = printable(named, LONGEST), printable(listed(row.file), LONGEST)
            item |= {"status": RENAMED, "why": f"It is here under another name: choose {here} in place of {chosen}."}
            self.add(node, (entry.id, named), item)
        else:
            self.add(node, row.file.file.path if row.file and row.status == FOUND else entry.id, item)

    def face_pack(self, node: GraphNode, name: str) -> None:
        entry = next((each for each in self.catalogue.find(kind="face pack") if each.id == name), None)
        if entry:
            self.entry(node, entry)

    def published(self, model: PublishedModel) -> None:
        """A file that the workflow itself says it needs."""
        told = any(model.name in _names(item) for item in self.items.values())
        if told or model.name in model_names(model.folder):
            return
        entry = next(iter(self.catalogue.named(model.name)), None)
        if entry:
            self.entry(GraphNode("", ""), entry)
        else:
            item = self.unknown(model.name, model.folder)
            item["get"]["link"] = model.link
            self.add(GraphNode("", ""), (model.folder, model.name), item)

    def unknown(self, text: str, folder: str) -> dict[str, Any]:
        """A file that no catalogue lists."""
        name = printable(text, LONGEST)
        link = next((model.link for model in self.graph.models if model.name == text), "")
        place = self.report.places.get(folder) or f"models/{folder}"
        get = {"name": name, "size": "", "licence": "", "link": link, "folder": place, "plain": True}
        return {"entry": None, "status": MISSING, "why": "", "file": None, "get": get}

    def add(self, node: GraphNode, key: object, item: dict[str, Any]) -> None:
        nodes = self.items.setdefault(key, item | {"nodes": []})["nodes"]
        if node.id and node.id not in nodes:
            nodes.append(node.id)

    def note(self, node: GraphNode, why: str) -> None:
        self.notes.append({"node": node.id, "why": printable(why, 4 * LONGEST)})

    def glance(self, need: Need):
        return glance(need, model_library.index(), self.catalogue, max(0.0, self.end - time.monotonic()))

    def listed(self, folder: str, name: str) -> IndexedFile | None:
        files = model_library.index().files(folder, timeout=max(0.0, self.end - time.monotonic()))
        name = name.replace(os.sep, "/")
        return next((file for file in files if file.file.name == name and not file.file.cached), None)

    def base_of(self, node: GraphNode) -> str:
        """The base model of the nearest node before that names the file of one; else that of any node."""
        for nodes in (self.graph.upstream(node), self.graph.nodes.values()):
            names = (text for each in nodes for text in each.values.values() if "." in text)
            if base := next(filter(None, map(base_of_listed, names)), ""):
                return base
        return ""


def _of_file(file: IndexedFile) -> dict[str, Any]:
    status = UNUSABLE if file.problem else FOUND
    return {"entry": None, "status": status, "why": about(file), "file": file_as_dict(file), "get": None}


def _names(item: Mapping[str, Any]) -> Iterator[str]:
    for part in (item["file"], item["get"]):
        if part:
            yield part["name"]
