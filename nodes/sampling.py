"""What a patch must know of one model evaluation, gathered once and handed on in `transformer_options`.

Three wrappers gather it. The one around a sampler's run learns which condition is a negative one, the one around an
evaluation notes sigma and areas, and the one around the model notes the latent that it is called with. They hold
nothing themselves, so clones, threads and repeated runs cannot meet in them.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrapperExecutor, WrappersMP

KEY = "image_prompt"  # of the evaluation in transformer_options, and of the wrappers
RUN = "image_prompt_run"
CALLED = "image_prompt_called"  # the shape of the latent that the model is called with
NEGATIVE = ("negative", "uncond")  # in a guider's name of a condition

Area = tuple[int, ...]  # (height, width, top, left) in latent pixels
Made = TypeVar("Made")


@dataclass
class Run:
    """One run of a sampler. `made` keeps what is the same at every step, and goes with the run."""

    names: list[tuple[str, frozenset[Hashable]]] = field(default_factory=list)  # the guider's name, and uuids
    pictures: int = 0  # of the whole batch; 0: not known
    made: dict[Hashable, Any] = field(default_factory=dict)

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]

    def is_negative(self, index: int, uuids: frozenset[Hashable]) -> bool:
        """The place in the list says nothing (Dual CFG puts the negative first), so ask for the guider's name."""
        named = {name: any(word in name for word in NEGATIVE) for name, _ in self.names}
        for name, members in self.names:
            if members == uuids and any(named.values()):
                return named[name]
        return index == 1


@dataclass(frozen=True)
class Group:
    """Neighbouring rows of a batch that take the same image tokens and the same part of a mask.

    frames: which picture of the batch each row is
    """

    rows: slice
    negative: bool
    area: Area | None
    frames: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Layout:
    """How the rows of a call of the model fall into groups: one object in a run for all calls that are alike.

    tiles: how many parts of the latent another node stacked along the batch; 1: none
    """

    groups: tuple[Group, ...]
    tiles: int = 1


