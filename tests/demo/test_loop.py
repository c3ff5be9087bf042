"""The training loop works, on a module of one layer."""

import pytest
import torch
from torch import nn

from image_prompt.demo.training import loop

ORIGIN = {"seed": 0, "pictures": 8}


def recipe(steps: int, stop_at: int | None = None, broken_at: int | None = None) -> loop.Recipe:
    def loss(module: nn.Module, step: int) -> loop.Losses:
        x = torch.randn(16, 3, generator=torch.Generator().manual_seed(step))
        if step == stop_at:
            loop.interrupted.set()
        error = (module(x) - x.sum(1, keepdim=True)).square().mean()
        return {"loss": error * float("nan") if step == broken_at else error}

    return loop.Recipe("tiny", steps, 16, 0.05, loss, average=0.9)


@pytest.fixture(autouse=True)
def nobody_interrupts():
    loop.interrupted.clear()
    yield
    loop.interrupted.clear()


def layer() -> nn.Module:
    torch.manual_seed(1)
    return nn.Linear(3, 1)


def weights(module: nn.Module) -> list[float]:
    return torch.cat([p.flatten() for p in module.parameters()]).tolist()


def history(folder) -> list[list[float]]:
    return torch.load(folder / "tiny.pt", weights_only=True)["history"]


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir(), parts.mkdir()
    expected, _ = loop.train(recipe(40), layer(), whole, ORIGIN)
    with pytest.raises(KeyboardInterrupt):
        loop.train(recipe(40, stop_at=17), layer(), parts, ORIGIN)
    assert len(history(parts)) == 18
    loop.interrupted.clear()
    found, facts = loop.train(recipe(40), layer(), parts, ORIGIN)
    assert history(parts) == history(whole)
    assert weights(found) == weights(expected)
    assert facts["steps"] == 40
    assert history(parts)[-1][1] < 0.5 * history(parts)[0][1]


def test_the_code_is_that_of_the_first_part(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        loop.train(recipe(40, stop_at=4), layer(), tmp_path, ORIGIN, "first")
    loop.interrupted.clear()
    assert loop.train(recipe(40), layer(), tmp_path, ORIGIN, "second")[1]["code"] == "first"


def test_what_is_saved_is_an_average(tmp_path):
    module = layer()
    average, _ = loop.train(recipe(40), module, tmp_path, ORIGIN)
    assert weights(average) != weights(module)


def test_a_broken_loss_does_not_replace_the_state(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        loop.train(recipe(40, stop_at=4), layer(), tmp_path, ORIGIN)
    loop.interrupted.clear()
    with pytest.raises(ValueError, match=r"The loss of tiny is nan at step 9: delete .*tiny\.pt"):
        loop.train(recipe(40, broken_at=9), layer(), tmp_path, ORIGIN)
    assert len(history(tmp_path)) == 5


def test_a_state_of_another_run_is_refused(tmp_path):
    loop.train(recipe(3), layer(), tmp_path, ORIGIN)
    with pytest.raises(ValueError, match="is of a run with .*'seed': 0.*, not .*'seed': 1"):
        loop.train(recipe(3), layer(), tmp_path, ORIGIN | {"seed": 1})
