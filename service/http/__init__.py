"""Embeddings over HTTP, in the shape of OpenAI's API: what is asked, what is refused, what is answered.

for method, path, handler in handlers(service, hosts=lambda: (), libraries=None):
    application.router.add_route(method, path, handler)
"""

from .errors import NotListed, Refused
from .handlers import ROOT, handlers, standalone_handlers
from .libraries import LibraryAnswers
from .limits import Limits

__all__ = ["ROOT", "LibraryAnswers", "Limits", "NotListed", "Refused", "handlers", "standalone_handlers"]
