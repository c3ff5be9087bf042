"""Which of the published files this pack has a use for, and why not for the others."""

from __future__ import annotations

from ...ip_adapter import APPLIED_TO, FAMILIES
from ...ip_adapter.families.foreign import REMEDIES
from ..catalogue import Catalogue, Entry, ids_of

__all__ = ["APPLIED_TO", "is_of_use", "refusal"]


def refusal(entry: Entry) -> str:
    """Why an adapter would be refused, and what to take instead; "" if it would not be."""
    reasons = {family.refusal for family in FAMILIES if family.id in ids_of(entry.family)}
    if entry.kind != "adapter" or "" in reasons:
        return ""
    return REMEDIES["faces" if "faces" in reasons else "architecture"]


def is_of_use(entry: Entry, catalogue: Catalogue) -> bool:
    """Adapters that can be applied, with the LoRAs that belong to them, and image encoders."""
    if entry.kind == "lora":
        return any(each.companion == entry.id and not refusal(each) for each in catalogue.entries)
    return entry.kind in ("adapter", "encoder") and not refusal(entry)
