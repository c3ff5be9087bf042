"""Collect what patches need to know about one evaluation of the model, and pass it in `transformer_options`.

Three wrappers collect it. The one around a run of the sampler finds out which conditions are negative, the one around
an evaluation notes sigma and areas, and the one around the model notes the latent that it is called with. The wrappers
have no state, so clones, threads and repeated runs do not affect each other.
"""

import copy
import math
import struct
import weakref
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, TypeVar

import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrapperExecutor, WrappersMP

from ...ip_adapter import Course, Side
from .compiled import uncompiled

KEY = "image_prompt"  # key of the evaluation in transformer_options, and of the wrappers
RUN = "image_prompt_run"  # key of the run in transformer_options
CALLED = "image_prompt_called"  # key of the shape of the latent that the model is called with
MODEL = "image_prompt_model"  # key of the model that is called, which each of several devices has to itself
PROMPTS = "image_prompts_attached"  # key of the prompts attached to the model in transformer_options
OBSERVERS = "image_prompt_observers"  # key of the `Observer`s in transformer_options
CARRIED = "image_prompts"  # key in a condition of the prompts that it carries: (prompt, "cond" or "uncond") each
NEGATIVE = ("negative", "uncond")  # words by which a guider's name for a condition says that it is negative

WINDOWS = 64  # of a film: schedules that shift them at every step would fill the memory with those of all steps
HALVINGS = 24  # of the interval in which progress is searched, so that it is exact to 1e-7

Area = tuple[int, ...]  # (height, width, top, left) in latent pixels
Condition = Mapping[str, Any]
Carried = tuple[tuple[Any, Side], ...]  # prompts, and the side that rows attend to
Made = TypeVar("Made")


def once(made: dict[Hashable, Any], key: Hashable, make: Callable[[], Made]) -> Made:
    """What has been made for a key; if nothing has, the result of `make`, which is kept."""
    if key not in made:
        made[key] = make()
    return made[key]


@dataclass
class Run:
    """One run of a sampler. What it holds is dropped with it.

    made: what is the same at every step
    windows: what is the same whenever rows are about the same pictures, for each layout; the last used is at the end
    """

    names: list[tuple[str, frozenset[Hashable]]] = field(default_factory=list)  # (guider's name, uuids of conditions)
    origins: dict[Hashable, str] = field(default_factory=dict)  # uuid of a condition -> guider's name for its list
    pictures: int = 0  # size of the whole batch; 0: not known
    made: dict[Hashable, Any] = field(default_factory=dict)
    windows: dict["Layout", dict[Hashable, Any]] = field(default_factory=dict)

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """The result of `make`, which is called only once in a run for each key."""
        return once(self.made, key, make)

    def window(self, layout: "Layout") -> dict[Hashable, Any]:
        """What has been made for a layout, if it is one of the last `WINDOWS`."""
        found = self.windows[layout] = self.windows.pop(layout, {})
        for oldest in list(self.windows)[:-WINDOWS]:
            self.windows.pop(oldest, None)  # another device's thread may have been first
        return found

    def is_negative(self, index: int, uuids: frozenset[Hashable]) -> bool:
        """Whether a condition is a negative one, by the guider's name for it; without one, the second is negative.

        The order alone does not tell, because Dual CFG puts the negative condition first.
        """
        named = {name: _says_negative(name) for name, _ in self.names}
        for name, members in self.names:
            if members == uuids and any(named.values()):
                return named[name]
        return index == 1

    def name(self, uuids: frozenset[Hashable]) -> str:
        """The guider's name for a list of conditions; "" if it is not known."""
        return next((name for name, members in self.names if members == uuids), "")

    def is_copy(self, uuid: Hashable, name: str) -> bool:
        """Whether a condition in the list of this name is a copy of one in another.

        ComfyUI copies a condition of one area to the other prompts, with all that it carries.
        """
        return bool(name) and self.origins.get(uuid, name) != name


