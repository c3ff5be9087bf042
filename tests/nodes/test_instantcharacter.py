"""InstantCharacter on Flux.1: the attention of each block equals its formula, with tokens that follow the timestep."""

from functools import cache
from typing import Any

import flux_blocks
import pytest
import tiny
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor
from torch.nn import functional as F

from image_prompt.nodes.encoding.features import ImageFeatures
from image_prompt.nodes.loading.adapter import ImagePromptAdapter

NUMBERS = {("double", number): number for number in range(19)} | {("single", n): 19 + n for n in range(38)}
WIDTH, POSITIONS = 64, 4


@cache
def whole() -> ModelPatcher:
    return tiny.flux(**tiny.WHOLE_FLUX)


@cache
def file() -> dict[str, Tensor]:
    return tiny.character_file(whole(), WIDTH)


@cache
def adapter() -> ImagePromptAdapter:
    return tiny.wrapped(file())


@pytest.fixture
def character() -> ImageFeatures:
    """Three shallow states, the deep one, and those of four pieces."""
    generator = torch.Generator().manual_seed(7)
    found = ImageFeatures(negative_penultimate=None, encoder="")
    for name, count in (("character_shallow", 3), ("character_deep", 1), ("character_pieces", 4)):
        setattr(found, name, torch.randn(1, count * POSITIONS, WIDTH, generator=generator))
    return found


def sample(model: ModelPatcher, **options: Any) -> Tensor:
    return tiny.sample(model, "Flux", size=(8, 6), **options)


def formula(character: ImageFeatures, weight: float) -> flux_blocks.InAttention:
    """What the attention processor of Tencent/InstantCharacter adds to the picture's tokens of the positive rows.

    The projection is compared with that of diffusers elsewhere (test_character.py), so it is taken as it is.
    """
    sd, module = file(), adapter().module
    names = ("character_shallow", "character_deep", "character_pieces")
    states = module.prepare({name: getattr(character, name) for name in names})

    def normed(x: Tensor, scale: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True).sqrt() + 1e-6) * scale

    def attention(kind: str, index: int, q: Tensor, raw: Tensor, options: Any) -> Tensor:
        layer = f"ip_adapter.{NUMBERS[kind, index]}"
        tokens, _ = module.step(states, options["sigmas"][:1] * 1000)
        key, value = (
            flux_blocks.split(F.linear(tokens, sd[f"{layer}.to_{x}_ip.weight"], sd[f"{layer}.to_{x}_ip.bias"]), 1)
            for x in "kv"
        )
        key = normed(key, sd[f"{layer}.norm_ip_k.scale"])
        added = torch.zeros(len(raw), raw.shape[2], 128)
        text = options["img_slice"][0] if kind == "single" else 0  # which stays as it is
        for row, condition in enumerate(options["cond_or_uncond"]):
            if condition == 0:
                query = normed(raw[row : row + 1, :, text:], sd[f"{layer}.norm_ip_q.scale"])
                added[row, text:] = weight * flux_blocks.attend(query, key, value)[0]
        return added

    return attention


def test_all_layers_equal_the_formula_in_every_step(character, apply, monkeypatch):
    with torch.no_grad():
        for norm in (m.query_norm for m in whole().model.diffusion_model.modules() if hasattr(m, "query_norm")):
            norm.weight.copy_(torch.rand(norm.weight.shape, generator=torch.Generator().manual_seed(9)) + 0.5)
    ours, without = (sample(each) for each in (apply(whole(), adapter(), character, 0.7), whole()))
    flux_blocks.write_out(monkeypatch, formula(character, 0.7))
    theirs = sample(whole())
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    assert (theirs - without).abs().max() > 0.1


def test_weight_zero_changes_no_bit_and_five_runs_are_equal(character, apply):
    assert torch.equal(sample(apply(whole(), adapter(), character, 0.0), steps=1), sample(whole(), steps=1))
    patched = apply(whole(), adapter(), character)
    first, *others = (sample(patched, steps=1) for _ in range(5))
    assert all(torch.equal(first, other) for other in others)
