"""The node that encodes the characters in pictures."""

from typing import Any

import torch
from comfy.clip_vision import ClipVisionModel
from comfy_api.latest import io

from ...clip_vision import CROPS
from .. import input_checks
from ..activity import count, timed
from ..loading.adapter import ImagePromptAdapter
from ..loading.wires import ADVICE, as_adapter
from ..sockets import CATEGORY, AdapterInput
from .characters import MASK, SIDE, character_features, quarters, resized, square_pictures
from .encoder import LAYERS, ImageEncoder
from .features import MAKERS, OF_CHARACTERS, ImageFeatures
from .squares import BACKGROUNDS

CROP_CHOICES = (*CROPS, MASK)
ENCODERS = {"siglip": "SigLIP so400m-384", "dino": "DINOv2 giant"}  # kind of encoder -> the one that was trained with


class EncodeCharacterPrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptEncodeCharacter",
            display_name="Encode Character Prompt",
            category=CATEGORY,
            description="Turns pictures of a character into features for InstantCharacter, with two image encoders: of "
            "the whole picture, and of its four quarters.",
            search_aliases=["instantcharacter", "instant character", "dino", "subject", "character reference", "crop"],
            inputs=[
                io.ClipVision.Input(
                    "siglip", tooltip="SigLIP so400m-384, from Load Image Encoder. Core's loader gives too little."
                ),
                io.ClipVision.Input(
                    "dino", tooltip="DINOv2 giant, from Load Image Encoder, where its image_size has to be 384."
                ),
                io.Image.Input("image", tooltip="One or more pictures of the character."),
                io.Combo.Input(
                    "crop",
                    options=list(CROP_CHOICES),
                    default="squash",
                    optional=True,
                    tooltip="How a picture becomes square: 'squash' it, as InstantCharacter does, 'pad' it, keep its "
                    "centre or the named side, or keep what the mask shows, in the middle of the background.",
                ),
                io.Combo.Input(
                    "background",
                    options=list(BACKGROUNDS),
                    default="white",
                    optional=True,
                    tooltip="Colour outside the mask, behind transparent parts and in the bars that 'pad' adds. "
                    "InstantCharacter was shown characters on white.",
                    advanced=True,
                ),
                AdapterInput(
                    "adapter",
                    optional=True,
                    tooltip="The IP-Adapter that will read the features. With it, the node says at once if it reads "
                    "others.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White where the character is, as large as the picture, one mask or one for each picture. "
                    "Everything else becomes the background.",
                ),
            ],
            outputs=[
                io.ClipVisionOutput.Output(display_name="features", tooltip="The features of the character."),
                io.Image.Output(display_name="seen", tooltip="The squares whose quarters the encoders saw."),
            ],
        )

    @classmethod
    def execute(
        cls,
        siglip: Any,
        dino: Any,
        image: torch.Tensor,
        crop: str = "squash",
        background: str = "white",
        adapter: Any = None,
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        encoders = _encoder(siglip, "siglip"), _encoder(dino, "dino")
        _check_grids(*encoders)
        input_checks.choice(crop, CROP_CHOICES, "crop")
        input_checks.choice(background, list(BACKGROUNDS), "background")
        input_checks.image(image)
        if crop == MASK and mask is None:
            raise ValueError("The crop is 'mask', and no mask is connected: connect one, or choose another crop.")
        reader = None if adapter is None else as_adapter(adapter, advice=f"{ADVICE}, or nothing")
        if reader is not None:
            _check_reads(reader)
        with timed("encode"):
            squares = square_pictures(image, crop, BACKGROUNDS[background], mask)
            seen = resized(squares, 2 * SIDE)
            made = character_features(*encoders, resized(squares, SIDE), quarters(seen))
        count("pictures", len(seen))
        features = ImageFeatures(
            negative_penultimate=None,
            encoder=" and ".join(encoder.name for encoder in encoders),
            kept_for="" if reader is None else reader.name,
            image_sizes=[(3, SIDE, SIDE)] * len(seen),
            **made,
        )
        return io.NodeOutput(features, seen)


def _encoder(clip_vision: Any, kind: str) -> ImageEncoder:
    """The encoder that the socket of this name brought.

    Raises:
        ValueError: it is none, of another kind or too small, or it reads pictures of another size.
    """
    wanted = f"connect Load Image Encoder with {ENCODERS[kind]}"
    if isinstance(clip_vision, ClipVisionModel):
        raise ValueError(f"The {kind} is from a loader of core, which gives too few of its layers: {wanted}.")
    encoder = input_checks.expect(clip_vision, ImageEncoder, kind, wanted)
    config, last = encoder.model.config, LAYERS[kind][-1]
    if config.kind != kind or config.depth < last:
        raise ValueError(
            f"The {kind} is {encoder.name}, with {config.depth} layers: {wanted}, which has {last} or more."
        )
    if encoder.image_size != SIDE:
        raise ValueError(
            f"The {kind} reads pictures of {encoder.image_size} pixels, and here it has to read {SIDE}: choose the "
            f"image_size {SIDE} in Load Image Encoder."
        )
    return encoder


def _check_grids(siglip: ImageEncoder, dino: ImageEncoder) -> None:
    """Raise a ValueError if the encoders do not cut pictures into the same patches."""
    grids = siglip.model.config.grid, dino.model.config.grid
    if grids[0] != grids[1]:
        raise ValueError(
            f"{siglip.name} cuts a picture into {grids[0]}x{grids[0]} patches, and {dino.name} into "
            f"{grids[1]}x{grids[1]}: connect {ENCODERS['siglip']} and {ENCODERS['dino']}, which cut it alike."
        )


def _check_reads(reader: ImagePromptAdapter) -> None:
    """Raise a ValueError if the adapter reads what this node does not make."""
    if odd := [each.name for each in reader.module.reads if each.name not in OF_CHARACTERS]:
        maker = MAKERS.get(odd[0], "Encode Image Prompt")
        raise ValueError(
            f"{reader.module.title} reads {' and '.join(odd)}, which this node does not make: use {maker}."
        )
