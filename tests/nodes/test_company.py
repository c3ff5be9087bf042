"""An IP-Adapter beside the nodes of ComfyUI that change a model or its conditions, in ComfyUI's own sampler."""

from math import isqrt

import comfy.cldm.cldm
import comfy.controlnet
import comfy.model_management
import comfy.samplers
import nodes
import pytest
import tiny
import torch
from comfy.ldm.modules import attention
from comfy.model_management import LoadedModel
from comfy_extras.nodes_freelunch import FreeU_V2
from comfy_extras.nodes_hypertile import HyperTile
from comfy_extras.nodes_model_downscale import PatchModelAddDownscale
from comfy_extras.nodes_model_merging import ModelMergeSimple
from comfy_extras.nodes_multigpu import MultiGPUCFGSplitNode
from comfy_extras.nodes_pag import PerturbedAttentionGuidance
from comfy_extras.nodes_sag import SelfAttentionGuidance
from comfy_extras.nodes_torch_compile import TorchCompileModel
from safetensors.torch import save_file
from torch.nn import functional as F

from image_prompt.demo.nodes.topologies import unet_config
from image_prompt.ip_adapter import prepare
from image_prompt.nodes.applying.hosts import unet
from image_prompt.nodes.applying.joint import Joint
from image_prompt.nodes.applying.sampling import Evaluation

SAME = {"rtol": 0.0, "atol": 0.0}
CLOSE = {"rtol": 1e-5, "atol": 1e-3}  # the tiny models' output has a standard deviation of about 100
SIDE = 16  # of the latent


def lora(model, conds, base, folders):
    """A LoRA on the queries of all cross-attentions, which our attention shares."""
    generator = torch.Generator().manual_seed(1)
    file = {}
    for name, module in model.model.diffusion_model.named_modules():
        if name.endswith("attn2.to_q"):
            width = module.weight.shape[0]
            for part, shape in {"up": (width, 2), "down": (2, width)}.items():
                file[f"diffusion_model.{name}.lora_{part}.weight"] = torch.randn(shape, generator=generator) * 0.3
    save_file(file, folders / "loras" / "tiny.safetensors")
    return nodes.LoraLoaderModelOnly().load_lora_model_only(model, "tiny.safetensors", 0.8)[0], conds


def control_net(model, conds, base, folders):
    kind, changes, heads = tiny.UNETS[base]
    config = unet_config(base, 32, **changes) | heads
    network = tiny.fill(comfy.cldm.cldm.ControlNet(**config, hint_channels=3), seed=2)
    control = comfy.controlnet.ControlNet(network.eval(), load_device=torch.device("cpu"))
    image = torch.rand(1, 8 * SIDE, 8 * SIDE, 3, generator=torch.Generator().manual_seed(2))
    return model, list(nodes.ControlNetApplyAdvanced().apply_controlnet(*conds, control, image, 0.8, 0.0, 1.0))


def areas(model, conds, base, folders):
    """The positive prompt in the left half, another one in the right half."""
    positive, negative = conds
    (other,) = tiny.conditions(base, seed=4, count=1)
    half, whole = 4 * SIDE, 8 * SIDE
    (left,) = nodes.ConditioningSetArea().append(positive, half, whole, 0, 0, 1.0)
    (right,) = nodes.ConditioningSetArea().append(other, half, whole, half, 0, 1.0)
    return model, [nodes.ConditioningCombine().combine(left, right)[0], negative]


NEIGHBOURS = {
    "LoRA": lora,
    "ControlNet": control_net,
    "areas": areas,
    "merge": lambda model, conds, base, _: (ModelMergeSimple().merge(model, tiny.unet(base, seed=9), 0.5)[0], conds),
    "FreeU": lambda model, conds, *_: (FreeU_V2.execute(model, 1.3, 1.4, 0.9, 0.2).args[0], conds),
    "PAG": lambda model, conds, *_: (PerturbedAttentionGuidance.execute(model, 3.0).args[0], conds),
    "SAG": lambda model, conds, *_: (SelfAttentionGuidance.execute(model, 0.5, 2.0).args[0], conds),
    "Deep Shrink": lambda model, conds, *_: (
        PatchModelAddDownscale.execute(model, 3, 2.0, 0.0, 0.35, True, "bicubic", "bicubic").args[0],
        conds,
    ),
    "HyperTile": lambda model, conds, *_: (HyperTile.execute(model, 32, 2, 1, False)[0], conds),
}


@pytest.fixture
def neighbour(name, base, folders):
    """The neighbour of the test: a model and its conditions in, the same changed by the neighbour out."""
    return lambda model: NEIGHBOURS[name](model, tiny.conditions(base), base, folders)


def sampled(model, base, conds=None):
    return tiny.sample(model, base, size=(SIDE, SIDE), conds=conds)


