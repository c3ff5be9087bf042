"""Published files by their keys and shapes: as headers, and as files whose data are a hole that takes no disk."""

import json
import math
from pathlib import Path

from image_prompt.model_files.header import Header, TensorInfo

CHECKPOINTS = Path(__file__).resolve().parents[1] / "checkpoints"
LAYOUTS = {path.stem: json.loads(path.read_text()) for path in sorted(CHECKPOINTS.glob("*.json"))}
BYTES = {"F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "I8": 1}
VIT_H = "CLIP-ViT-H-14-laion2B-s32B-b79K"
VIT_L = "clip-vit-large-patch14"


def shapes(layout: str) -> dict[str, tuple[int, ...]]:
    """{key: shape}; nested parts are joined with dots, part "" is the top level."""
    return {
        f"{part}.{key}" if part else key: tuple(shape)
        for part, tensors in LAYOUTS[layout]["tensors"].items()
        for key, shape in tensors.items()
    }


def header_of(tensors: dict[str, tuple[int, ...]], dtype: str = "F16", **metadata: str) -> Header:
    return Header("safetensors", {key: TensorInfo(dtype, shape) for key, shape in tensors.items()}, metadata)


def published(layout: str, dtype: str = "F16") -> Header:
    return header_of(shapes(layout), dtype)


def write(path: Path, tensors: dict[str, tuple[int, ...]], dtype: str = "F16", **metadata: str) -> Path:
    """A safetensors file of full length, and with nothing but the header on the disk."""
    table, end = {"__metadata__": metadata} if metadata else {}, 0
    for key, shape in tensors.items():
        start, end = end, end + math.prod(shape) * BYTES[dtype]
        table[key] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(table).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return path


def bigger(layout: str = VIT_H) -> dict[str, tuple[int, ...]]:
    """CLIP ViT-bigG/14 out of ViT-H/14: the names are the same."""
    tensors = {}
    for layer in range(48):
        for key, shape in shapes(layout).items():
            if "layers." not in key or "layers.0." in key:
                tensors[key.replace("layers.0.", f"layers.{layer}.")] = tuple(
                    {1280: 1664, 5120: 8192, 1024: 1280}.get(size, size) for size in shape
                )
    return tensors


def headless(tensors: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Without the visual projection, as some save it who need hidden states alone."""
    return {key: shape for key, shape in tensors.items() if key != "visual_projection.weight"}
