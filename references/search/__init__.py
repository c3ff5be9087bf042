"""Find the pictures of a library that are nearest to a text or to a picture. Exact: there is no index to build.

library = open_library(folder)
(hits,) = library.search(embed_text(text_encoder, "a red bicycle"), k=4)
"""

from .fused import FusedHit, search_fused
from .hits import Hit
from .local import LocalLibrary
from .opening import open_library
from .searchable import Searchable
from .searcher import Rows, Searcher, search

__all__ = [
    "FusedHit",
    "Hit",
    "LocalLibrary",
    "Rows",
    "Searchable",
    "Searcher",
    "open_library",
    "search",
    "search_fused",
]
