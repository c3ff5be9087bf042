"""THE table: one row per checkpoint family. Files that share a layout share the maths and the row.

Other packages refer to a family by its id alone; its names are for people, and may be reworded.
"""

from __future__ import annotations

from .base_models import BASE_MODELS
from .faces import FACES
from .family import Family, Hints, Part
from .flux import FLUX
from .others import OTHERS
from .unet import UNET

__all__ = ["APPLIED", "APPLIED_TO", "FAMILIES", "Family", "Hints", "Part", "purposes", "told_apart"]

FAMILIES = (*OTHERS, *FLUX, *FACES, *UNET)  # specific first

APPLIED = tuple(family for family in FAMILIES if not family.refusal)
APPLIED_TO = tuple(  # names of base models, in the order of their table
    base.name for base in BASE_MODELS if any(base in family.base_models for family in APPLIED)
)


def told_apart(family: Family, hints: Hints) -> Family:
    """This family, or the one of equal shapes that the hints speak for."""
    return next((each for each in FAMILIES if each.like == family.id and each.told_by(hints)), family)


def purposes() -> tuple[str, ...]:
    """What there are adapters for, of applied families first."""
    rows = sorted(FAMILIES, key=lambda family: bool(family.refusal))
    return tuple(dict.fromkeys(purpose for family in rows for purpose in family.purposes))
