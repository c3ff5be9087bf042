"""A vision-language model as an encoder of pictures and texts. Letters: N inputs, L tokens, W width, D numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from torch import Tensor, stack
from torch.nn.functional import normalize

from ..embedder import filled
from ..embedding import Embedding
from ..inputs import Input
from ..space import Space
from .backend import Backend
from .chat import Conversation, conversation
from .pictures import LARGEST, WHITE, check_pixels, fitted
from .pooling import feature_of, pooled, pooling_of

if TYPE_CHECKING:
    from ...clip_vision import Crop

FEWEST = 64  # numbers of a vector for which the models were trained


class VisionLanguageEncoder:
    """A loaded Qwen3-VL, with the calls of `references.embedder.Embedder`. One thread at a time; `with` closes it.

    instruction: what the model is told to do with an input; by default DEFAULT_INSTRUCTION. For what is searched for,
        QUERY_INSTRUCTION is made
    pooling: one of POOLINGS
    dimensions: only the first so many numbers, made of length 1 again; None: all
    max_pixels: larger pictures are made smaller; a token is 1,024 pixels

    Raises:
        ValueError: one of them is none that the model can do, and what it can do.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        instruction: str | None = None,
        pooling: str = "last",
        dimensions: int | None = None,
        max_pixels: int = LARGEST,
    ):
        self.backend = backend
        self.instruction = _checked(instruction) or ""
        check_pixels(max_pixels)
        self.pooling, self.dimensions, self.max_pixels = pooling, dimensions, max_pixels
        self.space = self.space_of(pooling, dimensions)

    def space_of(self, pooling: str | None = None, dimensions: int | None = None) -> Space:
        """The space of vectors that are pooled and shortened so. An instruction does not change it.

        pooling: None is that of the encoder
        dimensions: None is all

        Raises:
            ValueError: the model cannot do that, and what it can do.
        """
        about = self.backend.about
        feature = feature_of(self.pooling if pooling is None else pooling)
        return Space(about.name, _dimension(dimensions, about.width), about.weights, feature)

    def in_space(self, space: Space) -> VisionLanguageEncoder:
        """The same model, with the pooling and the dimension of a space if it has them; otherwise as it is."""
        pooling = pooling_of(space.feature)
        if pooling is None:
            return self
        shorter = space.dimension if space.dimension < self.backend.about.width else None
        return VisionLanguageEncoder(
            self.backend,
            instruction=self.instruction,
            pooling=pooling,
            dimensions=shorter,
            max_pixels=self.max_pixels,
        )

    def read(self, given: Input, instruction: str | None = None) -> Conversation:
        """An input as the model reads it, cut to its context.

        instruction: None is that of the encoder; an empty one is DEFAULT_INSTRUCTION

        Raises:
            ValueError: the picture is none, or the instruction leaves no room for the input.
        """
        asks = _checked(instruction)
        asks = self.instruction if asks is None else asks
        pictures = [] if given.image is None else [fitted(given.image, self.max_pixels)]
        return conversation(self.backend.tokens, given.text, pictures, asks, self.backend.about.context)

    def vector(self, read: Conversation, pooling: str | None = None) -> Tensor:
        """The whole vector (W,) of what `read` gave, of length 1, fp32. pooling: None is that of the encoder."""
        states = self.backend.states(read.ids, read.pictures)
        return normalize(pooled(states, self.pooling if pooling is None else pooling), dim=0)

    def embed(
        self,
        inputs: Sequence[Input],
        *,
        instruction: str | None = None,
        on_input: Callable[[int], object] | None = None,
    ) -> Embedding:
        """The vectors of inputs, (N, D). They are of pictures if any of them has one.

        instruction: as `read` takes it
        on_input: called with the number of inputs that are done, after each

        Raises:
            ValueError: there is none, or as `read`, with the number of the input.
        """
        if not inputs:
            raise ValueError("There is nothing to embed: give one input or more.")
        vectors: list[Tensor] = []
        for number, given in enumerate(inputs, start=1):
            vectors.append(self._vector(given, instruction, f"Input {number} of {len(inputs)}: " * (len(inputs) > 1)))
            if on_input is not None:
                on_input(number)
        return self._embedding(vectors, "image" if any(given.of == "image" for given in inputs) else "text")

    def embed_images(self, images: Any, *, crop: Crop = "center", chunk_size: int | None = None) -> Embedding:
        """The vectors of pictures, as `clip_vision.encode` takes them.

        crop: the model reads whole pictures, so the words for squares change nothing
        chunk_size: nothing either, for there is one picture at a time

        Raises:
            ValueError: as `read`, or a square is placed by hand.
        """
        if not isinstance(crop, str):
            raise ValueError("A vision-language model reads whole pictures: cut the square out before, or leave it.")
        return self.embed([Input(image=picture) for picture in _one_by_one(images)])

    def embed_texts(self, texts: str | Sequence[str], template: str = "{}") -> Embedding:
        """The vectors of texts. template: what is written around each, with {} for it.

        Raises:
            ValueError: as `references.embedder.embed_text`.
        """
        return self.embed([Input(text) for text in filled(template, texts)])

    def too_long(self, texts: str | Iterable[str], template: str = "{}") -> list[int]:
        """The numbers, from 0, of the texts of which the end is not seen."""
        given = filled(template, texts if isinstance(texts, str) else list(texts))
        return [number for number, text in enumerate(given) if self.read(Input(text)).warning]

    def info(self) -> dict[str, Any]:
        """What model it is and where it is, as plain data, without any path."""
        return {
            "encoder": self.space.encoder,
            "dimension": self.space.dimension,
            "weights": self.space.weights,
            "feature": self.space.feature,
            **self.backend.info(),
            "instruction": self.instruction,
            "max_pixels": self.max_pixels,
            "text": {"context": self.backend.about.context, "logit_scale": None},
        }

    def close(self) -> None:
        """Let go of the model, and of memory on a GPU. It may be used again, and then loads anew."""
        self.backend.close()

    def __enter__(self) -> VisionLanguageEncoder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _vector(self, given: Input, instruction: str | None, which: str) -> Tensor:
        try:
            return self.vector(self.read(given, instruction))
        except ValueError as error:
            raise ValueError(f"{which}{error}") from error

    def _embedding(self, vectors: Sequence[Tensor], of: str) -> Embedding:
        whole = Embedding.of_vectors(stack(list(vectors)), self.space_of(), of)
        return whole if self.dimensions is None else whole.shortened(self.dimensions)


def _one_by_one(images: Any) -> list[Any]:
    """Pictures of any kind and batches of them -> one picture each, (3, H, W) uint8."""
    from ...clip_vision.pictures.images import to_rgb

    return [picture for batch in to_rgb(images, WHITE) for picture in batch]


def _checked(instruction: object) -> str | None:
    if instruction is not None and not isinstance(instruction, str):
        raise ValueError(f"The instruction is of type {type(instruction).__name__}: give a text.")
    return instruction


def _dimension(dimensions: object, width: int) -> int:
    if dimensions is None:
        return width
    if isinstance(dimensions, bool) or not isinstance(dimensions, int) or not FEWEST <= dimensions <= width:
        raise ValueError(f"The model gives {FEWEST} to {width} numbers of a vector, not {dimensions!r:.80}.")
    return dimensions
