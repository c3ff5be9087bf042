"""What programs that keep running need beside the cores: features that are encoded once, in the memory there is."""

from .activity import Activity
from .feature_cache import FeatureCache, digest, encode_once
from .memory import CHUNKS, is_out_of_memory, with_less_memory

__all__ = [
    "CHUNKS",
    "Activity",
    "FeatureCache",
    "digest",
    "encode_once",
    "is_out_of_memory",
    "with_less_memory",
]
