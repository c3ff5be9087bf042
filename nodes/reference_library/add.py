"""The node that adds pictures to a library."""

from typing import Any

import torch
from comfy_api.latest import io

from ...clip_vision import CROPS
from .. import input_checks
from ..activity import timed
from ..display import said
from ..encoding.encoder import as_encoder
from ..folders import digest, file_state
from ..sockets import CATEGORY
from .adding import add_files, add_images, names_of_added, output_files, writer_of
from .libraries import may_be_opened

RATINGS = (-1, 1)  # bad and good; 0 is between
SHOWN = 4  # files in a message


class AddToLibrary(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptAddToLibrary",
            display_name="Add to Reference Library",
            category=CATEGORY,
            description="Adds pictures to a reference library, so that Nearest References finds them: images, which "
            "are saved in the library with the workflow, or files of ComfyUI's output folder, which stay where they "
            "are.",
            search_aliases=[
                "save to library",
                "build database",
                "image database",
                "index images",
                "reference library",
                "embed images",
                "collection",
                "embedding",
            ],
            inputs=[
                io.String.Input(
                    "library",
                    default="references",
                    optional=True,
                    tooltip="The name of the library, which is made if there is none.",
                ),
                io.ClipVision.Input(
                    "clip_vision",
                    tooltip="The image encoder of the library. Load a full CLIP file with Load Image Encoder, and "
                    "the library can be searched by text.",
                ),
                io.Image.Input(
                    "images",
                    optional=True,
                    tooltip="Pictures that are saved as PNG in the library's own folder, with the workflow as in Save "
                    "Image.",
                ),
                io.String.Input(
                    "files",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="Pictures of ComfyUI's output folder, one on each line, such as cats/tom_00001_.png. A "
                    "folder stands for all pictures in it; with [input] at the end it is one of the input folder.",
                ),
                io.String.Input(
                    "text",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="A note that is kept with each picture. It changes no vector.",
                ),
                io.Int.Input(
                    "rating",
                    default=0,
                    min=RATINGS[0],
                    max=RATINGS[1],
                    optional=True,
                    tooltip="1: good, 0: not rated, -1: bad. Nearest References can prefer good ones, and Advise "
                    "counts them.",
                ),
                io.Combo.Input(
                    "crop",
                    options=list(CROPS),
                    default="center",
                    optional=True,
                    tooltip="How a picture becomes square for the encoder. One library should keep to one crop.",
                    advanced=True,
                ),
            ],
            outputs=[
                io.String.Output(
                    display_name="paths", tooltip="The paths of the pictures in the library, one on each line."
                ),
                io.String.Output(display_name="report", tooltip="How many were added, and what could not be read."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt, io.Hidden.extra_pnginfo],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, files: str | None = "", **_: object) -> object:
        """A hash of the files, so that what is new in a folder is added when the workflow runs again."""
        try:
            return digest([file_state(str(each.whole)) for each in output_files(files or "")])
        except (ValueError, OSError):  # the node says what is wrong when it runs
            return float("nan")

    @classmethod
    def validate_inputs(cls, library: str | None = None) -> bool | str:
        """Check the name before the prompt is queued."""
        return may_be_opened(library)

    @classmethod
    def execute(
        cls,
        clip_vision: Any,
        library: str = "references",
        images: torch.Tensor | None = None,
        files: str = "",
        text: str = "",
        rating: int = 0,
        crop: str = "center",
    ) -> io.NodeOutput:
        encoder = as_encoder(clip_vision)
        input_checks.expect(text, str, "text", "type a text, or connect a STRING")
        input_checks.choice(crop, list(CROPS), "crop")
        rating = whole_rating(rating)
        named = output_files(files)
        if images is not None:
            input_checks.image(images, "images")
        elif not named:
            raise ValueError("There is nothing to add: connect images, or name files of ComfyUI's output folder.")
        with timed("add to library"), writer_of(library, encoder) as writer:
            added, problems = add_files(writer, encoder, named, crop, text, rating)
            if images is not None:
                added += add_images(writer, encoder, images, crop, text, rating, cls.hidden)
            paths = names_of_added(writer, added)
        report = f"{len(added)} picture{'' if len(added) == 1 else 's'} added to {writer.name}"
        if problems:
            more = ", ..." if len(problems) > SHOWN else ""
            all_of_them = len(problems) + len(added)
            report += f"\n{len(problems)} of {all_of_them} could not be read: {', '.join(problems[:SHOWN])}{more}"
        return io.NodeOutput("\n".join(paths), report, ui=said(report, cls.hidden))


def whole_rating(value: Any) -> int:
    """Check that a value is a rating."""
    if input_checks.number(value, *RATINGS, "rating") not in (-1, 0, 1):
        raise ValueError(f"The rating is {value}: it is -1 (bad), 0 (not rated) or 1 (good).")
    return int(value)
