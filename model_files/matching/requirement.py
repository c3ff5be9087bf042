"""What somebody needs, and what came of looking for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..catalogue import Catalogue, Entry, id_of
from ..index import Identity, IndexedFile
from .support import refusal
from .wording import family_name

HOMES = {"adapter": "ipadapter", "encoder": "clip_vision", "lora": "loras", "face pack": "insightface"}


@dataclass(frozen=True)
class Need:
    """A model file that is needed. What is left empty may be anything.

    kind: "adapter", "encoder", "lora" or "face pack"
    family: an id, or a word of `family_words`
    purpose: of an adapter, in the words of the catalogue: "standard", "plus", "plus face" ...
    encoder: that it is, or that an adapter reads, in the words of `ip_adapter.ENCODERS`
    needs_projection: of an encoder, for image_embeds
    file_name: under which it is published, in any school
    """

    kind: str
    purpose: str = ""
    base_model: str = ""
    family: str = ""
    encoder: str = ""
    needs_projection: bool = False
    file_name: str = ""

    def __post_init__(self) -> None:
        if self.kind not in HOMES:
            raise ValueError(f"{self.kind!r} is no kind of model file: expected is one of {', '.join(HOMES)}.")

    @classmethod
    def for_entry(cls, entry: Entry) -> Need:
        """The very file that a row of the catalogue stands for."""
        return cls(
            entry.kind,
            next(iter(entry.purposes), ""),
            entry.base_model,
            entry.family,
            entry.encoder,
            file_name=entry.files[0],
        )

    @classmethod
    def encoder_of(cls, adapter: Identity) -> Need:
        """The encoder that an adapter was made for."""
        return cls("encoder", encoder=adapter.encoder, needs_projection=adapter.projection)

    def wanted(self, catalogue: Catalogue) -> list[Entry]:
        """The rows of the catalogue that would do, the preferred one first."""
        entries = catalogue.find(
            kind=self.kind,
            purpose=self.purpose or None,
            base_model=self.base_model or None,
            encoder=self.encoder or None,
            family=self.family or None,
        )
        if not (self.purpose or self.family or self.file_name):
            entries = [entry for entry in entries if not refusal(entry)]
        named = catalogue.named(self.file_name) if self.file_name else []
        return [entry for entry in entries if entry in named] or entries

    def __str__(self) -> str:
        name = family_name(id_of(self.family, self.base_model))
        what = {
            "adapter": f"{name} IP-Adapter" if self.family and not self.purpose else "IP-Adapter",
            "encoder": f"image encoder {self.encoder}" if self.encoder else "image encoder",
            "lora": name or "LoRA",
            "face pack": "face pack",
        }[self.kind]
        parts = [
            what,
            f"for {self.base_model}" if self.base_model else "",
            f"of the kind {self.purpose!r}" if self.purpose else "",
            f"that reads {self.encoder}" if self.encoder and self.kind == "adapter" else "",
            "with its visual projection" if self.needs_projection else "",
            f"({self.file_name})" if self.file_name else "",
        ]
        return " ".join(filter(None, parts))


@dataclass(frozen=True)
class Resolution:
    """found: the file to use. Otherwise: what lies there and will not do, what would do but lies in another folder, and
    the rows of the catalogue to get.
    """

    need: Need
    found: IndexedFile | None
    rejected: Sequence[tuple[IndexedFile, str]]  # the nearest to what is needed first
    misplaced: Sequence[IndexedFile]
    wanted: Sequence[Entry]
    homes: Sequence[str]  # types in which it belongs
    searched: Sequence[Path]  # their folders
    published: Sequence[str] = ()  # purposes for which there are adapters for that base model
    unread: Sequence[str] = ()  # types in which files are still being read, that may be misplaced


def file_as_dict(indexed: IndexedFile) -> dict[str, object]:
    identity = indexed.identity
    return {
        "type": indexed.file.type,
        "name": indexed.file.name,
        "size": indexed.file.size,
        "identity": identity and identity.to_dict(),
        "problem": indexed.problem,
    }


def short(paths: Sequence[Path]) -> list[str]:
    """Enough of each folder's path to tell it from the others, and no more."""
    parts = [[part for part in path.parts if part != path.anchor] for path in paths]
    longest = max(map(len, parts), default=0)
    tails = [["/".join(each[-count:]) for each in parts] for count in range(2, max(longest, 2) + 1)]
    return next((tail for tail in tails if len(set(tail)) == len(set(paths))), tails[-1])
