"""The node that encodes the faces in pictures."""

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from comfy_api.latest import io

from ....faces import CHOICES, FaceAnalyser, choose, draw_faces, draw_key_points
from ....ip_adapter import FAMILIES
from ... import input_checks
from ...activity import count, timed
from ...display import said
from ...loading.adapter import ImagePromptAdapter
from ...loading.wires import ADVICE, as_adapter
from ...sockets import CATEGORY, AdapterInput, FaceAnalyserInput
from ..encoder import Encoder, as_encoder, empty_picture
from ..features import MAKERS, NEGATIVES, OF_FACES, OF_TEXTS, ImageFeatures
from ..squares import fitting_mask
from .face_features import ALIGNED, GivenFaces, averaged, face_features
from .face_finder import Picture, as_finder
from .faces_in_pictures import Looked, aligned_faces, look_through

EACH, AVERAGE = COMBINES = ("each", "average")
LARGEST, BY_INDEX = "largest", "by index"
MOST = 1 << 10  # faces in a picture
ALWAYS = ("face_embeds", "face_embeds_raw")
BY_ENCODER = {  # what is made without an adapter, besides; of other encoders the first
    "": ("face_penultimate",),
    "CLIP ViT-L/14-336": ("face_penultimate", "face_box_penultimate"),
    "EVA02-CLIP-L-336": ("face_eva_embeds", "face_eva_hidden"),
}
GREY = ("face_eva_embeds", "face_eva_hidden")  # features whose background is to be left out


class EncodeFacePrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptEncodeFace",
            display_name="Encode Face Prompt",
            category=CATEGORY,
            description="Finds faces in pictures and turns them into features for adapters that read faces: FaceID, "
            "InstantID, PuLID. It shows which faces it took.",
            search_aliases=[
                "faceid",
                "face id",
                "instantid",
                "pulid",
                "face embeds",
                "face keypoints",
                "insightface",
                "prep image for insightface",
                "crop face",
            ],
            inputs=[
                FaceAnalyserInput("insightface", tooltip="What finds the faces, from Load Face Analyser."),
                io.Image.Input("image", tooltip="One or more pictures, each of which shows a face."),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="The image encoder of adapters that also read how the face looks: CLIP ViT-H/14 for FaceID "
                    "plus, EVA02-CLIP-L-336 for PuLID, CLIP ViT-L/14-336 for Kolors FaceID. Others read the identity "
                    "alone, and need none.",
                ),
                AdapterInput(
                    "adapter",
                    optional=True,
                    tooltip="The IP-Adapter that will read the features. With it, only what it reads is computed and "
                    "kept.",
                ),
                io.Combo.Input(
                    "choose",
                    options=list(CHOICES),
                    default=LARGEST,
                    optional=True,
                    tooltip="Which faces of a picture are taken: the largest; the one of the index, where 0 is the "
                    "most certain; all, the most certain first; or all from left to right.",
                ),
                io.Int.Input(
                    "index",
                    default=0,
                    min=0,
                    max=MOST,
                    optional=True,
                    tooltip="With 'by index': the number of the face, counted from 0. Otherwise it must be 0.",
                ),
                io.Combo.Input(
                    "combine",
                    options=list(COMBINES),
                    default=EACH,
                    optional=True,
                    tooltip="What several faces are. each: references of their own, as the portrait adapters want "
                    "them; average: pictures of one person, whose features are averaged.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="For PuLID, which reads the face on white: white where the person is, as large as the "
                    "picture, one mask or one for each picture. Without it the background is kept, in grey.",
                ),
            ],
            outputs=[
                io.ClipVisionOutput.Output(display_name="features", tooltip="The features of the faces."),
                io.Image.Output(display_name="found", tooltip="The pictures, with the faces that were taken drawn in."),
                io.Image.Output(display_name="faces", tooltip="The faces that were taken, upright and cut out."),
                io.Image.Output(
                    display_name="key_points",
                    tooltip="The points of these faces, as large as the pictures, for InstantID's ControlNet.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        insightface: Any,
        image: torch.Tensor,
        clip_vision: Any = None,
        adapter: Any = None,
        choose: str = LARGEST,
        index: int = 0,
        combine: str = EACH,
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        finder = as_finder(insightface)
        input_checks.image(image)
        input_checks.choice(combine, COMBINES, "combine")
        chosen = _choice(choose, index)
        encoder = None if clip_vision is None else as_encoder(clip_vision)
        reader = None if adapter is None else as_adapter(adapter, advice=f"{ADVICE}, or nothing")
        names = _names(encoder, reader)
        if reader is not None:
            _check_pack(insightface, reader)
        person = None if mask is None else _person(mask, image)
        with timed("encode"):
            looked = look_through(finder, image, chosen, person)
            wanted = "" if reader is None else reader.module.encoder_name
            features = _features(GivenFaces(looked, encoder, wanted), names, reader, combine)
        count("pictures", len(looked))
        ui = said(_told(looked, choose, names), cls.hidden)
        return io.NodeOutput(features, _drawn(looked), aligned_faces(looked, ALIGNED), _key_points(looked), ui=ui)


def _choice(how: Any, index: Any) -> partial[list[Any]]:
    input_checks.choice(how, list(CHOICES), "choose")
    if not isinstance(index, int) or not 0 <= index <= MOST:
        raise ValueError(f"The index is {input_checks.described(index)}: give a whole number, 0 or more.")
    if index and how != BY_INDEX:
        raise ValueError(f"The index is {index}, and choose is {how!r}, which reads none: choose {BY_INDEX!r}, or 0.")
    return partial(choose, how=how, index=index)


def _person(mask: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    person = fitting_mask(mask, image)
    if len(person) not in (1, len(image)):
        raise ValueError(f"There are {len(person)} masks for {len(image)} pictures: connect one, or one for each.")
    return person


def _names(encoder: Encoder | None, reader: ImagePromptAdapter | None) -> list[str]:
    """The features to make: those that the adapter reads, or those that can be made.

    Raises:
        ValueError: the adapter reads others.
    """
    if reader is None:
        more = () if encoder is None else BY_ENCODER.get(encoder.name, BY_ENCODER[""])
        return [*ALWAYS, *more]
    reads = [each.name for each in reader.module.reads]
    if odd := [name for name in reads if name not in OF_FACES]:
        of_texts = any(name in OF_TEXTS for name in odd)
        maker = "Encode Image Prompt, with clip" if of_texts else MAKERS.get(odd[0], "Encode Image Prompt")
        raise ValueError(
            f"{reader.module.title} reads {' and '.join(odd)}, which faces alone do not give: use {maker}."
        )
    return reads


def _check_pack(analyser: Any, reader: ImagePromptAdapter) -> None:
    """Raise a ValueError if our analyser has the published face pack that other adapters than this one read."""
    given = analyser.name if isinstance(analyser, FaceAnalyser) else ""
    needed = reader.module.family.face_pack
    if given != needed and given in {family.face_pack for family in FAMILIES} - {""}:
        raise ValueError(
            f"{reader.module.title} reads the embeddings of {needed}, and the face analyser is {given}, whose numbers "
            f"mean nothing to it: choose {needed} in Load Face Analyser."
        )


def _features(
    given: GivenFaces, names: Sequence[str], reader: ImagePromptAdapter | None, combine: str
) -> ImageFeatures:
    made = face_features(given, names)
    made = averaged(made) if combine == AVERAGE else made
    encoder = given.encoder
    side = ALIGNED if encoder is None else encoder.image_size
    read = set(NEGATIVES.values()) if reader is None else {NEGATIVES.get(each.negative) for each in reader.module.reads}
    empty = {} if encoder is None else {name: each for name, each in empty_picture(encoder).items() if name in read}
    features = ImageFeatures(
        **{"negative_penultimate": None, **empty},
        encoder="" if encoder is None else encoder.name,
        kept_for="" if reader is None else reader.name,
        image_sizes=[(3, side, side)] * len(next(iter(made.values()))),
        **made,
    )
    if reader is not None:
        for name in empty:  # encoded now, so that the encoder need not stay in memory
            getattr(features, name)
    return features


def _told(looked: Sequence[Looked], how: str, names: Sequence[str]) -> str:
    """What somebody should know about the faces that were taken, which is logged too."""
    taken = sum(len(each.chosen) for each in looked)
    lines = [f"{taken} face{'' if taken == 1 else 's'} of {_pictures(len(looked))}"]
    if crowded := [(number, len(each.found)) for number, each in enumerate(looked, 1) if len(each.found) > 1]:
        if how == LARGEST:
            where = ", ".join(f"{faces} in picture {number}" for number, faces in crowded)
            lines.append(f"several faces were found ({where}): the largest was taken")
    if any(name in GREY for name in names) and any(each.person is None for each in looked):
        lines.append("no mask: the background was kept")
    for line in lines[1:]:
        logging.getLogger(__name__).info("Encode Face Prompt: %s.", line)
    return "\n".join(lines)


def _pictures(number: int) -> str:
    return f"{number} picture{'' if number == 1 else 's'}"


def _drawn(looked: Sequence[Looked]) -> torch.Tensor:
    return _image([draw_faces(each.picture, each.chosen) for each in looked])


def _key_points(looked: Sequence[Looked]) -> torch.Tensor:
    return _image([draw_key_points(each.chosen, each.picture.shape[1], each.picture.shape[0]) for each in looked])


def _image(pictures: Sequence[Picture]) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).float() / 255
