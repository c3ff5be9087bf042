"""The LoRA of a FaceID adapter changes the weights of the model once: W + strength * up @ down."""

import re
from types import SimpleNamespace

import comfy.model_management
import comfy.sd
import pytest
import tiny
import torch

from image_prompt.devtools import published
from image_prompt.ip_adapter.lora import from_companion
from image_prompt.nodes.controls.apply_references import ApplyReferences
from image_prompt.nodes.controls.conditioning import ReferencesToConditioning
from image_prompt.nodes.controls.reference import MakeReference
from image_prompt.nodes.encoding.features import ImageFeatures
from image_prompt.nodes.loading.adapter import AdapterOptions

COMPANIONS = {"SD1.5": "ip-adapter-faceid_sd15_lora", "SDXL": "ip-adapter-faceid_sdxl_lora"}
FACE = torch.randn(1, 512, generator=torch.Generator().manual_seed(2))
FEATURES = ImageFeatures(face_embeds=FACE, negative_penultimate=None, encoder="")


def blocks(model):
    """The paths of the model's transformer blocks in the order of files: inputs, outputs, the middle."""
    names = [name for name, _ in model.model.diffusion_model.named_modules()]
    paths = [name for name in names if re.search(r"transformer_blocks\.\d+$", name)]
    kinds = ("input", "output", "middle")
    return sorted(paths, key=lambda path: (kinds.index(path.split("_")[0]), [int(n) for n in re.findall(r"\d+", path)]))


def file_of(model, seed=5, rank=4):
    """A FaceID file for a model, with the LoRA for all its attentions."""
    unet = model.model.diffusion_model
    widths = [unet.get_submodule(path).attn2.to_q.out_features for path in blocks(model)]
    context = unet.get_submodule(blocks(model)[0]).attn2.to_k.in_features
    shapes = published.adapter(published.identity(context), widths, context) | published.lora(widths, context, rank)
    return published.fill(shapes, seed)


def changes(model, file):
    """{name of a weight of the model: up @ down}"""
    names = {"q": "to_q", "k": "to_k", "v": "to_v", "out": "to_out.0"}
    return {
        f"{path}.attn{attention + 1}.{name}.weight": file[f"{key}.up.weight"] @ file[f"{key}.down.weight"]
        for number, path in enumerate(blocks(model))
        for attention in (0, 1)
        for letter, name in names.items()
        for key in [f"ip_adapter.{2 * number + attention}.to_{letter}_lora"]
    }


def companion_of(base, file):
    """The LoRA in a file under the keys of the file beside it, which are published in the same order."""
    tensors = [tensor for key, tensor in in_order(file).items() if "_lora." in key]
    return dict(zip(published.shapes(COMPANIONS[base]), tensors, strict=True))


def in_order(file):
    """A file by the numbers of its attentions, which `published.fill` has sorted as words."""

    def place(key):
        _, number, name, *rest = key.split(".")
        return int(number), ("q", "k", "v", "out").index(name.split("_")[1]), rest

    return {key: file[key] for key in sorted((key for key in file if "_lora." in key), key=place)}


def weights(model):
    """The weights of the model as it runs."""
    comfy.model_management.load_models_gpu([model], force_full_load=True)
    found = {name: weight.clone() for name, weight in model.model.diffusion_model.state_dict().items()}
    comfy.model_management.unload_all_models()
    return found


def check(patched, before, changed, strength=1.0):
    after = weights(patched)
    for name, weight in before.items():
        expected = weight + strength * changed[name] if name in changed else weight
        torch.testing.assert_close(after[name], expected, rtol=1e-5, atol=1e-6, msg=name)


@pytest.fixture
def world(model, base):
    file = file_of(model)
    return SimpleNamespace(
        model=model, file=file, adapter=tiny.wrapped(file), before=weights(model), changes=changes(model, file)
    )


def applied(world, apply, model=None, weight=0.6, **options):
    return apply(model or world.model, world.adapter.with_options(AdapterOptions(**options)), FEATURES, weight)


@pytest.mark.parametrize(("base", "strength"), [("SD1.5", 1.0), ("SDXL", -0.3)])
def test_every_attention_gets_its_own_part(world, apply, strength):
    assert len(world.changes) == {16: 128, 70: 560}[len(blocks(world.model))]
    check(applied(world, apply, lora_strength=strength), world.before, world.changes, strength)
    check(world.model, world.before, {})


