"""Fill a library with the pictures of a folder or of a list, and keep it as they are now.

filled = fill(library_folder, "photos", Embedder("clip.safetensors"), on_progress=print)

A run that was stopped or killed goes on where it was, and ends with the same bytes as one that was not.
"""

from .filled import Filled
from .filler import fill
from .reading import Content, read_file

__all__ = ["Content", "Filled", "fill", "read_file"]
