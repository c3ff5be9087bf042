"""The image prompts that are applied to a model, and what they add to it in one layer.

Letters: B rows of a call, L latent tokens, I inner width of the layer, R references, T image tokens.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from comfy.model_patcher import ModelPatcher

from ...ip_adapter import (
    Attended,
    Block,
    Constant,
    Keys,
    PerWindow,
    Pick,
    Picked,
    Plan,
    Share,
    Step,
    Strength,
    plan_attention,
)
from .masks import EVERYWHERE, Grid, Place, token_mask
from .prepared import Prepared
from .sampling import Evaluation, Group, Layout, current


@dataclass(frozen=True)
class Site:
    """A place in a model where a layer of an adapter can act: a block, and the number of its attention heads."""

    block: Block
    heads: int


@dataclass(frozen=True, eq=False)
class ImagePrompt:
    """One image prompt that is applied to a model. All its layers share it, and nothing changes it.

    prepared: keys and values, which prompts of the same picture may share
    layers: number of the adapter's layer at each site of the model, in the order of `prepared`
    strength: how strongly it acts, in which layers, and when
    place: where in the picture it acts
    """

    prepared: Prepared
    layers: Mapping[Site, int]
    strength: Strength
    place: Place = EVERYWHERE

    @property
    def differs_by_picture(self) -> bool:
        """Whether it matters which pictures of the batch a call of the model is about."""
        sides = (self.prepared.side(name) for name in ("cond", "uncond"))
        return any(keys.rows > 1 for keys in sides) or (self.place.mask is not None and len(self.place.mask) > 1)

    def parts(self) -> dict[Site, "Part"]:
        """The part of the prompt that acts at each site, for all sites where it acts."""
        shares = ((site, number, layer) for number, (site, layer) in enumerate(self.layers.items()))
        return {
            site: Part(self, number, share, self.strength.at(layer))
            for site, number, layer in shares
            if (share := self.strength.share(layer))
        }


@dataclass(frozen=True, eq=False)
class Part:
    """An image prompt in one layer.

    number: number of the layer in `prompt.prepared`
    share: how much of the prompt acts in this layer, and in which rows
    weight: the weight in this layer
    """

    prompt: ImagePrompt
    number: int
    share: Share
    weight: float


class Joint:
    """The image prompts of one layer, which add their attention to its output. It keeps no state between runs."""

    def __init__(self, parts: Sequence[Part], heads: int):
        self.parts = tuple(parts)
        self.heads = heads
        self.weights = tuple(part.weight for part in self.parts)
        self.differs_by_picture = any(part.prompt.differs_by_picture for part in self.parts)

    def acting(self, extra_options: dict[str, Any]) -> tuple[Part, ...]:
        """The parts that act in the current step of sampling."""
        evaluation = current(extra_options)
        return tuple(part for part in self.parts if evaluation.within(*part.prompt.strength.course.ends))

    def add(
        self, q: torch.Tensor, out: torch.Tensor, extra_options: dict[str, Any], grid: Grid, latent: Sequence[int]
    ) -> None:
        """Add the attention to the image prompts to the output of the layer.

        Args:
            q: the query, (B, L, I)
            out: the output, (B, L, I), contiguous; it is changed in place
            extra_options: what ComfyUI hands to patches
            grid: how the L tokens lie on the latent
            latent: shape of the latent that the block's model is called with

        Raises:
            ValueError: another node changes the batch or calls the model by itself, or a mask cannot be placed.
        """
        evaluation, acting = current(extra_options), self.acting(extra_options)
        if not acting:
            return
        layout = evaluation.layout(len(q), latent[0], extra_options)
        size = (latent[-2], latent[-1])
        rows = layout if self.differs_by_picture else layout.without_frames
        key = (self, acting, rows, q.shape, q.dtype, q.device, grid, size, evaluation.latent_size)
        plan = evaluation.run.made.get(key)
        if plan is None:
            plan = evaluation.run.made[key] = self._plan(q, acting, Call(evaluation, layout, size, grid))
        plan(q, out, self.weights)

    def models(self) -> list[ModelPatcher]:
        """The models that ComfyUI has to load for the image prompts."""
        return [patcher for part in self.parts for patcher in part.prompt.prepared.models()]

    def _plan(self, q: torch.Tensor, acting: Sequence[Part], call: "Call") -> Plan:
        attended, steps = list[Attended](), list[Step]()
        for group in call.layout.groups:
            for number, part in enumerate(self.parts):
                if part in acting and (side := part.share.side(group.negative)):
                    call.evaluation.run.once((part.prompt, "counted"), lambda part=part: _warn(part.prompt, call))
                    keys, mask = part.prompt.prepared.side(side), call.mask(part.prompt.place, group, q)
                    references = [frame % keys.rows for frame in group.frames]
                    if isinstance(keys, Constant) and (keys.rows == 1 or references == list(range(keys.rows))):
                        key, value = self._key_value(keys, part.number, q, call)
                        attended.append(Attended(group.rows, key, value, mask, number))
                    else:
                        at = call.evaluation.run.once(
                            (*references, q.device), lambda: torch.tensor(references, device=q.device)
                        )
                        pick = self._pick(keys, part.number, q, call)
                        steps.append(Picked(pick, group.rows, at, mask, number, self.heads))
        return Plan([*plan_attention(q, attended, self.heads).steps, *steps])

    def _pick(self, keys: Keys, number: int, q: torch.Tensor, call: "Call") -> Pick:
        if isinstance(keys, PerWindow):
            return partial(keys.pick, number)
        key, value = self._key_value(keys, number, q, call)
        return lambda references, like: (key[references], value[references])

    def _key_value(self, keys: Constant, number: int, q: torch.Tensor, call: "Call") -> Sequence[torch.Tensor]:
        """The key and the value, each (R, T, I), like the query. ComfyUI has usually put them on its device already."""
        key = (keys, number, q.device, q.dtype)
        return call.evaluation.run.once(key, lambda: [t.to(q) for t in keys.layer(number)])


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a block.

    layout: which rows are which
    size: height and width of the latent that the model was called with
    grid: how the tokens of the block lie on that latent
    """

    evaluation: Evaluation
    layout: Layout
    size: tuple[int, int]
    grid: Grid

    def mask(self, place: Place, group: Group, q: torch.Tensor) -> torch.Tensor | None:
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
        frames = group.frames if len(mask) > 1 else ()
        key = (place, group.area, frames, self.evaluation.latent_size, self.grid, q.shape[1], q.device, q.dtype)
        return self.evaluation.run.once(key, lambda: self._placed(mask, group, q))

    def _placed(self, mask: torch.Tensor, group: Group, q: torch.Tensor) -> torch.Tensor:
        some = mask if len(mask) == 1 else mask[[frame % len(mask) for frame in group.frames]]
        placed = token_mask(some, self.evaluation.latent_size, group.area, self.grid)
        if placed.shape[1] != q.shape[1]:
            raise ValueError(
                f"A block of the model has {q.shape[1]} tokens on a {self.grid.height}x{self.grid.width} grid, so the "
                "mask of the image prompt cannot be placed: another node merges tokens there. Remove that node or the "
                "mask."
            )
        return placed.to(q)


def _warn(prompt: ImagePrompt, call: Call) -> None:
    """Log a warning if there are more references or masks than pictures. It is no error: previews may be shorter."""
    given = {
        "reference images": prompt.prepared.side("cond").rows,
        "negative images": prompt.prepared.side("uncond").rows,
        "masks": 0 if prompt.place.mask is None else len(prompt.place.mask),
    }
    pictures = call.evaluation.run.pictures
    for what, count in given.items():
        if 0 < pictures < count:
            logging.getLogger(__name__).warning(
                "Apply IP-Adapter was given %d %s for a batch of %d: each picture takes the one of its number, and "
                "the last %d are not used.",
                count,
                what,
                pictures,
                count - pictures,
            )
