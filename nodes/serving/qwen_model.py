"""A Qwen3-VL of models/text_encoders that core loads, as the service asks it."""

from collections.abc import Sequence
from typing import Any

import comfy.sd
import folder_paths
import torch

from ...references.inputs import Input
from ...references.space import Space
from ...references.vision_language import VisionLanguageEncoder
from ...service.embedding.model import Prepared, Wish
from ...service.embedding.vision_language_model import VisionLanguageModel
from ...tensor_files import read_header
from ..embeddings.core_vision_language import core_backend, why_not_loaded
from ..embeddings.text_half import TEXT_FOLDER
from ..folders import file_state, model_path, shared
from .held import Held
from .idle import check_idle, unless_moved, while_idle

MADE_ON = torch.device("cpu", 0)  # core moves at once what is made on the device that computes, and this is no such


class LoadedQwen:
    """What `shared` keeps: a Qwen3-VL whose memory ComfyUI manages."""

    def __init__(self, clip: comfy.sd.CLIP) -> None:
        self.patcher = clip.patcher
        backend = core_backend(clip, while_idle)
        self.model = VisionLanguageModel(VisionLanguageEncoder(backend))
        self.name = self.kind = self.model.space.encoder

    @classmethod
    def from_file(cls, name: str, path: str) -> "LoadedQwen":
        """Raises a ValueError if core does not load the file, or what it loads cannot be used."""
        if why := why_not_loaded(read_header(path)):
            raise ValueError(f"{name} {why}.")
        embeddings = folder_paths.get_folder_paths("embeddings")
        options = {"initial_device": MADE_ON}
        return cls(comfy.sd.load_clip([path], embedding_directory=embeddings, model_options=options))


class QwenModel:
    """A loaded Qwen3-VL, which reads one input at a time."""

    logit = None

    def __init__(self, name: str) -> None:
        self._path = model_path(TEXT_FOLDER, name)
        self._state = file_state(self._path)
        loaded = shared(TEXT_FOLDER, name, "vision language", lambda path: LoadedQwen.from_file(name, path))
        self.space: Space = loaded.model.space
        self._info = loaded.model.info()
        self._held = Held(loaded)
        self._held.watch(loaded.patcher)

    def space_of(self, wish: Wish) -> Space:
        return self._held.now().model.space_of(wish)

    def prepare(self, given: Input, wish: Wish) -> Prepared:
        check_idle()
        return self._held.now().model.prepare(given, wish)

    def compute(self, prepared: Sequence[Prepared]) -> torch.Tensor:
        check_idle()
        with self._held.used() as loaded, torch.inference_mode():
            found = unless_moved(lambda: loaded.model.compute(prepared))
        return found.clone()

    def info(self) -> dict[str, Any]:
        return {**self._info, "loaded": self._held.is_there}

    def is_current(self) -> bool:
        """Whether ComfyUI has it in memory still, and its file is the one that it was loaded from."""
        try:
            return self._held.is_there and file_state(self._path) == self._state
        except OSError:
            return False

    def close(self) -> None:
        self._held.let_go()
