"""Which of the published files this pack has a use for, and why not for the others."""

from __future__ import annotations

from ..ip_adapter import BASE_MODELS, FAMILIES, KOLORS
from ..ip_adapter.foreign import FACE, UNSUPPORTED
from .catalogue import Catalogue, Entry
from .identify import FACE_FAMILIES

APPLIED_TO = tuple(base.name for base in (*BASE_MODELS, KOLORS))  # models
APPLIED = frozenset(family.name for family in FAMILIES)
OF_FACES = {family for family, _ in FACE_FAMILIES.values()} | {"FaceID plus v2", "InstantID"}  # told by their names


def refusal(entry: Entry) -> str:
    """Why an adapter would be refused, and what to take instead; "" if it would not be."""
    if entry.kind != "adapter" or entry.family in APPLIED:
        return ""
    return FACE if entry.family in OF_FACES else UNSUPPORTED


def is_of_use(entry: Entry, catalogue: Catalogue) -> bool:
    """Adapters that can be applied, with the LoRAs that belong to them, and image encoders."""
    if entry.kind == "lora":
        return any(each.companion == entry.id and not refusal(each) for each in catalogue.entries)
    return entry.kind in ("adapter", "encoder") and not refusal(entry)
