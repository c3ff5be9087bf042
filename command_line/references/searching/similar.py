"""Answer the command "similar": how alike two pictures or texts are, as the cosine of their vectors."""

from __future__ import annotations

import argparse

from ....model_files.folders import Installation
from ...terminal import Answer, wrapped
from ..encoders import find, open_encoder
from ..vision_language import is_of_vision_language
from .queries import embedded, what

USUAL = {  # of what -> what the number means
    ("image", "text"): "Of CLIP, a text and a picture that fit have 0.2 to 0.35.",
    ("image", "image"): "Of CLIP, two pictures that are alike have 0.6 to 0.95.",
    ("text", "text"): "Of CLIP, most texts have more than 0.5: compare with that of another pair.",
}
OWN = "Each vision-language model has numbers of its own: compare with that of another pair."


def answer(options: argparse.Namespace, where: Installation) -> Answer:
    from ....references.similarity import cosines

    (kind_a, a), (kind_b, b) = what(options.a), what(options.b)
    path = find(options.encoder, where, text="text" in (kind_a, kind_b))
    with open_encoder(path) as embedder:
        cosine = float(cosines(embedded(kind_a, a, embedder), embedded(kind_b, b, embedder)))
        space = embedder.space
    data = {
        "cosine": round(cosine, 6),
        "a": {kind_a: a},
        "b": {kind_b: b},
        "space": space.as_json(),
        "encoder": str(path),
    }
    first, second = sorted((kind_a, kind_b))
    usual = OWN if is_of_vision_language(space) else USUAL[first, second]
    return Answer(data, [f"{cosine:.4f}", *wrapped(f"{space.title}. {usual}")])
