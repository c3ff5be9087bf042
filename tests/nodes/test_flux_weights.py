"""Flux.1 in other dtypes, and with weights that nothing but the model itself may read."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import tiny
import torch
from comfy.model_patcher import ModelPatcher
from test_flux_instantx import instantx, xlabs
from test_flux_pulid import given
from test_instantcharacter import adapter as character
from torch import Tensor

from image_prompt.nodes.encoding.features import ImageFeatures

FP8 = torch.float8_e4m3fn


def narrow(**options: Any) -> ModelPatcher:
    """With heads as wide as the published ones, and as many blocks."""
    return tiny.flux(**tiny.WHOLE_FLUX, **options)


@cache
def pulid() -> Any:
    return tiny.wrapped(tiny.pulid_flux_file(narrow()))


def of_character() -> ImageFeatures:
    shapes = {"character_shallow": (3, 64), "character_deep": (1, 64), "character_pieces": (4, 64)}
    generator = torch.Generator().manual_seed(7)
    fields = {name: torch.randn(1, *shape, generator=generator) for name, shape in shapes.items()}
    return ImageFeatures(negative_penultimate=None, encoder="", **fields)


@pytest.fixture
def steered(apply, features) -> Callable[[ModelPatcher], Tensor]:
    """Sample with all adapters that act on Flux."""

    def run(model: ModelPatcher) -> Tensor:
        model = apply(apply(model, xlabs(), features, 0.5), instantx(), features, 0.5)
        return sample(apply(apply(model, pulid(), given(), 0.5), character(), of_character(), 0.5))

    return run


def sample(model: ModelPatcher) -> Tensor:
    return tiny.sample(model, "Flux", steps=1)


def rounded(dtype: torch.dtype) -> ModelPatcher:
    """In fp32, with weights that the dtype can hold."""
    model = narrow()
    for parameter in model.model.diffusion_model.parameters():
        parameter.data = parameter.data.to(dtype).float()
    return model


def test_weights_of_fp8(steered):
    model = narrow(dtype=FP8, compute=torch.float32)
    assert {each.dtype for each in model.model.diffusion_model.parameters()} == {FP8}
    found, expected = steered(model), steered(rounded(FP8))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)
    assert (found - sample(model)).abs().max() > 0.1


def test_in_bf16(steered):
    """Rounding does no more to a steered model than to the model alone."""
    model, exact = narrow(dtype=torch.bfloat16), rounded(torch.bfloat16)
    alone, together = ((of(model) - of(exact)).norm() / of(exact).norm() for of in (sample, steered))
    assert 0 < together < 1.5 * alone < 0.5


class Sealed(torch.nn.Module):
    """A linear layer whose weights only it can read, as if another pack had quantised them."""

    def __init__(self, linear: torch.nn.Linear):
        super().__init__()
        self.run = linear.forward

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)

    def __getattr__(self, name: str) -> Any:
        if name in ("weight", "bias"):
            raise AssertionError(f"An adapter reads the {name} of the model.")
        return super().__getattr__(name)


def test_no_weight_of_a_linear_layer_is_read(steered):
    expected = steered(narrow())
    model = narrow()
    for module in list(model.model.diffusion_model.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.Linear):
                setattr(module, name, Sealed(child))
    torch.testing.assert_close(steered(model), expected, rtol=0, atol=0)
