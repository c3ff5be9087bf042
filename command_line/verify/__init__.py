"""The command "identify --verify": compare a file with transformers or diffusers. Needs torch."""

from .comparison import answer, compare

__all__ = ["answer", "compare"]
