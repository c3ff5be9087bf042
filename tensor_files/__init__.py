"""Read what a model file holds, without running anything in it, and without torch.

`weights`, which reads the tensors themselves, `writing`, and `placement`, the words for devices and dtypes, need torch:
they are imported by their own names.
"""

from .header import Header, read_header
from .printable_text import printable, without_folders
from .tensor_info import PassingTrouble, TensorInfo, UnusableFile, read_from

__all__ = [
    "Header",
    "PassingTrouble",
    "TensorInfo",
    "UnusableFile",
    "printable",
    "read_from",
    "read_header",
    "without_folders",
]
