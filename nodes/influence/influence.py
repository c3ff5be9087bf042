"""Record where, and how much, references act while a sampler runs.

    influence of a reference on a token = mean over layers and evaluations of |added| / |text|

where `added` is what the reference adds to the output of a layer, with its weight and mask, and `text` is the output to
which it is added. Layers and evaluations in which the reference does not act count as 0. Where several conditions share
a latent pixel, ComfyUI takes a weighted mean of what the model predicts for each, and the influence in their rows is
averaged with the same weights: those of masks, strengths, and soft edges of areas.

Letters: B pictures, H x W latent pixels, L tokens of a layer.
"""

import copy
import hashlib
import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher
from comfy.patcher_extension import WrapperExecutor, WrappersMP
from comfy.samplers import get_area_and_mult
from torch.nn import functional as F

from ...ip_adapter import PerStep, PerWindow, Side
from ..applying.call import Call
from ..applying.hosts.host import SitePatch
from ..applying.image_prompt import ImagePrompt, Site
from ..applying.joint import Contribution
from ..applying.sampling import CARRIED, OBSERVERS, Area, Evaluation, Group, Layout, clamped, watch
from ..applying.sampling import KEY as EVALUATION
from ..display import is_shown, progress_ended, show_progress
from .heat import live_picture

KEY = "image_prompt_influence"  # key of the wrappers
SHARES = "image_prompt_shares"  # key in transformer_options of the shares of conditions

WEIGHED = ("area", "strength", "mask", "mask_strength", "timestep_start", "timestep_end")  # parts of a condition

RUNS = 16  # of which the records are kept
MEMORY = 64 * 2**20  # bytes of maps that are kept, for films; the last run is kept however large it is

TILED = (
    "Another node runs the model on parts of the latent and does not say where they lie, so the influence cannot be "
    "placed: remove that node."
)
MERGED = "Another node merges tokens of the model, so the influence cannot be placed: remove that node."
RESIZED = "The latent changes its size while the sampler runs, so the influence cannot be placed."


@dataclass(frozen=True)
class Choice:
    """What is recorded.

    sites: the layers
    start, end: the part of sampling, from 0 to 1
    every: 1 for each evaluation of the model in this part, 2 for every other one, and so on
    """

    sites: frozenset[Site]
    start: float = 0.0
    end: float = 1.0
    every: int = 1


@dataclass(frozen=True, eq=False)
class Record:
    """The influence of each reference in one run of a sampler.

    names: what people call the references, each another
    maps: (references, B, H, W), on the CPU
    evaluations: how many evaluations of the model were recorded
    trouble: why there are no maps; empty if there are
    latents: the fingerprints of the latents that the run made
    """

    names: tuple[str, ...]
    maps: torch.Tensor
    evaluations: int
    trouble: str = ""
    latents: frozenset[str] = frozenset()


def fingerprint(samples: torch.Tensor) -> str:
    """What tells latents apart on any device, to the bit."""
    values = samples.detach().cpu().contiguous()
    return hashlib.sha256(f"{values.dtype} {values.shape}".encode() + values.view(torch.uint8).numpy().data).hexdigest()


