"""Features of pictures in a file, so that the pictures are encoded once. Letters: B pictures, N positions, W, D widths.

save_features("cat.safetensors", features, image="cat.jpg")
features = load_features("cat.safetensors").features

The file is a safetensors file. Its tensors are called like the fields of `VisionFeatures`, "hidden.INDEX", and
"empty.FIELD" for an empty picture. Its metadata are texts: the version of the format, the encoder and the widths of its
features, the adapter for which alone they were kept, a thumbnail (PNG in base64), and SHA-256 of the source pictures.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from torch import Tensor

from ...tensor_files import PassingTrouble, UnusableFile, printable, read_header
from ...tensor_files.weights import Weights, checked_path, named_weights
from ...tensor_files.writing import write_tensors
from ..features import FEATURES, OTHERS, VisionFeatures
from ..pictures.images import Pictures
from .old_embeds import read_old
from .saved_checks import RANKS, by_name, check_features, check_layout, rank
from .sources import is_thumbnail, pixel_digests, thumbnail, unpacked

FORMAT = "image_prompt_features"  # key of the metadata; its text is the version of the format
VERSION = 1
WITH_OTHERS = 2  # of files with features of faces or texts, which the first version does not know
WITH_CHARACTERS = 3  # of files with features of characters
SUFFIX = ".safetensors"
HIDDEN = re.compile(r"hidden\.(-?(?:0|[1-9]\d{0,3}))")
EMPTY = "empty."  # before the names of what an empty picture gives

DIGEST = re.compile(r"[0-9a-f]{64}")
LARGEST_SIDE = 1 << 16  # pixels that an encoder reads
LONGEST = 200  # characters of a name from a file

EXPECTED = (
    "Expected are features that Save Image Prompt Features or clip_vision.save_features wrote, or an .ipadpt file of "
    "IPAdapter Plus, which holds one tensor."
)


@dataclass(frozen=True, eq=False)
class SavedFeatures:
    """What a file of features holds.

    features: of B pictures
    empty: what adapters read of an empty picture, for their unconditional rows: `penultimate` of pixel values that are
        zero, `image_embeds` of a black picture, `instruction` of an empty text; a field is None if it is not known
    negative: what an old file holds as the features of its negative, or None
    kept_for: name of the only adapter whose features were kept; empty if all were
    pixel_shape: of the pixel values of one picture as the encoder read it, (3, S, S); empty if it is not known
    thumbnail: a small PNG of the first source picture; empty if there is none
    sources: SHA-256 of the pixels of each source picture, as `pixel_digests` gives it
    """

    features: VisionFeatures
    empty: VisionFeatures | None = None
    negative: VisionFeatures | None = None
    kept_for: str = ""
    pixel_shape: tuple[int, ...] = ()
    thumbnail: bytes = b""
    sources: tuple[str, ...] = ()

    def picture(self) -> Tensor | None:
        """The thumbnail (1, H, W, 3) float32 in 0..1, or None. ValueError if it is damaged."""
        return unpacked(self.thumbnail) if self.thumbnail else None


def save_features(
    path: str | os.PathLike[str],
    features: VisionFeatures,
    *,
    empty: VisionFeatures | None = None,
    kept_for: str = "",
    pixel_shape: Sequence[int] = (),
    image: Pictures | None = None,
) -> SavedFeatures:
    """Write features into a new safetensors file, whole or not at all, and return what it holds.

    empty, kept_for, pixel_shape: as `SavedFeatures` has them
    image: the source pictures, as `encode` takes them, for the thumbnail and the hashes. They are not kept themselves

    Raises:
        NameTaken: there is a file of this name.
        ValueError: the features are none, hold NaN or infinity, or the file cannot be written.
    """
    path = checked_path(path)
    if not path.endswith(SUFFIX):
        raise ValueError(
            f"{printable(os.path.basename(path))} is the name for features: give one that ends in {SUFFIX}."
        )
    saved = SavedFeatures(
        check_features(features),
        None if empty is None else check_features(empty),
        kept_for=kept_for,
        pixel_shape=tuple(pixel_shape),
        thumbnail=b"" if image is None else thumbnail(image),
        sources=() if image is None else tuple(pixel_digests(image)),
    )
    tensors = by_name(saved.features)
    if saved.empty is not None:
        tensors |= {f"{EMPTY}{name}": tensor for name, tensor in by_name(saved.empty).items()}
    write_tensors(path, tensors, _metadata(saved))
    return saved


def load_features(path: str | os.PathLike[str], *, name: str = "") -> SavedFeatures:
    """The features in a file of `save_features`, or in an .ipadpt file of IPAdapter Plus. No code in it is run.

    name: of the file, for errors; by default that in its path

    Raises:
        ValueError: it holds no features, or more, or is damaged, or of a newer version.
    """
    path = checked_path(path)
    name = name or printable(os.path.basename(path))
    try:
        with named_weights(path, name, one_tensor=True) as weights:
            if FORMAT in weights.metadata:
                return _read(weights)
            if [*weights.tensors] == [""]:
                features, negative = read_old(weights, os.path.getsize(path))
                return SavedFeatures(features, negative=negative)
            if not weights.tensors:
                raise ValueError(f"It holds no tensors. {EXPECTED}")
            raise ValueError(
                f"It holds {_listed(weights.tensors)}, and does not say that they are features. {EXPECTED}"
            )
    except PassingTrouble:
        raise
    except UnusableFile as error:
        raise UnusableFile(f"{error} {EXPECTED}") from error


@dataclass(frozen=True)
class Described:
    """What a file of features says of itself in its header. The fields are as in `SavedFeatures` and its features.

    pictures: how many pictures the features are of
    """

    encoder: str
    names: tuple[str, ...]
    pictures: int
    kept_for: str
    thumbnail: bytes


def describe_features(path: str | os.PathLike[str], *, name: str = "") -> Described:
    """What a file that `load_features` reads holds, by its header alone where it has one. Raises as `load_features`."""
    path = checked_path(path)
    header = read_header(path, one_tensor=True)
    if FORMAT not in header.metadata:
        saved = load_features(path, name=name)
        return Described("", tuple(saved.features.names()), len(saved.features), "", b"")
    _check_version(header.metadata[FORMAT])
    shapes = {key: info.shape for key, info in header.tensors.items() if not key.startswith(EMPTY)}
    return Described(
        printable(header.metadata.get("encoder", ""), LONGEST),
        tuple(shapes),
        max((shape[0] for shape in shapes.values() if shape), default=0),
        printable(header.metadata.get("kept_for", ""), LONGEST),
        _thumbnail(header.metadata),
    )


def _metadata(saved: SavedFeatures) -> dict[str, str]:
    metadata = {
        FORMAT: str(_version(saved.features)),
        "encoder": printable(saved.features.encoder, LONGEST),
        "widths": json.dumps(_widths(saved.features)),
        "kept_for": printable(saved.kept_for, LONGEST),
        "pixel_shape": json.dumps(saved.pixel_shape) if saved.pixel_shape else "",
        "thumbnail": base64.b64encode(saved.thumbnail).decode(),
        "sources": json.dumps(saved.sources) if saved.sources else "",
    }
    return {key: text for key, text in metadata.items() if text}


def _version(features: VisionFeatures) -> int:
    """The first version of the format that knows all of these features."""
    if any(name.startswith("character_") for name in features.others or {}):
        return WITH_CHARACTERS
    return WITH_OTHERS if features.others else VERSION


def _widths(features: VisionFeatures) -> dict[str, int]:
    """How wide each feature is: with the name, what identifies the encoder."""
    return {name: tensor.shape[-1] for name, tensor in by_name(features).items()}


def _read(weights: Weights) -> SavedFeatures:
    _check_version(weights.metadata[FORMAT])
    names = {name: name.removeprefix(EMPTY) for name in weights.tensors}
    if unknown := [name for name, field in names.items() if field not in RANKS and not HIDDEN.fullmatch(field)]:
        raise ValueError(f"It holds {_listed(unknown)} beside features: it is damaged. Save the features again.")
    for name, field in names.items():
        check_layout(name, weights.tensors[name], rank(field))
    encoder = printable(weights.metadata.get("encoder", ""), LONGEST)
    parts: list[dict[str, Tensor]] = [{}, {}]
    for name, field in names.items():
        parts[name != field][field] = weights.read(name)
    features, empty = (VisionFeatures(**_fields(part), encoder=encoder) for part in parts)
    check_features(features)
    if _table(weights.metadata, "widths") != _widths(features):
        raise ValueError("Its widths are not those of its features: it was changed. Save the features again.")
    return SavedFeatures(
        features,
        check_features(empty) if parts[1] else None,
        kept_for=printable(weights.metadata.get("kept_for", ""), LONGEST),
        pixel_shape=_pixel_shape(weights.metadata),
        thumbnail=_thumbnail(weights.metadata),
        sources=_sources(weights.metadata),
    )


def _check_version(version: str) -> None:
    if version not in map(str, range(VERSION, WITH_CHARACTERS + 1)):
        raise ValueError(
            f"It was saved in version {printable(version, 20)} of the format, and this is version {WITH_CHARACTERS}: "
            "update Image Prompt, or encode the picture again."
        )


def _fields(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    hidden = {int(found[1]): tensor for name, tensor in tensors.items() if (found := HIDDEN.fullmatch(name))}
    others = {name: tensor for name, tensor in tensors.items() if name in OTHERS}
    named = {name: tensor for name, tensor in tensors.items() if name in FEATURES}
    return {**named, "hidden": hidden or None, "others": others or None}


def _table(metadata: Mapping[str, str], key: str) -> Any:
    """The JSON in a text of the metadata; None if there is none."""
    try:
        return json.loads(metadata[key]) if key in metadata else None
    except (ValueError, RecursionError) as error:
        raise _changed(key) from error


def _pixel_shape(metadata: Mapping[str, str]) -> tuple[int, ...]:
    return _all(metadata, "pixel_shape", lambda size: type(size) is int and 0 < size <= LARGEST_SIDE)


def _sources(metadata: Mapping[str, str]) -> tuple[str, ...]:
    return _all(metadata, "sources", lambda each: isinstance(each, str) and DIGEST.fullmatch(each) is not None)


def _all(metadata: Mapping[str, str], key: str, is_good: Callable[[Any], bool]) -> tuple[Any, ...]:
    """The JSON list in a text of the metadata, in which every value is good; empty if there is none."""
    found = _table(metadata, key)
    listed = cast("list[Any]", found if isinstance(found, list) else [])
    if found is not None and not isinstance(found, list) or not all(map(is_good, listed)):
        raise _changed(key)
    return tuple(listed)


def _thumbnail(metadata: Mapping[str, str]) -> bytes:
    try:
        png = base64.b64decode(metadata.get("thumbnail", ""), validate=True)
    except ValueError as error:
        raise _changed("thumbnail") from error
    if png and not is_thumbnail(png):
        raise _changed("thumbnail")
    return png


def _changed(key: str) -> ValueError:
    return ValueError(f"Its {key} is not as it is written here: the file was changed. Save the features again.")


def _listed(names: Sequence[str] | Mapping[str, Tensor]) -> str:
    shown = ", ".join(printable(name, 60) for name in list(names)[:3])
    return f"{shown}{' and more' if len(names) > 3 else ''}"
