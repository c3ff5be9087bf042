"""Read what a model file holds, without running anything in it, and without torch.

`weights` reads the tensors themselves and needs torch, so it is imported by its own name.
"""

from .header import Header, read_header
from .printable_text import printable
from .tensor_info import PassingTrouble, TensorInfo, UnusableFile

__all__ = ["Header", "PassingTrouble", "TensorInfo", "UnusableFile", "printable", "read_header"]
