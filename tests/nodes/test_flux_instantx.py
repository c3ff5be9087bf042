"""InstantX's adapter on Flux.1, Chroma and Chroma Radiance, against its formula in plain torch, in all 57 layers."""

from functools import cache
from typing import Any

import flux_blocks
import pytest
import tiny
import torch
from comfy.model_patcher import ModelPatcher
from test_conditioning import attach as to_conditions
from torch import Tensor
from torch.nn import functional as F

from image_prompt.nodes.applying.joint import Joint
from image_prompt.nodes.loading.adapter import ImagePromptAdapter


def skipping() -> ModelPatcher:
    """A Chroma that leaves out some blocks."""
    model = tiny.chroma()
    model.model.diffusion_model.skip_mmdit, model.model.diffusion_model.skip_dit = [3], [0, 5]
    return model


MODELS = {  # the model, and a size of its latents
    "Flux": (lambda: tiny.flux(**tiny.WHOLE_FLUX), (8, 6)),
    "Chroma": (skipping, (8, 6)),
    "Chroma Radiance": (lambda: tiny.chroma(radiance=True), (64, 48)),
}
BLOCKS = [("double", number) for number in range(19)] + [("single", number) for number in range(38)]


@cache
def whole(base: str = "Flux") -> ModelPatcher:
    return MODELS[base][0]()


@cache
def file() -> dict[str, Tensor]:
    return tiny.instantx_file(whole())


@cache
def instantx() -> ImagePromptAdapter:
    return tiny.wrapped(file())


def sample(model: ModelPatcher, base: str = "Flux", **options: Any) -> Tensor:
    return tiny.sample(model, base, **{"size": MODELS[base][1], **options})


def kontext() -> list[list[Any]]:
    """Conditions with a picture of 4x6, which becomes 6 tokens after those of the picture that is made."""
    conds = tiny.conditions("Flux")
    for cond in conds:
        cond[0][1]["reference_latents"] = [torch.randn(1, 16, 4, 6, generator=torch.Generator().manual_seed(4))]
    return conds


def shakker(references: Tensor, negative: Tensor | None, weight: float) -> flux_blocks.InAttention:
    """The formula of Shakker-Labs/ComfyUI-IPAdapter-Flux: what image embeddings (1, D) add in the attentions."""
    weights = {key.removeprefix("image_proj."): value for key, value in file().items()}

    def tokens(embeds: Tensor) -> Tensor:
        hidden = F.gelu(F.linear(embeds, weights["proj.0.weight"], weights["proj.0.bias"]))
        found = F.linear(hidden, weights["proj.2.weight"], weights["proj.2.bias"]).view(1, -1, 4096)
        return F.layer_norm(found, (4096,), weights["norm.weight"], weights["norm.bias"])

    def normed(embeds: Tensor, name: str) -> Tensor:
        return flux_blocks.rms(flux_blocks.split(tokens(embeds) @ weights[f"ip_adapter.{name}.weight"].T, 1), 1e-5)

    def attention(kind: str, index: int, q: Tensor, raw: Tensor, options: Any) -> Tensor:
        sides = {0: references} | ({} if negative is None else {1: negative})
        added = torch.zeros(len(q), q.shape[2], 128)
        for row, condition in enumerate(options["cond_or_uncond"]):
            if condition in sides:
                number = BLOCKS.index((kind, index))
                key, value = (normed(sides[condition], f"{number}.to_{letter}_ip") for letter in "kv")
                added[row] = weight * flux_blocks.attend(q[row : row + 1], key, value)[0]
        others = sum(options.get("reference_image_num_tokens", ()))
        added[:, q.shape[2] - others :] = 0.0
        return added

    return attention


