"""Apply an IP-Adapter to a model."""

from typing import cast

import torch
from comfy.clip_vision import Output
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ..ip_adapter import (
    LAYER_SET_NAMES,
    match_layers,
    select_layers,
)
from ..model_files.need import Need
from ..model_files.support import APPLIED_TO
from . import inputs
from .activity import timed
from .adapter import ImagePromptAdapter
from .library import explained
from .references import negative_features, reference_features
from .sockets import CATEGORY, Adapter
from .unet_patch import CrossAttention, Influence, bank, base_model, cross_attentions, install

BATCHES = ("together", "one per image")
WEIGHT_LIMIT = 5.0  # either way, typed in or over a link; a model cannot take much more in half precision


class ApplyImagePrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptApply",
            display_name="Apply IP-Adapter",
            category=CATEGORY,
            description="Lets reference images steer a SD1.5 or SDXL model. Several of these nodes can be chained.",
            search_aliases=["ip-adapter", "ipadapter", "image prompt", "apply ipadapter", "reference image"],
            inputs=[
                io.Model.Input("model", tooltip="A SD1.5 or SDXL model; other patches on it stay."),
                Adapter.Input("adapter", tooltip="The IP-Adapter. It must be made for the model."),
                io.ClipVisionOutput.Input("features", tooltip="The reference images, from Encode Image Prompt."),
                io.Float.Input(
                    "weight",
                    default=1.0,
                    min=-WEIGHT_LIMIT,
                    max=WEIGHT_LIMIT,
                    step=0.05,
                    tooltip="How strongly the references act. About 0.5 leaves room for a text prompt; "
                    "0 does nothing, below 0 pushes away.",
                ),
                io.Float.Input(
                    "start",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Part of sampling at which the image prompt sets in: 0 is the first step.",
                    advanced=True,
                ),
                io.Float.Input(
                    "end",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Part of sampling at which the image prompt stops: 1 is after the last step.",
                    advanced=True,
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where in the picture the references act: white fully, black not at all. "
                    "A batch of masks goes with a batch of latents.",
                ),
                io.ClipVisionOutput.Input(
                    "negative",
                    optional=True,
                    tooltip="An image to move away from. Without it, a neutral one is used.",
                ),
                io.Combo.Input(
                    "batch",
                    options=list(BATCHES),
                    default=BATCHES[0],
                    optional=True,
                    tooltip="What several references mean: all of them steer every picture together, or the first "
                    "steers the first picture of the batch, the second the second, and so on. Negatives likewise.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "layers",
                    options=list(LAYER_SET_NAMES),
                    default=LAYER_SET_NAMES[0],
                    optional=True,
                    tooltip="Which part of the reference acts: 'style' its colours and textures, 'composition' its "
                    "shapes and places, 'style and composition' those two, 'all' everything. It is chosen by the "
                    "layers of the model in which the reference acts, so the parts are not cleanly apart.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="The model, steered by the references.")],
        )

    @classmethod
    def validate_inputs(cls, start: float | None, end: float | None) -> bool | str:
        """Before the prompt is queued; linked values come as None and are checked when they are known."""
        try:
            _range(0.0 if start is None else start, 1.0 if end is None else end)
        except ValueError as error:
            return str(error)
        return True

    @classmethod
    def execute(
        cls,
        model: ModelPatcher,
        adapter: ImagePromptAdapter,
        features: Output,
        weight: float,
        start: float,
        end: float,
        mask: torch.Tensor | None = None,
        negative: Output | None = None,
        batch: str = BATCHES[0],
        layers: str = LAYER_SET_NAMES[0],
    ) -> io.NodeOutput:
        inputs.diffusion_model(model)
        inputs.expect(adapter, ImagePromptAdapter, "adapter", "connect the output of Load IP-Adapter")
        inputs.image_features(features)
        weight = inputs.number(weight, -WEIGHT_LIMIT, WEIGHT_LIMIT, "weight")
        start, end = _range(start, end)
        mask = None if mask is None else inputs.mask(mask)
        negative = None if negative is None else inputs.image_features(negative, "negative")
        inputs.choice(batch, BATCHES, "batch")
        inputs.choice(layers, LAYER_SET_NAMES, "layers")
        attentions = _attentions(model, adapter)
        cond = reference_features(adapter.module, features)
        uncond = negative_features(adapter.module, features, negative)
        heads = {attention.block: attention.heads for attention in attentions}
        matched = match_layers(list(heads), adapter.module.layer_widths)
        chosen = select_layers(matched, adapter.module.base_model, layers)
        patched = model.clone()
        if weight != 0.0 and start < end:  # else the same bits as without this node
            with timed("apply"):
                key_values = adapter.project(
                    cond,
                    uncond,
                    list(chosen.values()),
                    [heads[block] for block in chosen],
                    together=batch == BATCHES[0],
                    weight=weight,
                    dtype=_dtype(model),
                )
            kept = {block: number for number, block in enumerate(chosen)}
            install(patched, Influence(bank(key_values, model.load_device), start, end, mask), kept, heads)
        return io.NodeOutput(patched)


def _attentions(model: ModelPatcher, adapter: ImagePromptAdapter) -> list[CrossAttention]:
    """The model's cross-attentions.

    Raises:
        ValueError: the model is of another architecture or base than the adapter.
    """
    attentions = cross_attentions(model.get_model_object("diffusion_model"))
    given = base_model(model)
    base = adapter.module.base_model
    if not attentions or given not in APPLIED_TO:
        raise ValueError(
            f"{adapter.name} is an IP-Adapter for {base}, the model is {given}: here IP-Adapters are applied to "
            f"{', '.join(APPLIED_TO)} models, and there is none for {given}. Connect a {base} model."
        )
    if given != base:
        wrong = f"{adapter.name} is an IP-Adapter for {base}, the model is {given}: use one made for {given}."
        raise explained(ValueError(wrong), Need("adapter", family=adapter.module.family.id, base_model=given))
    return attentions


def _dtype(model: ModelPatcher) -> torch.dtype:
    dtype = model.get_model_object("manual_cast_dtype")
    return cast(torch.dtype, dtype or model.model_dtype())


def _range(start: float, end: float) -> tuple[float, float]:
    start, end = inputs.number(start, 0.0, 1.0, "start"), inputs.number(end, 0.0, 1.0, "end")
    if start > end:
        raise ValueError(f"start {start} lies after end {end}: start must not be greater than end.")
    return start, end
