"""The encoders that may be asked for: the files of models/clip_vision, named as Load Image Encoder lists them."""

import torch

from ...service.embedding.model import Model
from ..folders import ENCODER_FOLDER, model_names
from .encoder_model import EncoderModel
from .idle import check_idle, unless_moved


class ComfyModels:
    """The `Models` of this ComfyUI."""

    def names(self) -> list[str]:
        return model_names(ENCODER_FOLDER)

    def load(self, name: str) -> Model:
        check_idle()
        with torch.inference_mode():
            return unless_moved(lambda: EncoderModel(name))

    def is_current(self, name: str, model: Model) -> bool:
        return isinstance(model, EncoderModel) and model.is_current()
