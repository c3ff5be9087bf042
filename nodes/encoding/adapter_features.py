"""Take from image features what an adapter reads, and check that the right encoder made them.

Letters: R references, D and W feature widths, N positions.
"""

import torch
from comfy.clip_vision import Output

from ...clip_vision import PRESETS
from ...ip_adapter import Features, IPAdapter, Reads
from ...model_files.index import encoder_word
from .. import input_checks
from ..loading.model_library import encoder_need, explained
from .features import FIELDS, MAKERS, NEGATIVES, OF_CHARACTERS, OF_FACES, OF_TEXTS

NOBODY = ("none", "null tokens")  # rules by which unconditional rows have no picture: no features stand for one


def reference_features(adapter: IPAdapter, features: Output, name: str = "features") -> Features:
    """The features that the adapter reads of the references, (R, D) or (R, N, W) each.

    name: what to call the features in messages

    Raises:
        ValueError: another encoder made them, or what the adapter reads is missing, of another shape, NaN or infinite.
    """
    found = {reads.name: _field(adapter, features, FIELDS[reads.name], name) for reads in adapter.reads}
    return checked_features(adapter, found, name)


def checked_features(adapter: IPAdapter, found: Features, name: str) -> Features:
    """The features, if the adapter reads them and they are finite.

    name: what to call them in messages

    Raises:
        ValueError: they are of other shapes, NaN or infinite.
    """
    try:
        _check_pooled(adapter, found)
        adapter.check_features(found)
    except ValueError as error:
        raise _explained(ValueError(f"The {name} do not fit. {error}"), adapter) from None
    return {feature: _finite(tensor, name) for feature, tensor in found.items()}


def _check_pooled(adapter: IPAdapter, found: Features) -> None:
    """Raise a ValueError if an encoder without its head made features of the parts of a picture, not of the whole."""
    embeds = found.get("image_embeds")
    if isinstance(embeds, torch.Tensor) and embeds.ndim == 3:
        raise ValueError(
            f"{adapter.title} reads image_embeds of the whole picture, (pictures, width), and was given a tensor of "
            f"shape {tuple(embeds.shape)}, as core's loader of image encoders gives it of SigLIP: it leaves out the "
            "head. Load the encoder with Load Image Encoder, and encode the image again."
        )


def negative_features(
    adapter: IPAdapter, features: Output, negative: Output | None, name: str = "features"
) -> Features:
    """The features that the adapter reads for the unconditional rows.

    They are those of the negative images, if there are any. Otherwise the rule of the family makes them, (1, ...) each.

    name: what to call the features of the references in messages

    Raises:
        ValueError: as `reference_features`, or the references and the negative images do not fit together.
    """
    references = reference_features(adapter, features, name)
    if negative is not None:
        given = reference_features(adapter, negative, f"negative {name}")
        _check_same_encoder(adapter, features, negative, name)
    else:
        given = {reads.name: _by_rule(reads, features, references[reads.name], name) for reads in adapter.reads}
    return {reads.name: _fitting(adapter, given[reads.name], references[reads.name], name) for reads in adapter.reads}


def _field(adapter: IPAdapter, features: Output, field: str, name: str) -> torch.Tensor:
    found = getattr(features, field, None)
    if found is None and (kept_for := getattr(features, "kept_for", "")):
        maker = MAKERS.get(field, "Encode Image Prompt")
        raise ValueError(
            f"This adapter reads {field}, which the {name} do not have: they were encoded for {kept_for} only. "
            f"Connect this adapter to {maker} instead, or none. If they are from a file, encode the images again and "
            "save the new features."
        )
    try:
        _check_encoder(adapter, features, name)
        if not isinstance(found, torch.Tensor):
            advice = _advice(adapter, features, field)
            raise ValueError(f"This adapter reads {field}, which the {name} do not have: {advice}.")
    except ValueError as error:
        raise _explained(error, adapter) from None
    return found


def _advice(adapter: IPAdapter, features: Output, field: str) -> str:
    """How to get a field that features do not have, as words that follow a colon."""
    if field in OF_TEXTS:
        return "connect clip to Encode Image Prompt, and write the instruction there"
    if field in OF_CHARACTERS:
        return f"use {MAKERS[field]}"
    if field in OF_FACES:
        encoder = f", and {adapter.encoder_name} as clip_vision" if adapter.encoder_name else ""
        return f"use {MAKERS[field]}, with this adapter connected to it{encoder}"
    of_a_face = any(isinstance(getattr(features, each, None), torch.Tensor) for each in OF_FACES)
    return f"{'they are of a face; ' * of_a_face}encode the image with Encode Image Prompt and {adapter.encoder_name}"


def _explained(error: ValueError, adapter: IPAdapter) -> ValueError:
    """The error, plus which file holds the encoder that the adapter was made for, if it was made for one."""
    return explained(error, encoder_need(adapter)) if adapter.encoder_name else ValueError(str(error))


def _by_rule(reads: Reads, features: Output, references: torch.Tensor, name: str) -> torch.Tensor:
    if reads.negative == "zeros":
        return torch.zeros_like(references[:1])
    if reads.negative in NOBODY:
        return references[:0]
    found = getattr(features, NEGATIVES[reads.negative], None)
    if found is None and reads.name in OF_TEXTS:
        raise ValueError(
            f"This adapter needs the text encoder's answer to an empty text as well, which the {name} do not have: "
            "connect clip to Encode Image Prompt, or connect a negative."
        )
    if found is None:
        raise ValueError(
            f"This adapter needs the encoder's answer to an empty image as well, which the {name} do not have: use "
            "Encode Image Prompt instead of core's CLIP Vision Encode (it takes the same encoder), connect the encoder "
            "to Load Image Prompt Features, or connect a negative."
        )
    return found


def _fitting(adapter: IPAdapter, negative: torch.Tensor, references: torch.Tensor, name: str) -> torch.Tensor:
    if negative.shape[1:] != references.shape[1:]:
        wrong = (
            f"The negative {name} have the shape {tuple(negative.shape)}, the {name} {tuple(references.shape)}: encode "
            "both with the same encoder."
        )
        raise _explained(ValueError(wrong), adapter)
    return _finite(negative, f"negative {name}")


def _check_encoder(adapter: IPAdapter, features: Output, name: str) -> None:
    """Raise a ValueError if another encoder than the adapter's made the features, as far as the names are known."""
    made_by = _encoder(features)
    known = {preset.name: encoder_word(preset.name) for preset in PRESETS}
    if made_by in known and adapter.encoder_name in known.values():
        if known[made_by] != adapter.encoder_name:
            raise ValueError(
                f"{adapter.title} was made for {adapter.encoder_name}, and the {name} were made by {made_by}: encode "
                f"the image with {adapter.encoder_name}. If {made_by} is not what that file holds, say what it is with "
                "the input variant of Load Image Encoder."
            )


def _check_same_encoder(adapter: IPAdapter, features: Output, negative: Output, name: str) -> None:
    made_by, other = _encoder(features), _encoder(negative)
    if made_by and other and made_by != other:
        wrong = f"The {name} were made by {made_by}, the negative by {other}: encode both with the same encoder."
        raise _explained(ValueError(wrong), adapter)


def _encoder(features: Output) -> str:
    """The name of the encoder that made the features; "" if it is not known, as with core's encoders."""
    return getattr(features, "encoder", "")


def _finite(features: torch.Tensor, name: str) -> torch.Tensor:
    if not input_checks.is_finite(features):
        raise ValueError(f"The {name} hold NaN or infinite numbers: encode the image again, in another dtype.")
    return features
