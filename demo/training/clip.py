"""CLIP: a vision and a text tower that agree (https://arxiv.org/abs/2103.00020), in transformers' own classes.

In so small a world and so little time the pairs alone teach too slowly, so the image embedding also has to name the
attributes of its picture.
"""

from __future__ import annotations

import json
import random

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

from demo.nodes.words import LENGTH, Words
from demo.world import SIZE, VALUES, World, caption, words

from .data import draws, pictures
from .loop import Losses, Recipe
from .setting import Setting

BATCH = 96
WIDTH, MLP = 128, 384
VISION_LAYERS, TEXT_LAYERS, HEADS, PATCH = 4, 2, 4, 8
FULL = 0.5  # of the captions mention everything
ATTRIBUTES_WEIGHT = 0.5


class Clip(nn.Module):
    """The two towers, and heads that training alone needs."""

    def __init__(self, vocabulary: int):
        super().__init__()
        common = {
            "hidden_size": WIDTH, "intermediate_size": MLP, "num_attention_heads": HEADS, "hidden_act": "quick_gelu",
        }  # fmt: skip
        text = CLIPTextConfig(
            **common, vocab_size=vocabulary, num_hidden_layers=TEXT_LAYERS, max_position_embeddings=LENGTH,
            bos_token_id=vocabulary - 2, eos_token_id=vocabulary - 1, pad_token_id=vocabulary - 1,
        )  # fmt: skip
        vision = CLIPVisionConfig(**common, num_hidden_layers=VISION_LAYERS, image_size=SIZE, patch_size=PATCH)
        self.clip = CLIPModel(CLIPConfig(
            text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=WIDTH,
            logit_scale_init_value=2.6,
        ))  # fmt: skip
        self.attributes = nn.ModuleDict({name: nn.Linear(WIDTH, len(values)) for name, values in VALUES.items()})

    def forward(self, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Image and text embeddings, (B, 128) each."""
        image = self.clip.visual_projection(self.clip.vision_model(pixel_values=pixels).pooler_output)
        text = self.clip.text_projection(self.clip.text_model(input_ids=tokens).pooler_output)
        return image, text


def recipe(setting: Setting) -> tuple[Recipe, nn.Module]:
    if setting.processes > 1:
        raise ValueError("clip compares the pictures of a whole batch: train it in one process, with --threads 2.")
    data = pictures(setting.folder, setting.pictures)
    vocabulary = Words(words())
    torch.manual_seed(setting.seed)
    module = Clip(len(vocabulary)).to(setting.device)
    attributes = torch.tensor([
        [values.index(getattr(picture[0], name)) if len(picture) == 1 else -100 for name, values in VALUES.items()]
        for picture in data.scenes
    ])  # fmt: skip

    def loss(module: nn.Module, step: int) -> Losses:
        numbers, generator = draws(setting.seed, step, BATCH, len(data.scenes))
        pixels = normalise(data.batch(numbers)).to(setting.device)
        world = World(0)
        world.generator = generator
        scenes = [data.scenes[number] for number in numbers]
        everything = [list(VALUES), [name for name in VALUES if name != "position"]]
        chance = random.Random(f"{setting.seed} {step}")
        captions = [caption(scene, [everything[len(scene) - 1]] * len(scene) if chance.random() < FULL
                            else world.mentions(scene)) for scene in scenes]
        image, text = module(pixels, vocabulary.batch(captions).to(setting.device))
        scale = module.clip.logit_scale.exp().clamp(max=100)
        similarity = scale * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T
        own = torch.arange(BATCH, device=similarity.device)
        contrast = (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.T, own)) / 2
        expected = attributes[numbers].to(image.device)
        named = torch.stack([F.cross_entropy(head(image), expected[:, column])
                             for column, head in enumerate(module.attributes.values())])
        return {"loss": contrast + ATTRIBUTES_WEIGHT * named.mean(), "contrast": contrast, "attributes": named.mean(),
                "top-1": (similarity.argmax(1) == own).float().mean()}

    return Recipe("clip", setting.steps or 1250, BATCH, 1e-3, loss, average=0.99, weight_decay=0.05), module


def normalise(pixels: Tensor) -> Tensor:
    return (pixels - 0.5) / 0.5


def export(module: nn.Module) -> dict[str, tuple[str, dict[str, Tensor], dict[str, str]]]:
    weights = {name: tensor for name, tensor in module.clip.state_dict().items() if not name.endswith("position_ids")}
    vision = {k: v for k, v in weights.items() if k.startswith(("vision_model.", "visual_projection."))}
    text = {k: v for k, v in weights.items() if k.startswith(("text_model.", "text_projection."))}
    described = {"name": "demo CLIP", "heads": HEADS, "activation": "quick_gelu", "image_size": SIZE,
                 "mean": [0.5] * 3, "std": [0.5] * 3}
    return {
        "clip_vision/demo_world.safetensors":
            ("Vision tower of the demo world's CLIP", vision, {"vision_config": json.dumps(described)}),
        "text_encoders/demo_world.safetensors":
            ("Text tower of the demo world's CLIP", text, {"words": json.dumps(words()), "logit_scale":
             f"{weights['logit_scale'].exp().item():.4f}"}),
    }  # fmt: skip
