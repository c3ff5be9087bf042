"""The published adapters, encoders, LoRAs, ControlNets and face packs, from `catalogue.json` and from files of users.

A user's file is JSON too, {"entries": [...]}: an entry with a known id replaces the fields that it gives, an entry with
a new id is added. Sizes and SHA-256 are those of the file behind `url`, as public repositories state them (the download
tables of Krita AI Diffusion, SwarmUI and SimpleSDXL, file lists and READMEs on GitHub); what no source states is empty.
"""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from .catalogue_file import BrokenCatalogue, Fields, broken, read_entries, shown
from .old_family_words import id_of, may_be_one, word_of
from .repositories import place_in
from .works_on import works_on

OWN = Path(__file__).with_name("catalogue.json")
ALIKE = (".safetensors", ".sft", ".bin")  # containers in which the same file is published

REFERENCES = {"companion": ("lora", "controlnet"), "face_pack": ("face pack",)}  # field -> kinds of what it names

Key = tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """A published file. Adapters for architectures to which this pack cannot apply them have no purposes."""

    id: str  # the stem of the published file name
    title: str
    kind: str  # "adapter", "encoder", "lora", "controlnet", "face pack"
    family: str  # the id, as in `model_files.index.identification`
    base_model: str
    encoder: str  # the encoder that an adapter needs, or that this is, as `ip_adapter.ENCODERS` names it
    purposes: tuple[str, ...]  # "light", "standard", "plus", "plus face", "composition", "FaceID" ...
    folder: str  # the name of a folder in models/
    # Names that programs give it, with folders where a name alone is not enough. Of a face pack: the archive, then what
    # is in it, the file that finds faces and the one that recognises them first.
    files: tuple[str, ...]
    companion: str = ""  # id of the LoRA or ControlNet that belongs to it
    face_pack: str = ""  # id of the face pack that an adapter needs
    size: int | None = None  # bytes
    sha256: str = ""
    url: str = ""  # direct link to the file
    page: str = ""
    licence: str = ""  # the SPDX identifier where there is one
    commercial: bool | None = None  # None: not stated

    @property
    def repository(self) -> str:
        """The repository on huggingface.co that has the file, or at least tells of it; "" if there is none."""
        return place_in(self.url)[0] or place_in(self.page)[0]

    def to_dict(self) -> dict[str, object]:
        """Plain data for `--json` and the HTTP routes."""
        return {
            **asdict(self),
            "family": word_of(self.family),
            "files": list(self.files),
            "purposes": list(self.purposes),
        }


NEEDED = tuple(field.name for field in fields(Entry) if field.default is MISSING)


@dataclass(frozen=True)
class Catalogue:
    entries: tuple[Entry, ...]  # where several serve one purpose, the preferred one comes first

    @classmethod
    def load(cls, *user_files: Path) -> Catalogue:
        """The pack's own entries, changed and extended by the files of the user, in their order.

        Raises:
            BrokenCatalogue: a file cannot be used; the text names the entry and the field, and says why.
        """
        known: dict[str, Entry] = {}
        for path in (OWN, *user_files):
            try:
                _add(path, known)
            except BrokenCatalogue as error:
                where = f"{path.parent.name}/{path.name}"
                raise BrokenCatalogue(
                    f"{error} Correct {where}, or remove it: it only adds to the pack's own entries."
                ) from error
        return cls(tuple(known.values()))

    def named(self, file_name: str) -> list[Entry]:
        """The entries that have a file of this name, whatever its container, letter case or stray spaces.

        The name may be a path: entries that name its folders too come first.
        """
        key = _key(file_name)
        tails = (key[start:] for start in range(max(0, len(key) - self._depth), len(key)))
        return list(dict.fromkeys(entry for tail in tails for entry in self._names.get(tail, ())))

    def in_repository(self, repository: str, path: str = "") -> list[Entry]:
        """The entries whose file is in a repository on huggingface.co.

        path: of a file in it, or of a copy in another container or number format
        """
        here = self._repositories.get(repository.casefold(), [])
        if not path:
            return here
        exact = [entry for entry in here if place_in(entry.url)[1] == path]
        return exact or [entry for entry in self.named(f"{repository}/{path}") if entry in here]

    def find(
        self,
        *,
        kind: str | None = None,
        purpose: str | None = None,
        base_model: str | None = None,
        encoder: str | None = None,
        family: str | None = None,
    ) -> list[Entry]:
        """The entries that match everything given. base_model: the one on which an adapter is to work."""
        return [
            entry
            for entry in self.entries
            if kind in (None, entry.kind)
            and purpose in (None, *entry.purposes)
            and (family is None or may_be_one(entry.family, family))
            and (base_model is None or works_on(entry.family, entry.base_model, base_model))
            and encoder in (None, entry.encoder)
        ]

    @cached_property
    def _names(self) -> dict[Key, list[Entry]]:
        names: dict[Key, list[Entry]] = {}
        for entry in self.entries:
            for name in entry.files:
                names.setdefault(_key(name), []).append(entry)
        return names

    @cached_property
    def _repositories(self) -> dict[str, list[Entry]]:
        repositories: dict[str, list[Entry]] = {}
        for entry in self.entries:
            repositories.setdefault(entry.repository.casefold(), []).append(entry)
        return {name: entries for name, entries in repositories.items() if name}

    @cached_property
    def _depth(self) -> int:
        return max(map(len, self._names), default=0)


def _key(name: str) -> Key:
    *folders, file = ("".join(part.split()) for part in name.casefold().replace("\\", "/").split("/"))
    ending = next((ending for ending in ALIKE if file.endswith(ending)), "")
    return (*folders, file.removesuffix(ending))


def _add(path: Path, known: dict[str, Entry]) -> None:
    for entry_id, given in read_entries(path).items():
        known[entry_id] = _entry(path, given, known.get(entry_id))
    _check_references(path, known)


def _entry(path: Path, given: Fields, known: Entry | None) -> Entry:
    lists: dict[str, Any] = {name: tuple(given[name]) for name in ("purposes", "files") if name in given}
    values = {**given, **lists}
    if known:
        return _with_id(replace(known, **values))
    if missing := [name for name in NEEDED if name not in given]:
        raise broken(path, given, missing[0], "is missing, and no other entry of this id has it")
    return _with_id(Entry(**values))


def _with_id(entry: Entry) -> Entry:
    """The entry with the id of its family, because files of users may use its word instead."""
    return replace(entry, family=id_of(entry.family, entry.base_model))


def _check_references(path: Path, known: dict[str, Entry]) -> None:
    for field, kinds in REFERENCES.items():
        ids = {entry.id for entry in known.values() if entry.kind in kinds} | {""}
        for entry in map(vars, known.values()):
            if entry[field] not in ids:
                raise broken(path, entry, field, f"is {shown(entry[field])}")
