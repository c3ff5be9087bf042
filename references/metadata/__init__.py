"""What pictures were made with, as ComfyUI and A1111's web UI wrote it into them. Needs no torch."""

from .advice import Advice, Topic, Value, advise
from .generation import generation
from .words import summary

__all__ = ["Advice", "Topic", "Value", "advise", "generation", "summary"]
