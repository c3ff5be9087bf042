"""Know what every file in the model folders is, by its content, and keep that up to date.

Torch is imported for the first file that the index does not know yet.
"""

from .cached_files import CachedFiles
from .encoders import encoder_word, encoder_words
from .identity import Identity, identify
from .index import TYPES, Index, IndexedFile, Progress
from .index_cache import take_over

__all__ = [
    "TYPES",
    "CachedFiles",
    "Identity",
    "Index",
    "IndexedFile",
    "Progress",
    "encoder_word",
    "encoder_words",
    "identify",
    "take_over",
]
