"""Compare ways to find pictures by what they show: encoders, captions, and what they find together."""

from .comparison import KS, Comparison, compare
from .embedding import BATCH, Embedded, embed_all
from .labels import Labelled, Labels, find_labels
from .recall import chance, first_rank, recall
from .ways import Way

__all__ = [
    "BATCH",
    "KS",
    "Comparison",
    "Embedded",
    "Labelled",
    "Labels",
    "Way",
    "chance",
    "compare",
    "embed_all",
    "find_labels",
    "first_rank",
    "recall",
]
