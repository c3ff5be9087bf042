"""SD3.5 Large with InstantX's IP-Adapter: the prediction equals that of diffusers, and nothing changes but what should.

A narrow transformer of 38 joint blocks is made in diffusers and converted by ComfyUI itself. Both sides read one file.
"""

import copy
import gc
import weakref
from functools import cache
from types import SimpleNamespace
from typing import Any

import comfy.model_detection
import comfy.model_management
import comfy.samplers
import pytest
import tiny
import torch
from comfy.clip_vision import Output
from comfy.model_patcher import ModelPatcher
from diffusers import SD3Transformer2DModel
from diffusers.models.attention_processor import JointAttnProcessor2_0
from safetensors.torch import save_file
from test_diffusers import randomise
from torch import Tensor

from image_prompt.devtools.published import nested
from image_prompt.ip_adapter import PerStep, Sides, Strength
from image_prompt.nodes.applying.attach import attach, image_prompt
from image_prompt.nodes.applying.hosts import sd3
from image_prompt.nodes.applying.joint import Joint
from image_prompt.nodes.controls.apply_references import ApplyReferences
from image_prompt.nodes.controls.conditioning import ReferencesToConditioning
from image_prompt.nodes.controls.reference import MakeReference
from image_prompt.nodes.influence.record_influence import RecordInfluence
from image_prompt.nodes.loading.adapter import ImagePromptAdapter

SIGMA, BATCH, BLOCKS = 0.6, 2, 38
SIZE = (12, 8)


@cache
def transformers() -> tuple[SD3Transformer2DModel, ModelPatcher]:
    """The same weights in diffusers and in ComfyUI."""
    torch.manual_seed(0)
    theirs = SD3Transformer2DModel(
        sample_size=32,
        num_layers=BLOCKS,
        attention_head_dim=64,
        num_attention_heads=2,
        joint_attention_dim=4096,
        caption_projection_dim=128,
        pooled_projection_dim=2048,
        pos_embed_max_size=16,
        qk_norm="rms_norm",
    ).eval()
    randomise(theirs)
    ours = tiny.sd3()
    copies = {key: tensor.clone() for key, tensor in theirs.state_dict().items()}  # it writes into what it is given
    weights = comfy.model_detection.convert_diffusers_mmdit(copies)
    for block in (1, BLOCKS - 1):  # it takes the block with the number of the last head for the last block
        for kind in ("weight", "bias"):
            key = f"joint_blocks.{block}.context_block.adaLN_modulation.1.{kind}"
            weights[key] = torch.cat(weights[key].chunk(2)[::-1])
    ours.model.diffusion_model.load_state_dict(weights, strict=True)
    return theirs, ours


@cache
def inputs(references: int = 1, negative: bool = False) -> SimpleNamespace:
    """negative: whether the unconditional rows have pictures of their own"""
    torch.manual_seed(2)
    return SimpleNamespace(
        noise=torch.randn(BATCH, 16, *SIZE),
        text=torch.randn(2, 1, 9, 4096),  # conditional, unconditional
        pooled=torch.randn(2, 1, 2048),
        features=torch.randn(references, 7, 24),
        negative=torch.randn(1, 7, 24) if negative else None,
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
        *([[text, {"pooled_output": pooled}]] for text, pooled in zip(given.text, given.pooled, strict=True))
    )
    guider.set_cfg(5.0)
    euler = comfy.samplers.sampler_object("euler")
    guider.sample(given.noise, torch.zeros_like(given.noise), euler, sigmas, disable_pbar=True, seed=0)
    return seen["input"], seen["cond"] / SIGMA, seen["uncond"] / SIGMA


