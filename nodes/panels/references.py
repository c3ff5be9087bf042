"""Saved features as the references panel lists them, and their deletion."""

import os
import stat
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import folder_paths

from ...clip_vision.saving.saved import Described, describe_features
from ...service.http.errors import NotListed
from ...service.http.given import fields
from ...tensor_files import printable
from ..encoding.saving.library import made_by
from ..encoding.saving.saved_features import OLD, listed_names, path_of
from ..folders import FEATURES_FOLDER, file_state, model_names

DELETION = ("name",)  # fields of what asks for one
KEPT = 512  # descriptions that are kept in memory
LONGEST = 500  # characters of what is wrong with a file


@dataclass(frozen=True)
class Reference:
    """One file of features. A thumbnail is at its own address; `state` differs once the file does.

    name: as Load Image Prompt Features lists it
    maker: the encoder, or what else made the features
    saved: when, in seconds since 1970
    problem: why it cannot be loaded; "" if it can
    undeletable: why it is not deleted here; "" if it can be
    """

    name: str
    maker: str
    pictures: int
    kept_for: str
    saved: float
    size: int
    state: str
    thumbnail: bool
    problem: str
    undeletable: str


def references() -> dict[str, Any]:
    """All saved features, the newest first, as plain data."""
    found = [each for name in listed_names() if (each := _reference(name))]
    return {"references": [asdict(each) for each in sorted(found, key=lambda each: (-each.saved, each.name))]}


def thumbnail(name: str) -> bytes:
    """The PNG that a listed file keeps of its first picture. Raises NotListed if there is none."""
    described = _described_now(name) if name in listed_names() else None
    if not isinstance(described, Described) or not described.thumbnail:
        raise NotListed(f"There is no thumbnail of {printable(name, 100)!r}.")
    return described.thumbnail


def delete(given: Any) -> dict[str, Any]:
    """Delete the file of the listed features {"name": ...}, and return the list of those that are left.

    Raises:
        NotListed: no such file is listed.
        ValueError: this is not a name, or the file is not deleted here.
    """
    name = fields(given, DELETION).get("name")
    if not isinstance(name, str):
        raise ValueError('Say which file to delete, as {"name": "..."}.')
    shown = printable(name, 100)
    if name not in listed_names():
        raise NotListed(f"{shown!r} is not among the saved features. Refresh the list.")
    if why := _undeletable(name, _described_now(name)):
        raise ValueError(f"{shown} is not deleted: {why}.")
    try:
        os.unlink(path_of(name))
    except FileNotFoundError as error:
        raise NotListed(f"{shown!r} is not there any more. Refresh the list.") from error
    except OSError as error:
        raise ValueError(f"{shown} could not be deleted: {error.strerror or error}.") from error
    return references()


def _reference(name: str) -> Reference | None:
    """None if the file is gone meanwhile."""
    try:
        status = os.stat(path_of(name))
    except (OSError, ValueError):
        return None
    described = _described_now(name)
    told = described if isinstance(described, Described) else Described("", (), 0, "", b"")
    return Reference(
        name=name,
        maker=made_by(told.encoder, told.names) if isinstance(described, Described) else "",
        pictures=told.pictures,
        kept_for=told.kept_for,
        saved=status.st_mtime,
        size=status.st_size,
        state=f"{status.st_mtime_ns:x}-{status.st_size:x}",
        thumbnail=bool(told.thumbnail),
        problem=described if isinstance(described, str) else "",
        undeletable=_undeletable(name, described),
    )


def _described_now(name: str) -> Described | str:
    """What a file says of itself, or why it cannot be loaded."""
    try:
        return _described(name, *file_state(path_of(name)))
    except (OSError, ValueError) as error:
        return printable(str(error), LONGEST)


@lru_cache(maxsize=KEPT)
def _described(name: str, path: str, *_: int) -> Described:
    return describe_features(path, name=name)


def _undeletable(name: str, described: Described | str) -> str:
    """Why a listed file is not deleted here: it may be no file of features, or lie elsewhere behind a link."""
    if name not in model_names(FEATURES_FOLDER):
        return f"it is not in models/{FEATURES_FOLDER}"
    path = path_of(name)
    if not stat.S_ISREG(os.lstat(path).st_mode):
        return "it is a link to a file elsewhere"
    roots = [Path(root).resolve() for root in folder_paths.get_folder_paths(FEATURES_FOLDER)]
    if not any(Path(path).resolve().is_relative_to(root) for root in roots):
        return f"it is not in models/{FEATURES_FOLDER} itself, but behind a link"
    if isinstance(described, str) and os.path.splitext(name)[1].lower() not in OLD:
        return "it holds no features that can be read; delete it by hand"
    return ""
