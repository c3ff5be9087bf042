"""Which weights an encoder has, in a few characters that its copies in other number formats share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ..config import VisionConfig
from ..network.model import VisionEncoder
from .steps import Step

BITS = 64


def fingerprint(encoder: VisionEncoder) -> str:
    """16 hexadecimal digits that tell encoders apart of which the last step into the space has other weights.

    They are the signs of 64 evenly spaced numbers of the matrix that makes this step, so that copies of a file in fp32,
    fp16 and bf16 have the same.
    """
    return signs(encoder.get_submodule(_last_matrix(encoder.config)).state_dict()["weight"])


def fingerprint_in_file(config: VisionConfig, steps: list[Step], read: Callable[[str], Tensor]) -> str:
    """The same of the image encoder that these steps would make, of which only this matrix is read."""
    name = f"{_last_matrix(config)}.weight"
    step = next(step for step in steps if name in step.names)
    made: Mapping[str, Tensor] = step.run(read(key) for key in step.keys)
    return signs(made[name])


def signs(matrix: Tensor) -> str:
    """The signs of 64 evenly spaced numbers of a matrix, as 16 hexadecimal digits."""
    places = torch.arange(BITS) * matrix.numel() // BITS
    numbers = matrix.detach().flatten()[places.to(matrix.device)].cpu()
    bits = "".join("1" if bool(negative) else "0" for negative in torch.signbit(numbers))
    return f"{int(bits, 2):0{BITS // 4}x}"


def _last_matrix(config: VisionConfig) -> str:
    """The module whose matrix makes the last step into the space of image_embeds, or of cls without a projection."""
    if config.projection is not None:
        return "projection"
    return "head.mlp.fc2" if config.pooling_head else f"layers.{config.depth - 1}.mlp.fc2"