def predict_diffusers(given: SimpleNamespace, latent: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """The same two velocities, each from a call of its own; without the adapter for a scale of 0.

    Its own resampler makes the tokens of each reference, and they are joined here.
    """
    transformer, ours = transformers()
    if scale:
        transformer._load_ip_adapter_weights(nested(tiny.sd3_file(ours)), low_cpu_mem_usage=False)
        for processor in transformer.attn_processors.values():
            processor.scale = scale
    try:
        found = []
        negative = torch.zeros_like(given.features) if given.negative is None else given.negative
        for text, pooled, features in zip(given.text, given.pooled, (given.features, negative), strict=True):
            kwargs = {}
            if scale:
                tokens, embedding = transformer.image_proj(features, torch.full((len(features),), 1000 * SIGMA))
                kwargs["ip_hidden_states"] = tokens.flatten(0, 1).expand(BATCH, -1, -1)
                kwargs["temb"] = embedding[:1].expand(BATCH, -1)
            out = transformer(
                hidden_states=latent,
                encoder_hidden_states=text.expand(BATCH, -1, -1),
                pooled_projections=pooled.expand(BATCH, -1),
                timestep=torch.full((BATCH,), 1000 * SIGMA),
                joint_attention_kwargs=kwargs,
            ).sample
            found.append(out)
    finally:
        transformer.image_proj = None
        transformer.set_attn_processor(JointAttnProcessor2_0())
    return found[0], found[1]


def steered(apply: Any, given: SimpleNamespace, weight: float = 0.6, **options: Any) -> ModelPatcher:
    model = transformers()[1]
    negative = None if given.negative is None else pictures_of(given.negative)
    adapter = tiny.wrapped(tiny.sd3_file(model))
    return apply(model, adapter, pictures_of(given.features), weight, negative=negative, **options)


def pictures_of(states: Tensor) -> Output:
    """What an image encoder gives, as far as the adapter reads it."""
    features = Output()
    features.penultimate_hidden_states = states
    return features


def assert_close(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> None:
    for side, a, b in zip(("cond", "uncond"), ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=2e-5, msg=lambda text, side=side: f"{side}: {text}")


@pytest.mark.parametrize("references, negative", [(1, False), (2, True)])
def test_the_prediction_equals_diffusers(apply, references, negative):
    given = inputs(references, negative)
    latent, *without = predict_here(transformers()[1], given)
    plain = predict_diffusers(given, latent, 0.0)
    assert_close(tuple(without), plain)
    _, *ours = predict_here(steered(apply, given), given)
    theirs = predict_diffusers(given, latent, 0.6)
    assert_close(tuple(ours), theirs)
    assert min((a - b).abs().max() for a, b in zip(theirs, plain, strict=True)) > 1e-2  # the adapter acts
    assert 0.1 < ours[0].std() < 10  # or the tolerance would say nothing


@cache
def narrow() -> ModelPatcher:
    return tiny.sd3(heads=1)


@pytest.fixture
def model():
    return narrow().clone()


@pytest.fixture(scope="module")
def adapter():
    return tiny.wrapped(tiny.sd3_file(narrow()))


@pytest.fixture
def features():
    return pictures_of(torch.randn(1, 7, 24, generator=torch.Generator().manual_seed(3)))


@pytest.fixture
def two_references():
    return pictures_of(torch.randn(2, 7, 24, generator=torch.Generator().manual_seed(4)))


def conditions(lengths: tuple[int, int] = (5, 5)) -> list[list[Any]]:
    """Prompts of so many tokens. ComfyUI calls the model for those of other lengths one after the other."""
    conds = tiny.conditions("SD3.5 Large")
    return [[[text[:, :length], given]] for length, ((text, given),) in zip(lengths, conds, strict=True)]


def sample(model: ModelPatcher, **options: Any) -> Tensor:
    return tiny.sample(model, "SD3.5 Large", **{"conds": conditions(), "steps": 1} | options)


def equal(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=0)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_no_influence_is_bit_identical(model, adapter, features, apply):
    without = sample(model)
    for setting in ({"weight": 0.0}, {"start": 0.4, "end": 0.4}, {"start": 0.98, "end": 0.99}):
        equal(sample(apply(model, adapter, features, **setting)), without)
    assert (sample(apply(model, adapter, features)) - without).abs().max() > 0.1


def test_runs_are_equal_and_leave_nothing(model, adapter, features, apply):
    before, found = sample(model), []
    patched = apply(model, adapter, features)
    options = str(patched.model_options)
    for _ in range(5):
        found.append(sample(patched))
        equal(found[-1], found[0])
    apply(patched, adapter, features, weight=2.0)
    assert str(patched.model_options) == options
    equal(sample(patched.clone()), found[0])
    equal(sample(model), before)
    equal(sample(apply(model, adapter, features)), found[0])


@pytest.mark.parametrize("lengths, calls", [((5, 5), 1), ((5, 6), 2)])
def test_tokens_are_made_once_in_an_evaluation_and_not_kept(
    model, adapter, features, apply, monkeypatch, lengths, calls
):
    """Once for each side, however many layers and calls there are; keys and values once for each side and layer."""
    made, projected, step, project = [], [], PerStep.at, PerStep.key_value

    def at(self, *given):
        assert not any(tokens() for side, tokens in made if side is self)  # those of the evaluation before
        found = step(self, *given)
        made.append((self, weakref.ref(found.tokens)))
        return found

    monkeypatch.setattr(PerStep, "at", at)
    monkeypatch.setattr(PerStep, "key_value", lambda self, *given: projected.append(self) or project(self, *given))
    called, forward = [], type(model.model.diffusion_model).forward
    monkeypatch.setattr(
        type(model.model.diffusion_model), "forward", lambda *given, **more: called.append(1) or forward(*given, **more)
    )
    sample(apply(model, adapter, features), steps=2, conds=conditions(lengths))
    assert (len(called), len(made), len(projected)) == (2 * calls, 2 * 2, 2 * 2 * BLOCKS)
    gc.collect()
    assert not any(tokens() for _, tokens in made)


def test_weights_add_up_whether_in_one_patch_or_around_that_of_another_node(model, adapter, features, apply):
    once = sample(apply(model, adapter, features))
    between = apply(model, adapter, features, weight=0.5)
    slots = between.model_options["transformer_options"]["patches_replace"]["dit"]
    seen = []

    def other(args, extra, below=slots[("double_block", 7)]):
        seen.append(args)
        return below(args, extra)

    twice = apply(between, adapter, features, weight=0.5)
    between.set_model_patch_replace(other, "dit", "double_block", 7)
    around = apply(between, adapter, features, weight=0.5)
    close(sample(twice), once)
    close(sample(around), once)
    assert seen


def test_another_nodes_attention_is_called_and_what_it_gives_is_left_alone(model, adapter, features, apply):
    kept = []

    def other(func, *given, **more):
        out = func(*given, **more)
        kept.append((out, out.clone()))
        return out

    expected = sample(apply(model, adapter, features))
    model.model_options["transformer_options"]["optimized_attention_override"] = other
    equal(sample(apply(model, adapter, features)), expected)
    assert len(kept) == BLOCKS
    assert all(torch.equal(out, before) for out, before in kept)


def test_a_block_that_another_node_leaves_out_stays_out(model, adapter, features, apply):
    for block in range(BLOCKS):
        model.set_model_patch_replace(lambda args, extra: args, "dit", "double_block", block)
    equal(sample(apply(model, adapter, features)), sample(model))


@pytest.mark.parametrize("size", [(12, 8), (11, 7)])
def test_only_the_tokens_under_the_mask_change(model, adapter, features, apply, monkeypatch, size):
    """On the packed grid of 6x4, which is completed for an odd latent."""
    changes, add = [], Joint.add

    def spy(self, q, out, *given):
        before = out.clone()
        add(self, q, out, *given)
        changes.append((out - before).abs().amax((0, 2)))

    monkeypatch.setattr(Joint, "add", spy)
    mask = torch.zeros(1, 8 * size[0], 8 * size[1])
    mask[:, 48:] = 1.0  # from the fourth row of tokens on
    sample(apply(model, adapter, features, mask=mask), size=size)
    assert len(changes) == BLOCKS
    for change in changes:
        assert change.shape == (24,)
        assert change[12:].min() > 1e-4 and change[:12].max() == 0


def test_each_reference_has_a_softmax_of_its_own(model, adapter, two_references, apply):
    states = two_references.penultimate_hidden_states
    one_by_one = apply(apply(model, adapter, pictures_of(states[:1])), adapter, pictures_of(states[1:]))
    sides = {"penultimate": states}, {"penultimate": torch.zeros_like(states[:1])}
    each = attach(model, [image_prompt(model, adapter, *sides, Strength(1.0), arrangement="each")])
    found = sample(each)
    assert (found - sample(apply(model, adapter, two_references))).abs().max() > 1e-2
    close(sample(each, cfg=1.0), sample(one_by_one, cfg=1.0))  # there is one negative image, not one for each


def test_scaled_keys_leave_the_weight_on_what_the_picture_gets_of_itself(model, adapter, features):
    """The witness: a file whose norms of keys are scaled."""
    scaled = {key: tensor * (0.3 if "norm_ip_k" in key else 1.0) for key, tensor in tiny.sd3_file(model).items()}
    found, expected = (
        ApplyReferences.execute(
            model, file, {"reference_0": MakeReference.execute(features, weight=0.3, scaling=scaling).args[0]}
        ).args[0]
        for file, scaling in ((adapter, "K+V"), (tiny.wrapped(scaled), "V only"))
    )
    close(sample(found), sample(expected))


def test_one_reference_for_each_picture(model, adapter, two_references, apply):
    together = sample(apply(model, adapter, two_references, batch="one per image"), batch=2)
    for row in range(2):
        one = pictures_of(two_references.penultimate_hidden_states[row : row + 1])
        alone = sample(apply(model, adapter, one), batch=2)
        close(together[row], alone[row])
        assert not torch.allclose(together[1 - row], alone[1 - row], atol=1e-2)


def test_carried_by_both_prompts_it_is_as_applied_to_the_model(model, adapter, features, apply):
    positive, negative = conditions()
    expected = sample(apply(model, adapter, features, 0.7))
    references = {"reference_0": MakeReference.execute(features, weight=0.7).args[0]}
    patched, *conds = ReferencesToConditioning.execute(model, adapter, positive, references, negative=negative).args
    equal(sample(patched, conds=conds), expected)


def test_the_influence_is_that_of_the_reference_alone(model, features, apply):
    """Not that of the picture on itself, which the adapter adds too: without values of its own there is none."""
    file = {key: tensor * ("to_v_ip" not in key) for key, tensor in tiny.sd3_file(model).items()}
    patched = apply(model, tiny.wrapped(file), features)
    recording, influence = RecordInfluence.execute(patched).args
    equal(sample(recording, size=(12, 8)), sample(patched, size=(12, 8)))
    assert influence.record.maps.shape == (1, 1, 12, 8)
    assert not influence.record.maps.any()


def test_an_fp8_model_that_computes_in_bf16_gives_about_the_same(adapter, features, apply):
    """Its norms are in fp8 as well, and are read as it reads them."""
    low, same = tiny.sd3(heads=1, dtype=torch.float8_e4m3fn, compute=torch.bfloat16), tiny.sd3(heads=1)
    same.model.diffusion_model.load_state_dict(low.model.diffusion_model.state_dict())  # rounded alike
    found, expected = (sample(apply(model, adapter, features, 5.0)) - sample(model) for model in (low, same))
    assert (found - expected).std() < 0.2 * expected.std()


def test_no_weight_of_the_model_is_read_but_the_scales_of_its_norms(model, adapter, features, apply, monkeypatch):
    expected = sample(apply(model, adapter, features))
    seen = copy.deepcopy(model.model.diffusion_model).to("meta")  # whose values nobody can read
    for ours, theirs in zip(seen.joint_blocks, model.model.diffusion_model.joint_blocks, strict=True):
        ours.x_block.attn.ln_q, ours.x_block.attn.ln_k = theirs.x_block.attn.ln_q, theirs.x_block.attn.ln_k
    patched = apply(model, adapter, features)
    monkeypatch.setattr(sd3, "_transformer", lambda _: seen)
    equal(sample(patched), expected)


def test_other_models_of_its_kind_are_refused_by_name(adapter, features, apply):
    for name, options in {"SD3 Medium": {"norm": None}, "SD3.5 Medium": {"doubled": (0, 1)}}.items():
        with pytest.raises(ValueError, match=f"for SD3.5 Large, the model is {name}: "):
            apply(tiny.sd3(heads=1, blocks=3, **options), adapter, features)


def test_wrong_pairings_are_refused_in_words(model, adapter, features, apply):
    sd15 = tiny.unet("SD1.5")
    with pytest.raises(ValueError, match="is an IP-Adapter for SD1.5, the model is SD3.5 Large"):
        apply(model, tiny.adapter(sd15), features)
    with pytest.raises(ValueError, match="is an IP-Adapter for SD3.5 Large, the model is SD1.5"):
        apply(sd15, adapter, features)
    with pytest.raises(ValueError, match="The adapter has 38 layers .*this model has 3 joint blocks"):
        apply(tiny.sd3(heads=1, blocks=3), adapter, features)
    with pytest.raises(ValueError, match="Layer 0 of the adapter is 64 wide, joint block 0 of this model is 128"):
        apply(tiny.sd3(heads=2), adapter, features)


def brought(model: ModelPatcher) -> list[ModelPatcher]:
    return model.get_nested_additional_models()


def test_what_sampling_needs_is_loaded_and_counted_once(model, adapter, features, apply):
    patched = apply(apply(model, adapter, features), adapter, pictures_of(features.penultimate_hidden_states + 1))
    modules = [patcher.model for patcher in (*brought(patched.clone()), *patched.model_patches_models())]
    kept = {id(module): module for module in modules if isinstance(module, Sides)}
    assert len(modules) == 2 + BLOCKS * 2  # a patch for each block, which hands over the states of both prompts
    assert [module for module in modules if not isinstance(module, Sides)] == [
        adapter.module,
        adapter.module.sampling_layers,
    ]
    assert len(kept) == 2
    comfy.model_management.unload_all_models()
    sample(patched)
    loaded = [each.model.model for each in comfy.model_management.current_loaded_models]
    assert all(sum(module is each for each in loaded) == 1 for module in (adapter.module, *kept.values()))


@pytest.mark.parametrize("made", ["of tensors", "from a file"])
def test_a_deep_clone_samples_the_same_with_tensors_of_its_own(model, features, apply, tmp_path, made):
    file = tiny.sd3_file(model)
    save_file(file, tmp_path / "sd3.safetensors")
    path = str(tmp_path / "sd3.safetensors")
    adapter = ImagePromptAdapter.from_file(path) if made == "from a file" else tiny.wrapped(file)
    model.cached_patcher_init = (lambda: tiny.sd3(heads=1), ())
    patched = apply(model, adapter, features)
    deep, used = patched.deepclone_multigpu(torch.device("cpu")), []
    own = {tensor.data_ptr() for tensor in adapter.module.weights().values()}
    for patcher in brought(deep):
        assert own.isdisjoint(tensor.data_ptr() for tensor in patcher.model.state_dict().values())
    for layer in adapter.module.layers:
        layer.register_forward_pre_hook(lambda *_: used.append(1))
    equal(sample(deep), sample(patched))
    assert len(used) == 2 * BLOCKS  # those of the second run alone


def test_offloaded_weights_sample_the_same(model, adapter, features, apply):
    patched = apply(model, adapter, features)
    expected = sample(patched)
    comfy.model_management.unload_all_models()
    whole, layers = brought(patched)
    for patcher in (whole, layers):
        patcher.load(patcher.load_device, lowvram_model_memory=1)
    assert whole.model.model_lowvram
    equal(sample(patched), expected)
