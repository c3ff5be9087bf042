"""Flux.1 with an XLabs IP-Adapter: the prediction equals that of diffusers, and nothing changes but what should.

A narrow transformer of 19 double blocks is made in diffusers and converted by ComfyUI itself. Both sides read one file.
"""

from functools import cache
from types import SimpleNamespace
from typing import Any

import comfy.model_detection
import comfy.ops
import comfy.samplers
import pytest
import tiny
import torch
from comfy.clip_vision import Output
from comfy.model_patcher import ModelPatcher
from diffusers import FluxPipeline, FluxTransformer2DModel
from diffusers.models.transformers.transformer_flux import FluxAttnProcessor
from safetensors.torch import save_file
from test_diffusers import randomise
from torch import Tensor

from image_prompt.nodes.applying.hosts.flux import BlockPatch
from image_prompt.nodes.applying.joint import Joint
from image_prompt.nodes.encoding.encode import EncodeImagePrompt

SIGMA, BATCH, GUIDANCE = 0.6, 2, 2.5
SIZE = (12, 8)


@cache
def transformers() -> tuple[FluxTransformer2DModel, ModelPatcher]:
    """The same weights in diffusers and in ComfyUI."""
    torch.manual_seed(0)
    theirs = FluxTransformer2DModel(
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        guidance_embeds=True,
        axes_dims_rope=(4, 6, 6),
    ).eval()
    randomise(theirs)
    ours = tiny.flux()
    copies = {key: tensor.clone() for key, tensor in theirs.state_dict().items()}  # it writes into what it is given
    weights = comfy.model_detection.convert_diffusers_mmdit(copies)
    ours.model.diffusion_model.load_state_dict(weights, strict=True)
    return theirs, ours


@cache
def inputs(references: int = 1) -> SimpleNamespace:
    torch.manual_seed(2)
    return SimpleNamespace(
        noise=torch.randn(BATCH, 16, *SIZE),
        text=torch.randn(2, 1, 9, 4096),  # conditional, unconditional
        pooled=torch.randn(2, 1, 768),
        features=torch.randn(references, 24),
        negative=torch.randn(1, 24),
    )


def predict_here(model: ModelPatcher, given: SimpleNamespace) -> tuple[Tensor, Tensor, Tensor]:
    """ComfyUI's noisy latent at one sigma, and the conditional and unconditional velocities."""
    model, seen = model.clone(), {}
    sigmas = torch.tensor([SIGMA, 0.0])

    def capture(args: dict[str, Any]) -> Tensor:
        seen.update(args)
        return args["cond"]

    model.set_model_sampler_cfg_function(capture, disable_cfg1_optimization=True)
    guider = comfy.samplers.CFGGuider(model)
    guider.set_conds(
        *(
            [[text, {"pooled_output": pooled, "guidance": GUIDANCE}]]
            for text, pooled in zip(given.text, given.pooled, strict=True)
        )
    )
    guider.set_cfg(5.0)
    euler = comfy.samplers.sampler_object("euler")
    guider.sample(given.noise, torch.zeros_like(given.noise), euler, sigmas, disable_pbar=True, seed=0)
    return seen["input"], seen["cond"] / SIGMA, seen["uncond"] / SIGMA


