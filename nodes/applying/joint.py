"""What the image prompts add to a model in one layer.

Letters: B rows of a call, L latent tokens, I inner width of the layer, R references, T image tokens.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
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
    Keys,
    PerStep,
    PerWindow,
    Pick,
    Picked,
    Plan,
    Side,
    plan_attention,
)
from .call import Call, check_counts
from .cast import Cast, Weights
from .image_prompt import ImagePrompt, Part, Site
from .masks import Grid
from .sampling import MODEL, Group, Layout, Run, current

TIMESTEPS = 1000  # of a flow model, whose sigma is 1 at the beginning


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

    def _plan(self, q: torch.Tensor, acting: Sequence[Part], cast: Cast, weights: Weights, call: Call) -> Plan:
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
        call: Call,
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
        self, q: torch.Tensor, acting: Sequence[Part], cast: Cast, weights: Weights, call: Call
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

    def _attended(self, rows: "Rows", q: torch.Tensor, call: Call) -> Iterator[tuple[int | None, Attended | Picked]]:
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

    def _pick(self, keys: Keys, rows: "Rows", q: torch.Tensor, call: Call) -> Pick:
        if isinstance(keys, PerWindow):
            number = rows.part.number
            return lambda references, like: rows.folded(*keys.pick(number, references, like))
        key, value = self._key_value(keys, rows, q, call)
        return lambda references, like: (key[references], value[references])

    def _key_value(
        self, keys: Constant | PerStep, rows: "Rows", q: torch.Tensor, call: Call
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
