"""The socket type and the category that several nodes share."""

from comfy_api.latest import io

CATEGORY = "image prompt"

Adapter = io.Custom("IMAGE_PROMPT_ADAPTER")
