"""The image encoder that an adapter reads, also where a workflow or a program has connected another one."""

import logging
import weakref
from typing import Any

from ...clip_vision import PRESETS
from ...ip_adapter import ENCODERS, IPAdapter, encoder_name
from ...ip_adapter.features import GIVEN
from ...model_files.index import encoder_word
from ...model_files.matching import named
from ..encoding.encoder import CoreEncoder, Encoder, ImageEncoder, as_encoder
from ..loading.adapter import ImagePromptAdapter
from ..loading.load import load_encoder
from ..loading.model_library import encoder_need, look_for, unresolved
from ..loading.wires import IPADAPTER_ADVICE, as_adapter, encoder_of
from ..remedies import listed

# encoders that were taken from the disk, for as long as the adapters that read them: nothing else holds them
_taken: "weakref.WeakKeyDictionary[ImagePromptAdapter, Encoder]" = weakref.WeakKeyDictionary()


def encoder_for(ipadapter: Any, wired: Any = None) -> Encoder:
    """The encoder that an adapter reads: the one that is connected if it is of that kind, else one from the disk.

    ipadapter: what an IPADAPTER wire carries, or our adapter
    wired: what a CLIP_VISION wire carries; None: what comes with the adapter

    Raises:
        ValueError: it is no encoder, or the right one is not on the disk either. The message says which to get.
    """
    adapter = as_adapter(ipadapter, "ipadapter", IPADAPTER_ADVICE)
    given = encoder_of(ipadapter) if wired is None else wired
    reads = adapter.module.encoder_name
    if given is None:
        return _from_disk(adapter, f"{adapter.name} reads {reads}: connect that encoder to clip_vision.")
    encoder = as_encoder(given)
    if fits(adapter.module, encoder):
        return encoder
    wrong = f"The clip_vision is {described(encoder)}, and {adapter.name} reads {reads}"
    return _from_disk(adapter, f"{wrong}: connect that encoder.", wrong)


def fits(adapter: IPAdapter, encoder: Encoder) -> bool:
    """Whether an encoder is what an adapter reads: by its name if that is known, else by its sizes."""
    wanted, given, needed = adapter.encoder_name, _widths(encoder), _needed(adapter)
    if encoder.name in {preset.name for preset in PRESETS} and wanted in ENCODERS.values():
        return encoder_word(encoder.name) == wanted and all(given[feature] for feature, _ in needed)
    sizes = {preset.image_size for preset in PRESETS if encoder_word(preset.name) == wanted}
    as_wide = all(given[feature] == width for feature, width in needed)
    chosen = isinstance(encoder, ImageEncoder) and encoder.chosen_size
    return as_wide and (chosen or not sizes or encoder.image_size in sizes)


def _needed(adapter: IPAdapter) -> list[tuple[str, int]]:
    """The features that an adapter reads of an encoder, with their widths."""
    every = zip(adapter.reads, adapter.feature_widths, strict=True)
    return [(GIVEN.get(reads.name, reads.name), width) for reads, width in every if reads.encoder_name(width)]


def described(encoder: Encoder) -> str:
    """The name of an encoder; for one that core loaded, what its sizes say."""
    if encoder.name:
        return encoder.name
    widths = _widths(encoder)
    feature = "image_embeds" if widths["image_embeds"] else "penultimate"
    return f"{encoder_name(feature, widths[feature])} for pictures of {encoder.image_size} pixels"


def _widths(encoder: Encoder) -> dict[str, int]:
    """How wide the features of an encoder are, by their names; 0 if it does not give one."""
    if isinstance(encoder, ImageEncoder):
        config = encoder.model.config
        embeds = config.projection or config.width if encoder.model.gives("image_embeds") else 0
        return {"penultimate": config.width, "last": config.width, "image_embeds": embeds}
    return _widths_of_core(encoder)


def _widths_of_core(encoder: CoreEncoder) -> dict[str, int]:
    width = len(encoder.model.vision_model.post_layernorm.weight)
    projection = getattr(encoder.model.visual_projection, "weight", None)  # a function where there is none
    return {"penultimate": width, "last": width, "image_embeds": width if projection is None else len(projection)}


def _from_disk(adapter: ImagePromptAdapter, advice: str, wrong: str = "") -> Encoder:
    """An encoder of the right kind from the disk. wrong: what is logged if it takes the place of another one"""
    resolution = look_for(encoder_need(adapter.module))
    if resolution.found is None:
        raise unresolved(resolution, advice)
    encoder = _taken[adapter] = load_encoder(listed(resolution.found))
    if wrong:
        logging.getLogger(__name__).warning("%s: %s is used instead.", wrong, named(resolution.found))
    return encoder
