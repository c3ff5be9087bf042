"""Core's own Qwen3-VL, which is loaded as a CLIP, as the backend of vision-language embeddings.

Core's own call gives prompts the states before the final norm, or those of several layers, cut as the model for
pictures wants them: another space than that of Qwen3-VL-Embedding. So the network within is asked here by itself, and
no option of core's is changed. Letters: L tokens, W width of the model.
"""

import copy
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import comfy.model_management
import comfy.sd
import numpy as np
import torch
from PIL.Image import Image

from ...references.vision_language import IMAGE_PAD, About, about_of
from ...tensor_files import Header
from .. import input_checks
from ..encoding.spaces import is_filled
from .files_of_clips import headers_of

SINCE = "0.27"  # the oldest ComfyUI whose Qwen3-VL gives the vectors of the published one
UPDATE = f"update it to {SINCE} or newer. Embed Text and Embed Image Features work without."
KINDS = ("qwen3vl_4b", "qwen3vl_8b")  # core's names of those that it loads whole
VISION = "visual.deepstack_merger_list.0.norm.weight"  # in files of no other model
WIDTH = "visual.merger.linear_fc2.weight"  # as high as W
FIRST, LAST = "language_model.embed_tokens.weight", "language_model.norm.weight"  # seldom in one of several files
LOAD = (
    "Load a Qwen3-VL of 4B or 8B, such as Qwen3-VL-Embedding-8B, with Load CLIP and the type qwen_image (ComfyUI does "
    "not load the 2B)."
)

_tokenizers: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()  # core's -> a copy of it

Moving = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, eq=False)
class CoreVisionLanguage:
    """A Qwen3-VL that core loaded.

    name: core's, of the part of the CLIP
    tower: core's, of that part
    tokenizer: a copy of core's
    moving: entered while weights are moved to the device, and for nothing else
    """

    clip: comfy.sd.CLIP
    name: str
    tower: Any
    tokenizer: Any
    moving: Moving

    @property
    def about(self) -> About:
        return self._about

    @cached_property  # which checkers take for none of a protocol's properties
    def _about(self) -> About:
        config = self.tower.transformer.model.config
        name, last = last_matrix(self.tower.transformer)
        kept = self.clip.patcher.backup.get(f"{self.name}.transformer.{name}")  # as the file has it, without LoRAs
        return about_of(
            config.num_hidden_layers,
            config.hidden_size,
            last if kept is None else kept.weight,
            config.max_position_embeddings,
        )

    @property
    def patched(self) -> int:
        """How many of its weights LoRAs have changed."""
        patcher = self.clip.patcher
        beside = sum(map(len, patcher.injections.values()))  # LoRAs that leave the weights as they are
        return beside + sum(key.startswith(f"{self.name}.") for key in patcher.patches)

    def tokens(self, text: str) -> list[int]:
        """What core reads in texts, such as weights in brackets and `embedding:`, is text here."""
        return self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]

    def states(self, conversation: Sequence[int], pictures: Sequence[Image]) -> torch.Tensor:
        shown = iter(pictures)
        entries = [_picture(next(shown)) if token == IMAGE_PAD else token for token in conversation]
        with self.moving():
            self.clip.load_model()
        device = self.clip.patcher.load_device
        with comfy.model_management.cuda_device_context(device):
            embeds, _, counts, placed = self.tower.process_tokens([entries], device)
            found = self.tower.transformer(
                None, embeds=embeds, num_tokens=counts, dtype=torch.float32, embeds_info=placed
            )
        return found[0][0].float().cpu()  # (1, L, W), with the final norm, is the first of what it gives

    def info(self) -> dict[str, Any]:
        return {
            "device": str(self.clip.patcher.load_device),
            "dtype": str(last_matrix(self.tower.transformer)[1].dtype).removeprefix("torch."),
            "bytes": self.clip.patcher.model_size(),
        }

    def close(self) -> None:
        """Nothing: its memory is ComfyUI's."""


