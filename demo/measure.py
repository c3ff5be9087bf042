"""Reads the values of a scene off a picture, with no network: what the world would have to draw to come nearest.

Ground and colour come from the pixels' colours, then the shape from where the pixels are of that colour, bright or
dark, then the texture from where they are dark. B pictures, S = 64 pixels across, N templates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from .world import (
    BACKGROUNDS,
    COLOURS,
    DARK,
    IN_PAIRS,
    INSIDE,
    OVERSAMPLING,
    PERIOD,
    POSITIONS,
    SHADE,
    SHAPES,
    SIZE,
    SIZES,
    TEXTURES,
    Scene,
    at,
    chosen,
    grid,
)

CHUNK = 32  # pictures at a time
BORDER = 3  # pixels that show the ground
NOISE = 0.02  # squared difference of colours that says little
RADII = tuple(float(radius) for radius in range(11, 25))
ROAM = {"": (16, 16), "left": (6, 12), "right": (6, 12)}  # how far a centre may be from the middle: across, down
PADDED = SIZE + max(map(max, ROAM.values())) * 2  # with a margin, because correlations wrap around
STEPS = (0.5, 0.25, 0.125)  # of the search around the best template, in pixels
SLIP = 1.5  # of a texture against the object's centre, in pixels
REPEATS = {"plain": (0, 0), "stripes": (0, 8), "dots": (8, 8), "checks": (16, 16)}  # of a texture, across and down
EDGE = 4  # power of a pixel's coverage that says how much its brightness counts
SOFTNESS = 1.3  # of the textures looked for, as a Gaussian's deviation in pixels: generated ones are blurred


@dataclass(frozen=True)
class Found:
    """One object. Place and radius are in pixels of the picture, colours in 0..1."""

    values: dict[str, str]  # words, as in VALUES; half a picture has no position
    x: float
    y: float
    radius: float
    colour: tuple[float, ...]  # of the bright parts
    ground: tuple[float, ...]


def measure(pictures: Tensor) -> list[dict[str, str]]:
    """The word for every attribute, for each of (B, 3, 64, 64) in 0..1."""
    return [found.values for found in find(pictures)]


def measure_half(pictures: Tensor, side: str) -> list[dict[str, str]]:
    """The word for every attribute but the position, for the left or right scenes of pairs."""
    return [found.values for found in find(pictures, side)]


def matches(readings: Sequence[Mapping[str, str]], scenes: Sequence[Scene], attribute: str) -> float:
    """Share of the readings that have the scene's value."""
    return sum(r[attribute] == getattr(s, attribute) for r, s in zip(readings, scenes, strict=True)) / len(readings)


def distance(a: Tensor, b: Tensor) -> Tensor:
    """(B,): mean absolute difference of two batches of pictures, picture by picture."""
    return (a - b).abs().flatten(1).mean(1)


@torch.no_grad()
def find(pictures: Tensor, side: str = "") -> list[Found]:
    """What the pictures show; of pairs, what the left or right half shows."""
    if pictures.ndim != 4 or pictures.shape[1:] != (3, SIZE, SIZE):
        raise ValueError(f"Expected pictures of shape (B, 3, {SIZE}, {SIZE}), got {tuple(pictures.shape)}.")
    if side not in ROAM:
        raise ValueError(f"Expected the left or right side, got {side!r}.")
    pictures = pictures.float().cpu()
    return [one for start in range(0, len(pictures), CHUNK) for one in _find(pictures[start : start + CHUNK], side)]