class Influence:
    """The records of the last runs of samplers, which fill it. Sockets of the type INFLUENCE carry it.

    records: of the runs that came to their end, the last one at the end
    """

    def __init__(self, choice: Choice, node_id: str | None = None, pixels: int = 8):
        """Keep no record yet.

        node_id: the node on which a live picture is drawn
        pixels: of the decoded picture along a side, for one of the latent
        """
        self.choice = choice
        self.pixels = pixels
        self.node_id = node_id
        self.records: list[Record] = []

    @property
    def record(self) -> Record | None:
        """The record of the last run; None if none has come to its end."""
        return self.records[-1] if self.records else None

    def of(self, samples: torch.Tensor) -> Record | None:
        """The record of the run that made these latents; None if it is not kept."""
        made = fingerprint(samples)
        return next((record for record in reversed(self.records) if made in record.latents), None)

    def keep(self, record: Record, *samples: torch.Tensor) -> None:
        """Keep the record of a run that made these latents, and drop the oldest if there are too many."""
        kept = (torch.float32, torch.float16)  # by ComfyUI between nodes
        latents = {fingerprint(each.to(dtype)) for each in samples for dtype in (each.dtype, *kept)}
        self.records.append(replace(record, latents=frozenset(latents)))
        while len(self.records) > RUNS or len(self.records) > 1 and sum(r.maps.nbytes for r in self.records) > MEMORY:
            del self.records[0]

    def follow(self, model: ModelPatcher) -> None:
        """Record the runs of all samplers that sample with the model or a clone of it. It changes `model`."""
        watch(model)
        model.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, KEY, self._run)
        for kind, wrapper in WRAPPERS.items():
            if not model.get_wrappers(kind, KEY):
                model.add_wrapper_with_key(kind, KEY, wrapper)

    def _run(
        self,
        executor: WrapperExecutor,
        noise: Any,
        latent_image: Any,
        sampler: Any,
        sigmas: Any,
        denoise_mask: Any = None,
        callback: Callable[..., Any] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        guider: Any = executor.class_obj
        options = guider.model_options
        inner = options.get("transformer_options", {})
        recording = Recording(self.choice, [*_attached(inner), *_carried(guider.conds)])
        inner = {**inner, OBSERVERS: (*inner.get(OBSERVERS, ()), recording)}
        denoised: list[Any] = []
        shown = is_shown(self.node_id)

        def after(step: int, x0: Any, x: Any, total: int) -> Any:
            denoised[:] = [x0]
            result = None if callback is None else callback(step, x0, x, total)
            if shown:
                show_progress(step + 1, total, live_picture(recording.maps()), self.node_id)
            return result

        guider.model_options = {**options, "transformer_options": inner}
        try:
            samples = executor(noise, latent_image, sampler, sigmas, denoise_mask, after, *args, **kwargs)
        finally:
            guider.model_options = options
            if shown:
                progress_ended(self.node_id)
        out = guider.model_patcher.model.process_latent_out
        self.keep(recording.record(), samples, *(out(x0.cpu()) for x0 in denoised))  # both outputs of SamplerCustom
        return samples


class Recording:
    """The influence in a run of a sampler that goes on. It is told of each call of the model, and of its layers.

    number: of the current evaluation of the model, from 0
    """

    def __init__(self, choice: Choice, prompts: Iterable[ImagePrompt] = ()):
        self.choice = choice
        self.number = 0
        self.evaluations: set[int] = set()
        self.trouble = ""
        self.shape: tuple[int, int, int] | None = None  # B, H, W
        self.rows: dict[tuple[ImagePrompt, int | None], int] = {}  # number of a reference in the record
        self.names: list[str] = []
        self.sums: dict[tuple[int, bool, torch.device], torch.Tensor] = {}  # (B, H, W) by reference and negative rows
        self.covered: dict[tuple[bool, torch.device], torch.Tensor] = {}  # sum of the shares of rows, by negative rows
        for prompt in dict.fromkeys(prompts):
            self._know(prompt)

    def called(self, evaluation: Evaluation, x: torch.Tensor, options: dict[str, Any]) -> Iterator["RecordedCall"]:
        """Note which pictures and which parts of them the model is called for, with the latent x.

        It gives what observes the layers in this call; nothing if nothing is to be recorded.
        """
        if self.trouble or not self.records(evaluation):
            return
        self.evaluations.add(self.number)
        whole = (evaluation.run.pictures or evaluation.batch, *evaluation.latent_size)
        self.shape = self.shape or whole
        try:
            layout = evaluation.layout(len(x), len(x), options)
        except ValueError as error:
            self.trouble = str(error)
            return
        if self.shape != whole:
            self.trouble = RESIZED
        elif not _is_whole(layout, x.shape[-2:], evaluation):
            self.trouble = TILED
        else:
            shares = _of_rows(x, layout, options)
            for group in layout.groups:
                key = (group.negative, x.device)
                covered = self.covered.setdefault(key, torch.zeros(whole, device=x.device))
                _part(covered, group.area).index_add_(0, _frames(group, evaluation, x.device), shares[group.rows])
            yield RecordedCall(self, shares)

    def observe(
        self,
        site: Site,
        call: Call,
        text: torch.Tensor,
        contributions: Callable[[Side], Iterator[Contribution]],
        shares: torch.Tensor,
    ) -> None:
        """Add the influence of each reference on the output of a layer: see `Observer`.

        Rows of a negative condition attend to references too if these push away, and count in the same way.
        `shares`: how much each row counts on each latent pixel, (rows, height, width)
        """
        if self.trouble or site not in self.choice.sites:
            return
        if not _is_whole(call.layout, call.size, call.evaluation):
            self.trouble = TILED
            return
        if text.shape[1] != call.grid.height * call.grid.width + call.grid.before:
            self.trouble = MERGED
            return
        with torch.no_grad():
            norms = _norm(text)
            for each in contributions("cond"):
                norm = norms[each.group.rows]
                ratio = torch.where(norm > 0, _norm(each.added) / norm, 0.0)
                self._add(each, _on_latent(ratio, call) * shares[each.group.rows], call.evaluation)

    def maps(self) -> torch.Tensor:
        """The mean of what was recorded so far, over the layers of its adapter: (references, B, H, W), on the CPU."""
        maps = torch.zeros(len(self.names), *(self.shape or (0, 0, 0)))
        covered = {True: torch.zeros(maps.shape[1:]), False: torch.zeros(maps.shape[1:])}
        for (negative, _), shares in self.covered.items():
            covered[negative] += shares.cpu()
        for (number, negative, _), total in self.sums.items():
            maps[number] += total.cpu() / torch.where(covered[negative] > 0, covered[negative], 1.0)
        for (prompt, _), number in self.rows.items():
            maps[number] /= max(len(self.choice.sites & prompt.sites), 1)
        return maps

    def record(self) -> Record:
        return Record(tuple(self.names), self.maps(), len(self.evaluations), self.trouble)

    def records(self, evaluation: Evaluation) -> bool:
        """Whether the current evaluation of the model is to be recorded."""
        return self.number % self.choice.every == 0 and evaluation.within(self.choice.start, self.choice.end)

    def _add(self, each: Contribution, ratio: torch.Tensor, evaluation: Evaluation) -> None:
        if (each.prompt, each.reference) not in self.rows:
            self._know(each.prompt)
        key = (self.rows[each.prompt, each.reference], each.group.negative, ratio.device)
        if key not in self.sums:
            assert self.shape is not None
            self.sums[key] = torch.zeros(self.shape, device=ratio.device)
        _part(self.sums[key], each.group.area).index_add_(0, _frames(each.group, evaluation, ratio.device), ratio)

    def _know(self, prompt: ImagePrompt) -> None:
        """Give each reference of a prompt its number and its name."""
        references = _references(prompt)
        kind = f"image prompt {len({known for known, _ in self.rows}) + 1}"
        for reference in references:
            self.rows[prompt, reference] = len(self.rows)
            self.names.append(_free(_name(prompt, reference, kind, len(references)), self.names))


@dataclass(frozen=True)
class RecordedCall:
    """A recording in one call of the model, which several threads may make at once. It observes the layers.

    shares: how much each row of the call counts on each latent pixel, (rows, height, width)
    """

    recording: Recording
    shares: torch.Tensor

    def observe(
        self, site: Site, call: Call, text: torch.Tensor, contributions: Callable[[Side], Iterator[Contribution]]
    ) -> None:
        self.recording.observe(site, call, text, contributions, self.shares)


def _predict(executor: WrapperExecutor, x: Any, timestep: Any, model_options: dict[str, Any], seed: Any) -> Any:
    """Count the evaluations of the model, which may each be several calls: for windows, areas or conditions."""
    found = executor(x, timestep, model_options, seed)
    for recording in _recordings(model_options.get("transformer_options", {})):
        recording.number += 1
    return found


def _weigh(
    executor: WrapperExecutor, model: Any, conds: Sequence[Any], x: Any, timestep: Any, model_options: dict[str, Any]
) -> Any:
    options = model_options.get("transformer_options", {})
    if any(each.records(options[EVALUATION]) for each in _recordings(options) if EVALUATION in options):
        shares = {
            (uuid, index): share for index, some in enumerate(conds) for uuid, share in _shares(some or (), x, timestep)
        }
        model_options = {**model_options, "transformer_options": {**options, SHARES: shares}}
    return executor(model, conds, x, timestep, model_options)


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
    if EVALUATION in transformer_options:
        evaluation = copy.copy(transformer_options[EVALUATION])
        evaluation.observers = [
            each
            for observer in evaluation.observers  # none if a pack bypasses ComfyUI's batching
            for each in (
                observer.called(evaluation, x, transformer_options) if isinstance(observer, Recording) else [observer]
            )
        ]
        transformer_options = {**transformer_options, EVALUATION: evaluation}
    return executor(x, t, c_concat, c_crossattn, control, transformer_options, *args, **kwargs)


WRAPPERS = {
    WrappersMP.PREDICT_NOISE: _predict,
    WrappersMP.CALC_COND_BATCH: _weigh,
    WrappersMP.APPLY_MODEL: _apply,
}


def _shares(
    conds: Sequence[dict[str, Any]], x: torch.Tensor, timestep: torch.Tensor
) -> Iterator[tuple[Hashable, torch.Tensor]]:
    """How much each condition of a prompt counts in the mean that ComfyUI forms of them.

    It gives the uuids of the conditions that act now, and their shares, (pictures, height, width) of their areas.
    """
    total = _first_frame(torch.zeros_like(x[:, 0], dtype=torch.float32))
    found: list[tuple[Hashable, Area | None, torch.Tensor]] = []
    for cond in conds:
        given = {key: cond[key] for key in WEIGHED if key in cond} | {"uuid": cond["uuid"], "model_conds": {}}
        if "default" not in cond and (known := get_area_and_mult(given, x, timestep)) is not None:
            area = clamped(known.area, x.shape) if known.area else None
            weight = _first_frame(known.mult[:, 0].float())
            _part(total, area).add_(weight)
            found.append((cond["uuid"], area, weight))
    rest = (1.0 - total).clamp(min=0.0)  # default conditions share what the others leave
    for cond in conds:
        if "default" in cond:
            total = total + rest
            found.append((cond["uuid"], None, rest))
    total = torch.where(total > 0, total, 1.0)
    for uuid, area, weight in found:
        yield uuid, weight / _part(total, area)


def _first_frame(x: torch.Tensor) -> torch.Tensor:
    """(B, H, W) of that or of (B, frames, H, W): conditions count alike in all frames."""
    return x if x.ndim == 3 else x[:, 0]


def _of_rows(x: torch.Tensor, layout: Layout, options: dict[str, Any]) -> torch.Tensor:
    """How much each row of a call counts on each latent pixel, (rows, height, width)."""
    conditions = options["cond_or_uncond"]
    count = len(x) // len(conditions)
    frames = layout.groups[0].frames[:count]
    alone = torch.ones(count, *x.shape[-2:], device=x.device)
    shares = (
        options.get(SHARES, {}).get(each, alone).to(x.device)
        for each in zip(options.get("uuids") or conditions, conditions, strict=True)
    )
    # of all pictures if another node picks a window of them afterwards
    return torch.cat([each if len(each) == count else each[[f % len(each) for f in frames]] for each in shares])


def _recordings(options: dict[str, Any]) -> Iterator[Recording]:
    return (each for each in options.get(OBSERVERS, ()) if isinstance(each, Recording))


def _attached(options: dict[str, Any]) -> Iterator[ImagePrompt]:
    """The prompts that are attached to a model, by its transformer options; they may come several times."""
    for slots in options.get("patches_replace", {}).values():
        for patch in slots.values():
            yield from _of_patch(patch)


def _of_patch(patch: Any) -> Iterator[ImagePrompt]:
    if isinstance(patch, SitePatch):
        yield from _of_patch(patch.previous)
        yield from (part.prompt for part in patch.joint.parts)


def _carried(conds: dict[str, Any]) -> Iterator[ImagePrompt]:
    """The prompts that conditions carry."""
    for some in conds.values():
        for cond in some or ():
            yield from (prompt for prompt, _ in cond.get(CARRIED, ()))


def _references(prompt: ImagePrompt) -> list[int | None]:
    """The references of a prompt that have a map each, as `Contribution.reference` counts them."""
    keys = prompt.prepared.side("cond")
    if prompt.arrangement == "by picture" or isinstance(keys, PerWindow):
        return [None]
    if isinstance(keys, PerStep):
        return list(range(len(keys.states)))
    together = keys.layer(0)[0].shape[1] // prompt.prepared.layer_tokens[0]
    return list(range(keys.rows if prompt.arrangement == "each" else together))


def _name(prompt: ImagePrompt, reference: int | None, kind: str, count: int) -> str:
    """What people call a reference. `kind`: the name of the prompt, if its references have none."""
    names = prompt.names
    if reference is None:
        return kind if not names else names[0] if len(names) == 1 else f"{names[0]} ... {names[-1]}"
    if len(names) == count:
        return names[reference]
    return kind if count == 1 else f"{kind}, picture {reference + 1}"


def _free(name: str, taken: Sequence[str]) -> str:
    """The name, with a number behind it if another reference has it: nodes count their references each for itself."""
    numbered = (f"{name} ({number})" for number in itertools.count(2))
    return next(each for each in itertools.chain([name], numbered) if each not in taken)


def _norm(x: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(x, dim=-1, dtype=torch.float32)


def _on_latent(values: torch.Tensor, call: Call) -> torch.Tensor:
    """Give each latent pixel of a call the value of the token that covers it: (rows, L) -> (rows, height, width)."""
    grid, (height, width) = call.grid, call.size
    tokens = values[:, grid.before :].unflatten(1, (grid.frames, grid.height, grid.width)).mean(1, keepdim=True)
    padded = height + grid.padding[0], width + grid.padding[1]
    return F.interpolate(tokens, padded, mode="nearest-exact")[:, 0, :height, :width]


def _frames(group: Group, evaluation: Evaluation, device: torch.device) -> torch.Tensor:
    """The number of the picture in the batch for each row of a group."""
    return evaluation.run.once((KEY, group.frames, device), lambda: torch.tensor(group.frames, device=device))


def _is_whole(layout: Layout, size: tuple[int, ...], evaluation: Evaluation) -> bool:
    """Whether a latent of this size is all that its conditions cover, and not a tile of it."""
    areas = (group.area for group in layout.groups)
    return layout.tiles == 1 and all(size == (area[:2] if area else evaluation.latent_size) for area in areas)


def _part(whole: torch.Tensor, area: Area | None) -> torch.Tensor:
    """The part of (B, H, W) that an area covers, as a view."""
    if area is None:
        return whole
    height, width, top, left = area
    return whole[:, top : top + height, left : left + width]