def core_backend(clip: Any, moving: Moving = nullcontext) -> CoreVisionLanguage:
    """The Qwen3-VL of a CLIP socket. moving: see `CoreVisionLanguage`

    Raises:
        ValueError: it holds none whose vectors are those of Qwen3-VL-Embedding, and what to load instead.
    """
    input_checks.expect(clip, comfy.sd.CLIP, "clip", LOAD[0].lower() + LOAD[1:].removesuffix("."))
    network, model = _network()[0], clip.cond_stage_model
    for name, tower in model.named_children():
        transformer = getattr(tower, "transformer", None)
        if isinstance(transformer, network):
            _check(transformer, network)
            return CoreVisionLanguage(clip, name, tower, _own(getattr(clip.tokenizer, name).tokenizer), moving)
    files = [os.path.basename(path) for path, header in headers_of(clip).items() if _is_qwen3_vl(header)]
    if files:
        raise ValueError(
            f"{files[0]} is a Qwen3-VL that was loaded for another model, without what sees pictures: choose the type "
            "qwen_image in Load CLIP."
        )
    raise ValueError(f"The clip is a {type(model).__name__.strip('_')}, which holds no Qwen3-VL. {LOAD}")


def why_not_loaded(header: Header) -> str | None:
    """Why core does not load the Qwen3-VL of a file, as the rest of a sentence; empty if it does, None if it is none.

    Raises:
        ValueError: this ComfyUI has no Qwen3-VL that can be used.
    """
    if not _is_qwen3_vl(header):
        return None
    configs = _network()[1]
    names = {name.removeprefix("model."): info for name, info in header.tensors.items()}
    widths = [configs[kind]().hidden_size for kind in KINDS]
    if WIDTH in names and (width := names[WIDTH].shape[0]) not in widths:
        return (
            f"is a Qwen3-VL of {width} numbers, and ComfyUI loads only those of {widths[0]} (4B) and {widths[1]} (8B)"
        )
    if not names.keys() >= {WIDTH, FIRST, LAST}:
        return "is one of several files of a Qwen3-VL, and ComfyUI loads it from one file only: join them"
    if f"model.{VISION}" not in header.tensors:
        return "is a Qwen3-VL whose tensors are not called as those of the published files, as ComfyUI expects"
    return ""


def last_matrix(transformer: Any) -> tuple[str, torch.Tensor]:
    """The matrix of the last step of the last layer, and its name: its signs tell models apart."""
    last = len(transformer.model.layers) - 1
    return f"model.layers.{last}.mlp.down_proj.weight", transformer.model.layers[last].mlp.down_proj.weight


def _network() -> tuple[type, dict[str, Any]]:
    """Core's class, and its sizes by kind. Raises a ValueError if it has none that can be used."""
    try:
        from comfy.text_encoders.qwen3vl import QWEN3VL_CONFIGS, Qwen3VL
    except ImportError as error:
        raise ValueError(f"This ComfyUI has no Qwen3-VL: {UPDATE}") from error
    if "forward" not in vars(Qwen3VL):  # 0.26: called by itself, it places pictures as if they were words
        raise ValueError(f"The Qwen3-VL of this ComfyUI reads pictures wrongly: {UPDATE}")
    return Qwen3VL, QWEN3VL_CONFIGS


def _own(tokenizer: Any) -> Any:
    """A copy: whether special tokens are split is a state of the tokenizer, which prompts need in another thread."""
    if tokenizer not in _tokenizers:
        _tokenizers[tokenizer] = copy.deepcopy(tokenizer)
    return _tokenizers[tokenizer]


def _check(transformer: Any, network: Any) -> None:
    """Raises a ValueError if this Qwen3-VL gives other vectors than that of Qwen3-VL-Embedding."""
    if type(transformer).preprocess_embed is not network.preprocess_embed:
        kind = type(transformer).__name__.strip("_")
        raise ValueError(
            f"The clip is a {kind}, which sees pictures in its own way: choose the type qwen_image in Load CLIP."
        )
    if transformer.model.norm is None:
        layers = transformer.model.config.num_hidden_layers
        raise ValueError(f"The clip is the first {layers} layers of a Qwen3-VL without its final norm. {LOAD}")
    ends = (last_matrix(transformer)[1], transformer.visual.merger.linear_fc2.weight)
    if any(weight is None or not is_filled(weight[:1]) for weight in ends):  # a row says enough of gigabytes
        raise ValueError(f"The file of the clip lacks a part of the Qwen3-VL. {LOAD}")


def _is_qwen3_vl(header: Header) -> bool:
    return any(name.endswith(VISION) for name in header.tensors)


def _picture(picture: Image) -> dict[str, Any]:
    """A picture as an entry among tokens, as core's tokenizer makes it."""
    pixels = torch.from_numpy(np.asarray(picture, dtype=np.float32) / 255)
    return {"type": "image", "data": pixels[None], "original_type": "image"}
