"""Texts that are searched for in libraries, embedded by a service."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...references.embedding import Embedding
from ...references.inputs import Input
from ...references.search import Searchable
from ...references.space import Space
from ...references.vision_language import QUERY_INSTRUCTION
from ...references.vision_language.pooling import pooling_of
from ...tensor_files import printable
from ..embedding.model import Busy, Wish

if TYPE_CHECKING:
    from ..embedding import EmbeddingService


def embedded_by(service: EmbeddingService) -> Callable[[Searchable, str, str], Embedding]:
    """How `LibraryAnswers` embeds texts: by the model that is asked for, or else by the one of the library.

    Raises:
        ValueError: as `EmbeddingService.embed`, or the model is of another space.
        UnknownModel: there is none of this name.
        Busy: it cannot be computed now.
    """
    return _Queries(service).embed


class _Queries:
    def __init__(self, service: EmbeddingService) -> None:
        self._service = service
        self._spaces: dict[str, Space] = {}  # of the models, which are loaded to know it

    def embed(self, library: Searchable, text: str, model: str) -> Embedding:
        name = model or self._model_of(library)
        wish = _wish(self._service.space_of(name), library.space)
        space = self._service.space_of(name, wish)
        if not space.is_same(library.space):
            raise ValueError(
                f"The library {library.name!r} was made with {library.space.title}, and {printable(name, 100)} gives "
                f"vectors of {space.title}: choose the encoder that it was made with, or embed its pictures anew."
            )
        return self._service.embed(name, [Input(text)], wish).embedding

    def _model_of(self, library: Searchable) -> str:
        names, problems = self._service.names(), list[str]()
        for name in names:
            try:
                if _is_of(self._space_of(name), library.space):
                    return name
            except Busy:
                raise
            except ValueError as error:  # of one of several files
                problems.append(f"{name} cannot be used: {error}")
        raise ValueError(
            f"The library {library.name!r} was made with {library.space.title}, and none of the encoders here has "
            f"its space: {', '.join(names)}. {' '.join(problems)}"
        )

    def _space_of(self, name: str) -> Space:
        if name not in self._spaces:
            self._spaces[name] = self._service.space_of(name)
        return self._spaces[name]


def _is_of(whole: Space, wanted: Space) -> bool:
    """Whether a model of this space may give vectors of a wanted one."""
    weights = not whole.weights or not wanted.weights or whole.weights == wanted.weights
    return whole.encoder == wanted.encoder and weights


def _wish(whole: Space, wanted: Space) -> Wish:
    """How a model of this space is asked for vectors of a wanted one."""
    pooling = pooling_of(wanted.feature)
    if pooling is None or pooling_of(whole.feature) is None or whole.encoder != wanted.encoder:
        return Wish()
    dimensions = wanted.dimension if wanted.dimension < whole.dimension else None
    return Wish(dimensions, QUERY_INSTRUCTION, pooling)
