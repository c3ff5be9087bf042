"""The node that applies any number of references to a model."""

import time
from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from .. import input_checks
from ..applying.attach import attach, matching_sites
from ..applying.report import report
from ..display import said
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
            search_aliases=[
                "ip-adapter",
                "ipadapter regional",
                "multiple references",
                "image prompt",
                "masks",
                "regional",
                "attention mask",
                "combine params",
                "style and composition",
            ],
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
            has_intermediate_output=True,
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
        return io.NodeOutput(patched, text, ui=said(text, cls.hidden))
