"""The node that says by shapes where in the picture each of several references acts."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from comfy_api.latest import io

from .. import input_checks
from ..sockets import CATEGORY, ImagePromptType
from .mask_shapes import enlarged, feathered
from .reference import FEATHER_LIMIT, Reference, References
from .references import check_sockets, names_of, numbered, sockets
from .region_text import drawn, parse_regions, shapes_of_each

LARGEST = 16384  # side of a picture, as of core's nodes
LATENT_PIXEL = 8  # pixels of the picture along each side of a mask's pixel, as of most latents
SHAPE = "image_prompt_regions"  # key of what the view is told: the shape of the picture, known after a run


class ImagePromptRegions(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptRegions",
            display_name="Image Prompt Regions",
            category=CATEGORY,
            description="Says by rectangles and polygons where in the picture each reference acts: draw them on the "
            "node, or type them. Apply References takes all of them through one socket.",
            search_aliases=["ip-adapter regional", "attention mask", "area", "regional prompt", "draw mask", "couple"],
            inputs=[
                sockets(),
                io.String.Input(
                    "regions",
                    default="",
                    multiline=True,
                    optional=True,
                    placeholder="1: rect 0 0, 0.5 1\n2: polygon 0.5 0, 1 0, 1 1",
                    tooltip="A line for each shape: the number or name of a reference, a colon, and 'rect' with two "
                    "opposite corners or 'polygon' with its points, each x y from 0 (left, top) to 1 (right, bottom). "
                    "'not' before the shape cuts a hole. A reference without a line acts everywhere.",
                ),
                _side("width", "The width"),
                _side("height", "The height"),
                io.Float.Input(
                    "feather",
                    default=0.0,
                    min=0.0,
                    max=FEATHER_LIMIT,
                    step=0.01,
                    optional=True,
                    tooltip="How far the edges of the shapes are softened, as a part of the picture's shorter side.",
                ),
                io.Latent.Input(
                    "latent",
                    optional=True,
                    tooltip="The latent that is sampled: then its shape counts, instead of width and height.",
                ),
            ],
            outputs=[
                ImagePromptType.Output(display_name="references", tooltip="All references, each with its region."),
                io.Mask.Output(
                    display_name="masks",
                    tooltip="The region of each reference, in their order; white where one has no region.",
                ),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def validate_inputs(cls, regions: str | None = "", references: Any = None) -> bool | str:
        """Check the text before the prompt is queued. A linked one is None here, and `execute` checks it.

        references: not known yet, but ComfyUI gives an input that grows to all functions
        """
        try:
            parse_regions(regions or "")
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls,
        references: dict[str, Any],
        regions: str = "",
        width: int = 1024,
        height: int = 1024,
        feather: float = 0.0,
        latent: Mapping[str, Any] | None = None,
        **unknown: Any,
    ) -> io.NodeOutput:
        check_sockets(unknown)
        input_checks.expect(regions, str, "input regions", "type a text, or connect a STRING")
        feather = input_checks.number(feather, 0.0, FEATHER_LIMIT, "feather")
        size = _size(width, height) if latent is None else _size_of(input_checks.latent(latent))
        given = numbered(references)
        shapes = shapes_of_each(parse_regions(regions), names_of(given))
        masks = {number: feathered(drawn(some, size), feather) for number, some in shapes.items()}
        white = torch.ones(1, *size)
        return io.NodeOutput(
            References(_within(reference, masks.get(number)) for number, reference in given.items()),
            torch.cat([masks.get(number, white) for number in given] or [white]),
            ui={SHAPE: [{"width": size[1], "height": size[0]}]},
        )


def _side(name: str, which: str) -> io.Int.Input:
    return io.Int.Input(
        name,
        default=1024,
        min=16,
        max=LARGEST,
        step=8,
        optional=True,
        tooltip=f"{which} of the picture that is sampled, if no latent is connected.",
    )


def _size(width: Any, height: Any) -> tuple[int, int]:
    """The height and width of masks for a picture of this shape."""
    sides = (input_checks.whole(side, 1, LARGEST, name) for side, name in ((height, "height"), (width, "width")))
    high, wide = (math.ceil(side / LATENT_PIXEL) for side in sides)
    return high, wide


def _size_of(samples: torch.Tensor) -> tuple[int, int]:
    *_, height, width = samples.shape
    return height, width


def _within(reference: Reference, region: torch.Tensor | None) -> Reference:
    """A reference that acts only in a region, and there as much as its own mask lets it."""
    if region is None or reference.mask is None:
        return reference if region is None else replace(reference, mask=region)
    own = reference.mask
    size = max(own.shape[-2], region.shape[-2]), max(own.shape[-1], region.shape[-1])
    return replace(reference, mask=enlarged(own, size) * enlarged(region, size))
