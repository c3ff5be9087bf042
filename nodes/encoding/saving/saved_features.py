"""Image features to and from their files, and where these files are."""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import comfy.model_management
import folder_paths
import torch
from comfy.clip_vision import Output

from ....clip_vision import SavedFeatures, VisionFeatures, load_features, save_features
from ....clip_vision.saving.saved import SUFFIX
from ....model_files.folders import numbered_names
from ....tensor_files.whole_files import NameTaken
from ...folders import FEATURES_FOLDER, digest, file_state, model_names, names_below
from ..encoder import EVERY_LAYER, Encoder, as_encoder, empty_picture
from ..features import ENCODED, FIELDS, NEGATIVES, OF_CHARACTERS, OF_FACES, OF_TEXTS, ImageFeatures

EMPTY = {name.removeprefix("negative_"): name for name in NEGATIVES.values()}  # feature -> field of an empty picture
NOT_OF_PICTURES = (*OF_FACES, *OF_TEXTS, *OF_CHARACTERS)
OLD = frozenset((".ipadpt",))
PLACES: Mapping[str, Callable[[], str]] = {  # where IPAdapter Plus saves its files, and where it loads them from
    "input": folder_paths.get_input_directory,
    "output": folder_paths.get_output_directory,
}
PIXEL_SHAPE = (3, 224, 224)  # of most encoders


def save(features: Output, name: str, image: torch.Tensor | None) -> tuple[str, SavedFeatures]:
    """Write features into a new file, and return the name under which it is listed, and what it holds.

    The features of an empty picture are made for it, if they can be.

    Raises:
        ValueError: the name cannot be that of a file, there is nothing to save, or it cannot be written.
    """
    folder = folder_paths.get_folder_paths(FEATURES_FOLDER)[0]
    encoder = getattr(features, "encoder", "")
    sizes = getattr(features, "image_sizes", None) or [()]
    for path in numbered_names(folder, name, SUFFIX):
        _make_folder(os.path.dirname(path), folder)
        try:
            saved = save_features(
                path,
                replace(_vision_features(features, FIELDS, encoder), hidden=_hidden(features)),
                empty=_vision_features(features, EMPTY, encoder) if _tensors(features, EMPTY) else None,
                kept_for=getattr(features, "kept_for", ""),
                pixel_shape=tuple(int(size) for size in sizes[0]),
                image=image,
            )
        except NameTaken:  # meanwhile, by another process
            continue
        return os.path.relpath(path, folder), saved
    raise ValueError(f"There is no number left for the name {name!r}: choose another name.")


def read(name: str) -> SavedFeatures:
    """What a file of features holds. Raises a ValueError with its name if it is not there, or cannot be used."""
    try:
        return load_features(path_of(name), name=name)
    except ValueError as error:  # of several types
        raise ValueError(str(error)) from error


def image_features(saved: SavedFeatures, name: str, clip_vision: object = None) -> ImageFeatures:
    """The features of a file, as a socket carries them.

    name: of the file, for errors
    clip_vision: the encoder that made them, or None. What the file lacks of an empty picture is made by it

    Raises:
        ValueError: nodes read none of these features, or another encoder made them.
    """
    found = saved.features
    fields = _fields(found, name)
    hidden = dict(sorted((found.hidden or {}).items()))
    if hidden and [*hidden] == [*range(1, len(hidden) + 1)]:
        fields[EVERY_LAYER] = torch.stack([*hidden.values()], dim=1)
    negatives = {} if clip_vision is None else dict(empty_picture(_same_encoder(clip_vision, saved, name)))
    if saved.empty is not None:
        known = {field: _kept(saved.empty, feature) for feature, field in EMPTY.items()}
        negatives |= {field: _on_device(tensor) for field, tensor in known.items() if tensor is not None}
    return ImageFeatures(
        **{field: negatives.get(field) for field in EMPTY.values()},
        encoder=found.encoder,
        kept_for=saved.kept_for,
        image_sizes=[torch.Size(saved.pixel_shape or PIXEL_SHAPE)] * len(found),
        **{field: _on_device(tensor) for field, tensor in fields.items()},
    )


