"""One call of a block: where masks lie on its tokens, and whether there are as many of everything as pictures.

Letters: L latent tokens.
"""

import logging
from dataclasses import dataclass
from typing import Any

import torch

from .image_prompt import OURS, ImagePrompt, Rules
from .masks import Grid, Place, Resizing, token_mask
from .sampling import Evaluation, Group, Layout, once


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
