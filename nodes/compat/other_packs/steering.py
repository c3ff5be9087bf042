"""What the nodes of packs for Flux and SD3.5 have in common: how pictures are seen, and how they steer a model."""

from typing import Any

from comfy.model_patcher import ModelPatcher

from ....clip_vision import fit
from ....ip_adapter import Features, Share, Strength
from ... import input_checks
from ...applying.attach import attach, image_prompt
from ...applying.prepared import Arrangement
from ...encoding.adapter_features import checked_features
from ...encoding.encoder import Encoder, encode_pixel_values, pixel_values
from ...encoding.features import ENCODED
from ...loading.adapter import ImagePromptAdapter
from ..execute import THEIRS, names_of
from ..formulas.pictures import checked, eight_bits

ALL_ROWS = Share(rows="all")


def pictures_seen(adapter: ImagePromptAdapter, encoder: Encoder, image: Any, crop: str) -> Features:
    """What an adapter reads of pictures (N, H, W, C), whose numbers are cut down to 8 bit, not rounded.

    crop: as `clip_vision.fit` takes it
    """
    shown = eight_bits(checked(input_checks.image(image), "image"))
    pixels = pixel_values(encoder, fit(shown, encoder.image_size, crop))
    fields = [ENCODED[reads.name] for reads in adapter.module.reads]
    found = encode_pixel_values(encoder, pixels, fields)
    seen = {reads.name: found[field] for reads, field in zip(adapter.module.reads, fields, strict=True)}
    return checked_features(adapter.module, seen, "image")


def steered(
    title: str,
    model: ModelPatcher,
    adapter: ImagePromptAdapter,
    cond: Features,
    strength: Strength,
    *,
    uncond: Features | None = None,
    arrangement: Arrangement = "together",
) -> ModelPatcher:
    """A clone of the model with the pictures of these features; at a weight of 0, the same bits as without them.

    title: of the node
    uncond: what negative rows attend to; None: they attend to the references too, as `strength` says
    """
    if strength.is_nothing:
        return attach(model, [])
    nobody = {name: each[:0] for name, each in cond.items()} if uncond is None else uncond
    count = len(next(iter(cond.values())))
    prompt = image_prompt(
        model,
        adapter,
        cond,
        nobody,
        strength,
        arrangement=arrangement,
        rules=THEIRS,
        title=title,
        names=names_of(title, count),
    )
    return attach(model, [prompt])
