"""The encoders that may be asked for: the files that ComfyUI lists.

Those of models/clip_vision are named as Load Image Encoder lists them, the Qwen3-VL of models/text_encoders as Load
CLIP does; one that is called like an encoder has its folder before it.
"""

from collections.abc import Callable, Mapping
from functools import partial

import folder_paths
import torch

from ...service.embedding.model import Model, UnknownModel
from ...tensor_files import read_header
from ..embeddings.core_vision_language import why_not_loaded
from ..embeddings.text_half import TEXT_FOLDER
from ..folders import ENCODER_FOLDER, file_state, model_names
from .encoder_model import EncoderModel
from .idle import check_idle, unless_moved
from .qwen_model import QwenModel

Load = Callable[[], "EncoderModel | QwenModel"]


class ComfyModels:
    """The `Models` of this ComfyUI."""

    def __init__(self) -> None:
        self._looked_into: dict[object, bool] = {}

    def names(self) -> list[str]:
        return list(self._known())

    def load(self, name: str) -> Model:
        check_idle()
        load = self._known().get(name)
        if load is None:
            raise UnknownModel(f"There is no encoder {name!r}: it is not there any more.")
        with torch.inference_mode():
            return unless_moved(load)

    def is_current(self, name: str, model: Model) -> bool:
        return isinstance(model, EncoderModel | QwenModel) and model.is_current()

    def _known(self) -> Mapping[str, Load]:
        encoders: dict[str, Load] = {name: partial(EncoderModel, name) for name in model_names(ENCODER_FOLDER)}
        for name in filter(self._is_vision_language, model_names(TEXT_FOLDER)):
            encoders[f"{TEXT_FOLDER}/{name}" if name in encoders else name] = partial(QwenModel, name)
        return encoders

    def _is_vision_language(self, name: str) -> bool:
        """Whether a text encoder is a Qwen3-VL, also one that core does not load: loading it says why."""
        path = folder_paths.get_full_path(TEXT_FOLDER, name)
        if path is None:
            return False
        try:
            state = file_state(path)
            if state not in self._looked_into:
                self._looked_into[state] = why_not_loaded(read_header(path)) is not None
            return self._looked_into[state]
        except (OSError, ValueError):  # one of many files; or no ComfyUI that knows a Qwen3-VL
            return False
