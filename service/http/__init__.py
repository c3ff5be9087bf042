"""Embeddings over HTTP, in the shape of OpenAI's API: what is asked, what is refused, what is answered.

application.add_routes([web.route(*row) for row in handlers(service, hosts=lambda: (), libraries=None)])
"""

from .errors import NotListed, Refused
from .handlers import ROOT, handlers, standalone_handlers
from .libraries import LibraryAnswers
from .limits import Limits

__all__ = ["ROOT", "LibraryAnswers", "Limits", "NotListed", "Refused", "handlers", "standalone_handlers"]
