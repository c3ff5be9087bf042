"""Nodes for the tests of the server: small Flux models' prompts, pictures of their latents, a run that is held, and the
numbers of embeddings.
"""

import json
import time
from pathlib import Path

import comfy.utils
import torch


class TinyText:
    RETURN_TYPES, FUNCTION, CATEGORY = ("CONDITIONING",), "make", "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"seed": ("INT", {"default": 0})}, "optional": {"pooled": ("INT", {"default": 768})}}

    def make(self, seed, pooled=768):
        generator = torch.Generator().manual_seed(seed)
        text, pooled = (torch.randn(shape, generator=generator) * 0.2 for shape in ((1, 8, 4096), (1, pooled)))
        return ([[text, {"pooled_output": pooled}]],)


class Deepened:
    """A small SD3 with as many joint blocks as SD3.5 Large has: those of a file are as many as its width allows."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("MODEL",), "make", "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",)}}

    def make(self, model):
        transformer = model.model.diffusion_model
        *first, last = transformer.joint_blocks  # the last one has no text after its attention
        transformer.joint_blocks = torch.nn.ModuleList([*(first[0] for _ in range(37)), last])
        return (model,)


class LatentPicture:
    """The first channels of a latent as colours, so that pictures are equal only if latents are nearly so."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("IMAGE",), "show", "tests"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"samples": ("LATENT",)}}

    def show(self, samples):
        return ((samples["samples"][:, :3].movedim(1, -1) / 8 + 0.5).clamp(0, 1),)


class Held:
    """A model, which is handed on when a file is there. Until then there is progress."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("MODEL",), "hold", "tests"
    TICK, LONGEST = 0.1, 120  # seconds

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "file": ("STRING", {"default": ""})}}

    def hold(self, model, file):
        ticks = round(self.LONGEST / self.TICK)
        bar = comfy.utils.ProgressBar(ticks)
        for _ in range(ticks):
            if Path(file).exists():
                break
            bar.update(1)
            time.sleep(self.TICK)
        return (model,)


class Numbers:
    """All numbers of an embedding, as JSON."""

    RETURN_TYPES, FUNCTION, CATEGORY, OUTPUT_NODE = (), "show", "tests", True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"embedding": ("EMBEDDING",)}}

    def show(self, embedding):
        return {"ui": {"text": [json.dumps(embedding.vectors.tolist())]}}


NODE_CLASS_MAPPINGS = {each.__name__: each for each in (TinyText, Deepened, LatentPicture, Held, Numbers)}
