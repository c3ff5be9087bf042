"""The node that applies an IP-Adapter to a model."""

import time
from collections.abc import Mapping
from typing import Any

import torch
from comfy.clip_vision import Output
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ...ip_adapter import LAYER_SET_NAMES, OWN, WEIGHT_LIMIT, Course, Strength, select_layers
from .. import input_checks
from ..display import said
from ..encoding.adapter_features import negative_features, reference_features
from ..loading.wires import as_adapter
from ..sockets import CATEGORY, STEERED, AdapterInput
from .attach import attach, image_prompt, matching_sites
from .masks import Place
from .prepared import Arrangement
from .report import report

BATCHES: Mapping[str, Arrangement] = {"together": "together", "one per image": "by picture"}


class ApplyImagePrompt(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptApply",
            display_name="Apply IP-Adapter",
            category=CATEGORY,
            description="Lets reference images steer a model. Several of these nodes can be chained.",
            search_aliases=[
                "ip-adapter",
                "ipadapter",
                "image prompt",
                "apply ipadapter",
                "reference image",
                "attention mask",
                "negative",
                "style transfer",
                "style and composition",
                "weight type",
                "redux",
                "batch",
            ],
            inputs=[
                io.Model.Input("model", tooltip=STEERED),
                AdapterInput("adapter", tooltip="The IP-Adapter. It must be made for the model."),
                io.ClipVisionOutput.Input("features", tooltip="The reference images, from Encode Image Prompt."),
                io.Float.Input(
                    "weight",
                    default=1.0,
                    min=-WEIGHT_LIMIT,
                    max=WEIGHT_LIMIT,
                    step=0.05,
                    optional=True,
                    tooltip="How strongly the references act. About 0.5 leaves room for a text prompt; "
                    "0 does nothing, below 0 pushes away.",
                ),
                io.Float.Input(
                    "start",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Part of sampling at which the image prompt sets in: 0 is the first step.",
                ),
                io.Float.Input(
                    "end",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Part of sampling at which the image prompt stops: 1 is after the last step.",
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
                    default="together",
                    optional=True,
                    tooltip="What several references mean: all of them steer every picture together, or the first "
                    "steers the first picture of the batch, the second the second, and so on. The same holds for "
                    "negatives.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "layers",
                    options=list(LAYER_SET_NAMES),
                    default=LAYER_SET_NAMES[0],
                    optional=True,
                    tooltip="Which part of the reference acts: 'style' its colours and textures, 'composition' its "
                    "shapes and places, 'style and composition' those two, 'all' everything. It is chosen by the "
                    "layers of the model in which the reference acts, so the parts are not cleanly apart. Models of "
                    "which nobody knows such layers have 'all' alone.",
                ),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="The model, steered by the references.")],
            has_intermediate_output=True,
        )

    @classmethod
    def validate_inputs(cls, start: float | None = 0.0, end: float | None = 1.0) -> bool | str:
        """Check the range before the prompt is queued. Linked values are None here, and `execute` checks them."""
        return input_checks.is_range(start, end)

    @classmethod
    def execute(
        cls,
        model: ModelPatcher,
        adapter: Any,
        features: Output,
        weight: float = 1.0,
        start: float = 0.0,
        end: float = 1.0,
        mask: torch.Tensor | None = None,
        negative: Output | None = None,
        batch: str = "together",
        layers: str = LAYER_SET_NAMES[0],
    ) -> io.NodeOutput:
        started = time.perf_counter()
        input_checks.diffusion_model(model)
        adapter = as_adapter(adapter)
        input_checks.image_features(features)
        weight = input_checks.number(weight, -WEIGHT_LIMIT, WEIGHT_LIMIT, "weight")
        start, end = input_checks.part_of_sampling(start, end)
        mask = None if mask is None else input_checks.mask(mask)
        negative = None if negative is None else input_checks.image_features(negative, "negative")
        input_checks.choice(batch, list(BATCHES), "batch")
        input_checks.choice(layers, LAYER_SET_NAMES, "layers")
        matched = matching_sites(model, adapter)
        cond = reference_features(adapter.module, features)
        uncond = negative_features(adapter.module, features, negative)
        by_block = {site.block: layer for site, layer in matched.items()}
        chosen = select_layers(by_block, adapter.module.layer_sets, layers)
        strength = Strength(weight, dict.fromkeys(chosen.values(), OWN), Course(start, end))
        prompts = []
        if not strength.is_nothing:  # otherwise the same bits as without this node
            prompts = [image_prompt(model, adapter, cond, uncond, strength, Place(mask), arrangement=BATCHES[batch])]
        patched = attach(model, prompts)
        references = len(next(iter(cond.values())))
        text = report(prompts, references, len(matched), time.perf_counter() - started)
        return io.NodeOutput(patched, ui=said(text))
