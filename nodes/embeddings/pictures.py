"""Pictures and image features as embeddings. Letters: B pictures, D numbers of a vector."""

from typing import Any

import torch
from comfy.clip_vision import Output

from ...clip_vision import Crop
from ...references.embedding import Embedding
from ...references.space import Space
from .. import input_checks
from ..activity import timed
from ..encoding.encoder import CLASS_TOKEN, Encoder, as_encoder, encode_pixel_values, pixel_values
from ..encoding.spaces import space_of_features
from ..encoding.squares import one_by_one, squares

ADVICE = "connect the output of Embed Text or Embed Image Features"


def as_embedding(value: Any, name: str) -> Embedding:
    """The embedding that a socket brought. Raises a ValueError if it is none."""
    return input_checks.expect(value, Embedding, f"input {name}", ADVICE)


def embed_pictures(clip_vision: Any, images: torch.Tensor, crop: Crop = "center") -> Embedding:
    """Pictures (B, H, W, C) in 0..1 by an encoder, ours or core's, with progress and Cancel. It finds what it knows.

    Raises:
        ValueError: it is no encoder, or has no embedding, or these are no pictures.
    """
    encoder = as_encoder(clip_vision)
    input_checks.image(images, "input images")
    with timed("embed pictures"):
        return embed_squares(encoder, squares(encoder, one_by_one(images), crop, "black"))


def embed_squares(encoder: Encoder, seen: torch.Tensor, *, shown: bool = True) -> Embedding:
    """The squares (B, S, S, 3) that an encoder saw. Raises a ValueError if it puts pictures into no space.

    shown: as `encode_pixel_values` takes it
    """
    space = picture_space(encoder)
    field = CLASS_TOKEN if space.feature == CLASS_TOKEN else "image_embeds"
    found = encode_pixel_values(encoder, pixel_values(encoder, seen), (field,), shown=shown)[field]
    return Embedding.of_vectors(found, space, "image")


def embed_features(features: Output, clip_vision: Any = None) -> Embedding:
    """The image_embeds of features, ours or core's.

    clip_vision: the encoder that made them, which core's features do not say

    Raises:
        ValueError: they hold no image_embeds, or nothing says which encoder made them, or it was another one.
    """
    embeds = _image_embeds(input_checks.image_features(features))
    said, given = space_of_features(features), None if clip_vision is None else picture_space(clip_vision)
    if said is not None and given is not None:
        given.check(said, "The clip_vision", "the features")
    space = given or said
    if space is None:
        raise ValueError(
            "The features do not say which encoder made them, as those of core's CLIP Vision Encode with core's "
            "loader: connect that encoder to clip_vision, or use Encode Image Prompt with Load Image Encoder."
        )
    return Embedding.of_vectors(embeds, space, "image")


def picture_space(clip_vision: Any) -> Space:
    """The space into which an encoder puts pictures. Raises a ValueError if it puts them into none."""
    encoder = as_encoder(clip_vision)
    if encoder.space is None:
        raise ValueError(
            f"{encoder.name or 'The encoder that core loaded'} gives no embedding of a whole picture: its file has no "
            "projection, or core leaves it out (SigLIP). Load a full CLIP or SigLIP file with Load Image Encoder."
        )
    return encoder.space


def _image_embeds(features: Output) -> torch.Tensor:
    try:
        embeds = features["image_embeds"]
    except AttributeError as error:  # of our features, it says why
        raise ValueError(str(error)) from error
    if not isinstance(embeds, torch.Tensor) or embeds.ndim != 2:
        raise ValueError(
            f"The image_embeds of the features are {input_checks.described(embeds)}, and not one vector for each "
            "picture, as those of SigLIP with core's loader: use Load Image Encoder and Encode Image Prompt."
        )
    return embeds
