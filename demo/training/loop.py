"""The training loop of every model: resumable, averaged, with a line of progress and a picture of the curves."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from PIL import Image, ImageDraw
from torch import Tensor, nn

interrupted = threading.Event()  # set by whoever wants the training to save and end
Losses = dict[str, Tensor]  # the first is minimised, the others are for the eye
Origin = dict[str, int | str]


@dataclass(frozen=True)
class Recipe:
    """How one model is trained.

    loss: from the module and the number of a batch; several processes divide a step into as many batches.
    """

    name: str
    steps: int
    batch: int
    learning_rate: float
    loss: Callable[[nn.Module, int], Losses]
    average: float = 0.999  # decay of the running average of the weights, which is what is saved
    weight_decay: float = 0.01
    warm_up: int = 100  # steps, of a short run at most a tenth
    save_seconds: float = 120.0


def train(
    recipe: Recipe, module: nn.Module, folder: Path, origin: Origin, code: str = ""
) -> tuple[nn.Module, dict[str, Any]]:
    """Train, or go on with, a module; its averaged weights and what the training was.

    The state is in `folder`, with the curves beside it. An interrupted run goes on where it was saved last. Several
    processes, if torch.distributed was set up, share every batch.

    Args:
        origin: what may not change between the parts of a run: its seed, its pictures, the files it starts from
        code: the commit of the code; of several parts that of the first counts
    Raises:
        ValueError: a state of another origin; a loss that is not finite
        KeyboardInterrupt: after saving, when `interrupted` was set
    """
    rank, processes = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    state = folder / f"{recipe.name}.pt"
    optimiser = torch.optim.AdamW(
        [p for p in module.parameters() if p.requires_grad],
        lr=recipe.learning_rate,
        betas=(0.9, 0.98),
        weight_decay=recipe.weight_decay,
    )
    average = torch.optim.swa_utils.AveragedModel(
        module, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.average), use_buffers=True
    )
    step, batches, seconds, history = 0, 0, 0.0, []
    if state.is_file():
        saved = torch.load(state, weights_only=True, map_location="cpu")
        if saved["origin"] != origin:
            raise ValueError(f"{state} is of a run with {saved['origin']}, not {origin}: delete it to start over.")
        module.load_state_dict(saved["module"])
        average.load_state_dict(saved["average"])
        optimiser.load_state_dict(saved["optimiser"])
        step, batches, code = saved["step"], saved["batches"], saved["code"]
        seconds, history = saved["seconds"], saved["history"]

    def save() -> None:
        if rank:
            return
        part = state.with_suffix(".part")
        torch.save(
            {
                "module": module.state_dict(),
                "average": average.state_dict(),
                "optimiser": optimiser.state_dict(),
                "step": step,
                "batches": batches,
                "seconds": seconds,
                "history": history,
                "origin": origin,
                "code": code,
            },
            part,
        )
        part.replace(state)
        curves(recipe.name, history, folder / f"{recipe.name}.png")

    progress = Progress(recipe, step)
    saved_at, module = time.monotonic(), module.train()
    while step < recipe.steps:
        began = time.monotonic()
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * schedule(step, recipe)
        losses = recipe.loss(module, batches + rank)
        loss = next(iter(losses.values()))
        if not torch.isfinite(loss):
            raise ValueError(
                f"The loss of {recipe.name} is {loss.item()} at step {step}: delete {state} and start "
                "again with another --seed."
            )
        optimiser.zero_grad()
        loss.backward()
        share_gradients(module, processes)
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        if step < recipe.steps // 10:  # the average starts from weights that are good for something
            average.module.load_state_dict(module.state_dict())
        else:
            average.update_parameters(module)
        step += 1
        batches += processes
        seconds += time.monotonic() - began
        values = {name: value.item() for name, value in losses.items()}
        history.append([step, *values.values()])
        if not rank:
            progress(step, values)
        if stopping(processes):
            save()
            raise KeyboardInterrupt
        if time.monotonic() - saved_at > recipe.save_seconds:
            save()
            saved_at = time.monotonic()
    save()
    progress.done()
    tenth = max(1, len(history) // 10)
    loss = sum(row[1] for row in history[-tenth:]) / tenth
    return average.module.eval(), {"steps": step, "seconds": round(seconds), "loss": round(loss, 5), "code": code}


def stopping(processes: int) -> bool:
    """Whether one of the processes was interrupted: they stop at the same step."""
    if processes == 1:
        return interrupted.is_set()
    flag = torch.tensor(float(interrupted.is_set()))
    dist.all_reduce(flag)
    return bool(flag)


def share_gradients(module: nn.Module, processes: int) -> None:
    """The mean over the processes; parts that took no part in this loss have no gradient."""
    if processes == 1:
        return
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    for gradient, mean in zip(gradients, (flat / processes).split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def schedule(step: int, recipe: Recipe) -> float:
    """Linear up, then half a cosine down."""
    warm_up = min(recipe.warm_up, recipe.steps // 10)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))


class Progress:
    """Every few seconds one line with the loss and the time left."""

    def __init__(self, recipe: Recipe, step: int):
        self.recipe, self.first = recipe, step
        self.begin = self.shown = time.monotonic()
        self.every = 1.0 if sys.stdout.isatty() else 20.0
        self.smooth: dict[str, float] = {}

    def __call__(self, step: int, values: dict[str, float]) -> None:
        self.smooth = {name: 0.95 * self.smooth.get(name, value) + 0.05 * value for name, value in values.items()}
        now = time.monotonic()
        if now - self.shown < self.every and step < self.recipe.steps:
            return
        self.shown = now
        speed = (step - self.first) / (now - self.begin)
        said = "  ".join(f"{name} {value:.4f}" for name, value in self.smooth.items())
        line = (
            f"{self.recipe.name} {step}/{self.recipe.steps}  {said}  {speed * self.recipe.batch:.0f} samples/s  "
            f"{(self.recipe.steps - step) / speed / 60:.1f} min left"
        )
        print(
            f"\r{line.ljust(100)}" if sys.stdout.isatty() else line, end="" if sys.stdout.isatty() else "\n", flush=True
        )

    def done(self) -> None:
        if sys.stdout.isatty():
            print()


# ------------------------------------------------------------------------------------------------------------- curves

WIDTH, HEIGHT, MARGIN = 640, 320, 40
INK, GRID = (30, 30, 30), (225, 225, 225)


def curves(name: str, history: list[list[float]], file: Path, points: int = 160) -> None:
    """The smoothed loss over the steps, on a logarithmic scale."""
    if len(history) < 2:
        return
    size = max(1, len(history) // points)
    groups = [history[start : start + size] for start in range(0, len(history), size)]
    steps = [group[-1][0] for group in groups]
    values = [max(1e-8, sum(row[1] for row in group) / len(group)) for group in groups]
    low, high = math.log10(min(values)), math.log10(max(values))
    high = max(high, low + 0.1)
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen = ImageDraw.Draw(picture)

    def place(step: float, logarithm: float) -> tuple[float, float]:
        return (
            MARGIN + (WIDTH - 2 * MARGIN) * step / steps[-1],
            HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (logarithm - low) / (high - low),
        )

    for part in range(5):
        level = low + (high - low) * part / 4
        pen.line([place(0, level), place(steps[-1], level)], fill=GRID)
        pen.text((4, place(0, level)[1] - 6), f"{10**level:.3g}", fill=INK)
    line = [place(step, math.log10(value)) for step, value in zip(steps, values, strict=True)]
    pen.line(line, fill=(30, 90, 200), width=2, joint="curve")
    pen.text((MARGIN, 10), f"{name}: loss over {int(steps[-1])} steps", fill=INK)
    pen.text((MARGIN, HEIGHT - MARGIN + 10), "0", fill=INK)
    pen.text((WIDTH - MARGIN - 30, HEIGHT - MARGIN + 10), f"{int(steps[-1])}", fill=INK)
    picture.save(file)
