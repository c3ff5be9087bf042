"""The only layer that knows ComfyUI: files, devices, sampling, sockets. The maths is in the two torch packages."""

from comfy_api.latest import ComfyExtension, io

from .apply import ApplyImagePrompt
from .encode import CombineImagePrompts, EncodeImagePrompt
from .host import register_folders
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
    async def on_load(self) -> None:
        register_folders()
        register_routes()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
