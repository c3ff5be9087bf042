"""Pictures that were found, for `--json` and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....references.metadata import summary
from ....tensor_files import printable
from ...terminal import wrapped
from ..places import path_of

RATED = {1: "good", -1: "bad"}


def rows(library: Any, hits: Sequence[Any]) -> list[dict[str, Any]]:
    return [{"rank": hit.rank, "score": round(hit.score, 6), **row(library, library.picture(hit.id))} for hit in hits]


def row(library: Any, picture: Any) -> dict[str, Any]:
    """What is known of a picture, without the texts that a program wrote into it."""
    return {
        "id": picture.id,
        "path": picture.path,
        "file": path_of(library, picture),
        "width": picture.width,
        "height": picture.height,
        "text": picture.text,
        "rating": picture.rating,
        "metadata": without_raw(picture.metadata),
    }


def without_raw(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if name != "raw"}


def lines(library: Any, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each picture with its score, and below it what is known of it.

    Of a path that the library has below several roots, the whole one is shown.
    """
    text, repeated = list[str](), library.repeated([each["path"] for each in found])
    for each in found:
        path = each["file"] or each["path"] if each["path"] in repeated else each["path"]
        rated = f"  rated {RATED[each['rating']]}" if each["rating"] in RATED else ""
        text.append(f"{each['score']:7.4f}  {printable(path)}{rated}")
        for below in (each["text"], summary(each["metadata"])):
            text += wrapped(below, " " * 9) if below else []
    return text