def negative_features(saved: SavedFeatures, name: str) -> ImageFeatures | None:
    """What an old file holds as its negative, as a socket carries it."""
    return None if saved.negative is None else image_features(SavedFeatures(saved.negative), name)


def listed_names() -> list[str]:
    """All files that can be loaded; of those that are not in models/image_prompts the name says where they are."""
    old = (f"{name} [{place}]" for place in PLACES for name in old_names(place))
    return [*model_names(FEATURES_FOLDER), *old]


def path_of(name: str) -> str:
    """The path of a listed file. Raises a ValueError if it is not there."""
    for place, folder in PLACES.items():
        if name.endswith(f" [{place}]") and (old := name.removesuffix(f" [{place}]")) in old_names(place):
            return os.path.join(folder(), old)
    path = folder_paths.get_full_path(FEATURES_FOLDER, name)
    if path is None:
        raise ValueError(
            f"{name} is not in models/{FEATURES_FOLDER}, nor an .ipadpt file in {' or '.join(PLACES)}: choose a file "
            "that is there, or save one with Save Image Prompt Features."
        )
    return path


def fingerprint(name: str | None) -> str:
    """A value that differs once the file does. If its name is linked (None), it covers all files."""
    return digest([_state(each) for each in (listed_names() if name is None else [name])])


def old_names(place: str) -> list[str]:
    """The .ipadpt files in ComfyUI's folder of this name, one of `PLACES`, and below."""
    return names_below([PLACES[place]()], OLD, kind=place)


def _state(name: str) -> object:
    try:
        return file_state(path_of(name))
    except (OSError, ValueError):
        return None


def _make_folder(path: str, root: str) -> None:
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        name = os.path.relpath(path, os.path.dirname(root))
        raise ValueError(
            f"The folder {name} could not be made: {error.strerror or error}. Choose another name, or check that its "
            "disk may be written to."
        ) from error


def _tensors(features: Output, fields: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """The features that are there, as encoders and adapters call them."""
    found = {feature: getattr(features, field, None) for feature, field in fields.items()}
    return {feature: tensor for feature, tensor in found.items() if isinstance(tensor, torch.Tensor)}


def _hidden(features: Output) -> dict[int, torch.Tensor] | None:
    every = getattr(features, EVERY_LAYER, None)
    return dict(enumerate(every.unbind(1), start=1)) if isinstance(every, torch.Tensor) else None


def _vision_features(features: Output, fields: Mapping[str, str], encoder: str) -> VisionFeatures:
    found = _tensors(features, fields)
    named: dict[str, Any] = {name: tensor for name, tensor in found.items() if name not in NOT_OF_PICTURES}
    others = {name: tensor for name, tensor in found.items() if name in NOT_OF_PICTURES}
    return VisionFeatures(**named, others=others or None, encoder=encoder)


def _kept(features: VisionFeatures, name: str) -> torch.Tensor | None:
    return (features.others or {}).get(name) if name in NOT_OF_PICTURES else getattr(features, name)


def _fields(features: VisionFeatures, name: str) -> dict[str, torch.Tensor]:
    found = {field: _kept(features, feature) for feature, field in FIELDS.items()}
    fields = {field: tensor for field, tensor in found.items() if tensor is not None}
    if not fields:
        held = ", ".join([*features.names(), *(["hidden states"] if features.hidden else [])])
        raise ValueError(f"{name} holds {held}, and nodes read {', '.join(ENCODED)}: save one of these as well.")
    return fields


def _same_encoder(clip_vision: object, saved: SavedFeatures, name: str) -> Encoder:
    encoder, made_by, shape = as_encoder(clip_vision), saved.features.encoder, saved.pixel_shape
    if made_by and encoder.name and made_by != encoder.name:
        raise ValueError(
            f"The features in {name} were made by {made_by}, and the clip_vision is {encoder.name}: connect the "
            "encoder that made them, or none."
        )
    if made_by and encoder.name and shape and shape[-1] != encoder.image_size:
        raise ValueError(
            f"The features in {name} were made of pictures of {shape[-1]} pixels, and the clip_vision reads "
            f"{encoder.image_size}: load it with the image_size {shape[-1]}, or connect none."
        )
    return encoder


def _on_device(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to(comfy.model_management.intermediate_device())
