"""Bad inputs of nodes that load models."""

import torch

from image_prompt.nodes.loading.load import LoadImageEncoder as LoadEncoder
from image_prompt.nodes.loading.load import LoadImagePromptAdapter as LoadAdapter
from image_prompt.nodes.loading.models import LoadImagePromptModels as LoadModels

from ..row import LIST, MODELS, NOTHING, TEXT, Bad

ROWS = (
    Bad(LoadEncoder, {"encoder_name": "x.safetensors"}, "x.safetensors is not in models/clip_vision: choose a file"),
    Bad(
        LoadEncoder, {"encoder_name": NOTHING}, "The encoder is nothing: give the name of a file in models/clip_vision"
    ),
    Bad(LoadEncoder, {"dtype": "fp8"}, "The input dtype is the text 'fp8': choose one of auto, fp32, bf16, fp16"),
    Bad(
        LoadEncoder,
        {"variant": torch.zeros(2)},
        r"The input variant is a tensor of shape \(2,\): choose one of auto, CLIP",
    ),
    Bad(
        LoadEncoder,
        {"image_size": 44},
        "^tiny.safetensors: Pictures of 44 pixels are no whole .* give 40 or 48, or leave it at its own 32.$",
    ),
    Bad(
        LoadEncoder,
        {"image_size": 40.5},
        "^tiny.safetensors: Pictures of 40.5 pixels: give a whole number from 8 to 2048",
    ),
    Bad(
        LoadEncoder,
        {"image_size": torch.zeros(2)},
        r"The image_size is a tensor of shape \(2,\): it must be a number between 0",
    ),
    Bad(LoadAdapter, {"adapter_name": LIST}, "The adapter is a list of 2: give the name of a file in models/ipadapter"),
    Bad(LoadModels, {"model": TEXT}, f"The model is the text 'a word': connect a {MODELS} model"),
    Bad(LoadModels, {"purpose": "faces"}, "The input purpose is the text 'faces': choose one of auto, plus, standard"),
)
