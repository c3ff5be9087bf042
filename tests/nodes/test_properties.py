"""What holds for every batch, size, mask and arrangement of conditions, shown by random ones of fixed seeds.

`WAYS` are the ways to apply several references. Another way is a row there, and is then tested like the others.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import comfy.context_windows
import pytest
import tiny
import torch

from image_prompt.ip_adapter import Course, Keyframe, StepWeights
from image_prompt.nodes.applying.apply import ApplyImagePrompt
from image_prompt.nodes.applying.joint import Joint
from image_prompt.nodes.applying.masks import Grid
from image_prompt.nodes.applying.sampling import current
from image_prompt.nodes.controls.apply_references import ApplyReferences
from image_prompt.nodes.controls.reference import MakeReference
from image_prompt.nodes.encoding.encode import CombineImagePrompts
from image_prompt.nodes.encoding.features import ImageFeatures

BASES = {"SD1.5": range(5), "SDXL": range(5, 7), "Flux": range(7, 10)}  # and the seeds of their cases

Span = tuple[int, int]  # of pixels: the first, and the one after the last


@dataclass(frozen=True)
class Reference:
    features: ImageFeatures
    weight: float
    mask: torch.Tensor


@dataclass(frozen=True)
class Case:
    base: str
    batch: int
    size: tuple[int, int]  # of the latent
    references: list[Reference]
    conditions: list[list[Any]]

    def sample(self, model: Any) -> torch.Tensor:
        return tiny.sample(model, self.base, steps=1, size=self.size, batch=self.batch, conds=self.conditions, cfg=1.5)


def chain(model: Any, adapter: Any, references: Sequence[Reference]) -> Any:
    for each in references:
        model = ApplyImagePrompt.execute(model, adapter, each.features, each.weight, mask=each.mask).args[0]
    return model


def in_one_node(model: Any, adapter: Any, references: Sequence[Reference]) -> Any:
    values = [MakeReference.execute(each.features, weight=each.weight, mask=each.mask) for each in references]
    given = {f"reference_{number}": value.args[0] for number, value in enumerate(values)}
    return ApplyReferences.execute(model, adapter, given).args[0]


WAYS: dict[str, Callable[[Any, Any, Sequence[Reference]], Any]] = {
    "Apply IP-Adapter in a chain": chain,
    "Apply References": in_one_node,
}


@cache
def models(base: str) -> tuple[Any, Any]:
    if base == "Flux":
        model = tiny.flux()
        return model, tiny.wrapped(tiny.flux_file(model))
    model = tiny.unet(base)
    return model, tiny.adapter(model)


def a_case(base: str, seed: int) -> Case:
    draw = random.Random(seed)
    noise = torch.Generator().manual_seed(seed)
    batch = draw.randint(1, 3)
    size = draw.randint(5, 18), draw.randint(5, 18)
    references = [
        Reference(
            ImageFeatures(
                negative_penultimate=None,
                negative_image_embeds=torch.full((1, 24), 0.1),  # that of a black picture, so the same for all
                encoder="",
                image_embeds=torch.randn(draw.randint(1, 2), 24, generator=noise),
            ),
            draw.uniform(0.3, 1.0) * draw.choice((1, 1, -1)),
            a_mask(draw, draw.choice((1, batch))),
        )
        for _ in range(draw.randint(2, 3))
    ]
    everywhere, *others, negative = tiny.conditions(base, seed + 1, count=draw.randint(2, 4))
    positive = [*everywhere, *(in_area(condition, draw, size) for condition in others)]
    if draw.random() < 0.3:  # the prompt is in areas alone, and nothing is outside them
        positive = [in_area(everywhere, draw, size)]
    return Case(base, batch, size, references, [positive, negative])


def in_area(condition: list[Any], draw: random.Random, size: tuple[int, int]) -> Any:
    ((text, values),) = condition
    (top, bottom), (left, right) = (a_span(draw, side, side // 2 + 1) for side in size)
    return [text, {**values, "area": (bottom - top, right - left, top, left), "strength": 1.0}]


def a_mask(draw: random.Random, count: int) -> torch.Tensor:
    """White rectangles on black, of any size."""
    mask = torch.zeros(count, draw.randint(3, 40), draw.randint(3, 40))
    for one in mask:
        (top, bottom), (left, right) = (a_span(draw, side, side // 3 + 1) for side in mask.shape[1:])
        one[top:bottom, left:right] = 1.0
    return mask


def a_span(draw: random.Random, length: int, least: int) -> Span:
    first = draw.randint(0, length - least)
    return first, draw.randint(first + least, length)


class Watch:
    """What image prompts do in every block: where no mask is near they must do nothing, and under a mask something."""

    def __init__(self, case: Case, monkeypatch: pytest.MonkeyPatch):
        self.case = case
        self.outside = self.inside = 0  # tokens that were looked at
        self.known: dict[Any, tuple[torch.Tensor, torch.Tensor]] = {}
        add = Joint.add

        def spy(joint: Joint, q: Any, out: torch.Tensor, options: Any, grid: Grid, *more: Any) -> None:
            before = out.clone()
            add(joint, q, out, options, grid, *more)
            self.check(before, out, options, grid)

        monkeypatch.setattr(Joint, "add", spy)

    def check(self, before: torch.Tensor, after: torch.Tensor, options: Any, grid: Grid) -> None:
        assert torch.isfinite(after).all()
        same = (before == after).all(-1)  # (B, L)
        picture = grid.height * grid.width
        assert same.shape[1] == picture
        for chunk, (index, uuid) in enumerate(zip(options["cond_or_uncond"], options["uuids"], strict=True)):
            area = current(options).areas.get((uuid, index), (*self.case.size, 0, 0))
            for frame in range(self.case.batch):
                unchanged = same[chunk * self.case.batch + frame, :picture]
                key = (tuple(area), frame, grid)
                black, white = self.known[key] = self.known.get(key) or self.expected(*key)
                assert unchanged[black].all()
                self.outside += int(black.sum())
                if index == 0:
                    assert not unchanged[white].any()
                    self.inside += int(white.sum())

    def expected(self, area: tuple[int, ...], frame: int, grid: Grid) -> tuple[torch.Tensor, torch.Tensor]:
        """The tokens that lie in the black of all masks, and those that lie in the white of one."""
        black = torch.ones(grid.height, grid.width, dtype=torch.bool)
        white = ~black
        for mask in (each.mask[frame % len(each.mask)] for each in self.case.references):
            rows, columns = (
                [span(token, tokens, start, length + padding, whole, pixels) for token in range(tokens)]
                for tokens, start, length, padding, whole, pixels in zip(
                    (grid.height, grid.width), area[2:], area[:2], grid.padding, self.case.size, mask.shape
                )
            )
            for y, (top, bottom) in enumerate(rows):
                for x, (left, right) in enumerate(columns):
                    near = mask[top:bottom, left:right]
                    black[y, x] &= bool((near == 0).all())
                    white[y, x] |= bool((near == 1).all())
        return black.flatten(), white.flatten()


def span(token: int, tokens: int, start: int, length: int, whole: int, pixels: int) -> Span:
    """The pixels of a mask that a token can see, in one direction, with those that resizing may mix in.

    start, length: of the area of the latent that has these tokens. whole: of the latent
    """
    scale = pixels / whole
    first, last = ((start + length * place / tokens) * scale for place in (token, token + 1))
    first, last = math.floor(first - scale - 1), math.ceil(last + scale + 1)
    return min(max(first, 0), pixels - 1), max(min(last, pixels), 1)


@cache
def watched(way: str, base: str, seed: int, step: int = 1) -> tuple[torch.Tensor, Watch]:
    """What comes of a case, with its references in this order or (-1) from the last to the first."""
    case, (model, adapter) = a_case(base, seed), models(base)
    with pytest.MonkeyPatch.context() as patch:
        watch = Watch(case, patch)
        return case.sample(WAYS[way](model, adapter, case.references[::step])), watch


def assert_equal_but_for_rounding(one: torch.Tensor, other: torch.Tensor, seed: int) -> None:
    scale = one.abs().max()
    torch.testing.assert_close(one / scale, other / scale, rtol=0, atol=1e-5, msg=lambda text: f"{seed}: {text}")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("base", BASES)
def test_references_act_under_their_masks_and_nowhere_else(base, way):
    outside = inside = 0
    for seed in BASES[base]:
        made, watch = watched(way, base, seed)
        case = watch.case
        assert made.shape == (case.batch, 16 if base == "Flux" else 4, *case.size), seed
        assert torch.isfinite(made).all(), seed
        outside, inside = outside + watch.outside, inside + watch.inside
    assert outside > 100 and inside > 20


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("base", BASES)
def test_the_order_of_references_does_not_matter(base, way):
    for seed in BASES[base]:
        (made, _), (turned, _) = watched(way, base, seed), watched(way, base, seed, step=-1)
        assert_equal_but_for_rounding(made, turned, seed)


@pytest.mark.parametrize("base", BASES)
def test_the_order_of_references_in_a_concat_does_not_matter(base):
    for seed in BASES[base]:
        case, (model, adapter) = a_case(base, seed), models(base)
        made = []
        for step in (1, -1):
            given = [each.features for each in case.references[::step]]
            inputs = {f"features_{number}": features for number, features in enumerate(given, start=1)}
            joined = Reference(CombineImagePrompts.execute("concat", **inputs).args[0], 0.8, case.references[0].mask)
            made.append(case.sample(chain(model, adapter, [joined])))
        assert_equal_but_for_rounding(*made, seed)


@pytest.mark.parametrize("base", BASES)
def test_the_order_of_references_that_share_a_softmax_does_not_matter(base):
    for seed in BASES[base]:
        case, (model, adapter) = a_case(base, seed), models(base)
        values = [
            MakeReference.execute(each.features, weight=each.weight, mask=case.references[0].mask).args[0]
            for each in case.references
        ]
        made = []
        for step in (1, -1):
            given = {f"reference_{number}": value for number, value in enumerate(values[::step])}
            made.append(case.sample(ApplyReferences.execute(model, adapter, given, joining="concat").args[0]))
        assert_equal_but_for_rounding(*made, seed)


@pytest.mark.parametrize("base", ["SD1.5", "SDXL"])
def test_windows_of_a_film_are_the_whole_of_it(base):
    """Frames have references, masks, weights and schedules of their own, and every window takes those of its frames."""
    for seed in BASES[base]:
        draw, noise, (model, adapter) = random.Random(seed), torch.Generator().manual_seed(seed), models(base)
        frames, length = draw.randint(4, 7), draw.randint(2, 3)
        features = ImageFeatures(
            negative_penultimate=None, encoder="", image_embeds=torch.randn(frames, 24, generator=noise)
        )
        reference = MakeReference.execute(
            features,
            combining=draw.choice(("one per image", "one per image", "concat", "one softmax each")),
            mask=a_mask(draw, draw.choice((1, frames))),
            frame_weights=", ".join(f"{draw.uniform(-1, 1):.2f}" for _ in range(frames)),
            step_weights=StepWeights(
                tuple(Course(keyframes=(Keyframe(0.0, draw.random()), Keyframe(1.0, 1.0))) for _ in range(frames))
            ),
            scaling=draw.choice(("V only", "K+V")),
        ).args[0]
        patched = ApplyReferences.execute(model, adapter, {"reference_0": reference}).args[0]
        size = draw.randint(5, 9), draw.randint(5, 9)
        whole = tiny.sample(patched, base, steps=2, size=size, batch=frames)
        windowed = patched.clone()
        windowed.model_options["context_handler"] = comfy.context_windows.IndexListContextHandler(
            context_schedule=comfy.context_windows.get_matching_context_schedule("standard_static"),
            fuse_method=comfy.context_windows.get_matching_fuse_method("pyramid"),
            context_length=length,
            context_overlap=draw.randint(0, length - 1),
            dim=0,
        )
        assert torch.isfinite(whole).all() and whole.shape == (frames, 4, *size)
        assert_equal_but_for_rounding(tiny.sample(windowed, base, steps=2, size=size, batch=frames), whole, seed)
