"""Say which published files this pack can use, and why not the others."""

from __future__ import annotations

from ...ip_adapter import APPLIED_TO, FAMILIES, purposes
from ...ip_adapter.families.foreign import REMEDIES
from ..catalogue import Catalogue, Entry, ids_of

__all__ = ["APPLIED_TO", "adapter_words", "is_of_use", "refusal"]


def adapter_words(catalogue: Catalogue) -> tuple[list[str], list[str]]:
    """(what adapters are for, the base models that they are for), first those that this pack applies."""
    adapters = catalogue.find(kind="adapter")
    told = (purpose for entry in adapters for purpose in entry.purposes)
    base_models = (entry.base_model for entry in adapters)
    return list(dict.fromkeys([*purposes(), *told])), list(dict.fromkeys(filter(None, [*APPLIED_TO, *base_models])))


def refusal(entry: Entry) -> str:
    """Why this pack refuses an adapter, and what to use instead; "" if it does not."""
    reasons = {family.refusal for family in FAMILIES if family.id in ids_of(entry.family)}
    if entry.kind != "adapter" or "" in reasons:
        return ""
    return REMEDIES[min(reasons, default="architecture")]


def is_of_use(entry: Entry, catalogue: Catalogue) -> bool:
    """Whether this pack can use an entry: an adapter that it applies, what belongs to one, or an encoder."""
    if entry.kind in ("adapter", "encoder"):
        return not refusal(entry)
    needed_by = [each for each in catalogue.entries if entry.id in (each.companion, each.face_pack)]
    return any(not refusal(each) for each in needed_by)