@pytest.mark.parametrize(
    ("base", "negated", "beside"),
    [("Flux", False, True), ("Flux", True, False), ("Chroma", False, False), ("Chroma Radiance", False, False)],
)
def test_all_layers_equal_the_formula(base, negated, beside, features, two_references, apply, monkeypatch):
    """Rows of the negative prompt attend to nobody, unless there is a negative image; Kontext's tokens never do."""
    model, conds = whole(base), kontext() if beside else None
    negative = type(features)(negative_penultimate=None, encoder="", image_embeds=two_references.image_embeds[1:])
    negative = negative if negated else None
    patched = apply(model, instantx(), features, 0.7, negative=negative)
    ours, without = (sample(each, base, steps=1, conds=conds) for each in (patched, model))
    formula = shakker(features.image_embeds, negative and negative.image_embeds, 0.7)
    flux_blocks.write_out(monkeypatch, formula)
    theirs = sample(model, base, steps=1, conds=conds)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    assert (theirs - without).abs().max() > 0.1


@cache
def xlabs() -> ImagePromptAdapter:
    return tiny.wrapped(tiny.flux_file(whole()))


def slots(model: ModelPatcher) -> dict[Any, Any]:
    return model.model_options["transformer_options"].get("patches_replace", {}).get("dit", {})


def test_with_xlabs_in_any_order_and_nothing_is_left_behind(features, two_references, apply):
    """A double block has one patch for each, however often and in whatever order they are applied."""
    before, untouched = sample(whole(), steps=1), slots(whole())
    both = apply(apply(whole(), xlabs(), features, 0.6), instantx(), two_references, 0.5)
    expected = sample(both, steps=1)
    turned = apply(whole(), instantx(), two_references, 0.25)
    turned = apply(apply(turned, xlabs(), features, 0.6), instantx(), two_references, 0.25)
    torch.testing.assert_close(sample(turned, steps=1), expected, rtol=0, atol=1e-4)
    patch = slots(turned)["double_block", 18]
    assert len(slots(turned)) == 57 and patch.joint.site.acts != patch.previous.joint.site.acts
    assert patch.previous.previous is None
    assert torch.equal(sample(both, steps=1), expected)
    assert torch.equal(sample(whole(), steps=1), before) and slots(whole()) == untouched == {}


def test_weight_zero_and_an_empty_range_change_no_bit(features, apply):
    before = sample(whole(), steps=2)
    for setting in ({"weight": 0.0}, {"start": 0.98, "end": 0.99}):
        assert torch.equal(sample(apply(whole(), instantx(), features, **setting), steps=2), before)


def test_conditions_carry_both_kinds(features, two_references, apply):
    positive, negative = tiny.conditions("Flux")
    expected = sample(apply(apply(whole(), xlabs(), features), instantx(), two_references), steps=1)
    model, positive, negative = to_conditions(whole(), xlabs(), positive, features, negative)
    model, positive, negative = to_conditions(model, instantx(), positive, two_references, negative)
    assert torch.equal(sample(model, steps=1, conds=[positive, negative]), expected)


def test_under_a_mask_text_takes_its_mean_and_others_its_parts(features, apply, monkeypatch):
    """On a grid of 6x4, padded for an odd latent. Text changes in single blocks alone, and Kontext's tokens never."""
    changes, add = [], Joint.add

    def spy(joint: Joint, q: Tensor, out: Tensor, *args: Any) -> None:
        before = out.clone()
        add(joint, q, out, *args)
        changes.append((out - before).abs().amax((0, 2)))

    monkeypatch.setattr(Joint, "add", spy)
    mask = torch.zeros(1, 88, 56)
    mask[:, 48:] = 1.0  # from the fourth row of tokens on
    sample(apply(whole(), instantx(), features, mask=mask), size=(11, 7), steps=1, conds=kontext())
    assert [len(change) for change in changes] == [24] * 19 + [tiny.LENGTH + 24] * 38
    for change in changes:
        assert change[-12:].min() > 1e-3 and change[-24:-12].max() == 0
        assert len(change) == 24 or change[: tiny.LENGTH].min() > 1e-3