@pytest.mark.parametrize("options", [{"lora_strength": 0.0}, {"weight": 0.0}])
def test_without_strength_or_weight_nothing_changes(world, apply, options):
    patched = applied(world, apply, **options)
    assert not patched.patches
    check(patched, world.before, {})


def test_two_nodes_in_a_row_apply_it_once(world, apply):
    patched = applied(world, apply, applied(world, apply, lora_strength=0.5), lora_strength=0.9)
    check(patched, world.before, world.changes, 0.5)


def test_another_adapter_adds_its_own(world, apply):
    other = file_of(world.model, seed=6)
    patched = apply(applied(world, apply), tiny.wrapped(other), FEATURES)
    both = {name: change + changes(world.model, other)[name] for name, change in world.changes.items()}
    check(patched, world.before, both)


@pytest.mark.parametrize(("base", "dtype"), [("SD1.5", torch.float16), ("SDXL", torch.float32)])
def test_the_file_beside_the_adapter_counts_as_the_same(base, world, apply, dtype):
    """A LoRA loader puts it into the model first."""
    file = {key: tensor.to(dtype) for key, tensor in world.file.items()}
    loaded, _ = comfy.sd.load_lora_for_models(world.model, None, companion_of(base, file), 0.8, 0.0)
    patched = apply(loaded, tiny.wrapped(file), FEATURES)
    check(patched, world.before, changes(world.model, {key: tensor.float() for key, tensor in file.items()}), 0.8)


def test_a_lora_loader_after_it_counts_alone(world, apply):
    loaded, _ = comfy.sd.load_lora_for_models(applied(world, apply), None, companion_of("SD1.5", world.file), 0.8, 0.0)
    before = loaded.patches_uuid
    tiny.sample(loaded, "SD1.5", steps=1)
    check(loaded, world.before, world.changes, 0.8)
    assert loaded.patches_uuid != before
    once = loaded.patches_uuid
    tiny.sample(loaded, "SD1.5", steps=1)
    assert loaded.patches_uuid == once


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_file_with_fewer_digits_counts_as_the_same(world, apply, dtype):
    companion = {key: tensor.to(dtype) for key, tensor in companion_of("SD1.5", world.file).items()}
    loaded, _ = comfy.sd.load_lora_for_models(world.model, None, companion, 0.8, 0.0)
    assert {len(patches) for patches in applied(world, apply, loaded).patches.values()} == {1}


def test_a_lora_of_something_else_stays_beside_it(world, apply):
    other = file_of(world.model, seed=6)
    loaded, _ = comfy.sd.load_lora_for_models(world.model, None, companion_of("SD1.5", other), 0.8, 0.0)
    patched = applied(world, apply, loaded)
    both = {name: change + 0.8 * changes(world.model, other)[name] for name, change in world.changes.items()}
    check(patched, world.before, both)


def test_references_apply_it_once(world):
    references = {f"reference_{number}": MakeReference.execute(FEATURES).args[0] for number in (1, 2)}
    adapter = world.adapter.with_options(AdapterOptions(lora_strength=0.7))
    patched = ApplyReferences.execute(world.model, adapter, references).args[0]
    check(patched, world.before, world.changes, 0.7)


def test_references_of_two_conditionings_apply_it_once(world):
    patched, references = world.model, {"reference_1": MakeReference.execute(FEATURES).args[0]}
    for conditioning in tiny.conditions("SD1.5"):
        patched = ReferencesToConditioning.execute(patched, world.adapter, conditioning, references).args[0]
    check(patched, world.before, world.changes)
    nothing = {"reference_1": MakeReference.execute(FEATURES, weight=0.0).args[0]}
    idle = ReferencesToConditioning.execute(world.model, world.adapter, conditioning, nothing).args[0]
    check(idle, world.before, {})


@pytest.mark.parametrize("base", ["SD1.5", "SDXL"])
def test_the_companion_holds_the_lora_of_the_adapter(base, model, world):
    inner, found = world.adapter.module.lora, from_companion(companion_of(base, world.file))
    assert found.keys() == inner.keys()
    for key, tensor in inner.items():
        assert torch.equal(found[key], tensor), key
