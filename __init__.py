"""Image Prompt: image encoders and IP-Adapters for ComfyUI.

Importing this file loads nothing of ComfyUI, so that pytest and tools may do it. There is no NODE_CLASS_MAPPINGS on
purpose: where it exists, even empty, ComfyUI never calls `comfy_entrypoint`.
"""

WEB_DIRECTORY = "./js"


def comfy_entrypoint():
    from .nodes import ImagePromptExtension

    return ImagePromptExtension()
