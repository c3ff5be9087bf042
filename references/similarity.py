"""How alike pictures and texts are. Letters: A and B vectors, D numbers of each."""

from __future__ import annotations

import torch
from torch import Tensor

from .embedding import Embedding

WHAT = {"text": "The text", "image": "The picture"}  # Embedding.of -> the start of a sentence
OTHER = {"text": "the text", "image": "the picture"}


def cosines(a: Embedding, b: Embedding) -> Tensor:
    """The cosine of each vector of `a` with each of `b`, (A, B), fp32, -1..1.

    Of CLIP, a text and a picture that fit have 0.2 to 0.35, two alike pictures 0.6 to 0.95: they share no threshold.

    Raises:
        ValueError: they live in two spaces.
    """
    a.space.check(b.space, WHAT[a.of], OTHER[b.of])
    return (a.vectors @ b.vectors.T).clamp_(-1, 1)


def probabilities(texts: Embedding, pictures: Embedding) -> Tensor:
    """How likely each picture goes with each text, (texts, pictures), 0..1.

    CLIP: softmax over the texts of scale * cosine (https://arxiv.org/abs/2103.00020, figure 3). SigLIP: sigmoid of
    scale * cosine + bias, each pair on its own (https://arxiv.org/abs/2303.15343, algorithm 1).

    Raises:
        ValueError: they live in two spaces, are no texts and pictures, or no file said the scale.
    """
    if (texts.of, pictures.of) != ("text", "image"):
        raise ValueError(f"Probabilities are of texts and pictures, not of {texts.of} and {pictures.of}.")
    logit = texts.logit or pictures.logit
    if logit is None:
        raise ValueError(f"No file of {texts.space.encoder} said its logit scale: use a full CLIP file.")
    logits = logit.scale * cosines(texts, pictures) + logit.bias
    return torch.sigmoid(logits) if logit.pairs else torch.softmax(logits, dim=0)
