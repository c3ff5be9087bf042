"""The spaces into which image encoders put pictures, ours and those that core loaded."""

import json
from typing import Any
from weakref import WeakKeyDictionary

import torch

from ...clip_vision import VisionEncoder, describe
from ...clip_vision.files.description import DESCRIPTION
from ...clip_vision.files.fingerprints import signs
from ...references.embedder import FEATURES, space_of
from ...references.space import Space

SMALLEST = 1e-4  # standard deviation of weights that were read: memory that nobody has filled mostly has less
BESIDE = "multi_modal_projector."  # of LLaVA
_known: WeakKeyDictionary[torch.nn.Module, Space | None] = WeakKeyDictionary()  # of what core loaded


def space_of_encoder(encoder: VisionEncoder) -> Space | None:
    """The space of the image_embeds of an encoder, or of its class token; None if it has neither."""
    return space_of(encoder) if any(encoder.gives(feature) for feature in FEATURES) else None


def space_of_core(model: Any) -> Space | None:
    """The space of the image_embeds of an encoder that core loaded; None if it gives none, or is not known.

    What core calls image_embeds of a SigLIP are the hidden states of its patches, for it leaves the pooling head out. A
    projection that the file does not have is memory that nobody has filled.
    """
    if model not in _known:
        _known[model] = _described(model)
    return _known[model]


def _described(model: Any) -> Space | None:
    projection = getattr(model, "visual_projection", None)
    if not isinstance(projection, torch.nn.Linear) or not is_filled(projection.weight):
        return None
    shapes = {key: value.to("meta") for key, value in model.state_dict().items() if not key.startswith(BESIDE)}
    heads = json.dumps({"heads": model.vision_model.encoder.layers[0].self_attn.heads})
    try:
        name = describe(shapes, metadata={DESCRIPTION: heads}).name
        return Space(name, len(projection.weight), signs(projection.weight))
    except ValueError:
        return None


def is_filled(weight: torch.Tensor | None) -> bool:
    """Whether weights were read from a file: core leaves those that are missing as the memory was."""
    if weight is None or weight.is_meta:
        return False
    values = weight.detach().float()
    return bool(torch.isfinite(values).all()) and float(values.std()) > SMALLEST


def space_of_features(features: object) -> Space | None:
    """The space of image_embeds on a socket; None if nothing says which encoder made them."""
    space, encoder = getattr(features, "space", None), getattr(features, "encoder", "")
    embeds = getattr(features, "image_embeds", None)
    if not isinstance(embeds, torch.Tensor):
        return None
    if isinstance(space, Space) and space.dimension == embeds.shape[-1]:
        return space
    return Space(encoder, embeds.shape[-1]) if encoder else None
