"""An IP-Adapter on Anima: sampling equals the formula of its authors, and nothing changes but what should."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest import mock

import comfy.model_management
import comfy.supported_models
import pytest
import tiny
import torch
from comfy.model_patcher import ModelPatcher
from torch import Tensor
from torch.nn import functional as F

from image_prompt.nodes.applying.joint import Joint
from image_prompt.nodes.controls.apply_references import ApplyReferences
from image_prompt.nodes.controls.conditioning import ReferencesToConditioning
from image_prompt.nodes.controls.reference import MakeReference
from image_prompt.nodes.encoding.encode import EncodeImagePrompt
from image_prompt.nodes.encoding.features import ImageFeatures
from image_prompt.nodes.influence.influence_map import InfluenceMap
from image_prompt.nodes.influence.record_influence import RecordInfluence
from image_prompt.nodes.loading.adapter import AdapterOptions, ImagePromptAdapter
from image_prompt.nodes.loading.face_options import FaceAdapterOptions

HEADS, NEAR = 2, {"rtol": 0, "atol": 1e-4}


@pytest.fixture
def model():
    return tiny.anima()


@pytest.fixture
def adapter():
    return tiny.wrapped(tiny.anima_file())


def encoded(count: int = 1, seed: int = 2) -> ImageFeatures:
    states = torch.randn(count, 9, 768, generator=torch.Generator().manual_seed(seed))
    return ImageFeatures(last_hidden_state=states, negative_penultimate=None, encoder="SigLIP2 base/16-512")


def part(features: ImageFeatures, number: int) -> ImageFeatures:
    """One picture of several."""
    states = features.last_hidden_state[number : number + 1]
    return ImageFeatures(last_hidden_state=states, negative_penultimate=None, encoder=features.encoder)


@pytest.fixture
def features():
    return encoded()


def sample(model: ModelPatcher, **options: Any) -> Tensor:
    return tiny.sample(model, "Anima", **options)


def equal(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=0)


def written_out(file: dict[str, Tensor], rows: dict[int, Tensor], weight: float) -> ModelPatcher:
    """A model that computes the formula by itself. rows: the tokens of the conditions by their index, (T, 768)."""
    model = tiny.anima()
    for number, block in enumerate(model.model.diffusion_model.blocks):
        own = {key.split(".", 2)[2]: each for key, each in file.items() if key.startswith(f"blocks.{number}.")}
        add_formula(block, own, rows, weight)
        for key, down in file.items():
            if key.startswith(f"lora.base_model.model.blocks.{number}.") and ".lora_A." in key:
                changed = block.get_submodule(key.split(".", 5)[5].removesuffix(".lora_A.weight")).weight
                changed += file[key.replace(".lora_A.", ".lora_B.")] @ down
    return model


def add_formula(block: Any, own: dict[str, Tensor], rows: dict[int, Tensor], weight: float) -> None:
    seen, whole, attention = SimpleNamespace(), block.forward, block.cross_attn.forward

    def cross_attn(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        seen.x = x
        return attention(x, *args, **kwargs)

    def forward(x: Tensor, emb: Tensor, *args: Any, transformer_options: dict[str, Any], **kwargs: Any) -> Tensor:
        out = whole(x, emb, *args, transformer_options=transformer_options, **kwargs)
        conditions = transformer_options["cond_or_uncond"]
        chunks = [each.chunk(len(conditions)) for each in (out, seen.x, emb)]
        return torch.cat([added(index, *parts) for index, *parts in zip(conditions, *chunks, strict=True)])

    def added(index: int, out: Tensor, x: Tensor, emb: Tensor) -> Tensor:
        if index not in rows:
            return out
        query = (x @ block.cross_attn.q_proj.weight.T).unflatten(-1, (HEADS, -1))
        query = query / (query.square().mean(-1, keepdim=True) + 1e-6).sqrt() * block.cross_attn.q_norm.weight
        key, value = (
            (rows[index] @ own[f"ip_{name}_proj.weight"].T + own[f"ip_{name}_proj.bias"]).unflatten(-1, (HEADS, -1))
            for name in "kv"
        )
        scores = torch.einsum("blhd,thd->bhlt", query, key) / key.shape[-1] ** 0.5
        image = torch.einsum("bhlt,thd->blhd", scores.softmax(-1), value).reshape(out.shape)
        gate = F.silu(emb) @ own["adaln_ip.1.weight"].T + own["adaln_ip.1.bias"]  # (B, 1, I)
        return out + weight * gate[:, :, None, None] * image

    block.forward, block.cross_attn.forward = forward, cross_attn


@pytest.mark.parametrize("null", [False, True])
def test_sampling_equals_the_formula_in_all_blocks_and_weights(model, apply, null):
    file, states = tiny.anima_file(), encoded(2)
    if null:
        file["null_tokens"] = torch.randn(1, 5, 768, generator=torch.Generator().manual_seed(8))
    rows = {0: states.last_hidden_state.flatten(0, 1)} | ({1: file["null_tokens"][0]} if null else {})
    options: dict[str, Any] = {"size": (7, 6), "batch": 2, "steps": 1}
    ours = sample(apply(model, tiny.wrapped(file), states, 0.6), **options)
    torch.testing.assert_close(ours, sample(written_out(file, rows, 0.6), **options), **NEAR)
    other = {0: rows[0]} if null else {}
    assert (ours - sample(written_out(file, other, 0.6), **options)).abs().max() > 0.1  # the tokens act


def test_the_lora_changes_the_ten_weights_of_each_block(model, adapter, features, apply):
    file = tiny.anima_file()
    names = [key for key in file if ".lora_A." in key]
    assert len(names) == 28 * 10
    patched = apply(apply(model, adapter, features), adapter.with_options(AdapterOptions(lora_strength=0.9)), features)
    before = {name: weight.clone() for name, weight in model.model.diffusion_model.state_dict().items()}
    comfy.model_management.load_models_gpu([patched], force_full_load=True)
    after = {name: weight.clone() for name, weight in model.model.diffusion_model.state_dict().items()}
    comfy.model_management.unload_all_models()
    for key in names:
        name = key.removeprefix("lora.base_model.model.").replace(".lora_A.", ".")
        change = file[key.replace("lora_A", "lora_B")] @ file[key]
        torch.testing.assert_close(after[name], before.pop(name) + change, rtol=1e-5, atol=1e-6)
    for name, weight in before.items():
        equal(after[name], weight)


@pytest.mark.parametrize("setting", [{"weight": 0.0}, {"start": 0.4, "end": 0.4}])
def test_no_influence_is_bit_identical(model, adapter, features, apply, setting):
    equal(sample(apply(model, adapter, features, **setting), steps=1), sample(model, steps=1))


def hooks(model: ModelPatcher) -> int:
    """How many hooks the modules of a model have."""
    return sum(len(module._forward_hooks) for module in model.model.modules())


def test_clones_are_apart_and_runs_leave_nothing(model, adapter, features, apply, monkeypatch):
    before = sample(model, steps=1)
    half = apply(model, adapter, features, weight=0.5)
    expected = sample(half, steps=1)
    apply(half, adapter, features, weight=2.0)
    for _ in range(2):
        equal(sample(half.clone(), steps=1), expected)
    equal(sample(half, steps=1), expected)
    broken = apply(model, adapter, features)
    monkeypatch.setattr(Joint, "add", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sample(broken, steps=1)
    assert hooks(model) == 0
    equal(sample(model, steps=1), before)
    assert list(model.model_options["transformer_options"]) == []


def test_applied_twice_the_weights_add_up_and_the_lora_acts_once(model, adapter, features, apply):
    other = encoded(seed=4)
    both = sample(apply(apply(model, adapter, features, 0.5), adapter, other, 0.3), steps=1)
    turned = sample(apply(apply(model, adapter, other, 0.3), adapter, features, 0.5), steps=1)
    torch.testing.assert_close(both, turned, **NEAR)
    twice = apply(apply(model, adapter, features, 0.5), adapter, features, 0.5)
    torch.testing.assert_close(sample(twice, steps=1), sample(apply(model, adapter, features), steps=1), **NEAR)


@pytest.mark.parametrize(("size", "frames"), [((12, 8), 1), ((11, 7), 2)])
def test_only_the_tokens_under_the_mask_change(model, adapter, features, apply, monkeypatch, size, frames):
    """On the grid of 6x4, which is padded for an odd latent, in each frame."""
    found, add = [], Joint.add

    def spy(self: Joint, q: Tensor, out: Tensor, *args: Any) -> None:
        before = out.clone()
        add(self, q, out, *args)
        found.append((out - before).abs().amax((0, 2)).view(frames, 24))

    monkeypatch.setattr(Joint, "add", spy)
    monkeypatch.setitem(tiny.CHANNELS, "Anima", (16, frames))
    mask = torch.zeros(1, 8 * size[0], 8 * size[1])
    mask[:, 48:] = 1.0  # from the fourth row of tokens on
    sample(apply(model, adapter, features, mask=mask), size=size, steps=1)
    assert len(found) == 28
    for change in found:
        assert change[:, 12:].min() > 1e-4 and change[:, :12].max() == 0


def test_models_in_half_precision_are_near(model, adapter, features, apply):
    """In fp16 the model keeps its hidden states in fp32, and what is added to them."""
    whole = sample(apply(model, adapter, features), steps=1)
    effect = (whole - sample(model, steps=1)).norm()
    for dtype, near in ((torch.bfloat16, 0.05), (torch.float16, 0.005)):
        half = sample(apply(tiny.anima(dtype=dtype), adapter, features), steps=1)
        assert (half - whole).norm() < near * effect


def test_an_fp8_model_that_computes_in_bf16_gives_about_the_same(adapter, features, apply):
    """Without the LoRA, which ComfyUI rounds to fp8 together with the weights."""
    alone = adapter.with_options(replace(adapter.options, lora_strength=0.0))
    low, same = tiny.anima(dtype=torch.float8_e4m3fn, compute=torch.bfloat16), tiny.anima()
    same.model.diffusion_model.load_state_dict(low.model.diffusion_model.state_dict())  # rounded alike
    found, expected = (
        sample(apply(each, alone, features, 3.0), steps=1) - sample(each, steps=1) for each in (low, same)
    )
    assert (found - expected).std() < 0.2 * expected.std()


def test_prompts_that_conditions_carry_act_as_applied(model, adapter, features, apply):
    positive, negative = tiny.conditions("Anima")
    references = {"reference_0": MakeReference.execute(features, weight=0.7).args[0]}
    given = ReferencesToConditioning.execute(model, adapter, positive, references, negative=negative).args
    carried = sample(given[0], steps=1, conds=list(given[1:]))
    equal(carried, sample(apply(model, adapter, features, 0.7), steps=1))


def applied(model: ModelPatcher, adapter: ImagePromptAdapter, *references: Any, joining: str) -> ModelPatcher:
    named = {f"reference_{number}": each for number, each in enumerate(references)}
    return ApplyReferences.execute(model, adapter, named, joining=joining).args[0]


def test_pictures_with_a_softmax_each_need_no_negative_image(model, adapter, apply):
    both = encoded(2)
    each = MakeReference.execute(both, combining="one softmax each").args[0]
    expected = apply(apply(model, adapter, part(both, 0)), adapter, part(both, 1))
    found = applied(model, adapter, each, joining="one softmax each")
    torch.testing.assert_close(sample(found, steps=1), sample(expected, steps=1), **NEAR)


def test_null_tokens_keep_their_values_whatever_weights_share_a_softmax(model, apply):
    file = tiny.anima_file() | {"null_tokens": torch.randn(1, 5, 768, generator=torch.Generator().manual_seed(8))}
    adapter, both = tiny.wrapped(file), encoded(2)
    one, two = (MakeReference.execute(part(both, n), weight=w).args[0] for n, w in enumerate((0.8, 0.4)))
    found = applied(model, adapter, one, two, joining="concat")
    expected = apply(model, adapter, both, 0.8)
    equal(sample(found, steps=1, cfg=0.0), sample(expected, steps=1, cfg=0.0))  # the negative prompt alone
    assert (sample(found, steps=1) - sample(expected, steps=1)).abs().max() > 0.1


def test_the_influence_of_each_block_is_recorded(model, adapter, features, apply):
    recording, influence = RecordInfluence.execute(apply(model, adapter, features)).args
    samples = sample(recording, steps=1)
    record = influence.record
    assert record.maps.shape == (1, 1, 8, 8) and record.maps.max() > 0.01
    _, masks, _ = InfluenceMap.execute(influence, {"samples": samples}).args
    assert samples.shape == (1, 16, 1, 8, 8) and masks.shape == (1, 64, 64) and masks.max() > 0


def test_the_encoder_keeps_what_the_adapter_reads(adapter, pictures, apply, model):
    found = EncodeImagePrompt.execute(tiny.encoder(width=768, depth=1), pictures[:1], "pad", adapter=adapter).args[0]
    assert found.last_hidden_state.shape[2] == 768 and not hasattr(found, "penultimate_hidden_states")
    assert sample(apply(model, adapter, found), steps=1).isfinite().all()


def test_models_that_are_built_like_it_are_refused_by_name(adapter, features, apply):
    others = {"crossattn_emb_channels": 512, "num_blocks": 4}
    with mock.patch.dict(tiny.ANIMA, image_model="cosmos_predict2"):
        cosmos = tiny._dit(comfy.supported_models.CosmosT2IPredict2(tiny.ANIMA | others))
    with pytest.raises(ValueError, match="is an IP-Adapter for Anima, the model is Cosmos-Predict2"):
        apply(cosmos, adapter, features)
    with pytest.raises(ValueError, match=r"28 layers \(Anima\), this model has 4 blocks"):
        apply(tiny.anima(num_blocks=4), adapter, features)
    with pytest.raises(ValueError, match="for Anima, the model is SD1.5"):
        apply(tiny.unet("SD1.5"), adapter, features)


def test_its_lora_has_a_strength_and_it_has_no_methods_of_faces(adapter):
    assert FaceAdapterOptions.execute(adapter, lora_strength=0.4).args[0].options.lora_strength == 0.4
    with pytest.raises(ValueError, match="has no method, which is for PuLID"):
        FaceAdapterOptions.execute(adapter, method="fidelity")
