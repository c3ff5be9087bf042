"""The node that lets nodes of IPAdapter_plus, InstantID and PuLID act in the middle block, as they did until 2024."""

from typing import Any

from comfy_api.latest import io

from .. import input_checks
from ..loading.wires import with_middle
from .node import FIRST_PACK, subcategory

IPAdapter = io.Custom("IPADAPTER,INSTANTID,PULID")


class IPAdapterMiddleBlock(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptMiddleBlock",
            display_name="IPAdapter Middle Block",
            category=subcategory(FIRST_PACK),
            description="For graphs from before 13 September 2024: until then the nodes of IPAdapter_plus, InstantID "
            "and PuLID also acted in the middle block of the model, and since then they leave it out. Put it behind "
            "the loader. In new graphs use Apply IP-Adapter, which acts in the middle block.",
            search_aliases=["ipadapter middle block", "ipadapter 2023", "old ipadapter"],
            inputs=[
                IPAdapter.Input("ipadapter", tooltip="The output of a loader for IPAdapter, InstantID or PuLID."),
                io.Boolean.Input(
                    "on",
                    default=True,
                    optional=True,
                    tooltip="Whether the nodes behind this one act in the middle block too.",
                ),
            ],
            outputs=[IPAdapter.Output(display_name="ipadapter", tooltip="The same adapter, with this said.")],
        )

    @classmethod
    def execute(cls, ipadapter: Any, on: bool = True) -> io.NodeOutput:
        return io.NodeOutput(with_middle(ipadapter, input_checks.switch(on, "on")))
