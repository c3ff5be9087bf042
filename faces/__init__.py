"""Find faces in pictures, align them, and recognise whose they are, with the ONNX files of a face pack.

    analyser = FaceAnalyser.load("models/insightface/models/buffalo_l")
    faces = analyser.find(picture)              # (H, W, 3), 8 bits, RGB; the surest face first
    faces[0].normed                             # (512,), the identity that FaceID adapters read
    align(picture, faces[0].points, 224)        # (224, 224, 3), the face that FaceID plus adapters look at

It needs numpy, Pillow and onnxruntime, and knows neither torch nor ComfyUI.
"""

from .alignment import TEMPLATES, align, crop_box, similarity
from .analyser import FaceAnalyser, FoundFace
from .detection import SIZES
from .drawing import draw_faces, draw_key_points
from .face import CHOICES, Face, choose, normed
from .sessions import available_providers

__all__ = [
    "CHOICES",
    "SIZES",
    "TEMPLATES",
    "Face",
    "FaceAnalyser",
    "FoundFace",
    "align",
    "available_providers",
    "choose",
    "crop_box",
    "draw_faces",
    "draw_key_points",
    "normed",
    "similarity",
]
