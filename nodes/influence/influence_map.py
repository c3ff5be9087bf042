"""The node that shows what was recorded of the influence of references."""

from collections.abc import Iterator
from typing import Any

import torch
from comfy_api.latest import io, ui

from .. import input_checks
from ..display import is_watched, show
from ..sockets import CATEGORY, InfluenceType
from .heat import SCALES, coloured, drawn_over, resized
from .influence import RUNS, Influence, Record
from .shown import shown_on_node

SHOWN = 32  # pictures on the node
NOBODY = "No reference acts."  # the report of a run in which all are switched off


class InfluenceMap(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptInfluenceMap",
            display_name="Image Prompt Influence Map",
            category=CATEGORY,
            description="Shows where, and how much, each reference acted on the pictures of a sampler: black nowhere, "
            "bright strongly.",
            search_aliases=["ip-adapter attention map", "heat map", "influence", "debug image prompt"],
            inputs=[
                InfluenceType.Input("influence", tooltip="What was recorded, from Record Influence."),
                io.Latent.Input(
                    "latent",
                    tooltip="The latents of a sampler that runs with the recorded model, as they come from it. They "
                    "say which run is shown.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The decoded pictures, to draw on and to be as large as. Without them, the map is drawn on "
                    "black. An image of other proportions than the latent stretches the map.",
                ),
                io.Combo.Input(
                    "scale",
                    options=list(SCALES),
                    default=next(iter(SCALES)),
                    optional=True,
                    tooltip="What is 1, in the mask and in the colours. share of the maximum: the highest influence of "
                    "any reference, so that references can be compared; share of each maximum: the highest of each "
                    "reference; as measured: 1 means as much as the text, and more is cut off.",
                ),
                io.Float.Input(
                    "opacity",
                    default=0.7,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    optional=True,
                    tooltip="How much the colours cover the image where the influence is 1. 0 leaves it as it is.",
                    advanced=True,
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="map",
                    tooltip="All pictures of the first reference, then all of the second, and so on.",
                ),
                io.Mask.Output(display_name="mask", tooltip="The same maps as masks, in the same order."),
                io.String.Output(
                    display_name="report", tooltip="The mean and the highest influence of each reference."
                ),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(
        cls,
        influence: Influence,
        latent: dict[str, Any],
        image: torch.Tensor | None = None,
        scale: str = next(iter(SCALES)),
        opacity: float = 0.7,
    ) -> io.NodeOutput:
        input_checks.expect(influence, Influence, "influence", "connect the output of Record Influence")
        samples = input_checks.latent(latent)
        image = None if image is None else input_checks.image(image)
        input_checks.choice(scale, list(SCALES), "scale")
        opacity = input_checks.number(opacity, 0.0, 1.0, "opacity")
        record = recorded(influence, samples)
        height, width = (side * influence.pixels for side in samples.shape[-2:])
        size = (height, width) if image is None else (image.shape[1], image.shape[2])
        maps = record.maps if record.names else record.maps.new_zeros(1, *record.maps.shape[1:])
        masks = resized(SCALES[scale](maps).flatten(0, 1), size)
        pictures = coloured(masks) if image is None else drawn_over(_behind(image, maps), masks, opacity)
        warnings = list(stretched(size, samples))
        text = "\n".join([report(record), *warnings])
        if warnings:  # the view on the node says the rest
            show("\n".join(warnings), getattr(cls.hidden, "unique_id", None))
        shown = ui.PreviewImage(pictures[:SHOWN], cls=cls).as_dict()
        if is_watched():
            shown |= shown_on_node(record, maps, image, size)
        return io.NodeOutput(pictures, masks, text, ui=shown)


def recorded(influence: Influence, samples: torch.Tensor) -> Record:
    """What was recorded when these latents were sampled.

    Raises:
        ValueError: nothing was, or the latents were changed afterwards.
    """
    if influence.record is None:
        raise ValueError(
            "Nothing was recorded: connect the model of Record Influence to a sampler, and the latent of that sampler "
            "to this node. If they are connected, run the sampler again, such as with another seed."
        )
    record = influence.of(samples)
    if record is None:
        height, width = samples.shape[-2:]
        raise ValueError(
            f"The latent, {counted(len(samples))} of {height}x{width}, is not what one of the last "
            f"{RUNS} recorded runs made: connect the latent of a sampler that runs with the model of Record Influence, "
            "without a node between that changes it. If it is connected, run the sampler again, such as with another "
            "seed."
        )
    if record.trouble:
        raise ValueError(record.trouble)
    if not record.evaluations:
        raise ValueError(
            "No step of the sampler lies in the part of sampling that Record Influence records: set its start to 0 and "
            "its end to 1, or sample more steps."
        )
    return record


def counted(pictures: int) -> str:
    return f"{pictures} picture{'' if pictures == 1 else 's'}"


def report(record: Record) -> str:
    """One line for each reference: its mean and its highest influence."""
    lines = (
        f"{name}: mean {values.mean():.3f}, highest {values.max():.3f}"
        for name, values in zip(record.names, record.maps, strict=True)
    )
    return "\n".join(lines) or NOBODY


def stretched(size: tuple[int, int], samples: torch.Tensor) -> Iterator[str]:
    """A line that says so if a picture of this size has other proportions than the latent."""
    (height, width), (rows, columns) = size, samples.shape[-2:]
    tall, wide = height / rows, width / columns
    if abs(tall - wide) * max(rows, columns) > max(tall, wide):  # by more than one latent pixel
        yield f"The map is stretched: the image is {height}x{width}, the latent {rows}x{columns}."


def _behind(image: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """The picture behind each map, (references * pictures, H, W, 3).

    Raises:
        ValueError: there are neither one image nor as many as pictures.
    """
    references, pictures = maps.shape[:2]
    if len(image) not in (1, pictures):
        raise ValueError(
            f"There are {len(image)} images and {counted(pictures)} in the latent: connect the image that VAE Decode "
            "makes of this latent, or a single one."
        )
    colours = image[..., :3] if image.shape[-1] >= 3 else image[..., :1].expand(-1, -1, -1, 3)
    return colours.float().cpu().expand(pictures, -1, -1, -1).repeat(references, 1, 1, 1)
