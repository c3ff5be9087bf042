"""The node that embeds texts."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import comfy.model_management
import comfy.utils
from comfy_api.latest import io

from ...references.embedder import filled
from ...references.embedding import Embedding
from ...references.space import Space
from .. import input_checks
from ..activity import count, timed
from ..display import said
from ..sockets import CATEGORY, EmbeddingType
from .core_text import core_text
from .text_half import text_half

PLACE = "{}"  # in a template, where the text goes
WHOLE, LINES = TEXTS = ("one text", "one in each line")


class TextReader(Protocol):
    """What embeds texts: the text encoder of an image encoder's file, or core's."""

    @property
    def space(self) -> Space: ...
    @property
    def patched(self) -> int: ...
    def too_long(self, texts: Sequence[str]) -> list[int]: ...
    def embed(self, texts: Sequence[str], on_chunk: Callable[[int], object]) -> Embedding: ...


class EmbedText(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptEmbedText",
            display_name="Embed Text",
            category=CATEGORY,
            description="Turns a text into an embedding, which compares with embeddings of pictures by the same CLIP: "
            "for Similarity of Embeddings, Rank Pictures and searches in a library of pictures.",
            search_aliases=["clip text embedding", "text similarity", "clip score", "text features", "embed", "siglip"],
            inputs=[
                io.String.Input(
                    "text",
                    multiline=True,
                    tooltip="What a picture shows, such as: a red bicycle at a wall. Brackets and embedding: are text "
                    "here. Most encoders read 75 tokens, which are about 50 words.",
                ),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="The encoder of the pictures, from Load Image Encoder. If its file is a full CLIP, it "
                    "holds the text encoder too. Connect this or clip.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="The text encoder of a model: that of SDXL compares with pictures by CLIP ViT-bigG/14. "
                    "That of SD1.5 lacks what makes texts comparable, and is refused. Connect this or clip_vision.",
                ),
                io.String.Input(
                    "template",
                    default=PLACE,
                    optional=True,
                    tooltip="A sentence around the text, which goes where {} is. Single words fit pictures better "
                    "with 'a photo of {}'.",
                ),
                io.Combo.Input(
                    "texts",
                    options=list(TEXTS),
                    default=WHOLE,
                    optional=True,
                    tooltip="Whether all lines are one text, or each line is a text of its own, such as the labels "
                    "between which a picture is to choose.",
                ),
            ],
            outputs=[EmbeddingType.Output(display_name="embedding", tooltip="One vector for each text.")],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls, text: str, clip_vision: Any = None, clip: Any = None, template: str = PLACE, texts: str = WHOLE
    ) -> io.NodeOutput:
        input_checks.choice(texts, TEXTS, "texts")
        written = _texts(text, template, each_line=texts == LINES)
        reader = _reader(clip_vision, clip)
        with timed("embed texts"):
            embedding = reader.embed(written, _progress(len(written)))
        count("texts", len(written))
        warnings = _warnings(reader, written)
        for warning in warnings:
            logging.getLogger(__name__).warning("%s", warning)
        return io.NodeOutput(embedding, ui=said("\n".join([reader.space.title, *warnings])))


def _reader(clip_vision: Any, clip: Any) -> TextReader:
    if (clip_vision is None) == (clip is None):
        raise ValueError(
            f"{'Nothing is' if clip is None else 'Both are'} connected to clip_vision and clip: connect one of them, "
            "Load Image Encoder with a full CLIP file, or the CLIP of a SDXL checkpoint."
        )
    return text_half(clip_vision) if clip is None else core_text(clip)


def _texts(text: Any, template: Any, each_line: bool) -> list[str]:
    """The texts of the inputs, in the template. Raises a ValueError if there is none, or the template takes none."""
    for name, value in (("text", text), ("template", template)):
        input_checks.expect(value, str, f"input {name}", "type a text, or connect a STRING")
    found = [part for part in (text.splitlines() if each_line else [text]) if part.strip()]
    if not found:
        raise ValueError("The text is empty: type what a picture shows, such as a red bicycle.")
    return filled(template, found)


def _progress(texts: int) -> Callable[[int], None]:
    """Show how many texts are done, and stop on Cancel."""
    bar = comfy.utils.ProgressBar(texts)

    def on_chunk(done: int) -> None:
        bar.update(done)
        comfy.model_management.throw_exception_if_processing_interrupted()

    return on_chunk


def _warnings(reader: TextReader, texts: Sequence[str]) -> list[str]:
    found = list[str]()
    if numbers := [str(number + 1) for number in reader.too_long(texts)]:
        which = "The text is" if len(texts) == 1 else f"Text {', '.join(numbers)}: it is"
        found.append(f"{which} longer than {reader.space.encoder} reads; the rest is not seen.")
    if reader.patched:
        weights = f"{reader.patched} weight{'' if reader.patched == 1 else 's'}"
        found.append(
            f"LoRAs have changed {weights} of this CLIP, so that its texts fit pictures less well: "
            "connect the CLIP from before the LoRAs."
        )
    return found
