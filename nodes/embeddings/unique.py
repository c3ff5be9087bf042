"""The node that keeps one of each picture."""

from typing import Any

import comfy.model_management
import comfy.utils
import torch
from comfy_api.latest import io

from ...clip_vision import CROPS, Crop
from ...references.duplicates import dhash, unique
from .. import input_checks
from ..display import said
from ..sockets import CATEGORY
from .pictures import embed_pictures

SAME, SIMILAR = ALIKE = ("same picture", "similar")
THRESHOLD = 0.95


class KeepUniquePictures(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptUnique",
            display_name="Keep Unique Pictures",
            category=CATEGORY,
            description="Keeps the first of each group of pictures in a batch that are the same, or similar. No file "
            "is deleted.",
            search_aliases=["deduplicate", "remove duplicates", "near duplicates", "image similarity", "dedupe"],
            inputs=[
                io.Image.Input("images", tooltip="The pictures, of which the first of each group is kept."),
                io.ClipVision.Input("clip_vision", tooltip="The encoder that compares them; any one does."),
                io.Combo.Input(
                    "alike",
                    options=list(ALIKE),
                    default=SAME,
                    optional=True,
                    tooltip="same picture: the same one saved or resized anew, which a hash of its pixels has to "
                    "confirm. similar: also other pictures that show much the same, such as the next of a series.",
                ),
                io.Float.Input(
                    "threshold",
                    default=THRESHOLD,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Pictures with a higher cosine are alike. For similar ones 0.9 finds more.",
                ),
                io.Combo.Input(
                    "crop",
                    options=list(CROPS),
                    default="center",
                    optional=True,
                    tooltip="How an image becomes the square that the encoder reads: keep its centre or the named "
                    "side, 'pad' it to keep all of it, or 'squash' it.",
                    advanced=True,
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="One of each, in the order of the batch."),
                io.Int.Output(
                    display_name="indices",
                    tooltip="Where each was in the batch, counted from 0.",
                    is_output_list=True,
                ),
                io.String.Output(display_name="groups", tooltip="Which pictures are alike, a group in each line."),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        images: torch.Tensor,
        clip_vision: Any,
        alike: str = SAME,
        threshold: float = THRESHOLD,
        crop: Crop = "center",
    ) -> io.NodeOutput:
        input_checks.choice(alike, ALIKE, "alike")
        input_checks.choice(crop, list(CROPS), "crop")
        threshold = input_checks.number(threshold, 0.0, 1.0, "threshold")
        vectors = embed_pictures(clip_vision, images, crop).vectors
        hashes = _hashes(images) if alike == SAME else None
        kept, groups = unique(vectors, hashes, threshold, on_progress=_stop_on_cancel)
        lines = [f"{group.kept} is kept; {alike}: {', '.join(map(str, group.others))}" for group in groups]
        left_out = f"{len(images) - len(kept)} of {len(images)} pictures left out; groups: {len(groups)}"
        return io.NodeOutput(
            images[kept],
            kept,
            "\n".join(lines) or f"No two pictures are {'the same' if alike == SAME else 'similar'}.",
            ui=said(left_out if groups else "All kept"),
        )


def _stop_on_cancel(done: int, total: int) -> None:
    comfy.model_management.throw_exception_if_processing_interrupted()


def _hashes(images: torch.Tensor) -> list[int]:
    """A hash of the pixels of each picture, with progress and Cancel."""
    bar, found = comfy.utils.ProgressBar(len(images)), list[int]()
    for image in images:
        comfy.model_management.throw_exception_if_processing_interrupted()
        found.append(dhash(image))
        bar.update(1)
    return found
