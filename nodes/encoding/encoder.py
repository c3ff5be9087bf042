"""Image encoders that ComfyUI manages: ours, and those that core loaded.

Letters: B pictures, S the side of the square picture that an encoder reads, N positions, D and W feature widths.
"""

import copy
import logging
import weakref
from collections.abc import Callable, Collection, Hashable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import comfy.clip_vision
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.utils
import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import CallbacksMP

from ...clip_vision import (
    VisionEncoder,
    best_dtype,
    encode_pixels,
    fit,
    load,
    pack_weights,
    to_published,
    unpack_weights,
)
from ...clip_vision.pictures.preprocessing import normalise
from ...references.space import Space
from ...service import CHUNKS, FeatureCache, digest, encode_once, with_less_memory
from ...tensor_files import read_from
from ...tensor_files.placement import DTYPES
from .. import input_checks
from ..activity import count
from ..folders import ENCODER_FOLDER, file_state, listed_name
from .features import ENCODED, ImageFeatures
from .spaces import space_of_core, space_of_encoder

CPU = torch.device("cpu")
CORE_TYPES = ("clip_vision_model", "siglip_vision_model")  # others have no hidden states or no fixed picture size
FEATURES = {field: feature for feature, field in ENCODED.items()}
EVERY_LAYER = "all_hidden_states"  # core's field, (B, layers, N, W)
CLASS_TOKEN = "cls"  # of encoders without a projection, after the last norm, (B, W)
SOME_LAYERS = "some_hidden_states"  # those of `LAYERS`, one after the other, (B, len(LAYERS) * N, W)
LAYERS: Mapping[str, tuple[int, ...]] = {  # by kind of encoder, those that are read together
    "eva": (4, 8, 12, 16, 20),  # by PuLID
    "siglip": (7, 13, 26),  # by InstantCharacter
    "dino": (9, 19, 29),
}

DTYPE_NAMES = {dtype: name for name, dtype in DTYPES.items()}

OnChunk = Callable[[int], object]  # called with the number of pictures that were encoded


