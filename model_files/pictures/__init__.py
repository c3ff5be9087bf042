"""Read what ComfyUI and this pack wrote into a picture. Needs no torch, and does not decode the picture."""

from .made_with import CHUNK, MadeWith, Whereabouts, made_with, whereabouts
from .png_text import NotReadable, picture_format, read_text

__all__ = ["CHUNK", "MadeWith", "NotReadable", "Whereabouts", "made_with", "picture_format", "read_text", "whereabouts"]
