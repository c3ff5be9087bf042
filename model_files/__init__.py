"""Find model files and say what they are, without ComfyUI, and without running or loading them.

    index, catalogue = Index(ModelFolders.from_root("/opt/ComfyUI")), Catalogue.load()
    resolution = resolve(Need("adapter", purpose="plus face", base_model="SDXL"), index, catalogue)
    resolution.found.file.path if resolution.found else explain(resolution)

What is imported here needs no torch. Import `resolve` and `index`, which do, by their own names.
"""

from ..tensor_files import Header, TensorInfo, UnusableFile, read_header
from .catalogue import Catalogue
from .folders import ModelFile, ModelFolders

__all__ = ["Catalogue", "Header", "ModelFile", "ModelFolders", "TensorInfo", "UnusableFile", "read_header"]
