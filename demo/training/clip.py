"""CLIP: a vision and a text tower that agree (https://arxiv.org/abs/2103.00020), in transformers' own classes.

In so small a world and so little time the pairs alone teach too slowly, so the image embedding also has to name the
attributes of its picture. Captions that leave attributes out keep the image embedding from holding all of them, shapes
least of all: the vision tower is trained further, beside the finished text tower, on captions that mention everything.
"""

from __future__ import annotations

import json
import random

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPVisionConfig

from demo.nodes.weights import read
from demo.nodes.words import LENGTH, Words
from demo.world import SIZE, VALUES, Picture, World, caption, words

from .data import Pictures, draws, pictures
from .loop import Losses, Recipe
from .setting import Setting

BATCH = 96
WIDTH, MLP = 128, 384
VISION_LAYERS, TEXT_LAYERS, HEADS, PATCH = 4, 2, 4, 8
FULL = 0.5  # of the captions mention everything
ATTRIBUTES_WEIGHT = 0.5
SHAPE_WEIGHT, OTHERS_WEIGHT = 2.0, 0.5  # of the attributes when only the vision tower is trained


class Clip(nn.Module):
    """The two towers, and heads that training alone needs."""

    def __init__(self, vocabulary: int):
        super().__init__()
        common = {
            "hidden_size": WIDTH,
            "intermediate_size": MLP,
            "num_attention_heads": HEADS,
            "hidden_act": "quick_gelu",
        }
        text = CLIPTextConfig(
            **common,
            vocab_size=vocabulary,
            num_hidden_layers=TEXT_LAYERS,
            max_position_embeddings=LENGTH,
            bos_token_id=vocabulary - 2,
            eos_token_id=vocabulary - 1,
            pad_token_id=vocabulary - 1,
        )
        vision = CLIPVisionConfig(**common, num_hidden_layers=VISION_LAYERS, image_size=SIZE, patch_size=PATCH)
        self.clip = CLIPModel(
            CLIPConfig(
                text_config=text.to_dict(),
                vision_config=vision.to_dict(),
                projection_dim=WIDTH,
                logit_scale_init_value=2.6,
            )
        )
        self.attributes = nn.ModuleDict({name: nn.Linear(WIDTH, len(values)) for name, values in VALUES.items()})

    def forward(self, pixels: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Image and text embeddings, (B, 128) each."""
        image = self.clip.visual_projection(self.clip.vision_model(pixel_values=pixels).pooler_output)
        text = self.clip.text_projection(self.clip.text_model(input_ids=tokens).pooler_output)
        return image, text

    def contrast(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of a batch of pairs, and the share of the pictures that are nearest to their own caption."""
        scale = self.clip.logit_scale.exp().clamp(max=100)
        similarity = scale * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T
        own = torch.arange(len(image), device=image.device)
        loss = (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.T, own)) / 2
        return loss, (similarity.argmax(1) == own).float().mean()

    def named(self, image: Tensor, expected: Tensor) -> Tensor:
        """The loss of naming each attribute, (6,)."""
        return torch.stack(
            [F.cross_entropy(head(image), expected[:, column]) for column, head in enumerate(self.attributes.values())]
        )

    def load_towers(self, setting: Setting) -> None:
        """Both finished towers, the text tower and the scale frozen."""
        vision, about = read(setting.finished("clip_vision"))
        if json.loads(about["training"])["recipe"] != "clip":
            raise ValueError(
                f"{setting.finished('clip_vision')} is finished already: vision goes on with what clip "
                "wrote. Train clip first."
            )
        text, said = read(setting.finished("text_encoders"))
        scale = torch.tensor(float(said["logit_scale"])).log()
        self.clip.load_state_dict({**vision, **text, "logit_scale": scale})
        for part in (self.clip.text_model, self.clip.text_projection):
            part.requires_grad_(False)
        self.clip.logit_scale.requires_grad_(False)


