"""The nodes that encode reference images and combine references."""

from collections.abc import Sequence
from typing import Any

import torch
from comfy.clip_vision import Output
from comfy_api.latest import io

from ...clip_vision import COMBINE_METHODS, COMBINE_ROWS
from ...clip_vision.pictures.masking import MARGIN, check_margin
from ...clip_vision.pictures.tiling import ALONG, check_along
from .. import input_checks
from ..activity import count, timed
from ..display import is_watched
from ..loading.adapter import ImagePromptAdapter
from ..loading.wires import ADVICE, as_adapter
from ..sockets import CATEGORY, AdapterInput
from .encoder import Encoder, as_encoder, encode_picture
from .features import ENCODED, MAKERS, NEGATIVES, OF_TEXTS, ImageFeatures, join
from .instruction import NO_TEXTS, Texts, add_texts, read_texts
from .seen import shown_on_node
from .squares import (
    AROUND_MASK,
    BACKGROUNDS,
    BY_HAND,
    CROPS_AND_TILES,
    OUTSIDE,
    TILES,
    around_mask,
    background_input,
    masked_squares,
    one_by_one,
    placed_by_hand,
    squares,
    tiles_input,
)

CROP_CHOICES = (*CROPS_AND_TILES, AROUND_MASK, BY_HAND)
REFERENCES = tuple(f"features_{number}" for number in range(1, 7))


class EncodeImagePrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptEncode",
            display_name="Encode Image Prompt",
            category=CATEGORY,
            description="Turns reference images into features for Apply IP-Adapter and Image Prompt Reference, and "
            "shows what the encoder saw: it reads a small square, so parts of a wide or tall image are lost unless you "
            "choose the crop.",
            search_aliases=[
                "clip vision encode",
                "ip-adapter encoder",
                "prep image for clip vision",
                "image prompt",
                "tiled",
                "crop to mask",
                "prepare image",
                "crop",
                "embeds",
                "ipadapter encoder",
            ],
            inputs=[
                io.ClipVision.Input("clip_vision", tooltip="The image encoder; one from a core loader works too."),
                io.Image.Input("image", tooltip="One or more reference images."),
                io.Combo.Input(
                    "crop",
                    options=list(CROP_CHOICES),
                    default="center",
                    optional=True,
                    tooltip="How an image becomes square: keep its centre or the named side, 'pad' it to keep all "
                    "of it, or 'squash' it. 'tiles' makes squares that cover it, each a reference of its own; 'mask' "
                    "keeps the square around the mask; 'box' takes the square that the input box names.",
                ),
                background_input("behind transparent parts, and outside the mask"),
                AdapterInput(
                    "adapter",
                    optional=True,
                    tooltip="The IP-Adapter that will read the features. With it, only what it reads is computed and "
                    "kept: faster, and a fraction of the memory. Core nodes need it left out.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="White where the image counts: one mask, or one for each image, as large as the image.",
                ),
                io.Combo.Input(
                    "outside",
                    options=list(OUTSIDE),
                    default=OUTSIDE[0],
                    optional=True,
                    tooltip="With a mask: what the encoder sees outside it, the background colour, or the image as it "
                    "is. Without a mask it does nothing.",
                    advanced=True,
                ),
                io.Float.Input(
                    "margin",
                    default=MARGIN,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    optional=True,
                    tooltip="With a mask and the crop 'mask': what is kept around the mask, as a part of its longer "
                    "side. Otherwise it does nothing.",
                    advanced=True,
                ),
                tiles_input(),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="For IP-Adapter-Instruct: the text encoder of the model, which reads the two texts below.",
                ),
                io.String.Input(
                    "instruction",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="For IP-Adapter-Instruct: what to take from the image, such as 'Use the style of the "
                    "image' or 'Use everything from the image'. Other adapters need it left empty.",
                    advanced=True,
                ),
                io.String.Input(
                    "prompt",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="For IP-Adapter-Instruct: the prompt of the picture to make, which it reads beside the "
                    "instruction.",
                    advanced=True,
                ),
                io.String.Input(
                    "box",
                    default="",
                    optional=True,
                    tooltip="With the crop 'box': left, top and side of the square, such as 0.25, 0.1, 0.5. Left and "
                    "top are parts of the width and height of the image, the side is a part of its shorter side. What "
                    "lies beyond the image has the background colour. Empty, it is the middle. Drag it in the picture.",
                ),
            ],
            outputs=[
                io.ClipVisionOutput.Output(display_name="features", tooltip="Features; core nodes accept them too."),
                io.Image.Output(display_name="seen", tooltip="The square pictures that the encoder saw."),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def validate_inputs(cls, crop: str | None = "center", box: str | None = "") -> bool | str:
        """Check the box before the prompt is queued. Linked values are None here, and `execute` checks them."""
        try:
            if crop is not None:
                input_checks.choice(crop, CROP_CHOICES, "crop")
            if crop == BY_HAND and box is not None:
                placed_by_hand(box)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls,
        clip_vision: Any,
        image: torch.Tensor,
        crop: str = "center",
        background: str = "black",
        adapter: Any = None,
        mask: torch.Tensor | None = None,
        outside: str = OUTSIDE[0],
        margin: float = MARGIN,
        tiles: int = ALONG,
        clip: Any = None,
        instruction: str = "",
        prompt: str = "",
        box: str = "",
    ) -> io.NodeOutput:
        encoder = as_encoder(clip_vision)
        texts = read_texts(clip, instruction, prompt)
        input_checks.choice(crop, CROP_CHOICES, "crop")
        input_checks.choice(background, list(BACKGROUNDS), "background")
        input_checks.choice(outside, OUTSIDE, "outside")
        input_checks.image(image)
        check_margin(margin)
        check_along(tiles)
        input_checks.expect(box, str, "input box", "type a text, or connect a STRING")
        if crop == AROUND_MASK and mask is None:
            raise ValueError("The crop is 'mask', and no mask is connected: connect one, or choose another crop.")
        cut = placed_by_hand(box) if crop == BY_HAND else crop
        with timed("encode"):
            if mask is None:
                seen = squares(encoder, one_by_one(image), cut, background, tiles)
            else:
                seen = masked_squares(encoder, image, cut, background, tiles, mask, outside, margin)
            features = encode_for(encoder, seen, adapter, texts)
        count("pictures", len(seen))
        if not is_watched():
            return io.NodeOutput(features, seen)
        asked: dict[str, Any] = {"crop": crop, "background": background}
        asked |= {"box": box} if crop == BY_HAND else {"tiles": tiles} if crop == TILES else {}
        asked |= {} if mask is None else {"outside": outside, "margin": margin}
        edges = around_mask(image, mask, margin) if crop == AROUND_MASK and mask is not None else None
        return io.NodeOutput(features, seen, ui=shown_on_node(image, seen, asked, edges))


