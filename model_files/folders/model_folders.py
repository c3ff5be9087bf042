"""Know which folders hold models of which type, and list the files in them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from .extra_paths import Addition, read_extra_paths, usable
from .folder_order import installed
from .layouts import LAYOUTS, Layout, layout_of
from .model_types import MEANT, MODEL_TYPES, NOT_MODELS, OLD_NAMES, extensions, today
from .scan import model_files, place
from .search_paths import BESIDE, candidates, usual_places

StrPath = str | os.PathLike[str]

HOW_TO_GIVE = (
    "In Python, give the path of a ComfyUI or of a models folder, or the folders by type, as in "
    'ModelFolders({"ipadapter": PATH, "clip_vision": PATH}). On the command line, give --comfyui PATH or --models PATH.'
)
SLIP = 0.85  # how alike two types are, by difflib, if one is the other misspelt: "lora", "ip_adapter"


@dataclass(frozen=True)
class ModelFile:
    type: str
    name: str  # relative to its folder, with "/" on every system; the name under which ComfyUI lists it
    path: Path
    folder: Path
    size: int
    mtime_ns: int
    cached: bool = False  # in the Hugging Face cache, below no folder of a type: its name begins with its repository


class NotInstalled(ValueError):
    """No ComfyUI was found: where it was searched for, and what to do."""


class ModelFolders:
    """The folders for each type of model, in order: where two files have one name, the first folder's counts.

    folders = ModelFolders({"ipadapter": ["/data/adapters", "/nas/adapters"], "clip_vision": "/data/encoders"})
    folders = ModelFolders.from_root("/opt/ComfyUI")
    folders.add("ipadapter", "/data/adapters", first=True)
    for file in folders.files("ipadapter"): ...

    root: the folder of the program, or of its models, to which they belong; None if they were named one by one
    """

    root: Path | None = None

    def __init__(self, paths: Mapping[str, StrPath | Iterable[StrPath]] | None = None) -> None:
        self._paths: dict[str, list[str]] = {}
        for model_type, given in _by_type({} if paths is None else paths):
            self.add(model_type, *_listed(given))

    def __repr__(self) -> str:
        listed = {model_type: [str(path) for path in paths] for model_type, paths in self._resolved().items()}
        return f"{type(self).__name__}({listed})"

    def __eq__(self, other: object) -> bool:
        """Whether the types are the same and have the same folders in the same order, links resolved."""
        return self._resolved() == other._resolved() if isinstance(other, ModelFolders) else NotImplemented

    @classmethod
    def from_root(cls, root: StrPath) -> ModelFolders:
        """The folders of an installation, or of a models directory.

        Raises:
            ValueError: the root has none of the layouts in `layouts.LAYOUTS`, or an extra_model_paths.yaml in it cannot
                be read.
        """
        path = os.path.realpath(_given(root))
        layout = layout_of(path)
        if layout is None:
            what = "is not laid out like any known program" if os.path.isdir(path) else "is not a folder"
            raise ValueError(
                f"{path} {what}. Looked for {_described(LAYOUTS)}. Give the folder of such a program, or "
                "of its models, or name the folders of each type."
            )
        return cls._of(path, layout)

    @classmethod
    def found(cls, search: StrPath | Iterable[StrPath] | None = None) -> ModelFolders:
        """The folders of the first ComfyUI in the places given or directly below them, or else in the usual places.

        Raises:
            NotInstalled: there is none.
            ValueError: its extra_model_paths.yaml cannot be read.
        """
        given = [search] if isinstance(search, (str, os.PathLike)) else search
        if given is None:
            places = list(filter(os.path.isdir, usual_places()))
        else:
            places = [os.path.abspath(_given(path)) for path in given]
        for path in candidates(places):
            layout = layout_of(path)
            if layout and layout.detected:
                return cls._of(os.path.realpath(path), layout)
        known = _described(layout for layout in LAYOUTS if layout.detected)
        raise NotInstalled(
            f"No ComfyUI was found in {', '.join(places) or 'no place'}, or directly below "
            f"({', '.join(filter(None, BESIDE))}).\nLooked for {known}.\n{HOW_TO_GIVE}"
        )

    def add(self, model_type: str, *paths: StrPath, first: bool = False) -> None:
        """Add folders after those already known, or before them (`first`). They need not exist.

        A folder that is already known keeps its place, unless `first` moves it to the front.

        model_type: as ComfyUI or a node pack names it: adapters are in "ipadapter", image encoders in "clip_vision".
            Files of a type that an `Index` does not search are listed, but never found for a need

        Raises:
            ValueError: the type is a known one misspelt or another word for one, or a path is none.
        """
        if today(model_type) not in self._types() and _alike(model_type, MODEL_TYPES, SLIP):
            raise self._unknown(model_type)
        self._add(model_type, paths, first)

    def _add(self, model_type: str, paths: Iterable[StrPath], first: bool = False) -> None:
        known = self._paths.setdefault(today(model_type), [])
        new = list(dict.fromkeys(os.path.abspath(_given(path)) for path in paths))
        if first:
            known[:] = [*new, *(path for path in known if path not in new)]
        else:
            known += [path for path in new if path not in known]

    def add_extra_paths(self, file: StrPath) -> None:
        """Add the folders that an extra_model_paths.yaml names. ValueError if it cannot be read."""
        self._filled(read_extra_paths(_given(file)))

    def types(self) -> list[str]:
        """The types that have folders. An extra_model_paths.yaml may add types of any name."""
        return list(self._paths)

    def paths(self, model_type: str) -> list[Path]:
        """The folders of a type in order, existing or not, with links resolved and without duplicates."""
        if today(model_type) not in self._types():
            raise self._unknown(model_type)
        unique: dict[Hashable, Path] = {}
        for path in map(os.path.realpath, self._paths.get(today(model_type), [])):
            unique.setdefault(place(path), Path(path))
        return list(unique.values())

    def files(self, model_type: str | None = None) -> list[ModelFile]:
        """The model files below the folders of a type, or of all types, sorted by name within each folder.

        Where two files of a type have one name, only the first is listed.
        """
        types = (name for name in self._paths if name not in NOT_MODELS) if model_type is None else (model_type,)
        return [file for name in types for file in self.scan(name)]

    def scan(self, model_type: str) -> list[ModelFile]:
        """The files of one type, as `files` lists them."""
        files: dict[str, ModelFile] = {}
        seen: set[Hashable] = set()
        for folder in self.paths(model_type):
            found = dict(model_files(str(folder), extensions(today(model_type)), seen))
            for name in sorted(found):
                size, mtime_ns = found[name].st_size, found[name].st_mtime_ns
                file = ModelFile(today(model_type), name, folder / name, folder, size, mtime_ns)
                files.setdefault(os.path.normcase(name), file)
        return list(files.values())

    def counts(self) -> dict[str, int]:
        """How many files `scan` finds of each type that has folders."""
        return {model_type: len(self.scan(model_type)) for model_type in self._paths if model_type not in NOT_MODELS}

    @classmethod
    def _of(cls, root: str, layout: Layout) -> ModelFolders:
        folders = cls()._filled(installed(root, layout))
        folders.root = Path(root)
        return folders

    def _filled(self, additions: Iterable[Addition]) -> ModelFolders:
        for model_type, path, first in additions:
            self._add(model_type, [path], first)
        return self

    def _resolved(self) -> dict[str, list[Path]]:
        return {model_type: self.paths(model_type) for model_type in self._paths}

    def _types(self) -> list[str]:
        return list({**MODEL_TYPES, **self._paths})

    def _unknown(self, model_type: str) -> ValueError:
        alike = _alike(model_type, self._types())
        meant = f': meant is perhaps "{alike[0]}"' if alike else ""
        return ValueError(f'"{model_type}" is not a type of model{meant}. Known types: {", ".join(self._types())}.')


def _alike(model_type: str, known: Iterable[str], cutoff: float = 0.6) -> list[str]:
    word = str(model_type).casefold().replace("-", "_").replace(" ", "_")
    return [MEANT[word]] if word in MEANT else difflib.get_close_matches(word, [*known, *OLD_NAMES], 1, cutoff)


def _by_type(paths: object) -> Iterable[tuple[str, object]]:
    if not isinstance(paths, Mapping):
        raise ValueError(
            f"The folders of models are given as {paths!r:.80}. Expected them by type, as in "
            'ModelFolders({"ipadapter": PATH, "clip_vision": PATH}). For the folder of a ComfyUI, or of all models, '
            "use ModelFolders.from_root(PATH)."
        )
    return cast("Mapping[str, object]", paths).items()


def _listed(given: object) -> Iterable[StrPath]:
    """What was given for a type, as a list; `_given` refuses what is no path."""
    several = isinstance(given, Iterable) and not isinstance(given, (str, bytes))
    return cast("Iterable[StrPath]", given if several else [given])


def _given(path: object) -> str:
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise ValueError(f"A folder of models is given as {path!r:.80}. Expected its path, as a text or a Path.")
    text = usable(os.fsdecode(cast("StrPath", path)), "A folder of models")
    if not text:
        raise ValueError("The path of a folder of models is empty. Expected the name of a folder.")
    return text


def _described(layouts: Iterable[Layout]) -> str:
    return "; ".join(layout.described() for layout in layouts)
