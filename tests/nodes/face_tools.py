"""Faces for the tests of nodes: what insightface would find in a picture, and adapters that read faces."""

from types import SimpleNamespace

import comfy.controlnet
import numpy as np
import tiny
import torch

from image_prompt.devtools import published

LEFT, RIGHT = (40.0, 50.0), (120.0, 60.0)  # centres of a small face and of a large one


def face(centre=LEFT, half=16.0, seed=0, score=0.8):
    """A face as insightface describes it, slightly turned, in a square box."""
    x, y = centre
    points = np.array([(-6, -5), (6, -4), (0, 1), (-5, 7), (5, 8)], np.float32) * half / 16 + (x, y)
    embedding = np.random.default_rng(seed).standard_normal(512).astype(np.float32) * 20
    box = np.array([x - half, y - half, x + half, y + half], np.float32)
    return SimpleNamespace(bbox=box, kps=points.astype(np.float32), det_score=score, embedding=embedding)


class Analysis:
    """A FaceAnalysis of insightface, which finds the same faces in every picture.

    seen_at: the side of the largest square in which it finds them
    asked: the sizes of the squares in which it looked, and the pictures, blue first
    """

    def __init__(self, *faces, seen_at=640):
        self.det_model = SimpleNamespace(input_size=(96, 96))
        self.faces, self.seen_at, self.asked = faces, seen_at, []

    def get(self, picture):
        self.asked.append((self.det_model.input_size, picture))
        return list(self.faces) if self.det_model.input_size[0] <= self.seen_at else []


def two():
    """The more certain of the two faces is the small one, on the left."""
    return Analysis(face(LEFT, 16.0, 0, 0.9), face(RIGHT, 30.0, 1, 0.7))


def pictures(count=1, seed=2):
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(count, 3, 14, 20, generator=generator)
    return torch.nn.functional.interpolate(small, (112, 160), mode="bicubic").clamp(0, 1).movedim(1, -1)


def adapter(model, kind="faceid", seed=5):
    """A narrow adapter of a family that reads faces."""
    projections = {
        "faceid": published.identity,
        "faceid-plus": lambda context: published.identity_perceiver(context, 32, depth=1),
        "instantid": lambda context: published.resampler(context, 512, depth=1),
        "pulid": lambda context: published.pulid(context, 32),
        "instruct": lambda context: published.instruct(context, depth=1),
    }
    return tiny.wrapped(tiny.file_for(model, projections[kind], seed))


class Control(comfy.controlnet.ControlBase):
    """A ControlNet that takes down what it is given instead of the text, and changes nothing."""

    def __init__(self, read):
        super().__init__()
        self.read = read

    def copy(self):
        made = Control(self.read)
        self.copy_to(made)
        return made

    def get_control(self, x_noisy, t, cond, batched_number, transformer_options):
        text = cond.get("crossattn_controlnet", cond["c_crossattn"])
        self.read.append((transformer_options["cond_or_uncond"], text))

    def get_models(self):
        return []
