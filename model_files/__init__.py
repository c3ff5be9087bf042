"""Which model files are there, and what they are: without ComfyUI, and without running or loading them.

    index, catalogue = Index(ModelFolders.from_root("/opt/ComfyUI")), Catalogue.load()
    resolution = resolve(Need("adapter", purpose="plus face", base_model="SDXL"), index, catalogue)
    resolution.found.file.path if resolution.found else explain(resolution)

What needs no torch is here, to be imported at once; `resolve` and `index` are imported by their own names.
"""

from .catalogue import Catalogue
from .folders import ModelFile, ModelFolders
from .headers import Header, TensorInfo, UnusableFile, read_header

__all__ = ["Catalogue", "Header", "ModelFile", "ModelFolders", "TensorInfo", "UnusableFile", "read_header"]
