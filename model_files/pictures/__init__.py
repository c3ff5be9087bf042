"""Read from a picture which model files made it. Needs no torch, and does not decode the picture."""

from .made_with import CHUNK, MadeWith, Whereabouts, made_with, whereabouts
from .png_text import NotReadable, picture_format

__all__ = ["CHUNK", "MadeWith", "NotReadable", "Whereabouts", "made_with", "picture_format", "whereabouts"]
