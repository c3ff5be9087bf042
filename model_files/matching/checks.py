"""Check whether a file is what is needed, and if not, why not. Names decide only between files of equal content."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..catalogue import Catalogue, Entry, may_be_one, works_on
from ..index import Identity, IndexedFile
from .requirement import Need
from .wording import identity_words

KINDS = {"face adapter": "adapter"}  # kind of an identity -> kind of a need, where they differ
UNNAMED = {  # kind of a need of whose files the content says too little -> what is wrong with a file of another name
    "controlnet": "is a ControlNet for something else, going by its name",
    "face pack": "belongs to another face pack, or to none, going by its name",
}

Choice = tuple[list[IndexedFile], list[tuple[IndexedFile, str]]]
Verdict = tuple[int, str]  # how many checks a file passed, and what is wrong with it; "" if nothing is


@dataclass(frozen=True)
class Matcher:
    """Compares files with what is needed. wanted: the entries of the catalogue that would do."""

    need: Need
    wanted: Sequence[Entry]
    catalogue: Catalogue

    def choose(self, files: Sequence[IndexedFile]) -> Choice:
        """(files that will do, the best first; similar files, the nearest first, each with why it will not do)"""
        verdicts = [(file, *self.verdict(file)) for file in files]
        fitting = (file for file, _, why in verdicts if not why)
        good = sorted(fitting, key=lambda file: (file.file.cached, self._rank(file)))
        others = sorted(
            (each for each in verdicts if each[2] and self._is_like_it(each[0])),
            key=lambda each: (not self._named(each[0]), -each[1]),
        )
        return good, [(file, why) for file, _, why in others]

    def verdict(self, file: IndexedFile) -> Verdict:
        if file.identity is None:
            return 0, file.problem
        found = (check(self, file, file.identity) for check in CHECKS)
        return next((each for each in enumerate(found) if each[1]), (len(CHECKS), ""))

    def fits_by_content(self, file: IndexedFile) -> bool:
        """Whether a file is what is needed and can be used, whatever it is called."""
        identity = file.identity
        checks = (check for check in CHECKS if check is not Matcher.check_name)
        return identity is not None and not any(check(self, file, identity) for check in checks)

    def check_kind(self, file: IndexedFile, identity: Identity) -> str:
        return "" if self._is_of_kind(identity) else file.problem or _what(identity)

    def check_base_model(self, _: IndexedFile, identity: Identity) -> str:
        wanted, given = self.need.base_model, identity.base_model
        fits = not (wanted and given) or works_on(identity.family, given, wanted)
        return "" if fits else f"{_what(identity)}, not for {wanted}"

    def check_encoder(self, _: IndexedFile, identity: Identity) -> str:
        return _what(identity) if self._has_other_encoder(identity) else ""

    def check_family(self, file: IndexedFile, identity: Identity) -> str:
        return (
            (file.problem or _what(identity))
            if self.need.family and not may_be_one(self.need.family, identity.family)
            else ""
        )

    def check_content(self, file: IndexedFile, identity: Identity) -> str:
        fits = not self._is_specific or self._is_content_of_wanted(identity)
        return "" if fits else file.problem or _what(identity)

    def check_problem(self, file: IndexedFile, _: Identity) -> str:
        return "" if self.need.kind == "controlnet" else file.problem  # ComfyUI loads those, and nothing here does

    @property
    def _is_specific(self) -> bool:
        """Whether the entries of the catalogue say more about the content than the need itself."""
        return bool(self.wanted and (self.need.purpose or self.need.file_name))

    def _is_of_kind(self, identity: Identity) -> bool:
        return KINDS.get(identity.kind, identity.kind) == self.need.kind or any(
            may_be_one(entry.family, identity.family) for entry in self.wanted
        )

    def _has_other_encoder(self, identity: Identity) -> bool:
        return _differ(self.need.encoder, identity.encoder) and self.need.encoder not in identity.also

    def _is_content_of_wanted(self, identity: Identity) -> bool:
        return any(self._is_content_of(entry, identity) for entry in self.wanted)

    def _is_content_of(self, entry: Entry, identity: Identity) -> bool:
        """Whether a file may be that of an entry. An encoder that no published file has or reads is not compared."""
        return is_content_of(entry, replace(identity, encoder="") if self._reads_its_own(identity) else identity)

    def _reads_its_own(self, identity: Identity) -> bool:
        """Whether an adapter reads an encoder that no published file is or reads."""
        return identity.kind == "adapter" and identity.encoder not in self._encoders

    @cached_property
    def _encoders(self) -> frozenset[str]:
        return frozenset(entry.encoder for entry in self.catalogue.entries)

    def check_projection(self, _: IndexedFile, identity: Identity) -> str:
        if not self.need.needs_projection or identity.projection:
            return ""
        return f"{_what(identity)}, and image_embeds need the projection"

    def check_name(self, file: IndexedFile, identity: Identity) -> str:
        """Tell adapters of equal content apart by their names, as far as names say anything; encoders need not be."""
        if self.need.kind == "encoder" or not (self.need.purpose or self.need.file_name):
            return ""
        if self._named(file) or self._has_the_name(file):
            return ""
        if of_others := [
            entry for entry in self.catalogue.named(full_name(file)) if self._is_content_of(entry, identity)
        ]:
            return f"is {of_others[0].title}, going by its name"
        if self.need.kind in UNNAMED:
            return UNNAMED[self.need.kind]
        said = self._said_purpose(file, identity)
        if self.need.purpose and said not in ("", self.need.purpose) and not self._is_also_for(identity, said):
            return f"is for the purpose {said!r}, going by its name"
        if self.need.purpose and not said and self.need.purpose not in self._usual_purposes(identity):
            return (
                f"does not say in its name that it is for the purpose {self.need.purpose!r}; if it is, put that word "
                "into its name"
            )
        return ""

    def _usual_purposes(self, identity: Identity) -> tuple[str, ...]:
        """The purposes of the first entry of this content: plus, rather than plus face or composition."""
        entries = (entry for entry in self.catalogue.entries if self._is_content_of(entry, identity))
        return next((entry.purposes for entry in entries if entry.purposes), ())

    def _said_purpose(self, file: IndexedFile, identity: Identity) -> str:
        """The purpose that the name of a file states; the longest, if it states several that its content may have."""
        purposes = {
            purpose
            for entry in self.catalogue.entries
            if self._is_content_of(entry, identity)
            for purpose in entry.purposes
        } | {self.need.purpose}
        return max(
            (purpose for purpose in purposes if squeezed(purpose) in _words(file.file.name)), key=len, default=""
        )

    def _is_also_for(self, identity: Identity, purpose: str) -> bool:
        """Whether a published file of this content has the purpose that is needed, beside another one."""
        entries = (entry for entry in self.catalogue.entries if self._is_content_of(entry, identity))
        return any({purpose, self.need.purpose} <= {*entry.purposes} for entry in entries)

    def _is_like_it(self, file: IndexedFile) -> bool:
        """Whether a rejected file is worth a mention: its name or kind is right, or its folder holds few files."""
        identity = file.identity
        if self.need.kind == "controlnet":
            return self._named(file)
        if identity and (file.file.type == "loras" or self.need.kind == "face pack"):  # there may be thousands
            return any(
                may_be_one(family, identity.family)
                for family in (self.need.family, *(each.family for each in self.wanted))
            )
        return file.file.type != "loras" or self._named(file) or self._has_the_name(file)

    def _rank(self, file: IndexedFile) -> tuple[int, int]:
        """The rank of a file that will do: the smaller, the better. Equal ranks keep the order of the folders."""
        if self._has_the_name(file):
            return 0, 0
        for school, catalogue in enumerate((self._preferred, self.catalogue)):
            if named := [entry.id for entry in catalogue.named(full_name(file))]:
                if known := [number for number, entry in enumerate(self.wanted) if entry.id in named]:
                    return 1 + school, known[0]
        if file.identity is None or self._reads_its_own(file.identity):
            return 5, 0
        said = self._said_purpose(file, file.identity)
        if said and said == self.need.purpose:
            return 3, 0
        return 4, int(bool(said and self.need.purpose))  # one that says another purpose of its own comes last

    def _named(self, file: IndexedFile) -> bool:
        return any(entry in self.wanted for entry in self.catalogue.named(full_name(file)))

    def _has_the_name(self, file: IndexedFile) -> bool:
        return bool(self.need.file_name) and _stem(self.need.file_name) == _stem(file.file.name)

    @cached_property
    def _preferred(self) -> Catalogue:
        return Catalogue(tuple(replace(entry, files=entry.files[:1]) for entry in self.wanted))


Check = Callable[[Matcher, IndexedFile, Identity], str]

CHECKS: tuple[Check, ...] = (  # what is wrong with a file, or ""; each check may rely on those before it
    Matcher.check_kind,
    Matcher.check_base_model,
    Matcher.check_encoder,
    Matcher.check_family,
    Matcher.check_content,
    Matcher.check_problem,
    Matcher.check_projection,
    Matcher.check_name,
)


def is_content_of(entry: Entry, identity: Identity) -> bool:
    """Whether a file may be that of an entry of the catalogue, as far as its tensors tell."""
    kind = KINDS.get(identity.kind, identity.kind)
    return (
        may_be_one(entry.family, identity.family)
        and (kind == entry.kind or kind == "other")
        and not _differ(entry.base_model, identity.base_model)
        and not _differ(entry.encoder, identity.encoder)
    )


def is_ours(file: IndexedFile) -> bool:
    """Whether a file is an adapter, an encoder or a companion LoRA that can be used, in whatever folder."""
    return file.identity is not None and not file.problem and file.identity.kind != "face pack"


def full_name(file: IndexedFile) -> str:
    """The name with that of the model folder, because some call that folder after the model.safetensors in it."""
    return f"{file.file.folder.name}/{file.file.name}"


def squeezed(text: str) -> str:
    """The text in lower case, with letters and digits only."""
    return re.sub(r"[\W_]+", "", text.casefold())


def _words(name: str) -> set[str]:
    """The words of a path, and every run of neighbouring words joined into one, all of them squeezed."""
    found: set[str] = set()
    for part in name.split("/"):
        words = [squeezed(word) for word in re.findall(r"[A-Z]?[^\W_A-Z\d]+|[A-Z]+|\d+", part)]
        found |= {"".join(words[start:end]) for start in range(len(words)) for end in range(start + 1, len(words) + 1)}
    return found


def _what(identity: Identity) -> str:
    return f"is {identity_words(identity)}"


def _stem(name: str) -> str:
    return squeezed(name.replace("\\", "/").rpartition("/")[2].rpartition(".")[0])


def _differ(wanted: str, given: str) -> bool:
    return bool(wanted and given and wanted != given)
