"""The table of checkpoint families, one row each. Files that share a layout share the maths and the row.

Other packages refer to a family only by its id. Its names are for people, and may be reworded.
"""

from __future__ import annotations

from collections.abc import Iterable

from .anima import ANIMA
from .base_models import BASE_MODELS
from .faces import FACES
from .family import Acts, Combine, FacePack, Family, Hints, Part, hint_of
from .flux import FLUX
from .sd3 import SD3
from .unet import UNET
from .without_host import WITHOUT_HOST

__all__ = [
    "APPLIED",
    "APPLIED_TO",
    "FAMILIES",
    "Acts",
    "Combine",
    "FacePack",
    "Family",
    "Hints",
    "Part",
    "alike",
    "base_models_of",
    "hint_of",
    "purposes",
    "told_apart",
]

FAMILIES = (*WITHOUT_HOST, *ANIMA, *FLUX, *SD3, *FACES, *UNET)  # specific first

APPLIED = tuple(family for family in FAMILIES if not family.refusal)


def base_models_of(families: Iterable[Family]) -> tuple[str, ...]:
    """The names of the base models on which files of these families work, in the order of their table."""
    some = list(families)
    return tuple(base.name for base in BASE_MODELS if any(base in family.works_on for family in some))


APPLIED_TO = base_models_of(APPLIED)


def told_apart(family: Family, hints: Hints) -> Family:
    """The family to which the hints point, among this one and those whose files have the same shapes."""
    return next((each for each in FAMILIES if each.like == family.id and each.told_by(hints)), family)


def alike(family: Family) -> tuple[Family, ...]:
    """This family and those whose files have the same shapes."""
    first = family.like or family.id
    return tuple(each for each in FAMILIES if first in (each.id, each.like))


def purposes() -> tuple[str, ...]:
    """What adapters are for ("plus", "FaceID" ...), first the purposes of the families that are applied."""
    rows = sorted(FAMILIES, key=lambda family: bool(family.refusal))
    return tuple(dict.fromkeys(purpose for family in rows for purpose in family.purposes))