def recipe(setting: Setting) -> tuple[Recipe, nn.Module]:
    if setting.processes > 1:
        raise ValueError("clip compares the pictures of a whole batch: train it in one process, with --threads 2.")
    data = pictures(setting.folder, setting.pictures)
    vocabulary = Words(words())
    module = start(setting, vocabulary)
    attributes = attributes_of(data)

    def loss(module: nn.Module, step: int) -> Losses:
        numbers, generator = draws(setting.seed, step, BATCH, len(data.scenes))
        pixels = normalise(data.batch(numbers)).to(setting.device)
        world = World(generator)
        chance = random.Random(f"{setting.seed} {step}")
        captions = [
            full_caption(picture) if chance.random() < FULL else caption(picture, world.mentions(picture))
            for picture in (data.scenes[number] for number in numbers)
        ]
        image, text = module(pixels, vocabulary.batch(captions).to(setting.device))
        contrast, top = module.contrast(image, text)
        named = module.named(image, attributes[numbers].to(image.device)).mean()
        return {"loss": contrast + ATTRIBUTES_WEIGHT * named, "contrast": contrast, "attributes": named, "top-1": top}

    return Recipe("clip", setting.steps or 1250, BATCH, 1e-3, loss, average=0.99, weight_decay=0.05), module


def vision_recipe(setting: Setting) -> tuple[Recipe, nn.Module]:
    if setting.processes > 1:
        raise ValueError("vision compares the pictures of a whole batch: train it in one process, with --threads 2.")
    data = pictures(setting.folder, setting.pictures)
    vocabulary = Words(words())
    module = start(setting, vocabulary)
    module.load_towers(setting)
    attributes = attributes_of(data)
    weights = torch.tensor([SHAPE_WEIGHT if name == "shape" else OTHERS_WEIGHT for name in VALUES])
    weights = weights.to(setting.device)

    def loss(module: nn.Module, step: int) -> Losses:
        numbers, _ = draws(setting.seed, step, BATCH, len(data.scenes))
        pixels = normalise(data.batch(numbers)).to(setting.device)
        captions = [full_caption(data.scenes[number]) for number in numbers]
        image, text = module(pixels, vocabulary.batch(captions).to(setting.device))
        contrast, top = module.contrast(image, text)
        named = module.named(image, attributes[numbers].to(image.device))
        return {"loss": contrast + (weights * named).sum(), "contrast": contrast, "shape": named[0], "top-1": top}

    steps = setting.steps or 1600
    return Recipe("vision", steps, BATCH, 6e-4, loss, average=0.99, weight_decay=0.05, warm_up=30), module


def start(setting: Setting, vocabulary: Words) -> Clip:
    torch.manual_seed(setting.seed)
    return Clip(len(vocabulary)).to(setting.device)


def attributes_of(data: Pictures) -> Tensor:
    """The numbers of the values (N, 6) for F.cross_entropy, which leaves out the -100 of pairs."""
    return torch.tensor(
        [
            [values.index(getattr(picture[0], name)) if len(picture) == 1 else -100 for name, values in VALUES.items()]
            for picture in data.scenes
        ]
    )


def full_caption(picture: Picture) -> str:
    everything = [name for name in VALUES if name != "position" or len(picture) == 1]
    return caption(picture, [everything] * len(picture))


def normalise(pixels: Tensor) -> Tensor:
    return (pixels - 0.5) / 0.5


def export(module: nn.Module) -> dict[str, tuple[str, dict[str, Tensor], dict[str, str]]]:
    weights = {name: tensor for name, tensor in module.clip.state_dict().items() if not name.endswith("position_ids")}
    text = {k: v for k, v in weights.items() if k.startswith(("text_model.", "text_projection."))}
    return {
        **export_vision(module),
        "text_encoders/demo_world.safetensors": (
            "Text tower of the demo world's CLIP",
            text,
            {"words": json.dumps(words()), "logit_scale": f"{weights['logit_scale'].exp().item():.4f}"},
        ),
    }


def export_vision(module: nn.Module) -> dict[str, tuple[str, dict[str, Tensor], dict[str, str]]]:
    vision = {
        k: v
        for k, v in module.clip.state_dict().items()
        if k.startswith(("vision_model.", "visual_projection.")) and not k.endswith("position_ids")
    }
    described = {
        "name": "demo CLIP",
        "heads": HEADS,
        "activation": "quick_gelu",
        "image_size": SIZE,
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
    }
    return {
        "clip_vision/demo_world.safetensors": (
            "Vision tower of the demo world's CLIP",
            vision,
            {"vision_config": json.dumps(described)},
        ),
    }