class ImageEncoder:
    """Our image encoder on a CLIP_VISION socket. Core nodes use it like a `comfy.clip_vision.ClipVisionModel`.

    key: tells it from other encoders, to find the features that it gave before
    path, variant: of its file, and as it was loaded; empty if it was made of none
    chosen_size: whether somebody has chosen the size of the pictures that it reads, instead of its own
    """

    def __init__(
        self,
        module: VisionEncoder,
        load_device: torch.device,
        key: Hashable = None,
        chosen_size: bool = False,
        path: str = "",
        variant: str = "",
    ):
        config = module.config
        self.model = module
        self.path, self.variant = path, variant
        self.text_half: Any = None  # of its file, once somebody has asked for it
        self.space = space_of_encoder(module)  # now, while its weights are as they were read
        self.key = key or weakref.ref(module)
        self.name = config.name
        self.dtype = module.dtype
        self.load_device = load_device
        self.chosen_size = chosen_size
        self.image_size, self.image_mean, self.image_std = config.image_size, list(config.mean), list(config.std)
        self.config = {"model_type": f"{config.kind}_vision_model", "image_size": config.image_size}
        self.fields = tuple(field for field, feature in FEATURES.items() if module.gives(feature))
        self.layers = LAYERS.get(config.kind, ())
        self.patcher = comfy.model_patcher.CoreModelPatcher(
            module, load_device=load_device, offload_device=comfy.model_management.text_encoder_offload_device()
        )
        self.patcher.add_callback(CallbacksMP.ON_DETACH, _unpack)

    @classmethod
    def from_file(
        cls, path: str, variant: str = "auto", dtype: torch.dtype | None = None, image_size: int | None = None
    ) -> "ImageEncoder":
        """Load the encoder in a file. Raises a ValueError with the file's name if it cannot be used.

        variant: name of a preset, or "auto"
        dtype: in which it computes; by default the fastest on the device
        image_size: pixels along a side of the pictures that it reads; by default its own
        """
        device = comfy.model_management.text_encoder_device()
        name = listed_name(ENCODER_FOLDER, path)  # the folders in it may say what a model.safetensors is
        dtype = dtype or best_dtype(device)
        with read_from(name):
            state = file_state(path)  # before it is read: it may be replaced meanwhile
        module = load(
            path,
            "cpu",  # from where ComfyUI moves it
            dtype,
            variant=variant,
            name=name,
            ops=comfy.ops.disable_weight_init,
            pack=False,
            image_size=image_size,
        )
        key = (state, module.config, dtype)
        return cls(module, device, key, image_size is not None, path, variant)

    @property
    def kind(self) -> str:
        return self.name

    @property
    def summary(self) -> str:
        """The name of the encoder, its dtype, its device and a size that was chosen, as text."""
        size = f", {self.image_size} pixels" if self.chosen_size else ""
        return f"{self.name}, {DTYPE_NAMES[self.dtype]}, {self.load_device.type}{size}"

    def get_models(self) -> list[ModelPatcher]:
        return [self.patcher]

    def is_dynamic(self) -> bool:
        return self.patcher.is_dynamic()

    def get_sd(self) -> dict[str, torch.Tensor]:
        return to_published(self.model)

    def encode_image(self, image: torch.Tensor, crop: bool = True) -> ImageFeatures:
        """Features of images (B, H, W, 3) in 0..1, as core nodes ask for them: cropped to the centre, or squashed."""
        every_layer = (EVERY_LAYER,) if self.model.config.kind == "siglip" else ()  # USOStyleReference reads them
        picture = fit(input_checks.image(image), self.image_size, "center" if crop else "squash")
        return encode_picture(self, picture, (*self.fields, *every_layer))

    @property
    def reads_faces(self) -> bool:
        """Whether it gives what PuLID reads of a face."""
        return self.model.config.kind == "eva"

    def load(self, moving: Callable[[], AbstractContextManager[object]] = nullcontext) -> None:
        """Have ComfyUI move the weights to the device. moving: entered while they are moved, and for nothing else"""
        with moving():
            comfy.model_management.load_models_gpu([self.patcher])
        if self.load_device.type == "cpu":
            pack_weights(self.model)

    def features(
        self, pixel_values: torch.Tensor, chunk: int | None, want: Collection[str], on_chunk: OnChunk
    ) -> dict[str, torch.Tensor]:
        """Encode pictures (B, 3, S, S), normalised, to the fields of core's output that `want` names.

        chunk: pictures in one forward pass; None: as many as are fast
        on_chunk: called after each pass with the number of its pictures
        """
        every = range(1, self.model.config.depth + 1)
        layers = every if EVERY_LAYER in want else self.layers if SOME_LAYERS in want else ()
        known = {**FEATURES, CLASS_TOKEN: "cls"}
        features = [known[field] for field in want if field in known]
        found = encode_pixels(
            self.model,
            pixel_values,
            want=features,
            hidden_layers=layers,
            chunk_size=chunk,
            on_chunk=on_chunk,
            keep_on=comfy.model_management.intermediate_device(),
        )
        fields = {field: found.select(known[field]) for field in want if field in known}
        if found.hidden and SOME_LAYERS in want:
            fields[SOME_LAYERS] = torch.cat([found.hidden[number] for number in self.layers], dim=1)
        if found.hidden and EVERY_LAYER in want:
            fields[EVERY_LAYER] = torch.stack([found.hidden[number] for number in every], dim=1)
            fields["penultimate_hidden_states"] = fields[EVERY_LAYER][:, -2]  # held once, as core does
        return fields


