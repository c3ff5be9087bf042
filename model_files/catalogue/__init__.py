"""The list of published model files, with the entries that users add. Needs no torch."""

from .catalogue import Catalogue, Entry
from .catalogue_file import BrokenCatalogue
from .old_family_words import id_of, ids_of, may_be_one, word_of

__all__ = ["BrokenCatalogue", "Catalogue", "Entry", "id_of", "ids_of", "may_be_one", "word_of"]
