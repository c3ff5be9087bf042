"""Work is done once per run or once per evaluation, in the right dtype, and patches of other packs keep working."""

from functools import cached_property

import comfy.model_management
import comfy.samplers
import pytest
import tiny
import torch
from comfy.ldm.modules.attention import optimized_attention

from image_prompt.nodes.applying import call
from image_prompt.nodes.applying.sampling import Evaluation, Run


def slots(model):
    return model.model_options["transformer_options"]["patches_replace"]["attn2"]


def test_masks_are_placed_once_a_run_and_sigma_read_once_an_evaluation(features, apply, monkeypatch):
    model = tiny.unet("SD1.5")
    placed, read = [], []
    place, sigma = call.token_mask, Evaluation.sigma.func
    monkeypatch.setattr(call, "token_mask", lambda *args: placed.append(args) or place(*args))
    spy = cached_property(lambda self: read.append(self) or sigma(self))
    spy.__set_name__(Evaluation, "sigma")
    monkeypatch.setattr(Evaluation, "sigma", spy)
    patched = apply(model, tiny.adapter(model), features, mask=torch.ones(1, 8, 8), end=0.9)
    tiny.sample(patched, "SD1.5", steps=3)
    assert len(placed) == 4  # grids
    assert len(read) == 3


def test_projections_leave_the_device_after_apply(features, apply):
    model = tiny.unet("SD1.5")
    adapter = tiny.adapter(model)
    apply(model, adapter, features)
    assert adapter.patcher not in comfy.model_management.loaded_models()


