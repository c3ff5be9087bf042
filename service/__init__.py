"""What programs that keep running need beside the cores: features that are encoded once, in the memory there is.

with ImagePromptService("/opt/ComfyUI", purpose="plus", base_model="SDXL") as service:
    layers = service.key_values(service.tokens(service.features("photo.jpg", crop="pad")))
"""

from .activity import Activity
from .feature_cache import FeatureCache, digest, encode_once
from .load_log import log_load
from .memory import CHUNKS, is_out_of_memory, with_less_memory
from .pictures import HashedPicture
from .service import ImagePromptService

__all__ = [
    "CHUNKS",
    "Activity",
    "FeatureCache",
    "HashedPicture",
    "ImagePromptService",
    "digest",
    "encode_once",
    "is_out_of_memory",
    "log_load",
    "with_less_memory",
]
