"""Image encoders in ComfyUI's hands: ours, and those that core loaded. S: side of the picture that one reads."""

import copy
import logging
import weakref
from collections.abc import Callable, Collection
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

from ..clip_vision import (
    VisionEncoder,
    best_dtype,
    encode_pixels,
    fit,
    load_encoder,
    pack_weights,
    to_transformers,
    unpack_weights,
)
from ..clip_vision.preprocess import normalise
from . import inputs
from .activity import count
from .features import FIELDS, ImageFeatures
from .host import ENCODERS, listed_name, weights_of

CHUNKS = (8, 2, 1)  # pictures a forward pass, fewer where memory runs out; the CPU knows how many are fast
CPU = torch.device("cpu")
CORE_TYPES = ("clip_vision_model", "siglip_vision_model")  # not those without hidden states or on a free grid
FEATURES = {field: feature for feature, field in FIELDS.items()}
EVERY_LAYER = "all_hidden_states"  # core's name; (B, layers, N, W)

DTYPES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}  # as the loader calls them

OnChunk = Callable[[int], object]  # is told the number of pictures that were encoded


class ImageEncoder:
    """What the CLIP_VISION socket carries. Core nodes use it like their own `comfy.clip_vision.ClipVisionModel`."""

    def __init__(self, module: VisionEncoder, load_device: torch.device):
        config = module.config
        self.model = module
        self.name = config.name
        self.dtype = module.dtype
        self.load_device = load_device
        self.image_size, self.image_mean, self.image_std = config.image_size, list(config.mean), list(config.std)
        self.config = {"model_type": f"{config.kind}_vision_model", "image_size": config.image_size}
        has_embeds = config.projection is not None or config.pooling_head
        self.fields = tuple(name for name in FEATURES if has_embeds or name != "image_embeds")
        self.patcher = comfy.model_patcher.CoreModelPatcher(
            module, load_device=load_device, offload_device=comfy.model_management.text_encoder_offload_device()
        )
        self.patcher.add_callback(CallbacksMP.ON_DETACH, _unpack)

    @classmethod
    def from_file(cls, path: str, variant: str = "auto", dtype: torch.dtype | None = None) -> "ImageEncoder":
        device = comfy.model_management.text_encoder_device()
        name = listed_name(ENCODERS, path)  # its folders may say what a model.safetensors is
        dtype = dtype or best_dtype(device)
        with weights_of(path, name) as weights:
            module = load_encoder(
                weights.tensors,
                read=partial(weights.read, dtype=dtype),
                variant=variant,
                metadata=weights.metadata,
                name=name,
                ops=comfy.ops.disable_weight_init,
                dtype=dtype,
            )
        return cls(module, device)

    @property
    def summary(self) -> str:
        """What was loaded, and how it is computed."""
        return f"{self.name}, {DTYPES[self.dtype]}, {self.load_device.type}"

    def get_models(self) -> list[ModelPatcher]:
        return [self.patcher]

    def is_dynamic(self) -> bool:
        return self.patcher.is_dynamic()

    def get_sd(self) -> dict[str, torch.Tensor]:
        return to_transformers(self.model)

    def encode_image(self, image: torch.Tensor, crop: bool = True) -> ImageFeatures:
        """Core's call: (B, H, W, 3) in 0..1, cropped to the centre or squashed to a square."""
        every_layer = (EVERY_LAYER,) if self.model.config.kind == "siglip" else ()  # USOStyleReference reads them
        return encode_picture(
            self, square_view(self, image, "center" if crop else "squash"), (*self.fields, *every_layer)
        )

    def load(self) -> None:
        comfy.model_management.load_models_gpu([self.patcher])
        if self.load_device.type == "cpu":
            pack_weights(self.model)

    def features(
        self, pixel_values: torch.Tensor, chunk: int | None, want: Collection[str], on_chunk: OnChunk
    ) -> dict[str, torch.Tensor]:
        """The fields of core's that `want` names, of (B, 3, S, S) pictures, `chunk` at a time."""
        layers = range(1, self.model.config.depth + 1) if EVERY_LAYER in want else ()
        features = [FEATURES[field] for field in want if field in FEATURES]
        found = encode_pixels(
            self.model, pixel_values, want=features, hidden_layers=layers, chunk_size=chunk, on_chunk=on_chunk
        )
        fields = {field: found.select(FEATURES[field]) for field in want if field in FEATURES}
        if found.hidden:
            fields[EVERY_LAYER] = torch.stack([found.hidden[number] for number in layers], dim=1)
            fields["penultimate_hidden_states"] = fields[EVERY_LAYER][:, -2]  # held once, as core does
        return fields


class CoreEncoder:
    """The same on an encoder that core loaded."""

    def __init__(self, clip_vision: comfy.clip_vision.ClipVisionModel):
        self.model = clip_vision.model
        self.name = ""  # core does not keep what it loaded
        self.fields = tuple(FEATURES)
        self.load_device = clip_vision.load_device
        self.image_size, self.image_mean, self.image_std = (
            clip_vision.image_size,
            clip_vision.image_mean,
            clip_vision.image_std,
        )
        self.patcher = clip_vision.patcher

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

# By encoder and field: what it makes of an empty picture.
_negatives: weakref.WeakKeyDictionary[torch.nn.Module, dict[str, torch.Tensor]] = weakref.WeakKeyDictionary()


