"""The nodes, and the only code that imports ComfyUI. The maths is in `clip_vision` and `ip_adapter`."""

from comfy_api.latest import ComfyExtension, io

from .apply import ApplyImagePrompt
from .encode import CombineImagePrompts, EncodeImagePrompt
from .folders import register_folders
from .load import LoadImageEncoder, LoadImagePromptAdapter
from .models import LoadImagePromptModels, ModelPathsReport
from .routes import register_routes

NODES: list[type[io.ComfyNode]] = [
    LoadImagePromptModels,
    LoadImageEncoder,
    LoadImagePromptAdapter,
    EncodeImagePrompt,
    CombineImagePrompts,
    ApplyImagePrompt,
    ModelPathsReport,
]


class ImagePromptExtension(ComfyExtension):
    """The extension that ComfyUI loads: it lists the nodes, and registers folders and routes at the start."""

    async def on_load(self) -> None:
        register_folders()
        register_routes()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