def _says_negative(name: str) -> bool:
    return any(word in name for word in NEGATIVE)


@dataclass(frozen=True)
class Group:
    """Neighbouring rows of a batch that attend to the same image tokens under the same part of a mask.

    rows: slice of the rows
    negative: whether they are rows of a negative condition
    second: whether they are rows of the second condition, which most guiders make the negative one
    area: the part of the latent that they cover; None: all of it
    carried: the prompts that their conditions carry, with the side that they attend to
    frames: the number of the picture in the batch for each row
    """

    rows: slice
    negative: bool
    second: bool
    area: Area | None
    carried: Carried
    frames: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Layout:
    """How the rows of a call of the model fall into groups. In a run, all calls that are alike share one object.

    tiles: how many parts of the latent another node has stacked along the batch; 1 if none has
    """

    groups: tuple[Group, ...]
    tiles: int = 1

    @cached_property
    def carried(self) -> tuple[Any, ...]:
        """The prompts that conditions carry, each once."""
        return tuple(dict.fromkeys(prompt for group in self.groups for prompt, _ in group.carried))

    @cached_property
    def without_frames(self) -> Hashable:
        """What two layouts have in common that differ only in the pictures that their rows are about."""
        kinds = (
            (group.rows.start, group.rows.stop, group.negative, group.second, group.area, group.carried)
            for group in self.groups
        )
        return (self.tiles, *kinds)


SIGMAS = 4096  # of a model sampling whose progress is kept for the next run
_progress: weakref.WeakKeyDictionary[Any, dict[float, float]] = weakref.WeakKeyDictionary()


class Observer(Protocol):
    """What is told about each call of a block in which image prompts act, before they act."""

    def observe(self, site: Any, call: Any, text: Any, contributions: Callable[[Side], Iterator[Any]]) -> None:
        """Note what image prompts will do.

        Args:
            site, call: the `Site` and the `Call`
            text: the output of the layer so far, (B, L, I), which is changed afterwards
            contributions: gives a `Contribution` for each reference or each negative image, and computes it only then
        """
        ...