def predict_diffusers(given: SimpleNamespace, latent: Tensor, folder: Any, scale: float) -> tuple[Tensor, Tensor]:
    """The same two velocities, each from a call of its own, as its pipeline does."""
    transformer, _ = transformers()
    rows = torch.stack((given.features, given.negative.expand(len(given.features), -1))).unsqueeze(1)
    if folder is not None:
        parts = dict.fromkeys(("scheduler", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"))
        pipeline = FluxPipeline(**parts, transformer=transformer)
        pipeline.load_ip_adapter(
            str(folder),
            weight_name="flux.safetensors",
            image_encoder_pretrained_model_name_or_path=None,
            low_cpu_mem_usage=False,
        )
        pipeline.set_ip_adapter_scale(scale)
    try:
        height, width = (size // 2 for size in SIZE)
        ids = torch.cartesian_prod(torch.arange(1.0), torch.arange(height * 1.0), torch.arange(width * 1.0))
        found = []
        for text, pooled, row in zip(given.text, given.pooled, rows, strict=True):
            kwargs = {} if folder is None else {"ip_adapter_image_embeds": [row.expand(BATCH, -1, -1)]}
            out = transformer(
                hidden_states=FluxPipeline._pack_latents(latent, BATCH, 16, *SIZE),
                encoder_hidden_states=text.expand(BATCH, -1, -1),
                pooled_projections=pooled.expand(BATCH, -1),
                timestep=torch.full((BATCH,), SIGMA),
                guidance=torch.full((BATCH,), GUIDANCE),
                img_ids=ids,
                txt_ids=torch.zeros(text.shape[1], 3),
                joint_attention_kwargs=kwargs,
            ).sample
            found.append(FluxPipeline._unpack_latents(out, SIZE[0] * 8, SIZE[1] * 8, 8))
    finally:
        transformer.encoder_hid_proj, transformer.config.encoder_hid_dim_type = None, None
        transformer.set_attn_processor(FluxAttnProcessor())
    return found[0], found[1]


@pytest.fixture
def file(tmp_path):
    """The folder of an adapter's file."""
    save_file(tiny.flux_file(transformers()[1]), tmp_path / "flux.safetensors")
    return tmp_path


def steered(apply: Any, given: SimpleNamespace, weight: float = 0.6, **options: Any) -> ModelPatcher:
    features, negative = Output(), Output()
    features.image_embeds, negative.image_embeds = given.features, given.negative
    model = transformers()[1]
    return apply(model, tiny.wrapped(tiny.flux_file(model)), features, weight, negative=negative, **options)


def assert_close(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> None:
    for side, a, b in zip(("cond", "uncond"), ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-5, msg=lambda text, side=side: f"{side}: {text}")


def test_without_an_adapter_the_transformers_agree():
    given = inputs()
    latent, *ours = predict_here(transformers()[1], given)
    assert_close(tuple(ours), predict_diffusers(given, latent, None, 0.0))
    assert 0.1 < ours[0].std() < 10  # or the tolerance would say nothing


@pytest.mark.parametrize("references", [1, 2])
def test_the_prediction_equals_diffusers(file, apply, references):
    given = inputs(references)
    latent, *ours = predict_here(steered(apply, given), given)
    theirs = predict_diffusers(given, latent, file, 0.6)
    assert_close(tuple(ours), theirs)
    without = predict_diffusers(given, latent, None, 0.0)
    assert min((a - b).abs().max() for a, b in zip(theirs, without, strict=True)) > 1e-2  # the adapter acts


@pytest.fixture
def model():
    return tiny.flux()


@pytest.fixture
def adapter(model):
    return tiny.wrapped(tiny.flux_file(model))


def sample(model: ModelPatcher, **options: Any) -> Tensor:
    return tiny.sample(model, "Flux", **options)


def equal(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("setting", [{"weight": 0.0}, {"start": 0.4, "end": 0.4}, {"start": 0.98, "end": 0.99}])
def test_no_influence_is_bit_identical(model, adapter, features, apply, setting):
    equal(sample(apply(model, adapter, features, **setting)), sample(model))
    assert (sample(apply(model, adapter, features)) - sample(model)).abs().max() > 0.1


def test_a_range_is_the_steps_inside_it(model, adapter, features, apply):
    whole = sample(apply(model, adapter, features), steps=4)
    halves = apply(apply(model, adapter, features, end=0.5), adapter, features, start=0.5)
    equal(sample(halves, steps=4), whole)
    assert not torch.allclose(sample(apply(model, adapter, features, end=0.5), steps=4), whole)


def test_a_range_begins_with_the_step_at_its_start(model, adapter, features, apply):
    """The second of two steps begins at 0.5, but for the rounding of its sigma."""
    first, second = apply(model, adapter, features, end=0.5), apply(model, adapter, features, start=0.5)
    assert not torch.equal(sample(second), sample(model))
    equal(sample(apply(first, adapter, features, start=0.5)), sample(apply(model, adapter, features)))


def test_no_query_is_kept_outside_the_range(model, adapter, features, apply):
    queries = []

    def other(args, extra):
        queries.append(len(args["transformer_options"].get("patches", {}).get("attn1_patch", ())))
        return extra["original_block"](args)

    model.set_model_patch_replace(other, "dit", "double_block", 0)
    sample(apply(model, adapter, features, end=0.5), steps=4)
    assert queries[0] == 1 and queries[-1] == 0


def test_weights_add_up_whether_in_one_patch_or_around_that_of_another_node(model, adapter, features, apply):
    once = sample(apply(model, adapter, features))
    between = apply(model, adapter, features, weight=0.5)
    slots = between.model_options["transformer_options"]["patches_replace"]["dit"]
    calls = []

    def other(args, extra, below=slots[("double_block", 7)]):
        calls.append(args)
        return below(args, extra)

    twice = apply(between, adapter, features, weight=0.5)
    between.set_model_patch_replace(other, "dit", "double_block", 7)
    around = apply(between, adapter, features, weight=0.5)
    for chained in (twice, around):
        torch.testing.assert_close(sample(chained), once, rtol=1e-4, atol=1e-4)
    assert calls


def test_clones_are_apart_and_runs_leave_nothing(model, adapter, features, apply):
    before = sample(model)
    half = apply(model, adapter, features, weight=0.5)
    expected = sample(half)
    apply(half, adapter, features, weight=2.0)
    equal(sample(half.clone()), expected)
    equal(sample(half), expected)
    equal(sample(model), before)


def test_a_block_that_another_node_leaves_out_stays_out(model, adapter, features, apply):
    def skip(args, extra):
        return args

    model.set_model_patch_replace(skip, "dit", "double_block", 3)
    assert sample(apply(model, adapter, features)).isfinite().all()
    for block in set(range(19)) - {3}:
        model.set_model_patch_replace(skip, "dit", "double_block", block)
    equal(sample(apply(model, adapter, features)), sample(model))


def test_the_query_is_seen_as_other_nodes_leave_it_and_theirs_are_kept(model, adapter, features, apply, monkeypatch):
    queries, kinds = [], []

    def ones(q, k, v, extra_options, **_):
        kinds.append((extra_options["block_type"], len(extra_options["patches"]["attn1_patch"])))
        return {"q": torch.ones_like(q)}

    monkeypatch.setattr(Joint, "add", lambda self, q, *args: queries.append(q))
    model.set_model_attn1_patch(ones)
    sample(apply(model, adapter, features), steps=1)
    assert len(queries) == 19 and all((query == 1).all() for query in queries)
    assert kinds == [("double", 2)] * 19 + [("single", 1)] * 2


@pytest.fixture
def changes(monkeypatch):
    """How much the tokens of each call changed: (L,)."""
    found, add = [], Joint.add

    def spy(self, q, out, *args):
        before = out.clone()
        add(self, q, out, *args)
        found.append((out - before).abs().amax((0, 2)))

    monkeypatch.setattr(Joint, "add", spy)
    return found


@pytest.mark.parametrize("size", [(12, 8), (11, 7)])
@pytest.mark.parametrize("beside", [0, 6])
def test_only_the_tokens_under_the_mask_change(model, adapter, features, apply, changes, size, beside):
    """On the packed grid of 6x4, which is padded for an odd latent; those of a Kontext picture of 4x6 follow."""
    mask = torch.zeros(1, 8 * size[0], 8 * size[1])
    mask[:, 48:] = 1.0  # from the fourth row of tokens on
    conds = tiny.conditions("Flux")
    if beside:
        for cond in conds:
            cond[0][1]["reference_latents"] = [torch.randn(1, 16, 4, 6)]
    sample(apply(model, adapter, features, mask=mask), size=size, steps=1, conds=conds)
    assert len(changes) == 19
    for change in changes:
        assert change.shape == (24,)
        assert change[12:].min() > 1e-3 and change[:12].max() == 0


def test_the_tokens_of_a_reference_latent_are_left_alone(model, adapter, features, apply, monkeypatch):
    """Not as in diffusers, which adds to all tokens of the picture stream: these are of another picture."""
    conds = tiny.conditions("Flux")
    for cond in conds:
        cond[0][1]["reference_latents"] = [torch.randn(1, 16, 4, 6)]
    changes = []
    call, block = BlockPatch.__call__, BlockPatch._block

    def spy(patch: BlockPatch, args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        seen = []

        def keep(*given: Any, **patches: Any) -> dict[str, Any]:
            seen.append({key: value.clone() for key, value in block(*given, **patches).items()})
            return {key: value.clone() for key, value in seen[0].items()}

        monkeypatch.setattr(BlockPatch, "_block", keep)
        out = call(patch, args, extra)
        changes.append((out["img"] - seen[0]["img"]).abs().amax((0, 2)))
        return out

    monkeypatch.setattr(BlockPatch, "__call__", spy)
    sample(apply(model, adapter, features), steps=1, conds=conds)
    assert len(changes) == 19
    assert all(change[:16].min() > 1e-3 and change[16:].shape == (6,) and not change[16:].any() for change in changes)


def test_one_reference_for_each_picture(model, adapter, features, two_references, apply):
    together = sample(apply(model, adapter, two_references, batch="one per image"), batch=2)
    for row in range(2):
        one = type(features)(
            negative_penultimate=None,
            negative_image_embeds=features.negative_image_embeds,
            encoder="",
            image_embeds=two_references.image_embeds[row : row + 1],
        )
        alone = sample(apply(model, adapter, one), batch=2)
        torch.testing.assert_close(together[row], alone[row], rtol=1e-4, atol=1e-4)
        assert not torch.allclose(together[1 - row], alone[1 - row], atol=1e-2)


def test_a_black_picture_is_the_negative(encoder, model, adapter, pictures, features, apply):
    black = EncodeImagePrompt.execute(encoder, torch.zeros(1, 32, 32, 3)).args[0]
    neutral = sample(apply(model, adapter, features))
    torch.testing.assert_close(sample(apply(model, adapter, features, negative=black)), neutral, rtol=0, atol=1e-4)
    assert (sample(apply(model, adapter, features, negative=features)) - neutral).abs().max() > 0.1
    narrow = EncodeImagePrompt.execute(encoder, pictures[:1], adapter=adapter).args[0]
    assert narrow.patcher is None and narrow.negative_penultimate is None
    torch.testing.assert_close(sample(apply(model, adapter, narrow)), neutral, rtol=0, atol=1e-4)
