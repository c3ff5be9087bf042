"""Make headers of the published files. `devtools.published` has their keys and shapes, and writes sparse files."""

from image_prompt.devtools.published import VIT_H, VIT_L, Shapes, bigger, headless, layouts, shapes
from image_prompt.devtools.published import write_header as write
from image_prompt.tensor_files import Header, TensorInfo

__all__ = ["LAYOUTS", "VIT_H", "VIT_L", "bigger", "header_of", "headless", "published", "shapes", "write"]

LAYOUTS = layouts()


def header_of(tensors: Shapes, dtype: str = "F16", **metadata: str) -> Header:
    return Header("safetensors", {key: TensorInfo(dtype, shape) for key, shape in tensors.items()}, metadata)


def published(layout: str, dtype: str = "F16") -> Header:
    return header_of(shapes(layout), dtype)
