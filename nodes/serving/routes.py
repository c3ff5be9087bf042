"""The routes of the service on ComfyUI's server."""

from dataclasses import replace

from ...model_files.matching import Need
from ...references.embedding import Embedding
from ...references.search import Searchable
from ...service.embedding import EmbeddingService
from ...service.http.handlers import Rows, handlers
from ...service.http.queries import embedded_by
from ..loading.model_library import look_for
from ..reference_library.answers import LIBRARIES
from .idle import check_idle
from .models import ComfyModels
from .switch import Switch

BATCH = 8  # inputs: a prompt that begins has the device to itself after as many
UNUSED = 600.0  # seconds until an encoder is let go
PATIENCE = 3.0  # seconds until files are read by which it is known which encoder they hold


def served() -> Rows:
    """(method, path, handler) of each route. Nothing is loaded, and no thread runs, before the first request."""
    switch, service = Switch(), EmbeddingService(ComfyModels(), batch_size=BATCH, unload_after=UNUSED)
    libraries = replace(LIBRARIES, embed=_Queries(service).embed)
    return handlers(service, hosts=switch.hosts, is_open=switch.closed, check_ready=check_idle, libraries=libraries)


class _Queries:
    """Embeds the texts that are searched for."""

    def __init__(self, service: EmbeddingService) -> None:
        self._service = service
        self._embed = embedded_by(service)

    def embed(self, library: Searchable, text: str, model: str) -> Embedding:
        """By the model that is asked for, or else by a file of the encoder that the library was made with."""
        check_idle()
        return self._embed(library, text, model or self._model_of(library))

    def _model_of(self, library: Searchable) -> str:
        need = Need("encoder", encoder=library.space.encoder, needs_projection=True)
        found = look_for(need, PATIENCE, in_a_run=False).found
        names = self._service.names()
        if found is None or found.file.name not in names:
            raise ValueError(
                f"The library {library.name!r} was made with {library.space.title}, and no file of that encoder is "
                f"known: name the encoder by model=, one of {', '.join(names)}."
            )
        return found.file.name
