"""Image features on a CLIP_VISION_OUTPUT socket: what core nodes read from one, plus what an IP-Adapter needs."""

from collections.abc import Sequence

import torch
from comfy.clip_vision import Output

from ..clip_vision import combine

FIELDS = ("image_embeds", "last_hidden_state", "penultimate_hidden_states")  # core's names, batch first


class ImageFeatures(Output):
    """Core's CLIP vision output with two additions.

    negative_penultimate: (1, N, W) penultimate hidden states of a picture that is zero after normalisation
    encoder: name of the encoder; empty if it is not known
    """

    def __init__(self, *, negative_penultimate: torch.Tensor | None, encoder: str, **fields: object):
        self.mm_projected = None
        self.negative_penultimate = negative_penultimate
        self.encoder = encoder
        for name, value in fields.items():
            setattr(self, name, value)


def join(references: Sequence[Output], method: str, rows: str = "auto") -> ImageFeatures:
    """Several references as one, field by field, by the words of `clip_vision.combine`.

    Raises:
        ValueError: the references come from different encoders.
    """
    encoders = {reference.encoder for reference in references if getattr(reference, "encoder", "")}
    if len(encoders) > 1:
        raise ValueError(
            f"The references come from different encoders ({', '.join(sorted(encoders))}): encode all with one."
        )
    fields: dict[str, torch.Tensor] = {}
    for name in FIELDS:
        values = [getattr(reference, name, None) for reference in references]
        if all(isinstance(value, torch.Tensor) for value in values):
            fields[name] = combine(values, method, rows)
    if not fields:
        raise ValueError("The references have no features in common: encode all of them with the same encoder.")
    sizes = [size for reference in references for size in getattr(reference, "image_sizes", [])]
    pictures = len(next(iter(fields.values())))
    negatives = [getattr(reference, "negative_penultimate", None) for reference in references]
    return ImageFeatures(
        negative_penultimate=next((negative for negative in negatives if negative is not None), None),
        encoder=next(iter(encoders), ""),
        image_sizes=(sizes or [(3, 224, 224)])[:1] * pictures,
        **fields,
    )
