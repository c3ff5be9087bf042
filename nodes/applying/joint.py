"""What the image prompts add to a model in one layer.

Letters: B rows of a call, L latent tokens, I inner width of the layer, R references, T image tokens.
"""

import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from comfy.model_patcher import ModelPatcher

from ...ip_adapter import (
    NOTHING,
    SCALINGS,
    Attended,
    Beside,
    Constant,
    Frame,
    Keys,
    PerStep,
    PerWindow,
    Pick,
    Picked,
    Plan,
    Side,
    plan_attention,
)
from .image_prompt import OURS, ImagePrompt, Part, Rules, Site
from .masks import Grid, Place, Resizing, token_mask
from .sampling import MODEL, Evaluation, Group, Layout, Run, current, once

Weights = tuple[float, ...]

TIMESTEPS = 1000  # of a flow model, whose sigma is 1 at the beginning


class Cast:
    """The parts that may act in one layer, and their weights: one for each part, or several if pictures differ.

    carried: the parts of prompts that conditions bring along; they act in the rows of these conditions only
    first: for each part, the number of its first weight; it has one for each of its prompt's `distinct_frames`
    """

    def __init__(self, parts: Sequence[Part], carried: Sequence[Part] = ()):
        self.carried = frozenset(carried)
        self.parts = parts = (*parts, *carried)
        self.differs_by_picture = any(part.prompt.differs_by_picture for part in parts)
        self.frames: list[tuple[Part, Frame]] = []
        self.first: dict[Part, int] = {}
        for part in parts:
            self.first[part] = len(self.frames)
            self.frames += [(part, frame) for frame in part.prompt.distinct_frames]
        self.folds = any(part.folds for part in parts)
        self.folded = frozenset(number for number, (part, _) in enumerate(self.frames) if not part.takes_weight)
        courses = [course for part, frame in self.frames for course in (part.prompt.strength.course, frame.course)]
        always = all(course.is_constant for course in courses)
        self.constant = tuple(part.weight * frame.weight for part, frame in self.frames) if always else None

    def weights(self, evaluation: Evaluation) -> Weights:
        """The weights in an evaluation of the model."""
        if self.constant is not None:
            return self.constant
        return tuple(
            part.weight * factor for part in self.parts for factor in evaluation.once(part.prompt, part.prompt.factors)
        )

    def at_call(self, weights: Weights) -> Weights:
        """The weights that a call takes: 1 where the values hold the weight."""
        if not self.folded:
            return weights
        return tuple(1.0 if number in self.folded else weight for number, weight in enumerate(weights))

    def side(self, part: Part, group: Group) -> Side | None:
        """Whose tokens the rows of a group attend to: those of the references, of the negative images, or nobody's."""
        if part not in self.carried:
            by_order = part.prompt.rules.negative == "second"
            return part.share.side(group.second if by_order else group.negative)
        side = dict(group.carried).get(part.prompt)
        return part.share.side(side == "uncond") if side else None

    def acting(self, weights: Weights) -> tuple[Part, ...]:
        """The parts that act with these weights."""
        if weights is self.constant:
            return self.parts  # nothing that never acts is attached
        count = {part: len(part.prompt.distinct_frames) for part in self.parts}
        return tuple(part for part, first in self.first.items() if any(weights[first : first + count[part]]))