def as_encoder(clip_vision: Any) -> Encoder:
    """Whatever a CLIP_VISION socket brought. ValueError if it is no image encoder that can be used here."""
    if isinstance(clip_vision, ImageEncoder):
        return clip_vision
    if isinstance(clip_vision, comfy.clip_vision.ClipVisionModel) and clip_vision.model_type in CORE_TYPES:
        return CoreEncoder(clip_vision)
    inputs.expect(clip_vision, comfy.clip_vision.ClipVisionModel, "clip_vision", "connect Load Image Encoder")
    raise ValueError(
        f"The clip_vision is a {clip_vision.model_type} encoder, which cannot encode image prompts: load a CLIP or "
        "SigLIP encoder with Load Image Encoder."
    )


def square_view(
    encoder: Encoder, image: torch.Tensor, crop: str, background: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> torch.Tensor:
    """The picture that the encoder gets, (B, S, S, 3) in 0..1."""
    return fit(inputs.image(image), encoder.image_size, crop=crop, background=background)


def encode_picture(encoder: Encoder, picture: torch.Tensor, want: Collection[str] = ()) -> ImageFeatures:
    """Features of what `square_view` made: the fields of core's that `want` names, or all that an encoder gives."""
    pixels = _pixel_values(encoder, picture)
    fields: dict[str, Any] = _features(encoder, pixels, want or encoder.fields)
    return ImageFeatures(
        negative_penultimate=EmptyPicture(encoder, "penultimate_hidden_states", _zero_pixels),
        negative_image_embeds=EmptyPicture(encoder, "image_embeds", _black_pixels)
        if "image_embeds" in encoder.fields
        else None,
        encoder=encoder.name,
        image_sizes=[pixels.shape[1:]] * len(pixels),
        **fields,
    )


class EmptyPicture:
    """A field of what an encoder makes of an empty picture, (1, ...), encoded when called.

    Few adapters read it, and an encoder has to encode it once.
    """

    def __init__(self, encoder: Encoder, field: str, pixel_values: Callable[[Encoder], torch.Tensor]):
        self.encoder = encoder
        self.field = field
        self.pixel_values = pixel_values
        self.patcher = encoder.patcher

    def __reduce__(self) -> tuple[Callable[..., torch.Tensor], tuple[torch.Tensor]]:
        """Copied and saved as what it makes: features that leave the workflow leave their encoder behind."""
        return torch.clone, (self(),)

    def __call__(self) -> torch.Tensor:
        known = _negatives.setdefault(self.encoder.model, {})
        if self.field not in known:
            known |= _features(self.encoder, self.pixel_values(self.encoder), (self.field,))
        return known[self.field]


def _zero_pixels(encoder: Encoder) -> torch.Tensor:
    """Zero after normalisation: a picture of the mean colour."""
    return torch.zeros(1, 3, encoder.image_size, encoder.image_size)


def _black_pixels(encoder: Encoder) -> torch.Tensor:
    return _pixel_values(encoder, torch.zeros(1, encoder.image_size, encoder.image_size, 3))


def _pixel_values(encoder: Encoder, picture: torch.Tensor) -> torch.Tensor:
    """(B, S, S, 3) in 0..1 -> (B, 3, S, S)."""
    mean, std = ((r, g, b) for r, g, b in (encoder.image_mean, encoder.image_std))  # lists in core's encoders
    return normalise(picture, mean, std)


def _features(encoder: Encoder, pixels: torch.Tensor, want: Collection[str]) -> dict[str, torch.Tensor]:
    device = comfy.model_management.intermediate_device()
    return {name: value.to(device) for name, value in _computed(encoder, pixels, want).items()}


def _computed(encoder: Encoder, pixels: torch.Tensor, want: Collection[str]) -> dict[str, torch.Tensor]:
    """A device whose memory runs out gets fewer pictures at a time; in the end the CPU encodes them."""
    if encoder.load_device == CPU:
        return _encoded(encoder, pixels, None, want)
    for chunk in CHUNKS:
        try:
            return _encoded(encoder, pixels, chunk, want)
        except Exception as error:
            comfy.model_management.raise_non_oom(error)
        count("out of memory while encoding")
        logging.getLogger(__name__).warning(
            "%s ran out of memory encoding %d pictures at a time: trying %s.",
            encoder.load_device,
            chunk,
            "fewer" if chunk > CHUNKS[-1] else "the CPU",
        )
    return _on_cpu(encoder, pixels, want)


def _encoded(
    encoder: Encoder, pixels: torch.Tensor, chunk: int | None, want: Collection[str]
) -> dict[str, torch.Tensor]:
    """With progress on the node; Cancel ends it after the chunk that is being encoded."""
    bar = comfy.utils.ProgressBar(len(pixels))

    def on_chunk(pictures: int) -> None:
        bar.update(pictures)
        comfy.model_management.throw_exception_if_processing_interrupted()

    encoder.load()
    return encoder.features(pixels, chunk, want=want, on_chunk=on_chunk)


def _on_cpu(encoder: Encoder, pixels: torch.Tensor, want: Collection[str]) -> dict[str, torch.Tensor]:
    comfy.model_management.unload_model_and_clones(encoder.patcher)
    twin = copy.copy(encoder)
    twin.load_device = CPU
    twin.patcher = ModelPatcher(encoder.model, load_device=CPU, offload_device=CPU)
    twin.patcher.add_callback(CallbacksMP.ON_DETACH, _unpack)
    try:
        return _encoded(twin, pixels, None, want)
    finally:
        _unload(twin.patcher)


def _unload(patcher: ModelPatcher) -> None:
    """Also from a device that is not ComfyUI's main one, at which `unload_model_and_clones` stops."""
    others = [loaded for loaded in comfy.model_management.current_loaded_models if loaded.model is not patcher]
    comfy.model_management.free_memory(1e30, patcher.load_device, others)


def _unpack(patcher: ModelPatcher, unpatch_all: bool) -> None:
    if unpatch_all:  # else it stays loaded: every load of a loaded model detaches it first
        unpack_weights(patcher.model)
