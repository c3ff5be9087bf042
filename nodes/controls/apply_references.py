"""The node that applies any number of references to a model."""

import time
from collections.abc import Sequence
from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from .. import input_checks
from ..applying.attach import attach, matching_sites
from ..applying.image_prompt import ImagePrompt
from ..display import show
from ..loading.wires import as_adapter
from ..sockets import CATEGORY, STEERED, AdapterInput
from .references import check_sockets, image_prompts, inputs, read_references


class ApplyReferences(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptApplyReferences",
            display_name="Apply References (IP-Adapter)",
            category=CATEGORY,
            description="Lets any number of references steer a model, each with its own weight, mask, layers and "
            "steps. The node says what it did.",
            search_aliases=["ip-adapter", "ipadapter regional", "multiple references", "image prompt", "masks"],
            inputs=[
                io.Model.Input("model", tooltip=STEERED),
                AdapterInput("adapter", tooltip="The IP-Adapter. It must be made for the model."),
                *inputs(),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The model, steered by the references."),
                io.String.Output(display_name="report", tooltip="What was done: tokens, layers, memory and time."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: ModelPatcher,
        adapter: Any,
        references: dict[str, Any],
        joining: str = "one softmax each",
        overlap: str = "add",
        **unknown: Any,
    ) -> io.NodeOutput:
        check_sockets(unknown)
        started = time.perf_counter()
        input_checks.diffusion_model(model)
        adapter = as_adapter(adapter)
        acting = read_references(references, joining, overlap)
        prompts = image_prompts(model, adapter, acting, joining)
        patched = attach(model, prompts)
        layers = len(matching_sites(model, adapter))
        text = report(prompts, len(acting), layers, time.perf_counter() - started)
        show(text, getattr(cls.hidden, "unique_id", None))
        return io.NodeOutput(patched, text)


def report(prompts: Sequence[ImagePrompt], references: int, layers: int, seconds: float) -> str:
    """What image prompts of references do to a model, in two lines.

    layers: how many layers the model has in which they may act
    """
    acting = [prompt for prompt in prompts if not prompt.strength.is_nothing]
    if not acting:
        return "No reference acts.\nThe model is as it was."
    tokens = sum(prompt.tokens for prompt in acting)
    touched = {site for prompt in acting for site in prompt.layers}
    kept = {id(patcher): patcher for prompt in acting for patcher in prompt.models()}
    size = sum(patcher.model_size() for patcher in kept.values()) / 2**20
    what = "1 reference" if references == 1 else f"{references} references"
    return f"{what}, {tokens} tokens\n{len(touched)} of {layers} layers, {size:.1f} MB, {seconds * 1000:.0f} ms"
