"""No block of the model waits for the device: while one runs, no number is read from a tensor."""

from typing import Any

import pytest
import tiny
import torch
from test_references import apply_references, reference, steps
from torch.utils._python_dispatch import TorchDispatchMode

from image_prompt.nodes.applying.joint import Joint
from image_prompt.nodes.controls.apply_references import ApplyReferences
from image_prompt.nodes.encoding.features import ImageFeatures

READING = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.item.default}


class Read(TorchDispatchMode):
    """Notes in which blocks, of those that image prompts are attached to, numbers are read from tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.block: Any = None
        self.blocks: list[Any] = []
        self.inside: list[Any] = []
        self.outside = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function in READING and self.block:
            self.inside.append(self.block)
        self.outside += function in READING and not self.block
        return function(*args, **(kwargs or {}))

    def around(self, slot: Any, patch: Any) -> Any:
        def call(args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
            self.block = slot
            self.blocks.append(slot)
            try:
                return patch(args, extra)
            finally:
                self.block = None

        return call


def test_no_block_reads_a_number_from_a_tensor(features, apply):
    """With a mask, weights that follow the steps, and a range: from the first step of a model's first run on."""
    model = tiny.flux()
    adapter = tiny.wrapped(tiny.flux_file(model))
    half = torch.zeros(1, 8, 8)
    half[:, 4:] = 1.0
    faded = reference(features, mask=half, step_weights=steps((0.0, 1.0), (1.0, 0.2)))
    patched = apply(apply_references(model, adapter, faded), adapter, features, mask=half, start=0.01, end=0.9)
    read, traced = Read(), patched.clone()
    for slot, patch in patched.model_options["transformer_options"]["patches_replace"]["dit"].items():
        traced.set_model_patch_replace(read.around(slot, patch), "dit", *slot)
    with read:
        given = tiny.sample(traced, "Flux", steps=3)
    assert len(read.blocks) == 3 * 19 and read.outside
    assert not read.inside
    torch.testing.assert_close(given, tiny.sample(patched, "Flux", steps=3), rtol=0, atol=0)


@pytest.mark.parametrize("base", ["SD3.5 Large", "Anima"])
def test_no_image_prompt_reads_a_number_where_its_keys_or_gates_follow_the_timestep(base, monkeypatch):
    """Two references of different weights act as one."""
    model, make = (tiny.sd3(heads=1), tiny.sd3_file) if base == "SD3.5 Large" else (tiny.anima(), None)
    adapter = tiny.wrapped(make(model) if make else tiny.anima_file())
    given = [ImageFeatures(negative_penultimate=None, encoder="") for _ in range(2)]
    for number, each in enumerate(given):
        states = torch.randn(1, 5, adapter.module.feature_width, generator=torch.Generator().manual_seed(number))
        each.penultimate_hidden_states = each.last_hidden_state = states
    joined = {f"reference_{number}": reference(each, weight=0.5 + number) for number, each in enumerate(given)}
    patched = ApplyReferences.execute(model, adapter, joined, joining="concat").args[0]
    read, add, calls = Read(), Joint.add, []

    def traced(joint: Joint, *args: Any) -> None:
        read.block = joint.site
        try:
            add(joint, *args)
        finally:
            read.block = None
            calls.append(joint)

    monkeypatch.setattr(Joint, "add", traced)
    with read:
        tiny.sample(patched, base, steps=1)
    assert calls and not read.inside
