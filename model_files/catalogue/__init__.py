"""The list of published model files, with the entries that users add. Needs no torch."""

from .catalogue import Catalogue, Entry
from .catalogue_file import BrokenCatalogue
from .old_family_words import id_of, ids_of, may_be_one, word_of
from .repositories import place_in, place_named
from .works_on import works_on

__all__ = [
    "BrokenCatalogue",
    "Catalogue",
    "Entry",
    "id_of",
    "ids_of",
    "may_be_one",
    "place_in",
    "place_named",
    "word_of",
    "works_on",
]
