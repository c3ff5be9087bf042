"""Know which folders hold models of which type, and list the files in them. Needs no torch."""

from .face_packs import face_packs
from .installation import INDEX, SYSTEM_USER, Installation, user_catalogues
from .listing import Listing
from .model_folders import ModelFile, ModelFolders, NotInstalled
from .model_types import ADAPTER_TYPES, FLUX_TYPES, MODEL_TYPES
from .numbered_names import numbered_names
from .scan import modified

__all__ = [
    "ADAPTER_TYPES",
    "FLUX_TYPES",
    "INDEX",
    "MODEL_TYPES",
    "SYSTEM_USER",
    "Installation",
    "Listing",
    "ModelFile",
    "ModelFolders",
    "NotInstalled",
    "face_packs",
    "modified",
    "numbered_names",
    "user_catalogues",
]
