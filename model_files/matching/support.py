"""Say which published files this pack can use, and why not the others."""

from __future__ import annotations

from ...ip_adapter import APPLIED_TO, FAMILIES
from ...ip_adapter.families.foreign import REMEDIES
from ..catalogue import Catalogue, Entry, ids_of

__all__ = ["APPLIED_TO", "is_of_use", "refusal"]


def refusal(entry: Entry) -> str:
    """Why this pack refuses an adapter, and what to use instead; "" if it does not."""
    reasons = {family.refusal for family in FAMILIES if family.id in ids_of(entry.family)}
    if entry.kind != "adapter" or "" in reasons:
        return ""
    return REMEDIES[next((reason for reason in ("faces", "flux") if reason in reasons), "architecture")]


def is_of_use(entry: Entry, catalogue: Catalogue) -> bool:
    """Whether this pack can use an entry: an adapter that it applies, a LoRA that belongs to one, or an encoder."""
    if entry.kind == "lora":
        return any(each.companion == entry.id and not refusal(each) for each in catalogue.entries)
    return entry.kind in ("adapter", "encoder") and not refusal(entry)