class Joint:
    """The image prompts of one layer, which add their attention to its output. It keeps no state between runs.

    carries: whether the prompts that conditions bring along act here too
    """

    def __init__(self, site: Site, parts: Sequence[Part], *, carries: bool = False):
        self.site = site
        self.heads = site.heads
        self.cast = Cast(parts)
        self.carries = carries

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.cast.parts

    def is_acting(self, extra_options: dict[str, Any]) -> bool:
        """Whether anything acts in the current step of sampling."""
        evaluation = current(extra_options)
        return self.carries and evaluation.carried or bool(self.cast.acting(self.cast.weights(evaluation)))

    def add(
        self,
        q: torch.Tensor,
        out: torch.Tensor,
        extra_options: dict[str, Any],
        grid: Grid,
        latent: Sequence[int],
        beside: Beside = NOTHING,
    ) -> None:
        """Add the attention to the image prompts to the output of the layer.

        Args:
            q: the query, (B, L, I), or a view (B, L, H, D) where the model keeps the heads apart
            out: the output, (B, L, I), contiguous if q is (B, L, I); it is changed in place
            extra_options: what ComfyUI hands to patches
            grid: how the L tokens lie on the latent
            latent: shape of the latent that the block's model is called with
            beside: what else the block offers

        Raises:
            ValueError: another node changes the batch or calls the model by itself, or masks, weights and pictures do
                not fit together.
        """
        evaluation = current(extra_options)
        if not self.cast.parts and not evaluation.carried:
            return
        weights = self.cast.weights(evaluation)
        if not (acting := self.cast.acting(weights)) and not evaluation.carried:
            return
        layout = evaluation.layout(len(q), latent[0], extra_options)
        cast = self.cast
        if self.carries and layout.carried:
            cast = evaluation.run.once((self, layout.carried), lambda: self._with(layout, evaluation.run))
            weights = cast.weights(evaluation)
            acting = cast.acting(weights)
        if not acting:
            return
        call = Call(evaluation, layout, (latent[-2], latent[-1]), grid, extra_options.get(MODEL))
        for observer in evaluation.observers:
            of_all = partial(self._contributions, q, out, acting, cast, weights, call, beside)
            observer.observe(self.site, call, out, of_all)
        if any(part.prompt.prepared.stepwise for part in acting):  # its keys and values are those of this step alone
            self._plan(q, acting, cast, weights, call)(q, out, cast.at_call(weights), beside)
            return
        made = evaluation.run.window(layout) if cast.differs_by_picture else evaluation.run.made
        key = (self, acting, layout.without_frames, q.shape, q.dtype, q.device, grid, call.size, evaluation.latent_size)
        known, plan = made.get(key, (None, None))
        if plan is None or cast.folds and known != weights:  # folded keys and values hold the weights
            plan = self._plan(q, acting, cast, weights, call)
            made[key] = weights, plan
        plan(q, out, cast.at_call(weights), beside)

    def models(self) -> list[ModelPatcher]:
        """The models that ComfyUI has to load for the image prompts, besides the additional ones of the model."""
        return [part.prompt.prepared.patcher for part in self.parts]

    def _with(self, layout: Layout, run: Run) -> Cast:
        """The parts of this layer, and of the prompts that conditions bring along."""
        carried = (run.once((prompt, "parts"), prompt.parts).get(self.site) for prompt in layout.carried)
        return Cast(self.parts, [part for part in carried if part])

    def _plan(self, q: torch.Tensor, acting: Sequence[Part], cast: Cast, weights: Weights, call: "Call") -> Plan:
        entries = [entry for _, entry in self._entries(q, acting, cast, weights, call)]
        attended = [entry for entry in entries if isinstance(entry, Attended)]
        picked = [entry for entry in entries if isinstance(entry, Picked)]
        plan = plan_attention(q, attended, self.heads)
        reading = [entry for entry in picked if entry.combine != "add"]
        adding = [entry for entry in picked if entry.combine == "add"]
        return Plan([*plan.steps, *adding], [*plan.reading, *reading])

    def _contributions(
        self,
        q: torch.Tensor,
        text: torch.Tensor,
        acting: Sequence[Part],
        cast: Cast,
        weights: Weights,
        call: "Call",
        beside: Beside,
        side: Side,
    ) -> "Iterator[Contribution]":
        """What each reference of a side adds to the output, one after the other: it costs far more than `add`.

        text: the output before any of them has added to it, on which some depend
        """
        for rows, entry in self._entries(q, acting, cast, weights, call):
            if rows.side != side:
                continue
            for reference, one in _by_reference(rows, entry):
                added = torch.zeros_like(text)
                plan = plan_attention(q, [one], self.heads) if isinstance(one, Attended) else one
                plan(q, added, cast.at_call(weights), replace(beside, text=text, value=None))  # none but its own
                yield Contribution(rows.part.prompt, reference, rows.side, rows.group, added[rows.group.rows])

    def _entries(
        self, q: torch.Tensor, acting: Sequence[Part], cast: Cast, weights: Weights, call: "Call"
    ) -> Iterator[tuple["Rows", Attended | Picked]]:
        """What the rows of a call attend to, for each group of rows and each part."""
        for group in call.layout.groups:
            for part in acting:
                side = cast.side(part, group)
                if side is None:
                    continue
                call.evaluation.run.once((part.prompt, "counted"), lambda part=part: check_counts(part.prompt, call))
                for some, number in _by_number(group, part.prompt, cast.first[part]):
                    if not cast.frames[number][1].is_nothing:
                        rows = Rows(part, side, some, number, weights[number])
                        yield from (
                            (rows._replace(reference=each), entry) for each, entry in self._attended(rows, q, call)
                        )

    def _attended(self, rows: "Rows", q: torch.Tensor, call: "Call") -> Iterator[tuple[int | None, Attended | Picked]]:
        """What some rows attend to. With it comes the number of the reference, if it is that of a single one."""
        group, prompt = rows.group, rows.part.prompt
        keys, layer = prompt.prepared.side(rows.side), prompt.prepared.sampling_layer(rows.part.number, call.model)
        if not keys.rows:  # a family whose unconditional rows attend to nobody
            return
        if prompt.arrangement == "each" and not isinstance(keys, PerWindow):
            key, value = self._key_value(keys, rows, q, call)
            for reference, place in enumerate(prompt.places):
                one = slice(reference % keys.rows, reference % keys.rows + 1)
                mask = call.mask(place, prompt.rules, group, q)
                yield reference, Attended(group.rows, key[one], value[one], mask, rows.number, prompt.combine, layer)
            return
        mask = call.mask(prompt.place, prompt.rules, group, q)
        references = [prompt.rules.number(frame, keys.rows) for frame in group.frames]
        if not isinstance(keys, PerWindow) and (keys.rows == 1 or references == list(range(keys.rows))):
            key, value = self._key_value(keys, rows, q, call)
            yield None, Attended(group.rows, key, value, mask, rows.number, prompt.combine, layer)
        else:
            at = call.evaluation.run.once((*references, q.device), lambda: torch.tensor(references, device=q.device))
            pick = self._pick(keys, rows, q, call)
            yield None, Picked(pick, group.rows, at, mask, rows.number, self.heads, prompt.combine, layer)

    def _pick(self, keys: Keys, rows: "Rows", q: torch.Tensor, call: "Call") -> Pick:
        if isinstance(keys, PerWindow):
            number = rows.part.number
            return lambda references, like: rows.folded(*keys.pick(number, references, like))
        key, value = self._key_value(keys, rows, q, call)
        return lambda references, like: (key[references], value[references])

    def _key_value(
        self, keys: Constant | PerStep, rows: "Rows", q: torch.Tensor, call: "Call"
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The key and the value, each (R, T, I), like the query. ComfyUI has usually put them on its device already."""
        number = rows.part.number
        if isinstance(keys, PerStep):
            adapter = rows.part.prompt.prepared.adapter(call.model)
            at = call.evaluation.once(
                (keys, q.device, q.dtype), lambda now: keys.at(now.timestep[:1] * TIMESTEPS, q, adapter)
            )
            return rows.folded(*keys.key_value(number, at, adapter))
        pair = call.evaluation.run.once(
            (keys, number, q.device, q.dtype), lambda: [t.to(q) for t in keys.layer(number)]
        )
        return rows.folded(*pair)


class Rows(NamedTuple):
    """Rows of a call that attend to the same side of a part with the same weight.

    number: of the weight in its `Cast`
    reference: the number of the reference that they attend to, if it is a single one; None: all, or each its own
    """

    part: Part
    side: Side
    group: Group
    number: int
    weight: float
    reference: int | None = None

    def folded(self, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The key and the value (R, T, I) with the weight in them, if the scaling of the prompt puts it there."""
        fold = SCALINGS[self.part.prompt.strength.scaling]
        if fold is None:
            return key, value
        folded = fold(key, value, self.weight, self.part.tokens)
        return (folded[0], value) if self.part.takes_weight else folded


class Contribution(NamedTuple):
    """What one reference adds to the output of a layer.

    reference: its number among those of the prompt; None: each row has the one of its picture
    side: "cond" if these are the references, "uncond" if they are the negative images
    added: (rows of the group, L, I)
    """

    prompt: ImagePrompt
    reference: int | None
    side: Side
    group: Group
    added: torch.Tensor


def _by_reference(rows: Rows, entry: Attended | Picked) -> Iterator[tuple[int | None, Attended | Picked]]:
    """Split what rows attend to by references. In a joint softmax, the values of all but one become zero."""
    prompt = rows.part.prompt
    tokens = rows.part.tokens
    references = 1 if isinstance(entry, Picked) else entry.value.shape[1] // tokens
    if prompt.arrangement != "together" or references == 1:
        yield (0 if prompt.arrangement == "together" else rows.reference), entry
        return
    assert isinstance(entry, Attended)
    for reference in range(references):
        value = torch.zeros_like(entry.value)
        own = slice(reference * tokens, (reference + 1) * tokens)
        value[:, own] = entry.value[:, own]
        yield reference, replace(entry, value=value)


def _by_number(group: Group, prompt: ImagePrompt, first: int) -> Iterator[tuple[Group, int]]:
    """Split a group into neighbouring rows that take the same weight, with its number, counted from `first`."""
    numbers = prompt.frame_numbers
    if len(numbers) == 1:
        yield group, first
        return
    start = group.rows.start
    for number, rows in itertools.groupby(
        group.frames, key=lambda frame: numbers[prompt.rules.number(frame, len(numbers))]
    ):
        frames = tuple(rows)
        yield replace(group, rows=slice(start, start + len(frames)), frames=frames), first + number
        start += len(frames)


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a block.

    layout: which rows are which
    size: height and width of the latent that the model was called with
    grid: how the tokens of the block lie on that latent
    model: ComfyUI's model, which each of several devices has to itself
    """

    evaluation: Evaluation
    layout: Layout
    size: tuple[int, int]
    grid: Grid
    model: Any = None

    def mask(self, place: Place, rules: Rules, group: Group, q: torch.Tensor) -> torch.Tensor | None:
        """The mask of a place for a group of rows, (1 or the group's rows, L), which is made once in a run.

        Raises:
            ValueError: another node runs the model on parts of the latent, or merges tokens.
        """
        if (mask := place.mask) is None:
            return None
        if self.layout.tiles > 1:
            raise ValueError(
                f"Another node runs the model on {self.layout.tiles} parts of the latent at once and does not say "
                "where they lie, so the mask of the image prompt cannot be placed: remove the mask or that node."
            )
        expected = group.area[:2] if group.area else self.evaluation.latent_size
        if self.size != expected:
            raise ValueError(
                f"Another node runs the model on a part of the latent ({self.size[0]}x{self.size[1]} of "
                f"{expected[0]}x{expected[1]}), so the mask of the image prompt cannot be placed: remove the mask or "
                "that node."
            )
        run, one = self.evaluation.run, len(mask) == 1
        frames = () if one else tuple(rules.number(frame, len(mask)) for frame in group.frames)
        key = (place, group.area, frames, self.evaluation.latent_size, self.grid, q.shape[1], q.device, q.dtype)
        return once(
            run.made if one else run.window(self.layout),
            key,
            lambda: self._placed(mask[list(frames)] if frames else mask, place.resizing, group, q),
        )

    def _placed(self, mask: torch.Tensor, resizing: Resizing, group: Group, q: torch.Tensor) -> torch.Tensor:
        placed = token_mask(mask, self.evaluation.latent_size, group.area, self.grid, resizing)
        if placed.shape[1] != q.shape[1]:
            raise ValueError(
                f"A block of the model has {q.shape[1]} tokens on a {self.grid.height}x{self.grid.width} grid, so the "
                "mask of the image prompt cannot be placed: another node merges tokens there. Remove that node or the "
                "mask."
            )
        return placed.to(q)


COUNTED = {  # what is counted -> what else to say of it
    "masks": " (or with one softmax each, one for each picture of the features)",
    "weights": " (each frame weight, and each line of step weights, is for one picture)",
}


def check_counts(prompt: ImagePrompt, call: Call) -> None:
    """Check that there are as many references, masks and weights as pictures, where each belongs to a picture.

    Too many references or masks of Apply IP-Adapter are only worth a warning, because previews may be shorter.

    Raises:
        ValueError: they do not fit, and the place of the prompt asks for it.
    """
    by_picture = prompt.arrangement == "by picture"
    masks = 0 if prompt.place.mask is None or prompt.has_mask_of_each else len(prompt.place.mask)
    given = {
        "reference images": prompt.prepared.side("cond").rows if by_picture else 1,
        "negative images": prompt.prepared.side("uncond").rows if by_picture else 1,
        "masks": masks,
        "weights": len(prompt.strength.frames),
    }
    pictures = call.evaluation.run.pictures
    for what, count in given.items():
        if not pictures or count in (0, 1, pictures):
            continue
        if prompt.rules.beyond == "refuse":
            needed = "one" if pictures == 1 else f"one, or {pictures}, one for each picture"
            raise ValueError(
                f"{prompt.title} has {count} {what} for a batch of {pictures}: give {needed}{COUNTED.get(what, '')}."
            )
        if count > pictures and prompt.rules == OURS:
            logging.getLogger(__name__).warning(
                "Apply IP-Adapter was given %d %s for a batch of %d: each picture takes the one of its number, and "
                "the last %d are not used.",
                count,
                what,
                pictures,
                count - pictures,
            )
