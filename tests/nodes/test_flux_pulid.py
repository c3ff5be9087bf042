"""PuLID for Flux, against its formula in plain torch: after every second double and every fourth single block."""

from functools import cache
from typing import Any

import flux_blocks
import tiny
import torch
from comfy.model_patcher import ModelPatcher
from test_influence import recorded
from torch import Tensor
from torch.nn import functional as F

from image_prompt.nodes.encoding.features import ImageFeatures
from image_prompt.nodes.loading.adapter import ImagePromptAdapter

BLOCKS = [("double", number) for number in range(0, 19, 2)] + [("single", number) for number in range(0, 38, 4)]
SIZE = (7, 5)  # in tokens of 2x2, which need an eighth line and a sixth column
FEATURES = {"face_embeds_raw": (512,), "face_eva_embeds": (24,), "face_eva_hidden": (5 * 3, 16)}


@cache
def model() -> ModelPatcher:
    return tiny.flux(hidden_size=48, num_heads=3, mlp_ratio=1.0, depth_single_blocks=38)


@cache
def file() -> dict[str, Tensor]:
    return tiny.pulid_flux_file(model())


@cache
def pulid() -> ImagePromptAdapter:
    return tiny.wrapped(file())


@cache
def faces(count: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(6)
    return {name: torch.randn(count, *shape, generator=generator) for name, shape in FEATURES.items()}


def given(some: slice = slice(0, 1)) -> ImageFeatures:
    fields = {name: tensor[some] for name, tensor in faces().items()}
    return ImageFeatures(negative_penultimate=None, encoder="", **fields)


def crossed(number: int, tokens: Tensor, hidden: Tensor) -> Tensor:
    """PerceiverAttentionCA of ToTheBeginning/PuLID: tokens (R, T, C) and hidden states (R, L, W) -> (R, L, W)."""

    def weight(name: str) -> Tensor:
        return file()[f"pulid_ca.{number}.{name}"]

    def normed(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], weight(f"{name}.weight"), weight(f"{name}.bias"))

    key, value = (normed("norm1", tokens) @ weight("to_kv.weight").T).chunk(2, -1)
    query = normed("norm2", hidden) @ weight("to_q.weight").T
    q, k, v = (x.unflatten(-1, (2, 128)).transpose(1, 2) for x in (query, key, value))
    shares = ((q * 128**-0.25) @ (k * 128**-0.25).mT).softmax(-1)
    return (shares @ v).transpose(1, 2).flatten(2) @ weight("to_out.weight").T


def written_out(weight: float, of_rows: Any) -> flux_blocks.AfterBlock:
    """What the adapter adds after a block. of_rows: which features belong to the rows of a condition"""

    def after(kind: str, index: int, hidden: Tensor, options: Any) -> Tensor | float:
        if (kind, index) not in BLOCKS:
            return 0.0
        some = [of_rows(condition) for condition in options["cond_or_uncond"]]
        tokens = pulid().module.tokens({name: torch.cat([each[name] for each in some]) for name in FEATURES})
        return weight * crossed(BLOCKS.index((kind, index)), tokens, hidden)

    return after


def test_all_layers_equal_the_formula(apply, monkeypatch):
    """One face for each picture; zeros take their place in rows of the negative prompt."""
    patched = apply(model(), pulid(), given(slice(0, 2)), 0.8, batch="one per image")
    ours, without = (tiny.sample(each, "Flux", size=SIZE, batch=2, steps=1) for each in (patched, model()))

    def of_rows(condition: int) -> dict[str, Tensor]:
        return faces() if condition == 0 else {name: 0 * tensor for name, tensor in faces().items()}

    flux_blocks.write_out(monkeypatch, after=written_out(0.8, of_rows))
    theirs = tiny.sample(model(), "Flux", size=SIZE, batch=2, steps=1)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    assert (theirs - without).abs().max() > 0.1


def test_with_the_others_on_one_block_it_reads_the_hidden_states_before_they_add(apply, features):
    xlabs = tiny.wrapped(tiny.flux_file(model()))
    orders = (xlabs, features), (pulid(), given())
    first, second = (apply(apply(model(), *one, 0.6), *other, 0.6) for one, other in (orders, orders[::-1]))
    expected = tiny.sample(first, "Flux", size=SIZE, steps=1)
    torch.testing.assert_close(tiny.sample(second, "Flux", size=SIZE, steps=1), expected, rtol=0, atol=1e-4)
    halves = apply(apply(model(), pulid(), given(), 0.3), pulid(), given(), 0.3)
    whole = apply(model(), pulid(), given(), 0.6)
    torch.testing.assert_close(
        *(tiny.sample(each, "Flux", size=SIZE, steps=1) for each in (halves, whole)), rtol=0, atol=1e-4
    )


def test_it_acts_under_its_mask_and_where_its_influence_is_recorded(apply):
    mask = torch.zeros(1, *SIZE)
    mask[:, 4:] = 1.0
    patched = apply(model(), pulid(), given(), mask=mask)
    watched, influence = recorded(patched)
    ours = tiny.sample(watched, "Flux", size=SIZE, steps=1)
    assert torch.equal(tiny.sample(patched, "Flux", size=SIZE, steps=1), ours)
    (found,) = influence.record.maps[:, 0]
    assert found[4:].min() > 1e-3 and found[:4].max() == 0
