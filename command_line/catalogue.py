"""Answer the command "catalogue": the published files by kind, with size and licence."""

from __future__ import annotations

from ..model_files.catalogue import Catalogue, Entry
from .terminal import Answer, described, section, size_text

KINDS = {
    "adapter": "Adapters",
    "encoder": "Image encoders",
    "lora": "LoRAs",
    "controlnet": "ControlNets",
    "face pack": "Face packs",
}
USE = {
    True: "commercial use is allowed",
    False: "NON-COMMERCIAL USE ONLY",
    None: "whether commercial use is allowed is not stated",
}


def answer(catalogue: Catalogue) -> Answer:
    lines: list[str] = []
    for kind, title in KINDS.items():
        entries = catalogue.find(kind=kind)
        lines += section(f"{title} ({len(entries)})", described([(entry.id, _about(entry)) for entry in entries]))
    return Answer([entry.to_dict() for entry in catalogue.entries], [*lines, "`get NAME` fetches one."])


def licence_text(entry: Entry) -> str:
    return f"{entry.licence or 'licence not known'}, {USE[entry.commercial]}"


def _about(entry: Entry) -> str:
    facts = [entry.title, size_text(entry.size), licence_text(entry)]
    if entry.face_pack:
        facts.append(f"Needs the face pack {entry.face_pack}")
    if not entry.url:
        facts.append(f"by hand only: {entry.page}")
    return ". ".join(filter(None, facts))
