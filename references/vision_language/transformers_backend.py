"""Qwen3-VL computed by transformers. Letters: L tokens, N patches, H height, W width of a picture, C channels."""

from __future__ import annotations

import gc
import inspect
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from ...clip_vision import best_dtype
from ...tensor_files.placement import AUTO, find_device, find_dtype, is_out_of_memory
from ..embedder import roomy
from ..packages import load
from .about import about_of
from .backend import IMAGE_PAD, About
from .chat import SPECIAL
from .folder import GET, UNUSED, Folder, checked_folder
from .pictures import tokens_of

if TYPE_CHECKING:
    from PIL import Image

WHAT = "A vision-language model outside ComfyUI"
OLDEST = "4.57"
PATCH, MERGE, FRAMES = 16, 2, 2  # a picture is a film of two equal frames
WRONG = {  # what transformers reports of weights -> what is wrong with them
    "missing_keys": "are missing",
    "mismatched_keys": "have another shape",
    "unexpected_keys": "belong to another model",
}
SHOWN = 3  # names of tensors in a message
LONGEST = 300  # characters of what transformers says


class TransformersBackend:
    """As `Backend`. It is loaded at once, and after `close` again with the first need.

    path, device, dtype: as `load_vision_language` takes them

    Raises:
        ValueError: as `load_vision_language`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        device: torch.device | str = AUTO,
        dtype: torch.dtype | str | None = AUTO,
    ):
        find_dtype(dtype, _auto_dtype(find_device(device)))  # refused before anything is read
        self._folder = checked_folder(path)
        self._asked, self._dtype = device, dtype
        self._loaded: Any = None
        self._tokenizer = _tokenizer(self._folder)
        self._one_at_a_time = Lock()  # the tokenizer keeps settings of a call in itself
        self.about = self._find_about()

    def tokens(self, text: str) -> list[int]:
        with self._one_at_a_time:
            ids = self._tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return cast("list[int]", ids)

    def states(self, conversation: Sequence[int], pictures: Sequence[Any]) -> Tensor:
        """As `Backend.states`. Where the memory of a GPU that "auto" took runs out, the model moves to the CPU.

        Raises:
            ValueError: the device has no memory left for it.
        """
        given = _inputs(conversation, pictures)
        try:
            return self._states(given)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            said = f"{self._model.device} has no memory left for an input of {given['input_ids'].shape[1]:,} tokens"
        if self._asked != AUTO or self._model.device.type == "cpu":
            raise ValueError(f'{said}: give a shorter text, a smaller max_pixels, or the device "auto" or "cpu".')
        self._loaded = self._model.to("cpu")
        return self.states(conversation, pictures)

    def info(self) -> dict[str, Any]:
        model = self._loaded
        if model is None:
            return {"device": None, "dtype": None, "bytes": 0}
        return {
            "device": str(model.device),
            "dtype": str(model.dtype).removeprefix("torch."),
            "bytes": sum(parameter.nbytes for parameter in model.parameters()),
        }

    def close(self) -> None:
        self._loaded = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    @property
    def _model(self) -> Any:
        if self._loaded is None:
            self._loaded = _load(self._folder, self._asked, self._dtype)
        return self._loaded

    def _find_about(self) -> About:
        folder, layers = self._folder, self._model.language_model.layers
        return about_of(folder.layers, folder.width, layers[-1].mlp.down_proj.weight, folder.context)

    def _states(self, given: dict[str, Tensor]) -> Tensor:
        model = self._model
        if "mm_token_type_ids" not in inspect.signature(model.get_rope_index).parameters:  # transformers 4
            given = {name: tensor for name, tensor in given.items() if name != "mm_token_type_ids"}
        moved = {name: tensor.to(model.device) for name, tensor in given.items()}
        with torch.no_grad():
            return model(**moved, use_cache=False).last_hidden_state[0].float().cpu()


def _inputs(conversation: Sequence[int], pictures: Sequence[Image.Image]) -> dict[str, Tensor]:
    """What the model's forward takes."""
    counts = iter([tokens_of(picture) for picture in pictures])
    ids = torch.tensor(
        [[part for each in conversation for part in [each] * (next(counts) if each == IMAGE_PAD else 1)]]
    )
    mask = torch.ones_like(ids)  # without it transformers 4 takes the equal positions in a picture for several inputs
    if not pictures:
        return {"input_ids": ids, "attention_mask": mask}
    grids = [[1, picture.height // PATCH, picture.width // PATCH] for picture in pictures]
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "mm_token_type_ids": (ids == IMAGE_PAD).int(),
        "pixel_values": torch.cat([_patches(picture) for picture in pictures]),
        "image_grid_thw": torch.tensor(grids),
    }


def _patches(picture: Image.Image) -> Tensor:
    """The pixels in -1..1, (N, C * 2 * 16 * 16), the four patches of a token beside each other."""
    wide, high = picture.width // (PATCH * MERGE), picture.height // (PATCH * MERGE)
    data = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
    pixels = data.view(high, MERGE, PATCH, wide, MERGE, PATCH, 3).float().sub(127.5).div(127.5)
    ordered = pixels.permute(0, 3, 1, 4, 6, 2, 5).unsqueeze(5)  # (H, W, 2, 2, C, 1, 16, 16), in tokens
    return ordered.expand(-1, -1, -1, -1, -1, FRAMES, -1, -1).reshape(high * wide * MERGE**2, -1)


def _load(folder: Folder, device: torch.device | str, dtype: torch.dtype | str | None) -> Any:
    found = find_device(roomy(device, _size(folder, dtype, find_device(device))))
    model = _read(folder, find_dtype(dtype, _auto_dtype(found)))
    try:
        return model.to(found)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    if device != AUTO:
        raise ValueError(
            f"{found} has no memory left for {folder.name}, which needs {_size(folder, dtype, found) / 2**30:.1f} GB: "
            'give the device "auto" or "cpu", or close what else uses it.'
        )
    return model.to("cpu")


def _size(folder: Folder, dtype: torch.dtype | str | None, device: torch.device) -> int:
    """Bytes of the weights on a device."""
    kept = find_dtype(dtype, _auto_dtype(device)) or torch.bfloat16
    return folder.numbers * kept.itemsize


def _auto_dtype(device: torch.device) -> torch.dtype:
    best = best_dtype(device)
    return torch.float32 if best == torch.float16 else best  # the states of Qwen overflow fp16


def _read(folder: Folder, dtype: torch.dtype | None) -> Any:
    """The model on the CPU, whose weights are exactly those in the folder."""
    transformers = _transformers()
    with _quiet(transformers):
        try:
            model, report = transformers.Qwen3VLModel.from_pretrained(
                str(folder.path.absolute()),
                dtype=dtype or "auto",
                local_files_only=True,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # they are refused below
                output_loading_info=True,
                key_mapping={r"^model\.(?=language_model|visual)": ""},  # of the model with words, as published
            )
        except MemoryError:
            raise
        except Exception as error:  # of a folder that does not fit together, anything is raised
            if isinstance(error, RuntimeError) and is_out_of_memory(error):
                raise ValueError(f"There is not enough memory to load {folder.name}.") from error
            raise _not_loaded(folder, transformers, error) from error
    _check(folder, report)
    return model.eval().requires_grad_(False)


def _check(folder: Folder, report: dict[str, Any]) -> None:
    """Refuse weights that do not fit the config.json."""
    for found, what in WRONG.items():
        names = {_name(entry) for entry in report[found]}
        if names := names.difference(UNUSED):
            some = ", ".join(sorted(names)[:SHOWN])
            raise ValueError(
                f"The weights in {folder.name} do not fit its config.json: {len(names)} {what}, such as {some}. {GET}."
            )


def _name(entry: Any) -> str:
    """Of a tensor; those of another shape come with both shapes."""
    return str(cast("tuple[Any, ...]", entry)[0] if isinstance(entry, tuple) else entry)


def _tokenizer(folder: Folder) -> Any:
    transformers = _transformers()
    place = str(folder.path.absolute())
    with _quiet(transformers):
        try:
            tokenizer = transformers.Qwen2TokenizerFast.from_pretrained(place, local_files_only=True)
            numbers = {word: tokenizer.convert_tokens_to_ids(word) for word in SPECIAL}
        except Exception as error:  # as above
            raise _not_loaded(folder, transformers, error) from error
    if numbers != SPECIAL:
        raise ValueError(f"The tokenizer in {folder.name} is not that of Qwen3-VL. {GET}.")
    return tokenizer


def _transformers() -> Any:
    """The package. ValueError if it is missing, broken or too old."""
    transformers = load("transformers", WHAT)
    try:
        for name in ("Qwen3VLModel", "Qwen2TokenizerFast"):
            getattr(transformers, name)
    except AttributeError:
        raise ValueError(
            f"{WHAT} needs transformers {OLDEST} or later, and {transformers.__version__} is installed: `python -m pip "
            f'install "transformers>={OLDEST}"`. Everything else works without it.'
        ) from None
    except Exception as error:  # what a model of it needs is imported only now
        raise ValueError(
            f"{WHAT} needs transformers, whose Qwen3-VL cannot be imported ({_said(error)}): `python -m pip check` "
            "says which packages do not fit together."
        ) from error
    return transformers


@contextmanager
def _quiet(transformers: Any) -> Generator[None]:
    """Without bars and warnings: what matters of them is raised."""
    logging = transformers.utils.logging
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _not_loaded(folder: Folder, transformers: Any, error: Exception) -> ValueError:
    return ValueError(f"transformers {transformers.__version__} cannot load {folder.name}: {_said(error)}")


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()[:LONGEST]}"
