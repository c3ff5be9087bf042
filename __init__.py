"""Image Prompt: image encoders and IP-Adapters for ComfyUI.

Importing this file imports nothing of ComfyUI, so that pytest and tools can import it. NODE_CLASS_MAPPINGS is left out
on purpose: if it exists, even empty, ComfyUI never calls `comfy_entrypoint`.
"""

import re

WEB_DIRECTORY = "./js"
OLDEST = (0, 24, 0)  # the ComfyUI whose samplers, folders and sockets the nodes use


def comfy_entrypoint():
    refuse_old_comfyui()
    from .nodes import ImagePromptExtension

    return ImagePromptExtension()


def refuse_old_comfyui() -> None:
    """RuntimeError if ComfyUI is too old. ComfyUI logs its text alone, without a traceback."""
    try:
        from comfyui_version import __version__ as version
    except ImportError:  # not started by ComfyUI's own main.py, so the version is not known
        return
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    if numbers < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise RuntimeError(f"Image Prompt needs ComfyUI {oldest} or newer, and this is {version}. Update ComfyUI.")