@dataclass
class Evaluation:
    """One evaluation of the model for all conditions, with what the patches in its blocks need to know."""

    run: Run
    negative: tuple[bool, ...]  # whether each condition is negative, by its index
    areas: dict[tuple[Hashable, int], Area]  # (uuid, condition index) -> area; missing: the whole latent
    latent_size: tuple[int, int]  # height and width
    timestep: Any  # a tensor of one sigma for each row, on the sampler's device
    model_sampling: Any
    batch: int = 0  # number of pictures; 0: not known
    carriers: dict[tuple[Hashable, int], Carried] = field(default_factory=dict)  # (uuid, index) -> what it carries
    observers: Sequence[Observer] = ()
    layouts: dict[Hashable, Layout] = field(default_factory=dict)
    factors: dict[int, float] = field(default_factory=dict)  # by the id of a course: hashing one takes longer
    made: dict[Hashable, Any] = field(default_factory=dict)

    @cached_property
    def sigma(self) -> float:
        return float(self.timestep[0])  # waits for the device, so it is read once in an evaluation, and only if needed

    def within(self, start: float, end: float, closed: bool = False) -> bool:
        """Whether this evaluation is in the part of sampling from `start` to `end`, both in 0..1.

        closed: whether the end belongs to it
        """
        if start <= 0.0 and end >= 1.0:
            return True
        first, last = (
            self.run.once(("sigma", at), lambda at=at: _in_single_precision(self.model_sampling.percent_to_sigma(at)))
            for at in (start, end)
        )
        return (last <= self.sigma if closed else last < self.sigma) and self.sigma <= first

    @cached_property
    def progress(self) -> float:
        """How much of sampling lies behind this evaluation, in 0..1, as `percent_to_sigma` counts it."""
        known = _progress.setdefault(self.model_sampling, {})
        if (found := known.get(self.sigma)) is None:
            if len(known) >= SIGMAS:
                known.clear()
            found = known[self.sigma] = self._progress()
        return found

    def _progress(self) -> float:
        sampling = self.run.once("sampling on the CPU", lambda: _on_cpu(self.model_sampling))
        low, high = 0.0, 1.0
        for _ in range(HALVINGS):  # percent_to_sigma only falls, and no model sampling has its inverse
            middle = (low + high) / 2
            low, high = (middle, high) if float(sampling.percent_to_sigma(middle)) >= self.sigma else (low, middle)
        return high  # so that a keyframe counts from its very sigma on, like a start

    def factor(self, course: Course) -> float:
        """The factor that a course puts on a weight in this evaluation; 0 outside its range.

        The course must stay alive as long as the evaluation.
        """
        if id(course) not in self.factors:
            self.factors[id(course)] = self._factor(course) if self._is_inside(course) else 0.0
        return self.factors[id(course)]

    def _is_inside(self, course: Course) -> bool:
        if course.counts == "sampling":
            return self.within(*course.ends, course.closed)
        way = 1.0 - self.sigma
        return course.start <= way and (way <= course.end if course.closed else way < course.end)

    def _factor(self, course: Course) -> float:
        factor = course.at(self.progress) if course.keyframes else 1.0
        return factor * course.at_step(self._step(course)) if course.steps else factor

    def _step(self, course: Course) -> int:
        """How many steps of a run lie between the beginning of a course and this one. A step has a sigma of its own."""
        sigmas = self.run.once(("steps", course), dict[float, int])
        return sigmas.setdefault(self.sigma, len(sigmas))

    def once(self, key: Hashable, make: "Callable[[Evaluation], Made]") -> Made:
        """The result of `make`, which is called only once in this evaluation for each key."""
        if key not in self.made:
            self.made[key] = make(self)
        return self.made[key]

    @property
    def carried(self) -> bool:
        """Whether any condition carries a prompt."""
        return bool(self.carriers)

    def layout(self, rows: int, called: int, extra_options: dict[str, Any]) -> Layout:
        """How the `rows` of a block fall into groups, which is worked out for the first block only.

        called: with how many rows the model is called

        The batch has one chunk for each condition, or all these chunks for each tile if tiles are stacked along it.

        Raises:
            ValueError: another node has changed the rows of the block.
        """
        conditions = extra_options["cond_or_uncond"]
        uuids = extra_options.get("uuids") or conditions
        window = _window(extra_options)
        key = (rows, called, window, *conditions, *uuids)
        if key not in self.layouts:
            frames = tuple(range(self.batch or rows // len(conditions))) if window is None else window
            tiles = _tiles(rows, len(conditions), len(frames), called)
            chunks = [
                (self.negative[index], index == 1, self.areas.get((uuid, index)), self.carriers.get((uuid, index), ()))
                for uuid, index in zip(uuids, conditions)
            ]
            self.layouts[key] = self.run.once(
                ("layout", frames, tiles, *chunks), lambda: Layout(tuple(_groups(chunks * tiles, frames)), tiles)
            )
        return self.layouts[key]


def _in_single_precision(sigma: Any) -> float:
    """A sigma rounded as those of schedules are, so that the step that begins there is found equal, as by ComfyUI."""
    return struct.unpack("f", struct.pack("f", float(sigma)))[0]


def _on_cpu(model_sampling: Any) -> Any:
    """A model sampling whose numbers can be read without waiting for a device."""
    if not isinstance(model_sampling, torch.nn.Module):
        return model_sampling
    buffers = list(model_sampling.buffers())
    return model_sampling if all(b.device.type == "cpu" for b in buffers) else copy.deepcopy(model_sampling).cpu()


def _groups(chunks: Sequence[tuple[bool, bool, Area | None, Carried]], frames: tuple[int, ...]) -> Iterator[Group]:
    """Join neighbouring chunks of the batch that are alike into groups. A chunk has one row for each frame."""
    first, rows = 0, len(frames)
    for last in range(1, len(chunks) + 1):
        if last == len(chunks) or chunks[last] != chunks[first]:
            yield Group(slice(first * rows, last * rows), *chunks[first], frames * (last - first))
            first = last


def _tiles(rows: int, conditions: int, pictures: int, called: int) -> int:
    """How many tiles are stacked along the batch: the rows of a block, divided by conditions and pictures.

    called: how many rows the model was called with

    Raises:
        ValueError: another node has changed the rows of the block.
    """
    if not pictures or rows % (conditions * pictures) or rows != called:
        raise ValueError(
            f"A block of the model has {rows} rows for {conditions} conditions and {pictures} pictures (the model was "
            f"called with {called}), so an applied IP-Adapter cannot tell the positive rows from the negative ones: "
            "another node changes the batch. Remove that node or the IP-Adapter."
        )
    return rows // (conditions * pictures)


def current(extra_options: dict[str, Any]) -> Evaluation:
    """The evaluation in which a patch is called.

    Raises:
        ValueError: another node called the model without ComfyUI's wrappers.
    """
    if KEY not in extra_options:
        raise ValueError(
            "The model was called without ComfyUI's wrappers, so an applied IP-Adapter cannot tell the positive prompt "
            "from the negative one: another node calls the model by itself. Remove that node or the IP-Adapter."
        )
    return extra_options[KEY]


def watch(model: ModelPatcher) -> None:
    """Add the wrappers to a model, unless it has them."""
    for kind, wrapper in WRAPPERS.items():
        if not model.get_wrappers(kind, KEY):
            model.add_wrapper_with_key(kind, KEY, wrapper)


def _run(
    executor: WrapperExecutor,
    guider: Any,
    sigmas: Any,
    extra_args: dict[str, Any],
    callback: Any,
    noise: Any,
    *args: Any,
    **kwargs: Any,
) -> Any:
    names = [(name, _uuids(conds)) for name, conds in guider.conds.items() if conds]
    given = getattr(guider, "original_conds", {})  # without the copies that ComfyUI makes
    origins = {cond.get("uuid"): name for name, conds in given.items() for cond in conds or ()}
    options = extra_args["model_options"]
    extra_args = {**extra_args, "model_options": _with(options, RUN, Run(names, origins, noise.shape[0]))}
    with uncompiled(options):
        return executor(guider, sigmas, extra_args, callback, noise, *args, **kwargs)


def _evaluate(
    executor: WrapperExecutor, model: Any, conds: Sequence[Any], x: Any, timestep: Any, model_options: dict[str, Any]
) -> Any:
    options = model_options.get("transformer_options", {})
    run = options.get(RUN) or Run()
    negative = tuple(run.is_negative(index, _uuids(cond or ())) for index, cond in enumerate(conds))
    evaluation = Evaluation(
        run=run,
        negative=negative,
        areas={
            (c["uuid"], index): clamped(c["area"], x.shape)
            for index, cond in enumerate(conds)
            for c in cond or ()
            if "area" in c
        },
        carriers={
            (c["uuid"], index): carried
            for index, cond in enumerate(conds)
            for c in cond or ()
            if (carried := _carried(run, c, cond, negative[index]))
        },
        latent_size=(x.shape[-2], x.shape[-1]),
        timestep=timestep,
        model_sampling=model.model_sampling,
        batch=len(x),
        observers=options.get(OBSERVERS, ()),
    )
    carried = (prompt for prompts in evaluation.carriers.values() for prompt, _ in prompts)
    for prompt in (*options.get(PROMPTS, ()), *carried):
        evaluation.once(prompt, prompt.factors)  # sigma is read before the blocks, where it would be waited for
    return executor(model, conds, x, timestep, _with(model_options, KEY, evaluation))


def _carried(run: Run, condition: Condition, among: Sequence[Condition], negative: bool) -> Carried:
    """The prompts that a condition carries, with the side that its rows attend to.

    Rows of a copy attend to the negative images of what was copied, as if that were applied to the model. Besides, they
    attend to what is carried by the condition whose text the copy has: the smallest of its own list around it.
    """
    given: Carried = tuple(condition.get(CARRIED, ()))
    name = run.name(_uuids(among))
    if not run.is_copy(condition["uuid"], name):
        return given
    turned: Carried = tuple((prompt, "uncond") for prompt, side in given if side == "cond") if negative else given
    own = [each for each in among if not run.is_copy(each["uuid"], name)]
    around = [each for each in own if _is_inside(condition["area"], each.get("area"))]
    return turned + tuple(min(around, key=_size, default={}).get(CARRIED, ()))


def _is_inside(area: Sequence[int], other: Sequence[int] | None) -> bool:
    """Whether an area lies in another; None is the whole latent."""
    if other is None:
        return True
    half = len(other) // 2  # sizes come first, then places
    ends = zip(area[:half], area[half:], other[:half], other[half:])
    return all(place >= at and place + size <= at + length for size, place, length, at in ends)


def _size(condition: Condition) -> float:
    area = condition.get("area")
    return float("inf") if area is None else math.prod(area[: len(area) // 2])


def _apply(
    executor: Any,
    x: Any,
    t: Any,
    c_concat: Any,
    c_crossattn: Any,
    control: Any,
    transformer_options: dict[str, Any],
    *args: Any,
    **kwargs: Any,
) -> Any:
    """Note the model that is called, and the shape of the latent.

    If a pack bypasses ComfyUI's batching, there is no evaluation yet. Then one is made up, with the usual order of
    conditions and no areas.
    """
    transformer_options = {**transformer_options, CALLED: tuple(x.shape), MODEL: executor.class_obj}
    if KEY not in transformer_options:
        conditions = transformer_options.get("cond_or_uncond") or [0]
        negative = tuple(index == 1 for index in range(max(conditions) + 1))
        evaluation = Evaluation(Run(), negative, {}, (x.shape[-2], x.shape[-1]), t, executor.class_obj.model_sampling)
        transformer_options |= {"cond_or_uncond": conditions, KEY: evaluation}
    return executor(x, t, c_concat, c_crossattn, control, transformer_options, *args, **kwargs)


WRAPPERS = {
    WrappersMP.SAMPLER_SAMPLE: _run,
    WrappersMP.CALC_COND_BATCH: _evaluate,
    WrappersMP.APPLY_MODEL: _apply,
}


def _with(model_options: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    options = model_options.get("transformer_options", {})
    return {**model_options, "transformer_options": {**options, key: value}}


def _uuids(conds: Sequence[Condition]) -> frozenset[Hashable]:
    return frozenset(cond.get("uuid") for cond in conds)


def clamped(area: Sequence[int], shape: Sequence[int]) -> Area:
    """An area, clamped to the latent as ComfyUI does it. That of a film may name frames first: all of them count."""
    half = len(area) // 2
    (height, width), (top, left) = area[half - 2 : half], area[-2:]
    return min(shape[-2] - top, height), min(shape[-1] - left, width), top, left


def _window(extra_options: dict[str, Any]) -> tuple[int, ...] | None:
    """The numbers of the frames in the current context window, ComfyUI's or AnimateDiff-Evolved's; None: no window."""
    window = extra_options.get("context_window")
    if window is None or window.dim != 0:
        frames = extra_options.get("ad_params", {}).get("sub_idxs")
        return None if frames is None else tuple(frames)
    anchor = getattr(window, "causal_anchor_index", None)
    return tuple(window.index_list) if anchor is None or anchor < 0 else (anchor, *window.index_list)
