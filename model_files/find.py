"""Find the file of an image encoder or of an adapter in one call.

    path = find_encoder("CLIP ViT-bigG/14")
    path = find_adapter("plus face", "SDXL", folders="/opt/ComfyUI")

Files are found by their content, whatever they are called, also in the Hugging Face cache. What was read in files is
kept in the index of the ComfyUI to which the folders belong, and shared with its nodes and the commands.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from .catalogue import Catalogue
from .folders import Installation, ModelFolders, NotInstalled
from .folders.hugging_face import hub_folder
from .index import CachedFiles, Index, IndexedFile, encoder_words, take_over
from .matching import Need, Resolution, adapter_words, explain, resolve
from .matching.requirement import BY_WIDTH

SHOWN, MANY = 10, 30  # words of a message; so many are shown where there are more than so many

Folders = ModelFolders | Installation | str | os.PathLike[str] | None


class NotFound(ValueError):
    """No such file is in the folders: which would nearly do, which to get, and where to put it."""

    def __init__(self, resolution: Resolution) -> None:
        super().__init__(explain(resolution))
        self.resolution = resolution

    def __reduce__(self) -> tuple[type[NotFound], tuple[Resolution]]:
        return type(self), (self.resolution,)


def find_encoder(name: str, folders: Folders = None, *, needs_projection: bool = False) -> Path:
    """The file of an image encoder.

    name: "CLIP ViT-bigG/14" or another name of `clip_vision.PRESETS`, or the `encoder_name` of an adapter, which may
        stand for several encoders: "CLIP ViT-B"
    folders: `ModelFolders`, an `Installation`, or the folder of a ComfyUI or of models; without them, the ComfyUI
        around this pack or in a usual place
    needs_projection: whether it must have the visual projection, as for an adapter that reads image_embeds

    Raises:
        NotFound: there is no such file.
        ValueError: the name is unknown; or no ComfyUI was found, or the folders or a catalogue cannot be read.
    """

    with Finder(folders) as finder:
        return finder.encoder(name, needs_projection).file.path


def find_adapter(purpose: str = "", base_model: str = "", folders: Folders = None) -> Path:
    """The file of an IP-Adapter.

    purpose: what the reference is for: "plus" keeps much of it, "standard" the gist, "light" less, "composition" its
        layout, "style" its style, "style and content" both, "plus face" and "full face" a face; "instruct" what a
        text says; "vit-G" and "NoobAI" read the largest encoder. "FaceID", "FaceID plus", "FaceID plus v2", "FaceID
        portrait", "FaceID portrait unnorm", "InstantID" and "PuLID" read the identity of a face, "character" a
        character; "InstantX" is another "standard" for Flux. "" is any purpose
    base_model: "SD1.5", "SDXL", "Kolors", "Flux", "Chroma", "SD3.5 Large" or "Anima"; "" is any
    folders: as for `find_encoder`

    Raises:
        NotFound: there is no such file, or only such that cannot be applied.
        ValueError: a word is unknown; or no ComfyUI was found, or the folders or a catalogue cannot be read.
    """

    with Finder(folders) as finder:
        return finder.adapter(purpose, base_model).file.path


class Finder:
    """Finds one file after the other in an installation, whose index stays open until `close`."""

    def __init__(self, folders: Folders = None) -> None:
        where = installation_of(folders)
        self.catalogue, file = Catalogue.load(*where.catalogues), where.index_file
        self.index = Index(where.folders, file and take_over(file), cached=CachedFiles(self.catalogue))

    def __enter__(self) -> Finder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def encoder(self, name: str, needs_projection: bool = False) -> IndexedFile:
        """The file of an image encoder. Raises what `find_encoder` does."""
        words = encoder_words() | {
            entry.encoder: entry.encoder for entry in self.catalogue.find(kind="encoder") if entry.encoder
        }
        if not BY_WIDTH.fullmatch(str(name)):
            _check(name, words, "the name of an image encoder")
        word = words.get(name, name)
        family = "" if word == name else name
        return self.find(Need("encoder", encoder=word, family=family, needs_projection=needs_projection))

    def adapter(self, purpose: str = "", base_model: str = "") -> IndexedFile:
        """The file of an IP-Adapter. Raises what `find_adapter` does."""
        purposes, base_models = adapter_words(self.catalogue)
        _check(purpose, ["", *purposes], "a purpose of adapters")
        _check(base_model, ["", *base_models], "a base model of adapters")
        return self.find(Need("adapter", purpose, base_model))

    def find(self, need: Need) -> IndexedFile:
        """The file that is needed. NotFound if it is not there."""
        resolution = resolve(need, self.index, self.catalogue)
        if resolution.found is None:
            raise NotFound(resolution)
        return resolution.found

    def close(self) -> None:
        self.index.close()


def installation_of(folders: Folders) -> Installation:
    """The installation that is meant; without folders, the one that is found, or else the Hugging Face cache alone."""
    if isinstance(folders, Installation):
        return folders
    if isinstance(folders, ModelFolders):  # those that were named one by one are searched, and nothing else is touched
        return Installation(folders, None) if folders.root is None else Installation.of(folders)
    try:
        return Installation.find(folders)
    except NotInstalled:
        if not hub_folder().is_dir():
            raise
        return Installation(ModelFolders(), None)  # the Hugging Face cache alone


def _check(word: object, known: Iterable[str], what: str) -> None:
    words = list(known)
    if not (isinstance(word, str) and word in words):
        folded = {each.casefold(): each for each in words}
        alike = difflib.get_close_matches(str(word).casefold(), folded, 1)
        meant = f': meant is perhaps "{folded[alike[0]]}"' if alike else ""
        every = ', and "" for any' if "" in words else ""
        raise ValueError(f"{word!r:.80} is not {what}{meant}. Known are: {_some(word, words)}{every}.")


def _some(word: object, words: Iterable[str]) -> str:
    """The words that are nearest to this one, or else the first, and how many more there are."""
    known = {each.casefold(): each for each in words if each}
    near = difflib.get_close_matches(str(word).casefold(), known, SHOWN)
    shown = (near or list(known)[:SHOWN]) if len(known) > MANY else list(known)
    more = f" and {len(known) - len(shown)} more" if len(shown) < len(known) else ""
    return f"{', '.join(known[each] for each in shown)}{more}"
