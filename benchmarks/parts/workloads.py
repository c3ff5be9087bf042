"""What is compared between two commits, driven through the pack's nodes alone: node ids, input names and sockets.

`WORKLOADS` turn a row of _compare.py's table into a function that does the work once and gives its seconds.
"""

import asyncio
import functools
import inspect
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import folder_paths
import torch
from comfy.clip_vision import Output
from comfy.model_patcher import ModelPatcher

from . import files, host
from .unets import hollow_unet, random_unet, sample

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
FEATURES = {  # what an adapter reads of one picture
    "ip-adapter_sd15": {"image_embeds": (1024,)},
    "ip-adapter_sdxl_vit-h": {"image_embeds": (1024,)},
    "ip-adapter-plus_sd15": {"penultimate_hidden_states": (257, 1280)},
    "ip-adapter-full-face_sd15": {"penultimate_hidden_states": (257, 1280)},
    "ip-adapter-plus_sdxl_vit-h": {"penultimate_hidden_states": (257, 1280)},
    "ip-adapter-faceid-plusv2_sdxl": {"face_embeds": (512,), "face_penultimate": (257, 1280)},
}

Work = Callable[[], float]


async def _nodes() -> dict[str, type]:
    extension = sys.modules["image_prompt"].comfy_entrypoint()
    extension = await extension if inspect.isawaitable(extension) else extension
    await extension.on_load()
    return {node.GET_SCHEMA().node_id: node for node in await extension.get_node_list()}


@functools.cache
def nodes() -> dict[str, type]:
    return asyncio.run(_nodes())


def run(node_id: str, **inputs: Any) -> tuple[Any, ...]:
    """A node's outputs. Required inputs that are not given have the schema's defaults, optional ones are left out."""
    node = nodes()[node_id]
    required = (each for each in node.GET_SCHEMA().inputs if not getattr(each, "optional", False))
    defaults = {each.id: each.default for each in required if getattr(each, "default", None) is not None}
    return node.PREPARE_CLASS_CLONE(None).EXECUTE_NORMALIZED(**{**defaults, **inputs}).args


def model_name(name: str) -> str:
    """The name of the file in its model folder."""
    return f"{name.replace('/', '-')}.safetensors"


def model_file(folder: str, name: str, shapes: Callable[[], files.published.Shapes]) -> str:
    """The name under which the nodes find a model file, which is written if it is not there."""
    path = Path(folder_paths.models_dir) / folder / model_name(name)
    if not path.exists():
        files.write(path, shapes())
    return path.name


def encode(encoder: str, dtype: str, pictures: int) -> Work:
    model_file("clip_vision", encoder, lambda: files.vision_shapes(encoder))
    encoded = encode_node(encoder, dtype)

    def work() -> float:
        images = torch.rand(pictures, 512, 512, 3)  # new ones: known pictures are not encoded again
        return host.seconds(lambda: encoded(images))

    return work


def encode_node(encoder: str, dtype: str) -> Callable[[torch.Tensor], Any]:
    """The node Encode Image Prompt, as a function of pictures, with an encoder whose file is there."""
    loaded = run("ImagePromptLoadEncoder", encoder_name=model_name(encoder), dtype=dtype)[0]
    return lambda images: run("ImagePromptEncode", clip_vision=loaded, image=images)[0]


def load_adapter(name: str) -> Any:
    file = model_file("ipadapter", name, lambda: files.published.shapes(name))
    return run("ImagePromptLoadAdapter", adapter_name=file)[0]


def features(adapter: str, pictures: int = 1) -> Output:
    """Features of random values, as core's CLIP Vision Encode gives them."""
    found = Output()
    for name, shape in FEATURES[adapter].items():
        setattr(found, name, torch.randn(pictures, *shape))
    return found


def applied(model: ModelPatcher, adapter: Any, pictures: Output, negative: Output, **more: Any) -> ModelPatcher:
    inputs = {"features": pictures, "negative": negative, "weight": 0.8, "start": 0.0, "end": 1.0, **more}
    return run("ImagePromptApply", model=model, adapter=adapter, **inputs)[0]


def apply(base: str, adapter: str) -> Work:
    model, loaded = hollow_unet(base, torch.float32), load_adapter(adapter)
    negative = features(adapter)

    def new_picture() -> float:
        pictures = features(adapter)
        return host.seconds(lambda: applied(model, loaded, pictures, negative))

    return new_picture


def sampling(
    base: str, adapter: str, dtype: str, size: int, steps: int, masked: bool = False, adapters: int = 1
) -> Work:
    """The time that the adapter adds to one evaluation of a UNet that does little else."""
    bare = hollow_unet(base, DTYPES[dtype])
    mask = {"mask": torch.rand(1, 512, 512)} if masked else {}
    full = steered(bare, adapter, adapters, **mask)
    run_of = functools.partial(sample, base=base, size=size, steps=steps, words=1)
    check_effect(run_of(bare), run_of(full))
    return lambda: (host.seconds(lambda: run_of(full)) - host.seconds(lambda: run_of(bare))) / steps


def unet(base: str, adapter: str, dtype: str, size: int, adapters: int = 1) -> Work:
    """The time of a whole sampling step with the adapter."""
    full = steered(random_unet(base, DTYPES[dtype]), adapter, adapters)
    return lambda: host.seconds(lambda: sample(full, base, size))


def steered(model: ModelPatcher, adapter: str, count: int, **inputs: Any) -> ModelPatcher:
    """The model with one adapter applied `count` times."""
    loaded = load_adapter(adapter)
    for _ in range(count):
        model = applied(model, loaded, features(adapter), features(adapter), **inputs)
    return model


def index(what: str, files: int, delay: float = 0.0, clock: str = "perf_counter") -> Work:
    """A first look at the model files in a folder.

    what: "needed" or "all"; delay: of the disk, in seconds; clock: "process_time" counts the processor's alone
    """
    from .model_folders import fill, first_look

    root, now = Path(folder_paths.base_path) / f"{files} files" / "models", getattr(time, clock)
    if not root.exists():
        fill(root, files)
    with tempfile.NamedTemporaryFile(dir=root.parent) as file:
        name = file.name  # each process keeps an index of its own

    def work() -> float:
        begin = now()
        first_look(root, Path(f"{name}.json"), what, delay)
        return now() - begin

    return work


def check_effect(bare: torch.Tensor, steered: torch.Tensor) -> None:
    """RuntimeError if the adapter has no effect: its time would mean nothing."""
    if not (math.isfinite(steered.sum()) and (steered - bare).abs().max() > 0):
        raise RuntimeError("The applied adapter changes nothing, or not to numbers: its time would mean nothing.")


WORKLOADS: dict[str, Callable[..., Work]] = {
    "encode": encode,
    "apply": apply,
    "sampling": sampling,
    "unet": unet,
    "index": index,
}


def prepare(name: str, **row: Any) -> Work:
    return WORKLOADS[name](**row)