@pytest.mark.parametrize(
    ("name", "base"), [*((name, "SD1.5") for name in NEIGHBOURS), ("Deep Shrink", "SDXL"), ("HyperTile", "SDXL")]
)
def test_both_act_in_any_order(neighbour, base, model, adapter, features, apply):
    patched, conds = neighbour(model)
    alone = sampled(patched, base, conds)
    both = sampled(apply(patched, adapter, features), base, conds)
    for one in (alone, sampled(apply(model, adapter, features), base)):
        assert (both - one).abs().mean() > 0.1
    turned, conds = neighbour(apply(model, adapter, features))
    torch.testing.assert_close(sampled(turned, base, conds), both, **SAME)
    without = apply(patched, adapter, features, weight=0.0)
    torch.testing.assert_close(sampled(without, base, conds), alone, **SAME)


@pytest.fixture
def changes(monkeypatch):
    """What image prompts add to the tokens of each call of a block, at its largest: (rows of tokens, columns)."""
    found, add = [], Joint.add

    def spy(self, q, out, *args, **options):
        before = out.clone()
        add(self, q, out, *args, **options)
        found.append((out - before).abs().amax((0, 2)).unflatten(0, (isqrt(out.shape[1]), -1)))

    monkeypatch.setattr(Joint, "add", spy)
    return found


