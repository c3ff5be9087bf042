"""The node that attaches references to a conditioning, so that they act for this prompt or area alone."""

import time
from collections.abc import Sequence
from typing import Any

import node_helpers
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ...ip_adapter import Side
from .. import input_checks
from ..applying.attach import attach_to_conditions, matching_sites
from ..applying.image_prompt import ImagePrompt
from ..applying.report import report
from ..applying.sampling import CARRIED
from ..display import said
from ..loading.wires import as_adapter
from ..sockets import CATEGORY, AdapterInput
from .references import check_sockets, image_prompts, inputs, read_references

NO_NEGATIVE = ExecutionBlocker(
    "Image Prompt to Conditioning gives a negative only if it is given one: connect its input negative, or use the "
    "negative prompt as it is."
)


class ReferencesToConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptConditioning",
            display_name="Image Prompt to Conditioning",
            category=CATEGORY,
            description="Lets references act for one conditioning alone: one area of the picture, the positive or the "
            "negative prompt. Sample with the model that comes out.",
            search_aliases=[
                "ip-adapter regional conditioning",
                "area reference",
                "image prompt conditioning",
                "regional",
                "attention mask",
            ],
            inputs=[
                io.Model.Input("model", tooltip="The model to sample with. Several of these nodes can share one."),
                AdapterInput("adapter", tooltip="The IP-Adapter. It must be made for the model."),
                io.Conditioning.Input("conditioning", tooltip="Where the references act, positive or negative."),
                *inputs(),
                io.Conditioning.Input(
                    "negative",
                    optional=True,
                    tooltip="The negative prompt of the same sampler. It is given the negative images, as Apply does. "
                    "Areas do not need it: ComfyUI gives the negative prompt the same areas.",
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The model, in which conditionings carry references."),
                io.Conditioning.Output(display_name="conditioning", tooltip="The conditioning with the references."),
                io.Conditioning.Output(display_name="negative", tooltip="The negative prompt, if one is given."),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        model: ModelPatcher,
        adapter: Any,
        conditioning: list[Any],
        references: dict[str, Any],
        joining: str = "one softmax each",
        overlap: str = "add",
        negative: list[Any] | None = None,
        **unknown: Any,
    ) -> io.NodeOutput:
        check_sockets(unknown)
        started = time.perf_counter()
        input_checks.diffusion_model(model)
        adapter = as_adapter(adapter)
        input_checks.conditioning(conditioning, "conditioning")
        acting = read_references(references, joining, overlap)
        prompts = [each for each in image_prompts(model, adapter, acting, joining) if not each.strength.is_nothing]
        if negative is not None:
            input_checks.conditioning(negative, "negative")
        layers = len(matching_sites(model, adapter))
        if not prompts:  # the same bits as without this node
            ui = said(report([], 0, layers, 0.0))
            return io.NodeOutput(model.clone(), conditioning, negative or NO_NEGATIVE, ui=ui)
        other = carrying(negative, prompts, "uncond") if negative else NO_NEGATIVE
        patched, carried = attach_to_conditions(model, prompts), carrying(conditioning, prompts, "cond")
        ui = said(report(prompts, len(acting), layers, time.perf_counter() - started))
        return io.NodeOutput(patched, carried, other, ui=ui)


def carrying(conditioning: list[Any], prompts: Sequence[ImagePrompt], side: Side) -> list[Any]:
    """A conditioning that carries image prompts, besides those that it carried before.

    side: whether its rows attend to the references or to the negative images
    """
    values = {CARRIED: [(prompt, side) for prompt in prompts], "additional_models": _models(prompts)}
    for key, added in values.items():
        conditioning = node_helpers.conditioning_set_values(conditioning, {key: added}, append=True)
    return conditioning


def _models(prompts: Sequence[ImagePrompt]) -> list[ModelPatcher]:
    return [patcher for prompt in prompts for patcher in prompt.models()]
