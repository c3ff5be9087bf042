"""The faces in pictures: which of them count, and how they are cut out for the encoders that read them.

Letters: B pictures, R faces, S side of a square.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ....clip_vision.pictures.images import to_rgb
from ....clip_vision.pictures.preprocessing import BLACK
from ....faces import SIZES, Face, align, crop_box
from .face_finder import FaceFinder, Picture

LOOK = 512  # side of the face whose look PuLID reads
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue
INSIDE = 0.9  # of white, which what surrounds a picture is not
WHITE = 255

Choose = Callable[[list[Face]], list[Face]]


@dataclass(frozen=True, eq=False)
class Looked:
    """A picture that was looked through.

    picture: RGB, (H, W, 3) uint8
    found: all faces in it, the most certain first
    chosen: those that count
    person: (H, W) in 0..1, where the person is; None if it is not known
    """

    picture: Picture
    found: list[Face]
    chosen: list[Face]
    person: torch.Tensor | None


def look_through(
    finder: FaceFinder, image: torch.Tensor, choose: Choose, person: torch.Tensor | None = None
) -> list[Looked]:
    """Find the faces in pictures (B, H, W, C) in 0..1.

    choose: those of the faces in a picture that count, given all of them, the most certain first
    person: (1 or B, H, W) in 0..1, where the people are; None if it is not known

    Raises:
        ValueError: a picture shows no face, or not the one that is chosen.
    """
    pictures = [np.asarray(each) for each in torch.cat(to_rgb(image, BLACK)).movedim(1, -1).contiguous()]
    found = [finder.find(each, SIZES) for each in pictures]
    if missing := [number for number, faces in enumerate(found, 1) if not faces]:
        raise ValueError(_nobody(missing, len(found)))
    people = [None] * len(pictures) if person is None else person.expand(len(pictures), -1, -1)
    looked = zip(pictures, found, people, strict=True)
    return [Looked(picture, faces, _chosen(choose, faces, n), one) for n, (picture, faces, one) in enumerate(looked, 1)]


def _chosen(choose: Choose, faces: list[Face], number: int) -> list[Face]:
    try:
        return choose(faces)
    except ValueError as error:
        raise ValueError(f"Picture {number}: {error}") from error


def _nobody(missing: Sequence[int], count: int) -> str:
    numbers = f"picture{'s' if len(missing) > 1 else ''} {', '.join(map(str, missing))} of {count}"
    return without_face("the picture" if count == 1 else numbers, SIZES)


def without_face(where: str, sizes: Sequence[int]) -> str:
    """What to say if there is no face somewhere. sizes: of the squares that were looked at"""
    return (
        f"No face was found in {where}, looked at in squares of {', '.join(map(str, sizes))} pixels: give a picture in "
        "which the face is larger, seen from the front, and has some space around it."
    )


def aligned_faces(looked: Sequence[Looked], side: int) -> torch.Tensor:
    """The faces that count, upright by their points, (R, side, side, 3) in 0..1."""
    return _stacked([align(each.picture, face.points, side) for each in looked for face in each.chosen])


def boxed_faces(looked: Sequence[Looked], side: int) -> torch.Tensor:
    """The squares around the faces that count, not turned, (R, side, side, 3) in 0..1."""
    return _stacked([crop_box(each.picture, face.box, side) for each in looked for face in each.chosen])


def faces_in_grey(looked: Sequence[Looked]) -> torch.Tensor:
    """The faces that count in grey, on white where the person is not, (R, LOOK, LOOK, 3) in 0..1.

    PuLID reads them like this, because color and background say nothing about who somebody is.

    Raises:
        ValueError: a mask leaves nothing of a face.
    """
    return torch.cat([_in_grey(each, face) for each in looked for face in each.chosen])


def _in_grey(looked: Looked, face: Face) -> torch.Tensor:
    colored = _cut(looked.picture, face)
    grey = (colored * torch.tensor(LUMA)).sum(-1, keepdim=True).expand_as(colored)
    if looked.person is None:
        return grey
    person = _is_person(looked.person, face)
    if not person.any():
        raise ValueError(
            f"The mask leaves nothing of the face at {', '.join(f'{each:.0f}' for each in face.box)} (left, top, "
            "right, bottom): it is white where the person is, so invert it or leave it out."
        )
    return torch.where(person, grey, 1.0)


def _is_person(person: torch.Tensor, face: Face) -> torch.Tensor:
    """Where the person is in the face as it is cut out, (1, LOOK, LOOK, 1): nowhere outside the picture."""
    shown = np.full((*person.shape, 3), WHITE, np.uint8)
    shown[..., 0] = np.asarray(person.mul(WHITE).round().byte())
    cut = _cut(shown, face)
    return (cut[..., :1] >= 0.5) & (cut[..., 1:2] > INSIDE)


def _cut(picture: Picture, face: Face) -> torch.Tensor:
    return _stacked([align(picture, face.points, LOOK, template="ffhq")])


def _stacked(cut: Sequence[Picture]) -> torch.Tensor:
    return torch.from_numpy(np.stack(cut)).float() / WHITE