@pytest.mark.parametrize("name", [name for name in NEIGHBOURS if name != "areas"])  # they are in test_apply.py
def test_only_the_tokens_under_a_mask_change(
    name, neighbour, base, model, adapter, features, two_references, apply, changes
):
    mask = torch.zeros(1, SIDE, SIDE)
    mask[:, : SIDE // 2] = 1.0
    patched, conds = neighbour(model)
    sampled(apply(patched, adapter, features, mask=mask, negative=two_references), base, conds)
    assert {len(change) for change in changes} == ({1, 2, 4, 8, 16} if name == "Deep Shrink" else {2, 4, 8, 16})
    for change in changes:
        inside = F.adaptive_avg_pool2d(mask, change.shape)[0]
        assert change[inside == 1.0].gt(1e-3).all() and change[inside == 0.0].lt(1e-6).all()


@pytest.mark.parametrize(("name", "negative"), [("PAG", False), ("SAG", True)])
def test_a_guidance_that_runs_one_condition_alone_keeps_its_side(
    neighbour, negative, base, model, adapter, features, apply, monkeypatch
):
    """Both call it number 0, though that of SAG is the negative one."""
    sides, layout = set(), Evaluation.layout

    def spy(self, rows, called, extra_options):
        found = layout(self, rows, called, extra_options)
        sides.add((*extra_options["cond_or_uncond"], *(group.negative for group in found.groups)))
        return found

    monkeypatch.setattr(Evaluation, "layout", spy)
    patched, conds = neighbour(model)
    sampled(apply(patched, adapter, features), base, conds)
    assert sides == {(1, 0, True, False), (0, negative)}


def test_compiled_code_never_runs_with_image_prompts(base, model, adapter, features, apply, caplog):
    """ComfyUI's node compiles without guards on patches: code from a run without image prompts would leave them out."""
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph

    expected = tiny.sample(apply(model, adapter, features), base)
    first = apply(TorchCompileModel.execute(model, backend).args[0], adapter, features)
    last = TorchCompileModel.execute(apply(model, adapter, features), backend).args[0]
    for patched in (first, last):
        caplog.clear()
        torch.testing.assert_close(tiny.sample(patched, base), expected, **SAME)
        assert [record.getMessage() for record in caplog.records if "without torch.compile" in record.getMessage()]
    assert not compiled
    torch.compile(lambda x: x + 1, backend=backend)(torch.ones(1))
    assert len(compiled) == 1  # and other runs are compiled as before


@pytest.mark.parametrize("name", ["attention_split", "attention_sub_quad", "attention_pytorch"])
def test_every_attention_backend_gives_the_same(name, base, model, adapter, features, apply, monkeypatch):
    """The backend is chosen by ComfyUI's command line."""
    mask = torch.linspace(0, 1, 64).view(1, 8, 8)
    patched = apply(model, adapter, features, mask=mask)
    monkeypatch.setattr(attention, "optimized_attention", attention.attention_basic)
    monkeypatch.setattr(unet, "optimized_attention", attention.attention_basic)
    expected = tiny.sample(patched, base)
    called, backend = [], getattr(attention, name)
    for module in (attention, unet):
        monkeypatch.setattr(
            module, "optimized_attention", lambda *args, **options: called.append(module) or backend(*args, **options)
        )
    torch.testing.assert_close(tiny.sample(patched, base), expected, rtol=1e-4, atol=1e-3)
    assert len(called) == 2 * 2 * 16  # self-attention and text, steps, layers


def test_a_backend_that_fails_on_zeros_never_sees_the_image_tokens(base, model, features, apply):
    """Quantised attention divides by the largest value. A neutral negative image may give keys and values of zeros."""
    patched = apply(model, tiny.adapter(model, tokens=5), features)
    expected = tiny.sample(patched, base)
    (bank,) = set(patched.model_patches_models())
    assert not bank.model.side("uncond").flat.any()
    seen = []

    def quantised(backend, q, k, v, *args, **options):
        seen.append(k.shape[1])
        if not all(tensor.any() for tensor in (q, k, v)):
            raise ZeroDivisionError
        return backend(q, k, v, *args, **options)

    patched.model_options["transformer_options"]["optimized_attention_override"] = quantised
    torch.testing.assert_close(tiny.sample(patched, base), expected, **SAME)
    assert tiny.LENGTH in seen and 5 not in seen  # the text, not the image tokens


def test_fp8_weights_act_as_the_numbers_that_they_hold(base, features, apply):
    eight, full = tiny.unet(base, dtype=torch.float8_e4m3fn, compute=torch.float32), tiny.unet(base)
    for name, parameter in full.model.diffusion_model.named_parameters():
        parameter.data = eight.model.diffusion_model.get_parameter(name).float()
    expected, found = (tiny.sample(apply(model, tiny.adapter(full), features), base) for model in (full, eight))
    torch.testing.assert_close(found, expected, **CLOSE)
    assert (found - tiny.sample(eight, base)).abs().mean() > 1.0
    (bank,) = set(apply(eight, tiny.adapter(full), features).model_patches_models())
    assert {parameter.dtype for parameter in bank.model.parameters()} == {torch.float32}


@pytest.mark.parametrize("windows", [False, True])
def test_weights_that_are_offloaded_in_part(base, model, adapter, two_references, apply, folders, monkeypatch, windows):
    """As with --lowvram: weights that stay behind are brought, and their LoRA applied, when a layer needs them."""
    if windows:  # the adapter itself runs with the model
        monkeypatch.setattr(prepare, "WINDOW", 1)
        monkeypatch.setattr(prepare, "MANY", 0)
    patched, _ = lora(apply(model, adapter, two_references, batch="one per image"), None, base, folders)
    expected = tiny.sample(patched, base, batch=2)
    comfy.model_management.unload_all_models()
    load, offloaded = LoadedModel.model_load, {}

    def part(self, lowvram_model_memory=0, force_patch_weights=False):
        load(self, self.model.model_size() // 2, force_patch_weights)
        offloaded[type(self.model.model).__name__] = self.model.loaded_size() < self.model.model_size()

    monkeypatch.setattr(LoadedModel, "model_load", part)
    torch.testing.assert_close(tiny.sample(patched, base, batch=2), expected, **CLOSE)
    assert offloaded == dict.fromkeys(["BaseModel", "Sides", *(["IPAdapter"] if windows else [])], True)
    comfy.model_management.unload_all_models()


@pytest.mark.parametrize("first", [True, False])
def test_two_devices_share_the_conditions(base, model, adapter, two_references, apply, monkeypatch, first):
    """ComfyUI gives each device a copy of the model and one of the conditions; here both devices are the CPU."""
    mask = torch.linspace(0, 1, 64).view(1, 8, 8)
    cpus = [torch.device("cpu"), torch.device("cpu", 0)]
    monkeypatch.setattr(comfy.model_management, "get_all_torch_devices", lambda exclude_current=False: cpus)
    model.cached_patcher_init = (tiny.unet, (base,))

    def ours(model):
        return apply(model, adapter, two_references, mask=mask, negative=two_references)

    def split(model):
        return MultiGPUCFGSplitNode.execute(model, 2).args[0]

    expected = tiny.sample(ours(model), base)
    used, add = [], Joint.add
    monkeypatch.setattr(Joint, "add", lambda self, q, *args: used.append(args[1]) or add(self, q, *args))
    patched = split(ours(model)) if first else ours(split(model))
    torch.testing.assert_close(tiny.sample(patched, base), expected, **CLOSE)
    assert {options["multigpu_thread_device"] for options in used} == set(cpus)


def animatediff(model, length):
    """Run the model in windows as AnimateDiff-Evolved does, which says in `ad_params` what frames of a film they are.

    `length`: number of frames in a window; 0: no windows, and `sub_idxs` is None
    """

    def windows(args):
        frames, options = len(args["input"]), args["model_options"]
        found = [torch.zeros_like(args["input"]) for _ in args["conds"]]
        for start in range(0, frames, length or frames):
            some = list(range(start, min(start + (length or frames), frames)))
            parameters = {"sub_idxs": some if length else None, "full_length": frames}
            options["transformer_options"]["ad_params"] = parameters
            one = (args["model"], args["conds"], args["input"][some], args["sigma"][some], options)
            for whole, part in zip(found, comfy.samplers.calc_cond_batch(*one)):
                whole[some] = part
        return found

    model = model.clone()
    model.set_model_sampler_calc_cond_batch_function(windows)
    return model


@pytest.mark.parametrize("masks", [3, 7])  # fewer than frames, and as many
def test_animatediffs_windows_take_the_references_and_masks_of_their_frames(
    base, model, adapter, two_references, apply, masks
):
    shapes = torch.rand(masks, 8, 8)
    patched = apply(model, adapter, two_references, batch="one per image", mask=shapes)
    whole, windowed = (tiny.sample(animatediff(patched, length), base, batch=7) for length in (0, 3))
    torch.testing.assert_close(windowed, whole, rtol=1e-4, atol=1e-3)
    shifted = apply(model, adapter, two_references, batch="one per image", mask=shapes.roll(1, 0))
    assert (tiny.sample(animatediff(shifted, 3), base, batch=7) - whole).abs().mean() > 0.1