@dataclass
class Evaluation:
    """One evaluation of the model for all conditions: what every block of it asks about."""

    run: Run
    negative: tuple[bool, ...]  # by condition index
    areas: dict[tuple[Hashable, int], Area]  # by (uuid, condition index); absent: the whole latent
    latent_size: tuple[int, int]
    timestep: Any  # (B,) sigmas on the sampler's device
    model_sampling: Any
    batch: int = 0  # pictures; 0: not known
    layouts: dict[Hashable, Layout] = field(default_factory=dict)

    @cached_property
    def sigma(self) -> float:
        return float(self.timestep[0])  # the one wait for the device in an evaluation, and only if a range needs it

    def within(self, start: float, end: float) -> bool:
        """Whether this evaluation lies in the part of sampling from `start` to `end` (0..1, end excluded)."""
        if start <= 0.0 and end >= 1.0:
            return True
        first, last = (
            self.run.once(("sigma", at), lambda at=at: float(self.model_sampling.percent_to_sigma(at)))
            for at in (start, end)
        )
        return last < self.sigma <= first

    def layout(self, rows: int, extra_options: dict[str, Any]) -> Layout:
        """How a block's `rows` fall into groups, worked out for the first block only.

        A chunk for each condition; where tiles are stacked along the batch, these chunks for each tile.

        Raises:
            ValueError: another node gave the block rows of its own.
        """
        conditions = extra_options["cond_or_uncond"]
        uuids = extra_options.get("uuids") or conditions
        called, window = extra_options[CALLED][0], _window(extra_options)
        key = (rows, called, window, *conditions, *uuids)
        if key not in self.layouts:
            frames = tuple(range(self.batch or rows // len(conditions))) if window is None else window
            tiles = _tiles(rows, len(conditions), len(frames), called)
            chunks = [(self.negative[index], self.areas.get((uuid, index))) for uuid, index in zip(uuids, conditions)]
            self.layouts[key] = self.run.once(
                ("layout", frames, tiles, *chunks), lambda: Layout(tuple(_groups(chunks * tiles, frames)), tiles)
            )
        return self.layouts[key]


def _groups(chunks: Sequence[tuple[bool, Area | None]], frames: tuple[int, ...]) -> Iterator[Group]:
    """Neighbouring chunks of the batch that are alike, as one group. Each has a row for each of the frames."""
    first, rows = 0, len(frames)
    for last in range(1, len(chunks) + 1):
        if last == len(chunks) or chunks[last] != chunks[first]:
            yield Group(slice(first * rows, last * rows), *chunks[first], frames * (last - first))
            first = last


def _tiles(rows: int, conditions: int, pictures: int, called: int) -> int:
    """How many times the rows of an evaluation lie in those of a block, which has as many as the model was called with.

    Raises:
        ValueError: another node gave the block rows of its own.
    """
    if not pictures or rows % (conditions * pictures) or rows != called:
        raise ValueError(
            f"A block of the model has {rows} rows for {conditions} conditions and {pictures} pictures (the model was "
            f"called with {called}), so an applied IP-Adapter cannot tell the positive rows from the negative ones: "
            "another node changes the batch. Remove that node or the IP-Adapter."
        )
    return rows // (conditions * pictures)


def current(extra_options: dict[str, Any]) -> Evaluation:
    """The evaluation that a patch is called in."""
    if KEY not in extra_options:
        raise ValueError(
            "The model was called without ComfyUI's wrappers, so an applied IP-Adapter cannot tell the positive prompt "
            "from the negative one: another node calls the model by itself. Remove that node or the IP-Adapter."
        )
    return extra_options[KEY]


def watch(model: ModelPatcher) -> None:
    """Add the wrappers to a model, once."""
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
    options = extra_args["model_options"]
    extra_args = {**extra_args, "model_options": _with(options, RUN, Run(names, noise.shape[0]))}
    return executor(guider, sigmas, extra_args, callback, noise, *args, **kwargs)


def _evaluate(
    executor: WrapperExecutor, model: Any, conds: Sequence[Any], x: Any, timestep: Any, model_options: dict[str, Any]
) -> Any:
    run = model_options.get("transformer_options", {}).get(RUN) or Run()
    evaluation = Evaluation(
        run=run,
        negative=tuple(run.is_negative(index, _uuids(cond or ())) for index, cond in enumerate(conds)),
        areas={
            (c["uuid"], index): _clamped(c["area"], x.shape)
            for index, cond in enumerate(conds)
            for c in cond or ()
            if "area" in c
        },
        latent_size=(x.shape[-2], x.shape[-1]),
        timestep=timestep,
        model_sampling=model.model_sampling,
        batch=len(x),
    )
    return executor(model, conds, x, timestep, _with(model_options, KEY, evaluation))


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
    """Notes the latent. For a pack that passes ComfyUI's batching by: the usual order of conditions, and no areas."""
    transformer_options = {**transformer_options, CALLED: tuple(x.shape)}
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


def _uuids(conds: Sequence[dict[str, Any]]) -> frozenset[Hashable]:
    return frozenset(cond.get("uuid") for cond in conds)


def _clamped(area: Sequence[int], shape: Sequence[int]) -> Area:
    """As ComfyUI clamps an area to the latent it is given."""
    height, width, top, left = area
    return min(shape[-2] - top, height), min(shape[-1] - left, width), top, left


def _window(extra_options: dict[str, Any]) -> tuple[int, ...] | None:
    """The pictures of the batch that a window of frames takes, ComfyUI's or AnimateDiff-Evolved's; None: no window."""
    window = extra_options.get("context_window")
    if window is None or window.dim != 0:
        frames = extra_options.get("ad_params", {}).get("sub_idxs")
        return None if frames is None else tuple(frames)
    anchor = getattr(window, "causal_anchor_index", None)
    return tuple(window.index_list) if anchor is None or anchor < 0 else (anchor, *window.index_list)
