"""Vectors of texts and pictures, alone or together, by a vision-language model: Qwen3-VL-Embedding.

with load_vision_language("Qwen3-VL-Embedding-2B") as encoder:
    embedding = encoder.embed([Input("a red bicycle"), Input(image="photo.jpg"), Input("its wheel", image="photo.jpg")])
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .about import about_of
    from .backend import IMAGE_PAD, About, Backend
    from .chat import DEFAULT_INSTRUCTION, QUERY_INSTRUCTION, Conversation, conversation
    from .encoder import VisionLanguageEncoder
    from .folder import is_vision_language
    from .loading import load_vision_language
    from .pictures import LARGEST, SMALLEST, fitted
    from .pooling import POOLINGS

__all__ = [
    "DEFAULT_INSTRUCTION",
    "IMAGE_PAD",
    "LARGEST",
    "POOLINGS",
    "QUERY_INSTRUCTION",
    "SMALLEST",
    "About",
    "Backend",
    "Conversation",
    "VisionLanguageEncoder",
    "about_of",
    "conversation",
    "fitted",
    "is_vision_language",
    "load_vision_language",
]

_EXPORTS = {  # module -> its names that the package gives
    "about": ("about_of",),
    "backend": ("IMAGE_PAD", "About", "Backend"),
    "chat": ("DEFAULT_INSTRUCTION", "QUERY_INSTRUCTION", "Conversation", "conversation"),
    "encoder": ("VisionLanguageEncoder",),
    "folder": ("is_vision_language",),
    "loading": ("load_vision_language",),
    "pictures": ("LARGEST", "SMALLEST", "fitted"),
    "pooling": ("POOLINGS",),
}
_HOMES = {name: module for module, names in _EXPORTS.items() for name in names}

if not TYPE_CHECKING:  # to type checkers it would hide misspelt names

    def __getattr__(name):
        """Import the module that has this name when it is first used: most of them need torch, which takes seconds."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
