"""Libraries of pictures over HTTP: which there are, and what is found in them. It only reads.

A picture is known by its number in a library, and told by its path below a root of the library, never by a whole one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...references.embedding import Embedding
from ...references.search import Searchable
from ...references.search.finding import Changed, found_like, names_of, newest, pictures_of, search
from ...tensor_files import printable, without_folders
from .errors import NotListed
from .given import described

SEARCH = ("text", "id", "k", "minimum", "folder")  # what every search may say
MOST = 200  # pictures in one answer
USUAL = 40
LONGEST_TEXT = 1000  # characters that are searched
SHOWN_TEXT = 300  # characters of what is told of a picture
LARGEST_ID = 1 << 53  # that JSON carries exactly


def _nothing(*_: Any) -> dict[str, Any]:
    return {}


@dataclass(frozen=True)
class LibraryAnswers:
    """
    names: of all libraries
    look: open one for a moment
    open: open one to search it; it may stay open
    embed: (library, text, model) -> the vector of a text in the space of the library; model is "" where none is asked
        for. It raises a Busy where no encoder can be used now
    also: (library, picture) -> what else is told of a picture
    """

    names: Callable[[], Sequence[str]]
    look: Callable[[str], Searchable]
    open: Callable[[str], Searchable]
    embed: Callable[[Searchable, str, str], Embedding]
    also: Callable[[Searchable, Any], Mapping[str, Any]] = _nothing

    def listed(self) -> dict[str, Any]:
        """All libraries, and why one cannot be searched."""
        return {"libraries": [self._listed(name) for name in self.names()]}

    def search(self, name: str, asked: Mapping[str, str]) -> dict[str, Any]:
        """The pictures of a library that fit `text`, or are like the picture `id`; without either, the newest.

        k: how many at most. minimum: of their cosine. folder: in which they lie, below a root. model: that embeds text

        Raises:
            NotListed: there is no such library, or no such picture in it; or the library changed while it was searched.
            Busy: no encoder of the library's space can be used now.
            ValueError: this cannot be asked.
        """
        library = self.library(name)
        k = _whole(asked, "k", 1, MOST, USUAL)
        minimum = _number(asked, "minimum", -1, 1, None, float) if "minimum" in asked else None
        text, folder = asked.get("text", "").strip(), asked.get("folder", "")
        _check_query(text, folder, asked)
        try:
            if text:
                hits = search(library, self.embed(library, text, asked.get("model", "")), k, minimum, folder)
            elif "id" in asked:
                hits = found_like(library, self.picture(library, asked).id, k, minimum, folder)
            else:
                hits = newest(library, k, folder)
            pictures = pictures_of(library, [id for id, _ in hits])
        except Changed as error:
            raise NotListed(str(error)) from error
        return {
            "library": library.name,
            "generation": library.generation,
            "found": [
                self._found(library, picture, shown, score)
                for picture, shown, (_, score) in zip(pictures, names_of(library, pictures), hits, strict=True)
            ],
        }

    def library(self, name: str) -> Searchable:
        """Raises NotListed if there is none of this name."""
        if name not in self.names():
            raise NotListed(f"There is no library {printable(name, 100)!r}.")
        return self.open(name)

    def picture(self, library: Searchable, asked: Mapping[str, str]) -> Any:
        """The picture `id`. Raises NotListed if there is none."""
        id = _whole(asked, "id", 0, LARGEST_ID, None)
        try:
            return library.picture(id)
        except (KeyError, ValueError) as error:
            raise NotListed(f"There is no picture {id} in the library {library.name!r}.") from error

    def _listed(self, name: str) -> dict[str, Any]:
        told: dict[str, Any] = {"name": name, "count": 0, "encoder": "", "dimension": 0, "generation": 0, "error": ""}
        try:
            library = self.look(name)
        except (OSError, ValueError) as error:
            return told | {"error": printable(without_folders(" ".join(str(error).split())), SHOWN_TEXT)}
        space = library.space
        return told | {
            "count": library.count,
            "encoder": space.encoder,
            "dimension": space.dimension,
            "generation": library.generation,
        }

    def _found(self, library: Searchable, picture: Any, name: str, score: float | None) -> dict[str, Any]:
        return {
            "id": picture.id,
            "path": name,
            "score": score,
            "width": picture.width,
            "height": picture.height,
            "rating": picture.rating,
            "kind": picture.kind,
            "text": printable(picture.text, SHOWN_TEXT),
            "state": picture.sha256[:16],
            **self.also(library, picture),
        }


def _check_query(text: str, folder: str, asked: Mapping[str, str]) -> None:
    if text and "id" in asked:
        raise ValueError("Ask for a text or for an id, not for both.")
    if os.path.isabs(folder) or folder.startswith(("/", "\\")):  # the answer would tell which folders there are
        raise ValueError("Give the folder as it is in the library, such as cats/black, and no whole path.")
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"The text has {len(text):,} characters: search one of at most {LONGEST_TEXT:,}.")


def _whole(asked: Mapping[str, str], name: str, low: int, high: int, usual: int | None) -> int:
    return int(_number(asked, name, low, high, usual, int))


def _number(
    asked: Mapping[str, str], name: str, low: float, high: float, usual: float | None, read: Callable[[str], float]
) -> float:
    text = asked.get(name)
    if text is None and usual is not None:
        return usual
    try:
        value = read(text or "") if len(text or "") <= 32 else math.nan
    except ValueError:
        value = math.nan
    if not low <= value <= high:
        kind = "whole number" if read is int else "number"
        given = "nothing" if text is None else described(text)
        raise ValueError(f"{name} is {given}: it must be a {kind} from {low:,} to {high:,}.")
    return value
