"""The only layer that knows ComfyUI: files, devices, sampling, sockets. The maths is in the two torch packages."""

from comfy_api.latest import ComfyExtension, io

from .apply import ApplyImagePrompt
from .encode import CombineImagePrompts, EncodeImagePrompt
from .host import register_folders
from .load import LoadImageEncoder, LoadImagePromptAdapter

NODES: list[type[io.ComfyNode]] = [
    LoadImageEncoder,
    LoadImagePromptAdapter,
    EncodeImagePrompt,
    CombineImagePrompts,
    ApplyImagePrompt,
]


class ImagePromptExtension(ComfyExtension):
    async def on_load(self) -> None:
        register_folders()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
