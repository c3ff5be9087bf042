"""What is found in a library, as pairs of a picture's number and its cosine, the nearest first."""

import re
from collections.abc import Sequence
from typing import Any, cast

import torch

from ..embedding import Embedding
from .searchable import Searchable

Found = list[tuple[int, float]]
OF_ROOT = re.compile(r"(\d{1,18}):(.+)", re.DOTALL)  # the number of a root, and a path below it
MORE = 4  # times as many are looked at where rated ones come first


class Changed(ValueError):
    """A picture that was found is not there any more, as in a table to which somebody else writes."""


def search(
    library: Searchable,
    query: Embedding,
    k: int,
    minimum: float | None = None,
    folder: str = "",
    prefer_rated: bool = False,
) -> Found:
    """The k pictures that are nearest to any vector of the query.

    prefer_rated: of four times as many, leave out those that are rated -1, and put those rated 1 first

    Raises:
        ValueError: the query is of another space, or the library cannot be read.
    """
    best: dict[int, float] = {}
    looked_at = k * MORE if prefer_rated else k
    for hits in library.search(query, looked_at, minimum=minimum, folder=folder or None):
        for hit in hits:
            best[hit.id] = max(hit.score, best.get(hit.id, -1.0))
    nearest = sorted(best.items(), key=lambda each: (-each[1], each[0]))[:looked_at]
    if not prefer_rated:
        return nearest
    rated = {picture.id: picture.rating for picture in pictures_of(library, [id for id, _ in nearest])}
    return sorted((each for each in nearest if rated[each[0]] >= 0), key=lambda each: -rated[each[0]])[:k]


def found_like(library: Searchable, id: int, k: int, minimum: float | None = None, folder: str = "") -> Found:
    """The k pictures that are nearest to a picture of the library, which is the first of them."""
    return search(library, vectors_of(library, [id]), k, minimum, folder)


def newest(library: Searchable, k: int, folder: str = "") -> list[tuple[int, None]]:
    """The pictures that were added last, the last first."""
    return [(id, None) for id in library.newest(k, folder=folder or None)]


def well_rated(library: Searchable, k: int) -> list[int]:
    """The pictures that are rated 1, the last added first."""
    return library.newest(k, rating=1)


def pictures_of(library: Searchable, ids: Sequence[int]) -> list[Any]:
    """The pictures of these ids, in this order. Raises Changed if one is not there any more."""
    try:
        return library.pictures(ids)
    except KeyError as error:
        raise Changed(f"The library {library.name} has changed while it was searched: search again.") from error


def vectors_of(library: Searchable, ids: Sequence[int]) -> Embedding:
    """The vectors of pictures of the library, in this order."""
    vectors: Any = library.vectors_of(ids)
    return Embedding.of_vectors(cast(Any, torch).from_numpy(vectors).float(), library.space, "image")


def names_of(library: Searchable, pictures: Sequence[Any]) -> list[str]:
    """A name for each picture that no other of the library has: its path, or `2:path` of the root 2 where it must."""
    repeated = library.repeated([picture.path for picture in pictures])
    return [
        _name_in_root(each) if each.path in repeated or OF_ROOT.fullmatch(each.path) else each.path for each in pictures
    ]


def named(library: Searchable, name: str) -> Any:
    """The picture of the library with this path or name, as `names_of` has it.

    Raises:
        ValueError: there is none, or several have this path.
    """
    if picture := _of_root(library, name):
        return picture
    pictures = pictures_of(library, library.named(name))
    if not pictures:
        raise ValueError(
            f"The library {library.name} holds no picture {name!r}: copy the path from the References panel, or from "
            "the output paths."
        )
    if len(pictures) > 1:
        fitting = ", ".join(_name_in_root(each) for each in pictures)
        raise ValueError(
            f"The library {library.name} holds {len(pictures)} pictures {name!r}, in different folders: give one of "
            f"{fitting}."
        )
    return pictures[0]


def _of_root(library: Searchable, name: str) -> Any:
    """The picture that `2:path` names; None if it names none."""
    if not (parts := OF_ROOT.fullmatch(name)):
        return None
    pictures = pictures_of(library, library.named(parts[2]))
    return next((each for each in pictures if each.root == int(parts[1])), None)


def _name_in_root(picture: Any) -> str:
    return f"{picture.root}:{picture.path}"