def _find(pictures: Tensor, side: str) -> list[Found]:
    view = _view(side)
    ground = pictures[..., view & ~_shrunk(view)].median(-1).values  # (B, 3)
    background = _nearest(ground, BACKGROUNDS)
    nominal, belongs = _colour(pictures, ground, view)
    scale = IN_PAIRS if side else 1.0
    shape, x, y, radius = _refined(belongs, *_coarse(belongs, scale, side))
    weight = _coverage(shape, x, y, radius) ** EDGE * view
    texture, tone = _texture(pictures, weight, torch.tensor(list(COLOURS.values()))[nominal], x, y)
    bright = torch.einsum("bchw,bhw->bc", pictures, weight * tone)
    bright = bright / (weight * tone**2).sum((1, 2)).clamp(min=1e-6)[:, None]
    middle_x, middle_y = _middle(side)
    position = _nearest(torch.stack([x - middle_x, y - middle_y], 1), POSITIONS)
    size = _nearest((radius / scale).log()[:, None], {word: (math.log(r),) for word, r in SIZES.items()})
    return [
        Found(
            values={
                "shape": SHAPES[shape[n]],
                "colour": list(COLOURS)[nominal[n]],
                "texture": TEXTURES[texture[n]],
                "background": background[n],
                **({} if side else {"position": position[n]}),
                "size": size[n],
            },
            x=x[n].item(),
            y=y[n].item(),
            radius=radius[n].item(),
            colour=tuple(bright[n].tolist()),
            ground=tuple(ground[n].tolist()),
        )
        for n in range(len(pictures))
    ]


def _nearest(points: Tensor, words: Mapping[str, tuple[float, ...]]) -> list[str]:
    """The nearest word for each of the points (B, D)."""
    return [list(words)[n] for n in torch.cdist(points, torch.tensor(list(words.values()))).argmin(1).tolist()]


# --------------------------------------------------------------------------------------------------------------- place


def _middle(side: str) -> tuple[float, float]:
    return SIZE / 2 + {"": 0, "left": -SIZE / 4, "right": SIZE / 4}[side], SIZE / 2