def test_what_a_batch_has_no_pictures_for_is_said_once_a_run(two_references, apply, caplog):
    model = tiny.unet("SD1.5")
    masks = torch.ones(3, 8, 8)
    patched = apply(model, tiny.adapter(model), two_references, batch="one per image", mask=masks)
    said = []
    for batch in (1, 2, 3):
        caplog.clear()
        tiny.sample(patched, "SD1.5", batch=batch)
        said.append([record.getMessage() for record in caplog.records if record.name.endswith("call")])
    assert [len(each) for each in said] == [2, 1, 0]
    assert "given 2 reference images for a batch of 1" in said[0][0] and "the last 1 are not used" in said[0][0]
    assert "given 3 masks for a batch of 2" in said[1][0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_models(features, apply, dtype):
    full = tiny.unet("SD1.5")
    expected = tiny.sample(apply(full, tiny.adapter(full), features), "SD1.5", steps=1)
    half = tiny.unet("SD1.5", dtype=dtype)
    patched = apply(half, tiny.adapter(half), features)
    (bank,) = set(patched.model_patches_models())
    assert {parameter.dtype for parameter in bank.model.parameters()} == {dtype}
    found = tiny.sample(patched, "SD1.5", steps=1)
    assert (found - expected).std() < 0.05 * expected.std()


def test_another_compute_dtype_than_the_banks(features, apply):
    """A later node may change the dtype in which the model computes."""
    model = tiny.unet("SD1.5")
    patched = apply(model, tiny.adapter(model), features)
    (bank,) = set(patched.model_patches_models())
    expected = tiny.sample(patched, "SD1.5")
    bank.model.to(torch.bfloat16)
    found = tiny.sample(patched, "SD1.5")
    assert (found - expected).std() < 0.05 * expected.std()


class Stored:
    """The patch of another pack that returns a tensor which it keeps."""

    def __init__(self):
        self.kept, self.moved, self.cleaned = [], [], 0

    def __call__(self, q, k, v, extra_options):
        out = optimized_attention(q, k, v, extra_options["n_heads"])
        self.kept.append((out, out.clone()))
        return out

    def models(self):
        return ["a model of its own"]

    def to(self, target):
        self.moved.append(target)
        return self

    def cleanup(self):
        self.cleaned += 1


def test_what_another_pack_returns_is_not_written_to(features, apply):
    model = tiny.unet("SD1.5")
    foreign = Stored()
    foreign.models = list
    model.set_model_attn2_replace(foreign, "middle", 0)
    tiny.sample(apply(model, tiny.adapter(model), features), "SD1.5")
    assert foreign.kept and all(torch.equal(kept, copy) for kept, copy in foreign.kept)
    assert foreign.moved and foreign.cleaned == 1


def test_an_attention_override_keeps_its_tensors(features, apply):
    model = tiny.unet("SD1.5")
    kept = []

    def override(attention, *args, **options):
        out = attention(*args, **options)
        kept.append((out, out.clone()))
        return out

    model.model_options["transformer_options"]["optimized_attention_override"] = override
    tiny.sample(apply(model, tiny.adapter(model), features), "SD1.5")
    assert kept and all(torch.equal(out, copy) for out, copy in kept)


def test_models_of_every_patch_in_a_chain_are_named(features, apply):
    model = tiny.unet("SD1.5")
    adapter = tiny.adapter(model)
    first = apply(model, adapter, features)
    below = slots(first)["middle", 0]
    foreign = Stored()
    foreign.models = lambda: below.models()
    clone = first.clone()
    clone.set_model_attn2_replace(foreign, "middle", 0)
    second = apply(clone, adapter, features)
    banks = slots(second)["middle", 0].models()
    assert len(banks) == 2 and banks[1] is below.models()[0]


def test_two_of_ours_share_a_slot(features, apply):
    model = tiny.unet("SD1.5")
    adapter = tiny.adapter(model)
    patched = apply(apply(model, adapter, features), adapter, features)
    assert all(len(patch.joint.parts) == 2 and patch.previous is None for patch in slots(patched).values())


def test_what_joined_keeps_its_own_range(features, apply):
    model = tiny.unet("SD1.5")
    patched = apply(model, tiny.adapter(model), features)
    expected = tiny.sample(patched, "SD1.5")
    later = patched.clone()
    slots(later)["middle", 0].add(lambda out, *_, **__: out * 100, sigma_start=-1.0, sigma_end=-2.0)
    torch.testing.assert_close(tiny.sample(later, "SD1.5"), expected, rtol=0, atol=0)


def test_the_end_of_one_range_is_the_start_of_the_next():
    class Sampling:
        def percent_to_sigma(self, percent):
            return {0.0: 1e9, 0.5: 2.0, 1.0: 0.0}[percent]

    evaluation = Evaluation(Run(), (False,), {}, (8, 8), torch.tensor([2.0]), Sampling())
    assert not evaluation.within(0.0, 0.5) and evaluation.within(0.5, 1.0)


@pytest.mark.parametrize(
    "names, expected",
    [
        (["positive", "negative"], [False, True]),
        (["negative", "middle", "positive"], [True, False, False]),
        (["positive", "negative", "empty_negative_prompt"], [False, True, True]),
        (["cond", "uncond"], [False, True]),
        (["first", "second"], [False, True]),  # names that say nothing: the usual order
    ],
)
def test_sides_are_told_by_the_guiders_names(names, expected):
    uuids = [frozenset({name}) for name in names]
    run = Run(list(zip(names, uuids)))
    assert [run.is_negative(index, members) for index, members in enumerate(uuids)] == expected


def test_a_model_called_past_the_batching(features, apply):
    """Some packs run the model by themselves, with one condition, the positive one."""
    model = tiny.unet("SD1.5")
    patched = apply(model, tiny.adapter(model), features)
    x, context = torch.randn(1, 4, 8, 8), tiny.conditions("SD1.5")[0][0][0]
    options = {**patched.model_options["transformer_options"], "wrappers": patched.wrappers}
    comfy.model_management.load_models_gpu([patched])

    def call(options):
        return model.model.apply_model(x, torch.tensor([1.0]), c_crossattn=context, transformer_options=options)

    assert not torch.allclose(call(options), call({}))
    torch.testing.assert_close(call(options), call({**options, "cond_or_uncond": [0]}), rtol=0, atol=0)


def test_each_picture_its_own_negative(features, two_references, apply, encoder):
    model = tiny.unet("SD1.5")
    adapter = tiny.adapter(model)
    noise = torch.randn(2, 4, 8, 8)

    def run(patched, rows):
        positive, negative = tiny.conditions("SD1.5")
        return comfy.sample.sample(
            patched,
            noise[rows],
            1,
            3.0,
            "euler",
            "simple",
            positive,
            negative,
            torch.zeros_like(noise[rows]),
            disable_pbar=True,
            seed=3,
        )

    def one(row):
        return type(features)(
            negative_penultimate=None, encoder="", image_embeds=two_references.image_embeds[row : row + 1]
        )

    both = run(apply(model, adapter, two_references, negative=two_references, batch="one per image"), slice(0, 2))
    for row in range(2):
        single = run(apply(model, adapter, one(row), negative=one(row)), slice(row, row + 1))
        torch.testing.assert_close(both[row : row + 1], single, rtol=1e-4, atol=1e-3)
