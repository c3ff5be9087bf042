"""The node that embeds pictures and texts, alone or together, by a vision-language model."""

import logging
from collections.abc import Sequence
from typing import Any

import comfy.model_management
import comfy.utils
import torch
from comfy_api.latest import io

from ...references.embedding import Embedding
from ...references.inputs import Input
from ...references.vision_language import (
    DEFAULT_INSTRUCTION,
    LARGEST,
    POOLINGS,
    QUERY_INSTRUCTION,
    SMALLEST,
    Conversation,
    VisionLanguageEncoder,
)
from .. import input_checks
from ..activity import count, timed
from ..display import said
from ..encoding.squares import one_by_one
from ..sockets import CATEGORY, EmbeddingType
from .core_vision_language import core_backend

MOST_DIMENSIONS = 8192  # no model has more numbers


class EmbedByVisionLanguageModel(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptEmbedVLM",
            display_name="Embed by Vision-Language Model",
            category=CATEGORY,
            description="Turns pictures, a text, or pictures with a text into embeddings by Qwen3-VL-Embedding, which "
            "understands more of a sentence and of a scene than CLIP. They compare with each other, and with a "
            "library of pictures by the same model, but not with embeddings by CLIP.",
            search_aliases=[
                "qwen3-vl embedding",
                "vlm embedding",
                "multimodal embedding",
                "vision language",
                "text similarity",
                "image similarity",
                "embed",
                "vector",
            ],
            inputs=[
                io.Clip.Input(
                    "clip",
                    tooltip="Qwen3-VL-Embedding-8B, from Load CLIP with the type qwen_image. Another Qwen3-VL of 4B or "
                    "8B works too, but was not trained to compare. ComfyUI does not load the 2B.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The pictures. Each becomes a vector of its own, with the text if there is one.",
                ),
                io.String.Input(
                    "text",
                    default="",
                    multiline=True,
                    optional=True,
                    tooltip="A text to embed, or what belongs to each picture, such as a question about it. Brackets "
                    "and embedding: are text here. Connect a picture, write a text, or both.",
                ),
                io.String.Input(
                    "instruction",
                    default=DEFAULT_INSTRUCTION,
                    optional=True,
                    tooltip="What the model is asked to do. Pictures and documents that are searched take this one, "
                    f"and the text that searches them: {QUERY_INSTRUCTION} Empty is the default.",
                ),
                io.Int.Input(
                    "dimensions",
                    default=0,
                    min=0,
                    max=MOST_DIMENSIONS,
                    optional=True,
                    tooltip="How many numbers of a vector are kept, from the first, such as 1024; 0 keeps all. Only "
                    "vectors of as many numbers compare.",
                ),
                io.Int.Input(
                    "max_pixels",
                    default=LARGEST,
                    min=SMALLEST,
                    max=LARGEST,
                    step=1024,
                    optional=True,
                    tooltip="To how many pixels a larger picture is made smaller. Time and memory grow with them: "
                    "262,144 (512x512, 0.26 megapixels) are 256 tokens, which is enough for most comparisons and 7 "
                    f"times faster than {LARGEST:,}.",
                ),
                io.Combo.Input(
                    "pooling",
                    options=list(POOLINGS),
                    default=POOLINGS[0],
                    optional=True,
                    tooltip="Which tokens the vector is made of: the last, as the model was trained, or the mean of "
                    "all. The two do not compare.",
                    advanced=True,
                ),
            ],
            outputs=[
                EmbeddingType.Output(
                    display_name="embedding", tooltip="One vector for each picture, or one for the text alone."
                )
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        clip: Any,
        image: torch.Tensor | None = None,
        text: str = "",
        instruction: str = DEFAULT_INSTRUCTION,
        dimensions: int = 0,
        max_pixels: int = LARGEST,
        pooling: str = POOLINGS[0],
    ) -> io.NodeOutput:
        given = _inputs(image, text)
        input_checks.expect(instruction, str, "input instruction", "type a text, or connect a STRING")
        input_checks.choice(pooling, POOLINGS, "pooling")
        backend = core_backend(clip)
        encoder = VisionLanguageEncoder(
            backend,
            instruction=instruction if instruction.strip() else None,
            pooling=pooling,
            dimensions=input_checks.whole(dimensions, 0, MOST_DIMENSIONS, "input dimensions") or None,
            max_pixels=input_checks.whole(max_pixels, SMALLEST, LARGEST, "input max_pixels"),
        )
        with timed("embed by a vision-language model"):
            embedding, warnings = _embed(encoder, given)
        count("texts" if image is None else "pictures", len(given))
        warnings += _of_loras(backend.patched)
        for warning in warnings:
            logging.getLogger(__name__).warning("%s", warning)
        return io.NodeOutput(embedding, ui=said("\n".join([encoder.space.title, *warnings])))


def _inputs(image: Any, text: Any) -> list[Input]:
    """What is embedded: each picture with the text, or the text. Raises a ValueError if there is neither."""
    input_checks.expect(text, str, "input text", "type a text, or connect a STRING")
    if image is not None:
        return [Input(text if text.strip() else "", each) for each in one_by_one(input_checks.image(image))]
    if not text.strip():
        raise ValueError("There is neither a picture nor a text: connect image, or type what to embed, or both.")
    return [Input(text)]


def _embed(encoder: VisionLanguageEncoder, given: Sequence[Input]) -> tuple[Embedding, list[str]]:
    """With progress, and Cancel between two of them; and what of them is not seen."""
    bar, vectors, warnings = comfy.utils.ProgressBar(len(given)), list[torch.Tensor](), dict[str, None]()
    for number, each in enumerate(given, start=1):
        comfy.model_management.throw_exception_if_processing_interrupted()
        read = _read(encoder, each, f"Picture {number} of {len(given)}: " if len(given) > 1 else "")
        vectors.append(encoder.vector(read))
        warnings |= {read.warning: None} if read.warning else {}
        bar.update(1)
    whole = Embedding.of_vectors(torch.stack(vectors), encoder.space_of(), given[0].of)
    return whole if encoder.dimensions is None else whole.shortened(encoder.dimensions), list(warnings)


def _read(encoder: VisionLanguageEncoder, given: Input, which: str) -> Conversation:
    try:
        return encoder.read(given)
    except ValueError as error:
        raise ValueError(f"{which}{error}") from error


def _of_loras(patched: int) -> list[str]:
    if not patched:
        return []
    weights = f"{patched} weight{'' if patched == 1 else 's'}"
    return [
        f"LoRAs have changed {weights} of this CLIP, so that its vectors compare less well with those of the model "
        "without them: connect the CLIP from before the LoRAs."
    ]