def _view(side: str) -> Tensor:
    """(S, S): the pixels that belong to the side."""
    across = torch.arange(SIZE)
    columns = {"": across >= 0, "left": across < SIZE // 2, "right": across >= SIZE // 2}[side]
    return columns.expand(SIZE, SIZE)


def _shrunk(view: Tensor) -> Tensor:
    """A view without the picture's border. The seam of a pair is no border: the other half blurs into it."""
    inner = torch.zeros_like(view)
    inner[BORDER:-BORDER, BORDER:-BORDER] = True
    return view & inner


# -------------------------------------------------------------------------------------------------------------- colour


def _colour(pictures: Tensor, ground: Tensor, view: Tensor) -> tuple[Tensor, Tensor]:
    """The colour (B,) that explains the picture best together with the ground, and how far each pixel belongs to the
    object: (B, S, S) from -1, ground, to 1, a tone of the colour."""
    colours = torch.tensor(list(COLOURS.values()))
    squares = pictures.square().sum(1)
    along = torch.einsum("bchw,nc->bnhw", pictures, colours)
    lengths = colours.square().sum(1)[:, None, None]
    tone = (along / lengths).clamp(SHADE, 1)
    as_object = squares[:, None] - 2 * tone * along + tone.square() * lengths  # (B, N, S, S) squared differences
    as_ground = (pictures - at(ground)).square().sum(1)[:, None]
    best = (torch.minimum(as_object, as_ground) * view).sum((2, 3)).argmin(1)
    as_object = as_object[torch.arange(len(best)), best]
    as_ground = as_ground[:, 0]
    return best, (as_ground - as_object) / (as_ground + as_object + NOISE) * view


# --------------------------------------------------------------------------------------------------------------- shape


def _coverage(shape: Tensor, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """(B, S, S): the part of each pixel that the shape covers."""
    u, v = grid(x, y, OVERSAMPLING)
    inside = chosen(INSIDE, shape, u / at(radius), v / at(radius)).float()
    return torch.nn.functional.avg_pool2d(inside, OVERSAMPLING)


@cache
def _templates(scale: float) -> Tensor:
    """The conjugate spectra of every shape in every radius, in the middle of the picture: (N, ...)."""
    shape = torch.arange(len(SHAPES)).repeat_interleave(len(RADII))
    radius = torch.tensor(RADII * len(SHAPES)) * scale
    middle = torch.full(radius.shape, SIZE / 2)
    return torch.fft.rfft2(_coverage(shape, middle, middle, radius), s=(PADDED, PADDED)).conj()


def _coarse(belongs: Tensor, scale: float, side: str) -> tuple[Tensor, ...]:
    """Shape, x, y and radius of the template that covers most of the object and least of the ground, to a pixel."""
    spectra = torch.fft.rfft2(belongs, s=(PADDED, PADDED))
    middle_x, middle_y = _middle(side)
    across, down = ROAM[side]
    rows = torch.arange(-down, down + 1)
    columns = torch.arange(-across, across + 1) + int(middle_x - SIZE / 2)
    best = []
    for templates in _templates(scale).split(len(RADII)):  # shape by shape, for the memory
        scores = torch.fft.irfft2(spectra[:, None] * templates, s=(PADDED, PADDED))
        best.append(scores[..., rows[:, None] % PADDED, columns % PADDED].flatten(1).max(1))
    shape = torch.stack([values for values, _ in best]).argmax(0)
    place = torch.stack([places for _, places in best])[shape, torch.arange(len(shape))]
    radius, row, column = torch.unravel_index(place, (len(RADII), len(rows), len(columns)))
    return shape, columns[column] + SIZE / 2, rows[row] + SIZE / 2, torch.tensor(RADII)[radius] * scale


def _refined(belongs: Tensor, shape: Tensor, *place: Tensor) -> tuple[Tensor, ...]:
    """Shape, x, y and radius to a part of a pixel."""
    here = torch.stack(place)  # (3, B)
    score = (belongs * _coverage(shape, *here)).sum((1, 2))
    for step in STEPS:
        for axis in range(3):
            for way in (-step, step):
                there = here.clone()
                there[axis] += way
                other = (belongs * _coverage(shape, *there)).sum((1, 2))
                here = torch.where(other > score, there, here)
                score = torch.maximum(score, other)
    return shape, *here


# ------------------------------------------------------------------------------------------------------------- texture


@cache
def _tones(texture: int) -> tuple[Tensor, Tensor]:
    """A texture at every phase, in whole pixels: its tones (N, S * S), and its centre (N, 2)."""
    centres = torch.cartesian_prod(*(torch.arange(max(1, repeat)) for repeat in REPEATS[TEXTURES[texture]]))
    u, v = grid(*centres.T, OVERSAMPLING)
    dark = torch.nn.functional.avg_pool2d(DARK[texture](u / PERIOD, v / PERIOD).float(), OVERSAMPLING)[:, None]
    line = torch.softmax(-0.5 * (torch.arange(-3, 4) / SOFTNESS) ** 2, 0)
    dark = torch.nn.functional.pad(dark, (3, 3, 3, 3), mode="replicate")
    dark = torch.nn.functional.conv2d(dark, line.outer(line)[None, None])
    return (1 - (1 - SHADE) * dark).flatten(1), centres


def _texture(pictures: Tensor, weight: Tensor, colour: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The texture (B,) that explains the tones of the object best, up to a factor, and its tones (B, S, S)."""
    seen = torch.einsum("bchw,bc->bhw", pictures, colour / colour.square().sum(1, keepdim=True))
    weight, seen = weight.flatten(1), seen.flatten(1)
    found, drawn = [], []
    for texture, repeats in enumerate(REPEATS.values()):
        tones, centres = _tones(texture)
        explained = ((weight * seen) @ tones.T).square() / (weight @ tones.square().T).clamp(min=1e-6)  # (B, N)
        slip = torch.stack([x, y], 1)[:, None] - centres  # (B, N, 2)
        period = torch.tensor(repeats).clamp(min=1)
        slip = (slip + period / 2).remainder(period) - period / 2
        explained[slip.abs().amax(2) > SLIP] = -1
        best = explained.max(1)
        found.append(best.values)
        drawn.append(tones[best.indices])
    texture = torch.stack(found).argmax(0)
    return texture, torch.stack(drawn)[texture, torch.arange(len(texture))].unflatten(1, (SIZE, SIZE))
