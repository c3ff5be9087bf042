"""Which model file is needed, and what the search for it found."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..catalogue import Catalogue, Entry, id_of
from ..folders import ADAPTER_TYPES, FLUX_TYPES
from ..index import Identity, IndexedFile
from .support import refusal
from .wording import family_name

HOMES = {
    "adapter": "ipadapter",
    "encoder": "clip_vision",
    "lora": "loras",
    "controlnet": "controlnet",
    "face pack": "insightface",
}
BY_WIDTH = re.compile(r"an encoder whose \w+ is \d+ wide")  # as adapters name an encoder that no table lists


@dataclass(frozen=True)
class Need:
    """A model file that is needed. A field that is left empty may be anything.

    kind: "adapter", "encoder", "lora", "controlnet" or "face pack"
    family: an id, or a word of `family_words`
    purpose: what an adapter is for, as the catalogue says it: "standard", "plus", "plus face" ...
    encoder: the encoder that it is, or that an adapter reads, as `ip_adapter.ENCODERS` names it
    needs_projection: whether an encoder must have the projection that gives image_embeds
    file_name: the name under which it is published, in the naming of any program
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
            raise ValueError(f"{self.kind!r} is not a kind of model file: expected one of {', '.join(HOMES)}.")

    @classmethod
    def for_entry(cls, entry: Entry) -> Need:
        """The need for exactly the file that an entry of the catalogue describes."""
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
        """The need for the encoder that an adapter was made for."""
        return cls("encoder", encoder=adapter.encoder, needs_projection=adapter.projection)

    def wanted(self, catalogue: Catalogue) -> list[Entry]:
        """The entries of the catalogue that would do, the preferred one first."""
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
        encoder = self.family or self.encoder
        what = {
            "adapter": f"{name} IP-Adapter" if self.family and not self.purpose else "IP-Adapter",
            "encoder": encoder if BY_WIDTH.fullmatch(encoder) else f"image encoder {encoder}".rstrip(),
            "lora": name or "LoRA",
            "controlnet": "ControlNet",
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
    """The file to use, or what there is instead: files that will not do, files in the wrong folder, and what to get."""

    need: Need
    found: IndexedFile | None  # the file to use
    rejected: Sequence[tuple[IndexedFile, str]]  # files that will not do, and why; the nearest to the need first
    misplaced: Sequence[IndexedFile]  # files that would do, but cannot be used from where they are
    wanted: Sequence[Entry]  # entries of the catalogue that would do
    homes: Sequence[str]  # types of the folders in which it belongs
    searched: Sequence[Path]  # their folders
    published: Sequence[str] = ()  # purposes that published adapters for the base model have
    unread: Sequence[str] = ()  # types whose files are still being read: it may be among them


def homes_of(entry: Entry) -> list[str]:
    """The types of the folders from which a file can be used: that in which programs look for it, and our own."""
    if entry.folder not in ADAPTER_TYPES:
        return [entry.folder]
    more = FLUX_TYPES if entry.base_model == "Flux" else ()
    return list(dict.fromkeys([entry.folder, ADAPTER_TYPES[0], *more]))


def file_as_dict(indexed: IndexedFile) -> dict[str, object]:
    identity = indexed.identity
    return {
        "type": indexed.file.type,
        "name": indexed.file.name,
        "folder": "" if indexed.file.cached else shown_folder(indexed.file.folder),
        "size": indexed.file.size,
        "cached": indexed.file.cached,
        "identity": identity and identity.to_dict(),
        "problem": indexed.problem,
    }


def shown_folder(path: Path) -> str:
    """A model folder as people read it, from `models` on; the end of its path if it is below no such folder."""
    parts = path.parts
    place = max((number for number, part in enumerate(parts[:-1]) if part == "models"), default=None)
    return short([path])[0] if place is None else "/".join(parts[place:])


def short(paths: Sequence[Path]) -> list[str]:
    """The end of each folder's path, as long as it takes to tell the folders apart."""
    parts = [[part for part in path.parts if part != path.anchor] for path in paths]
    longest = max(map(len, parts), default=0)
    tails = [["/".join(each[-count:]) for each in parts] for count in range(2, max(longest, 2) + 1)]
    return next((tail for tail in tails if len(set(tail)) == len(set(paths))), tails[-1])
