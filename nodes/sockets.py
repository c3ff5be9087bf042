"""The socket types and the category that several nodes share."""

from comfy_api.latest import io

CATEGORY = "image prompt"

Adapter = io.Custom("IMAGE_PROMPT_ADAPTER")
LayerWeightsType = io.Custom("IMAGE_PROMPT_LAYER_WEIGHTS")