class CoreEncoder:
    """An image encoder that core loaded, with the parts of `ImageEncoder` that encoding uses."""

    reads_faces = False

    def __init__(self, clip_vision: comfy.clip_vision.ClipVisionModel):
        self.model = clip_vision.model
        self.key = weakref.ref(clip_vision.model)
        self.name = ""  # core does not keep the name of what it loaded
        self.fields = tuple(FEATURES)
        self.load_device = clip_vision.load_device
        self.image_size, self.image_mean, self.image_std = (
            clip_vision.image_size,
            clip_vision.image_mean,
            clip_vision.image_std,
        )
        self.patcher = clip_vision.patcher

    @property
    def space(self) -> Space | None:
        """The space of its image_embeds; None if it has none, as SigLIP in core."""
        return space_of_core(self.model)

    def load(self) -> None:
        comfy.model_management.load_models_gpu([self.patcher])

    def features(
        self, pixel_values: torch.Tensor, chunk: int | None, want: Collection[str], on_chunk: OnChunk
    ) -> dict[str, torch.Tensor]:
        parts: dict[str, list[torch.Tensor]] = {field: [] for field in want}
        for pixels in pixel_values.to(self.load_device).split(chunk or CHUNKS[0]):
            last, penultimate, embeds = self.model(pixel_values=pixels, intermediate_output=-2)[:3]
            for field, value in zip(FEATURES, (embeds, last, penultimate)):
                if field in want and value is not None:
                    parts[field].append(value)
            on_chunk(len(pixels))
        return {field: torch.cat(values).float() for field, values in parts.items() if values}


Encoder = ImageEncoder | CoreEncoder

known_features = FeatureCache()


def as_encoder(clip_vision: Any) -> Encoder:
    """The encoder that a CLIP_VISION socket brought, or that this gave before.

    Raises:
        ValueError: it cannot be used here.
    """
    if isinstance(clip_vision, ImageEncoder | CoreEncoder):
        return clip_vision
    if isinstance(clip_vision, comfy.clip_vision.ClipVisionModel) and clip_vision.model_type in CORE_TYPES:
        return CoreEncoder(clip_vision)
    input_checks.expect(clip_vision, comfy.clip_vision.ClipVisionModel, "clip_vision", "connect Load Image Encoder")
    raise ValueError(
        f"The clip_vision is a {clip_vision.model_type} encoder, which cannot encode image prompts: load a CLIP or "
        "SigLIP encoder with Load Image Encoder."
    )


def encode_picture(encoder: Encoder, picture: torch.Tensor, want: Collection[str] = ()) -> ImageFeatures:
    """Features of a picture (B, S, S, 3) in 0..1, as `clip_vision.fit` makes it of the encoder's size.

    want: names of fields of core's output; by default all that the encoder gives
    """
    pixels = pixel_values(encoder, picture)
    fields: dict[str, Any] = encode_pixel_values(encoder, pixels, want or encoder.fields)
    return ImageFeatures(
        **empty_picture(encoder),
        encoder=encoder.name,
        space=encoder.space,
        image_sizes=[pixels.shape[1:]] * len(pixels),
        **fields,
    )


def empty_picture(encoder: Encoder) -> "dict[str, EmptyPicture | None]":
    """What adapters read of an empty picture, by the names of `NEGATIVES`, each encoded when it is read."""
    return {
        "negative_penultimate": EmptyPicture(encoder, "penultimate_hidden_states", _zero_pixels),
        "negative_image_embeds": EmptyPicture(encoder, "image_embeds", _black_pixels)
        if "image_embeds" in encoder.fields
        else None,
    }


class EmptyPicture:
    """A feature of an empty picture, (1, ...), which is encoded when this object is called.

    Few adapters read it, so it is encoded only on demand.
    """

    def __init__(self, encoder: Encoder, field: str, pixel_values: Callable[[Encoder], torch.Tensor]):
        self.encoder = encoder
        self.field = field
        self.pixel_values = pixel_values
        self.patcher = encoder.patcher

    def __reduce__(self) -> tuple[Callable[..., torch.Tensor], tuple[torch.Tensor]]:
        """Copy and save the feature itself, so that features that leave the workflow do not take the encoder along."""
        return torch.clone, (self(),)

    def __call__(self) -> torch.Tensor:
        return encode_pixel_values(self.encoder, self.pixel_values(self.encoder), (self.field,))[self.field]


