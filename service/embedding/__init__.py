"""Vectors of texts and pictures for programs: one loaded model for all that ask, and requests joined into batches.

with EmbeddingService(FileModels(["CLIP-ViT-B-32.safetensors"])) as service:
    embedded = service.embed("CLIP-ViT-B-32.safetensors", [Input("a red bicycle"), Input(image="photo.jpg")])
"""

from ...references.inputs import Input
from .clip_model import ClipModel
from .embedding_service import EmbeddingService
from .files import FileModels
from .model import Busy, Model, Models, Prepared, UnknownModel, Wish
from .results import Compared, Embedded
from .vision_language_model import VisionLanguageModel

__all__ = [
    "Busy",
    "ClipModel",
    "Compared",
    "Embedded",
    "EmbeddingService",
    "FileModels",
    "Input",
    "Model",
    "Models",
    "Prepared",
    "UnknownModel",
    "VisionLanguageModel",
    "Wish",
]
