"""Read an .ipadpt file, in which IPAdapter Plus saved features as one tensor.

Letters: B pictures, N positions, W, D widths.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ...tensor_files.weights import Weights
from ..features import VisionFeatures
from .saved_checks import check_features, check_layout

POSITIONS = (257, 577)  # N of the encoders that IPAdapter Plus knows


def read_old(weights: Weights, size: int) -> tuple[VisionFeatures, VisionFeatures | None]:
    """The features of the pictures, and those of their negative if the file holds some.

    The tensor is (B, D), image_embeds, or (B, N, W), penultimate. The first version of IPAdapter Plus put two of these
    into one tensor (2, B, ...), that of the pictures and that of the negative.

    size: bytes of the file

    Raises:
        ValueError: the tensor has another shape, or is not finite.
    """
    described = weights.tensors[""]
    check_layout("features", described, 2, 3, 4)
    if described.numel() * described.itemsize > size:  # its numbers repeat, so that a small file would fill the memory
        raise ValueError(f"The features have the shape {tuple(described.shape)}, and only {size:,} bytes are here.")
    if described.ndim == 4 and described.shape[0] != 2:
        raise ValueError(f"The features have the shape {tuple(described.shape)}: the first of four has to be 2.")
    tensor = weights.read("")
    if is_pair(described.shape):
        return _features(tensor[0]), _features(tensor[1])
    return _features(tensor), None


def is_pair(shape: Sequence[int]) -> bool:
    """Whether a tensor of this shape holds the features of pictures and those of their negative."""
    return len(shape) == 4 or len(shape) == 3 and shape[0] == 2 and shape[1] not in POSITIONS


def _features(tensor: Tensor) -> VisionFeatures:
    tensor = tensor.contiguous()
    named = VisionFeatures(image_embeds=tensor) if tensor.ndim == 2 else VisionFeatures(penultimate=tensor)
    return check_features(named)
