"""The features of faces that adapters read, by their names.

Letters: R faces, S the side of the square picture that an encoder reads, N positions, D, W feature widths.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from ....clip_vision import fit
from ....faces import Face
from ..encoder import SOME_LAYERS, Encoder, encode_pixel_values, pixel_values
from ..features import ENCODED
from .faces_in_pictures import Looked, aligned_faces, boxed_faces, faces_in_grey

ALIGNED = 224  # side of the aligned face, whatever the side that the encoder reads
EMBEDS, PENULTIMATE = ENCODED["image_embeds"], ENCODED["penultimate"]


@dataclass(frozen=True, eq=False)
class GivenFaces:
    """What features of faces are made of.

    looked: the pictures, with their faces
    encoder: the image encoder; None if there is none
    wanted: the name of the encoder that the adapter reads; "" if there is no adapter, or it reads none
    """

    looked: Sequence[Looked]
    encoder: Encoder | None
    wanted: str = ""

    def encoder_for(self, feature: str) -> Encoder:
        """The encoder, which a feature needs. Raises a ValueError if there is none."""
        if self.encoder is None:
            which = f" with {self.wanted}" if self.wanted else ""
            raise ValueError(
                f"An image encoder makes {feature}, and none is connected: connect Load Image Encoder{which} to "
                "clip_vision."
            )
        return self.encoder


def _identity(of: Callable[[Face], np.ndarray], given: GivenFaces) -> torch.Tensor:
    faces = [of(face) for looked in given.looked for face in looked.chosen]
    return torch.from_numpy(np.stack(faces)).float()


def _aligned(given: GivenFaces) -> torch.Tensor:
    return _penultimate(given.encoder_for("face_penultimate"), aligned_faces(given.looked, ALIGNED))


def _boxed(given: GivenFaces) -> torch.Tensor:
    encoder = given.encoder_for("face_box_penultimate")
    return _penultimate(encoder, boxed_faces(given.looked, encoder.image_size))


def _penultimate(encoder: Encoder, faces: torch.Tensor) -> torch.Tensor:
    pixels = pixel_values(encoder, fit(faces, encoder.image_size))
    return encode_pixel_values(encoder, pixels, (PENULTIMATE,))[PENULTIMATE]


def _look(feature: str, field: str, given: GivenFaces) -> torch.Tensor:
    """What an encoder makes of faces as PuLID shows them: in grey, and resized without rounding to bytes."""
    encoder = given.encoder_for(feature)
    if not encoder.reads_faces:
        raise ValueError(
            f"EVA02-CLIP-L-336 makes {feature}, and the clip_vision is {encoder.name or 'another encoder'}: connect "
            "Load Image Encoder with EVA02-CLIP-L-336."
        )
    side = (encoder.image_size, encoder.image_size)
    shown = F.interpolate(faces_in_grey(given.looked).movedim(-1, 1), side, mode="bicubic", antialias=True)
    return encode_pixel_values(encoder, pixel_values(encoder, shown.movedim(1, -1)), (EMBEDS, SOME_LAYERS))[field]


def _normed_look(given: GivenFaces) -> torch.Tensor:
    return F.normalize(_look("face_eva_embeds", EMBEDS, given), dim=-1)


FACE_SOURCES: Mapping[str, Callable[[GivenFaces], torch.Tensor]] = {
    "face_embeds": partial(_identity, lambda face: face.normed),
    "face_embeds_raw": partial(_identity, lambda face: face.embedding),
    "face_penultimate": _aligned,
    "face_box_penultimate": _boxed,
    "face_eva_embeds": _normed_look,
    "face_eva_hidden": partial(_look, "face_eva_hidden", SOME_LAYERS),
}
NORMED = ("face_embeds", "face_eva_embeds")  # features of length 1


def face_features(given: GivenFaces, names: Sequence[str]) -> dict[str, torch.Tensor]:
    """Some features of the faces, (R, ...) each.

    Raises:
        ValueError: a feature needs an encoder that is not connected.
    """
    return {name: FACE_SOURCES[name](given) for name in names}


def averaged(features: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The features of one identity, (1, ...) each, which is the average of all faces."""
    means = {name: tensor.mean(0, keepdim=True) for name, tensor in features.items()}
    return {name: F.normalize(mean, dim=-1) if name in NORMED else mean for name, mean in means.items()}
