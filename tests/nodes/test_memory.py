"""While it projects, Apply IP-Adapter holds little more memory than it keeps, however many references there are."""

import gc
from contextlib import nullcontext

import pytest
import tiny
import torch
from comfy_extras.nodes_context_windows import ContextWindowsManualNode
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from image_prompt.ip_adapter import PerWindow, Sides, prepare, scale_key, tokens, working_memory
from image_prompt.nodes.applying import sampling
from image_prompt.nodes.applying.joint import Joint
from image_prompt.nodes.encoding.adapter_features import reference_features
from image_prompt.nodes.encoding.features import ImageFeatures

STATES = 17  # positions of the features


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all tensors that operations make and that are still there, at their highest."""

    def __init__(self):
        super().__init__()
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.known: set[int] = set()
        self.peak = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and (storage := tensor.untyped_storage())._cdata not in given:
                self.alive[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.alive = {key: entry for key, entry in self.alive.items() if not entry[0].expired()}
        self.peak = max(self.peak, self.now)
        return result

    @property
    def now(self) -> int:
        return sum(size for reference, size in self.alive.values() if not reference.expired())


def plus_features(count, width=32):
    generator = torch.Generator().manual_seed(count)
    states = torch.randn(count, STATES, width, generator=generator)
    negative = torch.randn(1, STATES, width, generator=generator)
    return ImageFeatures(negative_penultimate=negative, encoder="", penultimate_hidden_states=states)


def slots(model):
    return model.model_options["transformer_options"]["patches_replace"]["attn2"]


def bank_of(patched):
    (sides,) = {patcher.model for patcher in patched.model_patches_models() if isinstance(patcher.model, Sides)}
    return sides


@pytest.mark.parametrize("count", [1, 48, 240])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_peak_is_what_is_kept_and_one_chunk(apply, monkeypatch, count, dtype):
    monkeypatch.setattr(tokens, "PICTURES", 2)
    monkeypatch.setattr(prepare, "PICTURES", 2)
    monkeypatch.setattr(prepare, "TOKENS", 64)
    monkeypatch.setattr(prepare, "MANY", 0)
    model = tiny.unet("SD1.5", dtype=dtype)
    adapter, features = tiny.plus_adapter(model), plus_features(count)
    apply(model, adapter, features)  # once, so that nothing but the projection is counted
    gc.collect()
    with LiveBytes() as live:
        patched = apply(model, adapter, features, batch="one per image")
    kept = sum(parameter.nbytes for parameter in bank_of(patched).parameters())
    states = features.penultimate_hidden_states
    cond, uncond = {"penultimate": states}, {"penultimate": features.negative_penultimate}
    made = (count + 1) * 16 * adapter.module.context_width * 4  # the tokens
    assert kept <= live.peak <= 1.5 * kept + made + working_memory(adapter.module, cond, uncond)
    many = {"penultimate": states[:1].expand(10**6, -1, -1)}
    assert working_memory(adapter.module, many, uncond) < 2.5e6  # and a chunk does not grow with the references


def test_a_look_at_features_needs_no_memory_of_their_size():
    adapter, features = tiny.plus_adapter(tiny.unet("SD1.5")), plus_features(240)
    with LiveBytes() as live:
        reference_features(adapter.module, features)
    assert live.peak < 100


@pytest.mark.parametrize("count", [3, 70])
@pytest.mark.parametrize("batch", ["together", "one per image"])
def test_chunks_make_the_keys_and_values_of_one_pass(apply, monkeypatch, count, batch):
    monkeypatch.setattr(prepare, "MANY", 0)
    model = tiny.unet("SD1.5")
    adapter, features = tiny.plus_adapter(model), plus_features(count)
    sides = bank_of(apply(model, adapter, features, 0.7, negative=plus_features(66), batch=batch))
    module = adapter.module
    for side, reference in (("cond", features), ("uncond", plus_features(66))):
        keys, states = sides.side(side), reference.penultimate_hidden_states
        assert isinstance(keys, PerWindow) == (batch == "one per image" and len(states) > 16)
        for number, (key, value) in enumerate(module.key_value(module.tokens(states))):
            every = torch.arange(keys.rows)
            pair = keys.pick(number, every, key) if isinstance(keys, PerWindow) else keys.layer(number)
            found = [tensor.view(len(states), 16, -1) for tensor in pair]
            torch.testing.assert_close(found, [scale_key(key, 4), value], rtol=1e-6, atol=1e-6)


def test_a_film_in_context_windows_holds_what_belongs_to_the_last_windows(apply, monkeypatch):
    """300 frames with a reference and a mask each, and a schedule that shifts the windows at every step."""
    monkeypatch.setattr(sampling, "WINDOWS", 8)
    model = tiny.unet("SD1.5")
    frames = ImageFeatures(negative_penultimate=None, encoder="", image_embeds=torch.randn(300, 24))
    patched = apply(model, tiny.adapter(model), frames, batch="one per image", mask=torch.rand(300, 8, 8))
    windowed = ContextWindowsManualNode.execute(
        patched, 16, 4, "standard_uniform", 1, False, "pyramid", 0, False, causal_window_fix=False
    ).args[0]
    live, add, held = LiveBytes(), Joint.add, []
    first = next(iter(slots(windowed).values())).joint.site.block

    def in_one_layer(self, *args):
        with live if self.site.block == first else nullcontext():
            add(self, *args)

    monkeypatch.setattr(Joint, "add", in_one_layer)
    tiny.sample(windowed, "SD1.5", cfg=1.0, batch=300, callback=lambda *_: held.append(live.now))
    assert held[0] == held[1] > 0
    assert live.peak < 2 * 300 * 4 * first.width * 4  # the keys and values of all frames in this layer
