"""Know what every file in the model folders is, by its content, and keep that up to date. Needs torch."""

from .encoders import encoder_word
from .identification import Identity, identify
from .index import TYPES, Index, IndexedFile, Progress
from .index_cache import take_over

__all__ = ["TYPES", "Identity", "Index", "IndexedFile", "Progress", "encoder_word", "identify", "take_over"]
