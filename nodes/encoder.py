"""Image encoders in ComfyUI's hands: ours, and those that core loaded. S: side of the picture that one reads."""

import copy
import logging
import weakref
from typing import Any

import comfy.clip_vision
import comfy.model_management
import comfy.model_patcher
import comfy.ops
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
from .host import ENCODERS, listed_name, read_tensors

CHUNKS = (8, 2, 1)  # pictures a forward pass: more are no faster on a CPU; fewer where memory runs out
CPU = torch.device("cpu")
CORE_TYPES = ("clip_vision_model", "siglip_vision_model")  # not those without hidden states or on a free grid
WANTED = {"image_embeds": "image_embeds", "last": "last_hidden_state", "penultimate": "penultimate_hidden_states"}


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
        self._want = [name for name in WANTED if has_embeds or name != "image_embeds"]
        self.patcher = comfy.model_patcher.CoreModelPatcher(
            module, load_device=load_device, offload_device=comfy.model_management.text_encoder_offload_device()
        )
        self.patcher.add_callback(CallbacksMP.ON_DETACH, _unpack)

    @classmethod
    def from_file(cls, path: str, variant: str = "auto", dtype: torch.dtype | None = None) -> "ImageEncoder":
        tensors, metadata = read_tensors(path)
        device = comfy.model_management.text_encoder_device()
        name = listed_name(ENCODERS, path)  # its folders may say what a model.safetensors is
        ops, dtype = comfy.ops.disable_weight_init, dtype or best_dtype(device)
        try:
            module = load_encoder(tensors, variant=variant, metadata=metadata, name=name, ops=ops, dtype=dtype)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        return cls(module, device)

    def get_models(self) -> list[ModelPatcher]:
        return [self.patcher]

    def is_dynamic(self) -> bool:
        return self.patcher.is_dynamic()

    def get_sd(self) -> dict[str, torch.Tensor]:
        return to_transformers(self.model)

    def encode_image(self, image: torch.Tensor, crop: bool = True) -> ImageFeatures:
        """Core's call: (B, H, W, 3) in 0..1, cropped to the centre or squashed to a square."""
        picture = seen(self, image, "center" if crop else "squash")
        return encode_picture(self, picture, every_layer=self.model.config.kind == "siglip")  # USOStyleReference's

    def load(self) -> None:
        comfy.model_management.load_models_gpu([self.patcher])
        if self.load_device.type == "cpu":
            pack_weights(self.model)

    def features(self, pixel_values: torch.Tensor, chunk: int, every_layer: bool = False) -> dict[str, torch.Tensor]:
        """Core's names for what the encoder can give of (B, 3, S, S), `chunk` at a time; every layer's output is
        (B, layers, N, W).
        """
        layers = range(1, self.model.config.depth + 1) if every_layer else ()
        found = encode_pixels(self.model, pixel_values, want=self._want, hidden_layers=layers, chunk_size=chunk)
        fields = {WANTED[name]: found.select(name) for name in self._want}
        if found.hidden:
            fields["all_hidden_states"] = torch.stack([found.hidden[number] for number in layers], dim=1)
        return fields


class CoreEncoder:
    """The same on an encoder that core loaded."""

    def __init__(self, clip_vision: comfy.clip_vision.ClipVisionModel):
        self.model = clip_vision.model
        self.name = ""  # core does not keep what it loaded
        self.load_device = clip_vision.load_device
        self.image_size, self.image_mean, self.image_std = (
            clip_vision.image_size,
            clip_vision.image_mean,
            clip_vision.image_std,
        )
        self.patcher = clip_vision.patcher

    def load(self) -> None:
        comfy.model_management.load_models_gpu([self.patcher])

    def features(self, pixel_values: torch.Tensor, chunk: int) -> dict[str, torch.Tensor]:
        parts: list[tuple[torch.Tensor, ...]] = []
        for pixels in pixel_values.to(self.load_device).split(chunk):
            last, penultimate, embeds = self.model(pixel_values=pixels, intermediate_output=-2)[:3]
            parts.append((embeds, last, penultimate))
        return {name: torch.cat(found).float() for name, found in zip(FIELDS, zip(*parts)) if found[0] is not None}


Encoder = ImageEncoder | CoreEncoder

_negatives: weakref.WeakKeyDictionary[torch.nn.Module, torch.Tensor] = weakref.WeakKeyDictionary()


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


def seen(
    encoder: Encoder, image: torch.Tensor, crop: str, background: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> torch.Tensor:
    """The picture that the encoder gets, (B, S, S, 3) in 0..1."""
    return fit(inputs.image(image), encoder.image_size, crop=crop, background=background)


def encode_picture(encoder: Encoder, picture: torch.Tensor, **options: bool) -> ImageFeatures:
    """Features of what `seen` made. One pass encodes the empty picture as well, the first time an encoder is used."""
    pixels = normalise(picture, encoder.image_mean, encoder.image_std)  # (B, 3, S, S)
    negative = _negatives.get(encoder.model)
    if negative is None:
        pixels = torch.cat([pixels, torch.zeros_like(pixels[:1])])
    device = comfy.model_management.intermediate_device()
    fields = {name: value.to(device) for name, value in _features(encoder, pixels, **options).items()}
    if negative is None:
        negative = _negatives[encoder.model] = fields["penultimate_hidden_states"][-1:].clone()
        fields = {name: value[:-1] for name, value in fields.items()}
    return ImageFeatures(
        negative_penultimate=negative, encoder=encoder.name, image_sizes=[pixels.shape[1:]] * len(picture), **fields
    )


def _features(encoder: Encoder, pixels: torch.Tensor, **options: bool) -> dict[str, torch.Tensor]:
    """A device whose memory runs out gets fewer pictures at a time; in the end the CPU encodes them."""
    for chunk in CHUNKS:
        try:
            encoder.load()
            return encoder.features(pixels, chunk, **options)
        except Exception as error:
            comfy.model_management.raise_non_oom(error)
            if encoder.load_device == CPU:
                raise
        count("out of memory while encoding")
        logging.getLogger(__name__).warning(
            "%s ran out of memory encoding %d pictures at a time: trying %s.",
            encoder.load_device,
            chunk,
            "fewer" if chunk > CHUNKS[-1] else "the CPU",
        )
    return _on_cpu(encoder, pixels, **options)


def _on_cpu(encoder: Encoder, pixels: torch.Tensor, **options: bool) -> dict[str, torch.Tensor]:
    comfy.model_management.unload_model_and_clones(encoder.patcher)
    twin = copy.copy(encoder)
    twin.load_device = CPU
    twin.patcher = ModelPatcher(encoder.model, load_device=CPU, offload_device=CPU)
    twin.patcher.add_callback(CallbacksMP.ON_DETACH, _unpack)
    twin.load()
    try:
        return twin.features(pixels, CHUNKS[0], **options)
    finally:
        _unload(twin.patcher)


def _unload(patcher: ModelPatcher) -> None:
    """Also from a device that is not ComfyUI's main one, at which `unload_model_and_clones` stops."""
    others = [loaded for loaded in comfy.model_management.current_loaded_models if loaded.model is not patcher]
    comfy.model_management.free_memory(1e30, patcher.load_device, others)


def _unpack(patcher: ModelPatcher, unpatch_all: bool) -> None:
    if unpatch_all:  # else it stays loaded: every load of a loaded model detaches it first
        unpack_weights(patcher.model)