def encode_for(encoder: Encoder, picture: torch.Tensor, adapter: Any, texts: Texts = NO_TEXTS) -> ImageFeatures:
    """Features of a picture (B, S, S, 3), with only what the adapter reads, or with all of them without one.

    What the adapter reads of an empty picture is encoded at once, so that the encoder need not stay in memory.

    texts: what is written beside the picture

    Raises:
        ValueError: the adapter reads other features than these.
    """
    if adapter is None:
        features = encode_picture(encoder, picture)
        add_texts(features, texts, len(picture))
        return features
    reader = as_adapter(adapter, advice=f"{ADVICE}, or nothing")
    names = [reads.name for reads in reader.module.reads]
    _check_reads(reader, names, texts)
    features = encode_picture(encoder, picture, [ENCODED[name] for name in names if name in ENCODED])
    add_texts(features, texts, len(picture))
    features.kept_for = reader.name
    read = {NEGATIVES.get(reads.negative) for reads in reader.module.reads}
    for name in NEGATIVES.values():
        setattr(features, name, getattr(features, name) if name in read else None)
    return features


def _check_reads(reader: ImagePromptAdapter, names: Sequence[str], texts: Texts) -> None:
    """Raise a ValueError if the adapter reads what a picture and these texts do not give, or not the texts."""
    title = reader.module.title
    if odd := [name for name in names if name in MAKERS]:
        raise ValueError(f"{title} reads {' and '.join(odd)}, which this node does not make: use {MAKERS[odd[0]]}.")
    if texts.is_empty and any(name in OF_TEXTS for name in names):
        raise ValueError(
            f"{title} reads an instruction, and none is given: connect clip to Encode Image Prompt, and write there "
            "what to take from the image as the instruction, such as 'Use the style of the image'."
        )
    if not texts.is_empty and not any(name in OF_TEXTS for name in names):
        raise ValueError(
            f"{title} reads no instruction, and one is written: empty it, or use an adapter of IP-Adapter-Instruct."
        )


class CombineImagePrompts(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptCombine",
            display_name="Combine Image Prompts",
            category=CATEGORY,
            description="Makes one image prompt of several references of the same encoder.",
            search_aliases=[
                "ip-adapter combine embeds",
                "average",
                "concat",
                "multiple references",
                "interpolate",
                "blend",
                "embeds",
            ],
            inputs=[
                io.Combo.Input(
                    "method",
                    options=list(COMBINE_METHODS),
                    default=COMBINE_METHODS[0],
                    optional=True,
                    tooltip="concat: the model looks at every reference; average: one blend of them; norm average: "
                    "a blend to which each contributes equally; add: their sum, stronger; subtract: the first minus "
                    "the average of the others; weighted average: a blend by weights; interpolate: a blend of two.",
                ),
                *(
                    io.ClipVisionOutput.Input(name, optional=number > 0, tooltip=f"Reference {number + 1}, or a batch.")
                    for number, name in enumerate(REFERENCES)
                ),
                io.Combo.Input(
                    "rows",
                    options=list(COMBINE_ROWS),
                    default=COMBINE_ROWS[0],
                    optional=True,
                    tooltip="What the pictures of a batch are. all together: references like all others, so that one "
                    "blend comes out; row by row: the first pictures of all batches make the first result, the "
                    "second the second; auto: all together if one batch is connected, row by row if several are.",
                ),
                io.String.Input(
                    "weights",
                    default="",
                    optional=True,
                    tooltip="For the weighted average: one number for each reference, such as 2, 1, 1. Only their "
                    "ratios count. Other methods need it left empty.",
                ),
                io.Float.Input(
                    "interpolation",
                    default=0.5,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="For interpolate: 0 is the first of two references, 1 the second, 0.5 their average. Other "
                    "methods do not read it.",
                ),
            ],
            outputs=[io.ClipVisionOutput.Output(display_name="features", tooltip="The references as one prompt.")],
        )

    @classmethod
    def execute(
        cls,
        method: str = COMBINE_METHODS[0],
        rows: str = COMBINE_ROWS[0],
        weights: str = "",
        interpolation: float = 0.5,
        **features: Output,
    ) -> io.NodeOutput:
        input_checks.choice(method, COMBINE_METHODS, "method")
        input_checks.choice(rows, COMBINE_ROWS, "rows")
        numbers = input_checks.numbers(weights, "weights")
        interpolation = input_checks.number(interpolation, 0.0, 1.0, "interpolation")
        first, *others = REFERENCES
        connected = [first, *(name for name in others if features.get(name) is not None)]
        given = [input_checks.image_features(features.get(name), name) for name in connected]
        return io.NodeOutput(join(given, method, rows, weights=numbers, interpolation=interpolation))