def _zero_pixels(encoder: Encoder) -> torch.Tensor:
    """A picture that is zero after normalisation, that is, of the mean colour: (1, 3, S, S)."""
    return torch.zeros(1, 3, encoder.image_size, encoder.image_size)


def _black_pixels(encoder: Encoder) -> torch.Tensor:
    return pixel_values(encoder, torch.zeros(1, encoder.image_size, encoder.image_size, 3))


def pixel_values(encoder: Encoder, picture: torch.Tensor) -> torch.Tensor:
    """Normalise a picture as the encoder needs it: (B, S, S, 3) in 0..1 -> (B, 3, S, S)."""
    mean, std = ((r, g, b) for r, g, b in (encoder.image_mean, encoder.image_std))  # core's encoders have lists
    return normalise(picture, mean, std)


def encode_pixel_values(
    encoder: Encoder, pixels: torch.Tensor, want: Collection[str], *, shown: bool = True
) -> dict[str, torch.Tensor]:
    """The features of pictures that were not encoded before, and of the others as they were.

    shown: whether the node shows how many are done; if not, the caller shows it of all that it encodes in parts
    """
    keys = [(encoder.key, digest(each)) for each in pixels]
    found = encode_once(known_features, keys, want, lambda numbers: _computed(encoder, pixels[numbers], want, shown))
    device = comfy.model_management.intermediate_device()
    return {name: value.to(device) for name, value in found.items()}


def _computed(encoder: Encoder, pixels: torch.Tensor, want: Collection[str], shown: bool) -> dict[str, torch.Tensor]:
    """Encode with fewer pictures at a time whenever the device runs out of memory, and on the CPU in the end."""
    count("pictures encoded", len(pixels))
    if encoder.load_device == CPU:
        return _encoded(encoder, pixels, None, want, shown)
    return with_less_memory(
        lambda chunk: _encoded(encoder, pixels, chunk, want, shown),
        lambda: _on_cpu(encoder, pixels, want, shown),
        is_short=comfy.model_management.is_oom,
        on_retry=partial(_tell, encoder),
    )


def _tell(encoder: Encoder, chunk: int, instead: str) -> None:
    count("out of memory while encoding")
    logging.getLogger(__name__).warning(
        "%s ran out of memory encoding %d pictures at a time: trying %s.", encoder.load_device, chunk, instead
    )


def _encoded(
    encoder: Encoder, pixels: torch.Tensor, chunk: int | None, want: Collection[str], shown: bool
) -> dict[str, torch.Tensor]:
    """Encode and show the progress on the node. Cancel stops it after the current chunk."""
    bar = comfy.utils.ProgressBar(len(pixels)) if shown else None

    def on_chunk(pictures: int) -> None:
        if bar:
            bar.update(pictures)
        comfy.model_management.throw_exception_if_processing_interrupted()

    encoder.load()
    return encoder.features(pixels, chunk, want=want, on_chunk=on_chunk)


def _on_cpu(encoder: Encoder, pixels: torch.Tensor, want: Collection[str], shown: bool) -> dict[str, torch.Tensor]:
    comfy.model_management.unload_model_and_clones(encoder.patcher)
    twin = copy.copy(encoder)
    twin.load_device = CPU
    twin.patcher = ModelPatcher(encoder.model, load_device=CPU, offload_device=CPU)
    twin.patcher.add_callback(CallbacksMP.ON_DETACH, _unpack)
    try:
        return _encoded(twin, pixels, None, want, shown)
    finally:
        _unload(twin.patcher)


def _unload(patcher: ModelPatcher) -> None:
    """Unload a model from any device. `unload_model_and_clones` handles only ComfyUI's main one."""
    others = [loaded for loaded in comfy.model_management.current_loaded_models if loaded.model is not patcher]
    comfy.model_management.free_memory(1e30, patcher.load_device, others)


def _unpack(patcher: ModelPatcher, unpatch_all: bool) -> None:
    if unpatch_all:  # otherwise it stays loaded: loading a loaded model again detaches it first
        unpack_weights(patcher.model)
