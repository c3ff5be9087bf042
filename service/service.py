"""An adapter, and the image encoder that it reads, for programs that keep running.

Letters: B pictures, N positions, D and W feature widths, T image tokens, C context width, I inner width of a layer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from ..clip_vision import VisionEncoder, VisionFeatures, encode_pixels, pack_weights, unpack_weights
from ..clip_vision import load as load_encoder
from ..clip_vision.config import Rgb
from ..clip_vision.dtypes import best_dtype
from ..clip_vision.encoding import check_chunk_size
from ..clip_vision.features import FEATURES
from ..clip_vision.pictures.boxes import Crop
from ..clip_vision.pictures.images import Picture, Pictures
from ..clip_vision.pictures.preprocessing import BLACK, normalise
from ..ip_adapter import Features, IPAdapter, Reads
from ..ip_adapter import load as load_adapter
from ..model_files.find import Folders, NotFound
from ..model_files.folders import NotInstalled
from ..tensor_files import UnusableFile
from ..tensor_files.placement import AUTO, find_device, find_dtype
from .activity import Activity
from .feature_cache import LIMIT, FeatureCache, encode_once
from .load_log import log_load
from .memory import with_less_memory
from .model_choice import ModelChoice, StrPath
from .pictures import HashedPicture, Views

CPU = torch.device("cpu")
T = TypeVar("T")


class ImagePromptService:
    """Encodes pictures, and turns them into what an IP-Adapter adds to a diffusion model. Any thread may use it.

        with ImagePromptService("/opt/ComfyUI", purpose="plus", base_model="SDXL") as service:
            features = service.features("photo.jpg", crop="pad")
            layers = service.key_values(service.tokens(features))

    Files are looked for, and loaded, when they are first needed. The same picture is encoded once.

    folders: the root of a ComfyUI or of its models, `ModelFolders` or an `Installation`; by default found by itself
    purpose, base_model: of the adapter, as `find_adapter` takes them; by default any adapter
    adapter: the path of its file, instead of a purpose and a base model
    encoder: the path of its file, or its name as `find_encoder` takes it; by default the one that the adapter reads.
        A service of an encoder alone gives features, by default image_embeds
    device, dtype: as `clip_vision.load` takes them; the adapter computes in fp32
    limit: bytes of features that are kept for pictures that come again
    """

    def __init__(
        self,
        folders: Folders = None,
        *,
        purpose: str = "",
        base_model: str = "",
        adapter: StrPath | None = None,
        encoder: StrPath | None = None,
        device: torch.device | str = AUTO,
        dtype: torch.dtype | str | None = AUTO,
        limit: int = LIMIT,
    ) -> None:
        self._device = find_device(device)
        self._dtype = find_dtype(dtype, best_dtype(self._device))
        self._choice = ModelChoice(folders, purpose, base_model, adapter, encoder)
        self._cache, self._views, self._activity = FeatureCache(limit), Views(), Activity()
        self._encoder: VisionEncoder | None = None
        self._adapter: IPAdapter | None = None
        self._bytes: dict[nn.Module, int] = {}
        self._closed = False
        self._encoding, self._projecting = threading.RLock(), threading.RLock()  # in this order, where both are held

    def __enter__(self) -> ImagePromptService:
        self._check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else str(self._device)
        return f"{type(self).__name__}({self._choice}, {state})"

    # ---------------------------------------------------------------------------------------------------- pictures

    def features(
        self,
        picture: Picture | HashedPicture,
        *,
        crop: Crop = "center",
        background: Rgb = BLACK,
        want: Collection[str] | None = None,
    ) -> VisionFeatures:
        """The features of one picture, (1, D) or (1, N, W) each: as `features_batch`. ValueError if it is several."""
        return self._features([picture], crop, background, want, None, alone=True)

    def features_batch(
        self,
        pictures: Pictures | Sequence[Picture | HashedPicture],
        *,
        crop: Crop = "center",
        background: Rgb = BLACK,
        want: Collection[str] | None = None,
        batch_size: int | None = None,
    ) -> VisionFeatures:
        """The features of pictures, (B, D) or (B, N, W) each, fp32 on the CPU.

        pictures, crop, background: as `clip_vision.encode` takes them, or pictures that were hashed before
        want: names of features; by default those that the adapter reads. The others are None in the result
        batch_size: pictures in one forward pass at most; by default as many as are fast

        Raises:
            NotFound: no file of an adapter or encoder that would do is there. The text says what to get.
            ValueError: a picture, a word or a number is none that can be used, or the service was closed.
        """
        if batch_size is not None:
            check_chunk_size(batch_size, "batch")
        return self._features(pictures, crop, background, want, batch_size)

    def _features(
        self,
        pictures: Pictures | Sequence[Picture | HashedPicture],
        crop: Crop,
        background: Rgb,
        want: Collection[str] | None,
        batch_size: int | None,
        alone: bool = False,
    ) -> VisionFeatures:
        want = self._wanted() if want is None else want
        encoder = self._loaded_encoder()
        encoder.check_want(want)
        with self._activity.timed("features"):
            views = self._views.of(pictures, encoder.config, crop, background)
            if alone and len(views) != 1:
                raise ValueError(f"One picture is expected, and {len(views)} were given: use features_batch.")
            self._activity.count("pictures", len(views))
            return self._encoded(
                encoder,
                [view.digest for view in views],
                lambda numbers: torch.stack([views[number].pixel_values() for number in numbers]),
                want,
                batch_size,
            )

    def _wanted(self) -> Collection[str]:
        if self._choice.encoder_alone:
            return ("image_embeds",)
        adapter = self._loaded_adapter()
        names = [reads.name for reads in adapter.reads]
        if other := [name for name in names if name not in FEATURES]:
            raise ValueError(
                f"{adapter.title} reads {' and '.join(other)}, which is not what an image encoder makes of a picture: "
                "give these features to `tokens` by name."
            )
        return names

    def negative_features(self) -> VisionFeatures:
        """What stands for the features in the unconditional rows, (1, D) or (1, N, W) each: see `Reads.negative`."""
        self._wanted()
        encoder, adapter = self._loaded_encoder(), self._loaded_adapter()
        found = {
            reads.name: self._negative(encoder, reads, width)
            for reads, width in zip(adapter.reads, adapter.feature_widths, strict=True)
        }
        return VisionFeatures(**dict[str, Any](found), encoder=encoder.config.name)

    def _negative(self, encoder: VisionEncoder, reads: Reads, width: int) -> Tensor:
        config = encoder.config
        if reads.negative == "zeros":
            return torch.zeros(1, *((config.tokens,) if reads.rank == 3 else ()), width)
        pixels = torch.zeros(1, 3, config.image_size, config.image_size)
        if reads.negative == "encoded black":
            pixels = normalise(pixels.movedim(1, -1), config.mean, config.std)
        made = self._encoded(encoder, [reads.negative.encode()], lambda _: pixels, [reads.name], None)
        return made.select(reads.name)

    def _encoded(
        self,
        encoder: VisionEncoder,
        digests: Sequence[bytes],
        pixel_values: Callable[[list[int]], Tensor],
        want: Collection[str],
        batch_size: int | None,
    ) -> VisionFeatures:
        def encode(numbers: list[int]) -> Mapping[str, Tensor]:
            self._check_open()
            self._activity.count("pictures encoded", len(numbers))
            pixels = pixel_values(numbers)

            def on(device: torch.device, chunk: int | None) -> VisionFeatures:
                _place(encoder, device)
                sizes = [size for size in (chunk, batch_size) if size is not None]
                return encode_pixels(encoder, pixels, want=want, chunk_size=min(sizes, default=None), keep_on=CPU)

            with self._activity.timed("encode"):
                return self._in_memory(on).as_dict()

        found = encode_once(self._cache, digests, want, encode, self._encoding)
        return VisionFeatures(**dict[str, Any](found), encoder=encoder.config.name)

    # ------------------------------------------------------------------------------------------------------ adapter

    def tokens(self, features: VisionFeatures | Tensor | Features) -> Tensor:
        """Features of B pictures -> image tokens (B, T, C), fp32, on the device of the service: see `IPAdapter.tokens`.

        They are on the CPU if the memory of the device was too short.
        """
        adapter = self._loaded_adapter()
        given = features.as_dict() if isinstance(features, VisionFeatures) else features
        adapter.check_features(given)
        named = (
            {adapter.feature: given}
            if isinstance(given, Tensor)
            else {each.name: given[each.name] for each in adapter.reads}
        )
        count = len(next(iter(named.values())))

        def on(device: torch.device, chunk: int | None) -> Tensor:
            _place(adapter, device)
            size = chunk or count
            some = (
                {name: each[at : at + size].to(device) for name, each in named.items()} for at in range(0, count, size)
            )
            return torch.cat([adapter.tokens(each) for each in some])

        with self._projecting, torch.no_grad(), self._activity.timed("tokens"):
            return self._in_memory(on)

    def key_values(self, tokens: Tensor, layers: Sequence[int] | None = None) -> list[tuple[Tensor, Tensor]]:
        """Image tokens (B, T, C) -> key and value of each layer, (B, T, I), fp32, where `tokens` gives its own.

        layers: numbers of the layers, in the order of the file; by default all. See `IPAdapter.key_value`
        """
        adapter = self._loaded_adapter()
        if not isinstance(cast(object, tokens), Tensor) or tokens.ndim != 3:
            adapter.key_value(tokens)  # says what it is instead, and what to give

        def on(device: torch.device, chunk: int | None) -> list[tuple[Tensor, Tensor]]:
            _place(adapter, device)
            parts = [
                adapter.key_value(some.to(device), layers) for some in torch.split(tokens, chunk or max(1, len(tokens)))
            ]
            return [(torch.cat(keys), torch.cat(values)) for keys, values in (zip(*layer) for layer in zip(*parts))]

        with self._projecting, torch.no_grad(), self._activity.timed("key_values"):
            return self._in_memory(on)

    # ------------------------------------------------------------------------------------------------------- models

    def missing(self) -> str:
        """What is not there and what to do about it, in a few lines; "" if adapter and encoder are loaded or there."""
        self._check_open()
        try:
            if self._adapter is None and not self._choice.encoder_alone:
                self._choice.adapter()
            if self._encoder is None:
                self._choice.encoder()
        except (NotFound, NotInstalled, UnusableFile) as error:
            return str(error)
        return ""

    def to(self, device: torch.device | str) -> ImagePromptService:
        """Move the models to another device, now and when they are loaded; returns the service itself.

        ValueError if there is no such device. Their dtypes stay, and features that are kept stay valid.
        """
        found = find_device(device)
        with self._encoding, self._projecting:
            self._check_open()
            self._device = found
            for model in (self._encoder, self._adapter):
                if model is not None:
                    _place(model, found)
        return self

    def info(self) -> dict[str, Any]:
        """Plain data about the models that are loaded, the features that are kept, and what was done, in seconds."""
        encoder, adapter = self._encoder, self._adapter
        return {
            "device": str(self._device),
            "encoder": encoder
            and {
                **self._described(encoder),
                "name": encoder.config.name,
                "image_size": encoder.config.image_size,
            },
            "adapter": adapter
            and {
                **self._described(adapter),
                "family": adapter.family.id,
                "base_model": adapter.base_model,
                "encoder": adapter.encoder_name,
                "reads": [reads.name for reads in adapter.reads],
                "tokens": adapter.num_tokens,
                "layers": len(adapter.layers),
            },
            "files": self._choice.chosen(),
            "known features": self._cache.stats(),
            "activity": self._activity.summary(),
        }

    def close(self) -> None:
        """Let go of the models and of what is kept, once no call computes any more. Later calls raise a ValueError."""
        with self._encoding, self._projecting:
            self._closed = True
            self._encoder = self._adapter = None
            self._bytes.clear()
            self._cache.clear()
            self._choice.close()

    def _described(self, model: nn.Module) -> dict[str, Any]:
        some = next(model.parameters())
        return {
            "dtype": str(some.dtype).removeprefix("torch."),
            "device": str(some.device),
            "bytes": self._bytes.get(model, 0),
        }

    def _loaded_encoder(self) -> VisionEncoder:
        self._check_open()
        if (known := self._encoder) is not None:
            return known
        with self._encoding:
            self._check_open()
            if self._encoder is None:
                file, begin = self._choice.encoder(), time.perf_counter()
                with self._activity.timed("load encoder"):
                    loaded = load_encoder(file.path, CPU, self._dtype, name=file.name, pack=False)
                self._log(file.name, loaded.config.name, loaded, begin)
                self._bytes[loaded] = _size(loaded)  # packed weights do not tell it
                self._encoder = loaded
            return self._encoder

    def _loaded_adapter(self) -> IPAdapter:
        self._check_open()
        if (known := self._adapter) is not None:
            return known
        with self._projecting:
            self._check_open()
            if self._adapter is None:
                file, begin = self._choice.adapter(), time.perf_counter()
                with self._activity.timed("load adapter"):
                    loaded = load_adapter(file.path, CPU, name=file.name)
                self._log(file.name, loaded.family.name, loaded, begin)
                self._bytes[loaded] = _size(loaded)
                self._adapter = loaded
            return self._adapter

    def _log(self, file: str, kind: str, loaded: nn.Module, begin: float) -> None:
        log_load(file, kind, next(loaded.parameters()).dtype, self._device, time.perf_counter() - begin)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("This service was closed: make a new one.")

    def _in_memory(self, on: Callable[[torch.device, int | None], T]) -> T:
        """`on(device, chunk)` on the device of the service; where memory is short, with less of it, or on the CPU."""
        device = self._device
        if device == CPU:
            return on(CPU, None)
        return with_less_memory(
            lambda chunk: on(device, chunk),
            lambda: on(CPU, None),
            on_retry=self._count_retry,
        )

    def _count_retry(self, chunk: int, instead: str) -> None:
        self._activity.count("out of memory")


def _place(model: nn.Module, device: torch.device) -> None:
    """Put a model on a device; an encoder's weights are packed while it is on the CPU."""
    if any(parameter.device != device for parameter in model.parameters()):  # a move that failed leaves some behind
        if isinstance(model, VisionEncoder):
            unpack_weights(model)
        model.to(device)
    if isinstance(model, VisionEncoder) and device == CPU:
        pack_weights(model)


def _size(model: nn.Module) -> int:
    return sum(parameter.nbytes for parameter in model.parameters())
