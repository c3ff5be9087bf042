"""A small world of pictures: every attribute is independent of the others, has words, and can be measured.

A scene is one object on a background, or two scenes side by side. Scenes are drawn by number: the same seed gives the
same scenes on every machine, in any order. B scenes, S = 64 pixels across.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SIZE = 64
OVERSAMPLING = 2

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
COLOURS = {
    "red": (0.88, 0.14, 0.12),
    "yellow": (0.98, 0.84, 0.10),
    "green": (0.12, 0.68, 0.22),
    "cyan": (0.10, 0.80, 0.84),
    "blue": (0.14, 0.24, 0.90),
    "pink": (0.92, 0.22, 0.74),
}
TEXTURES = ("plain", "stripes", "dots", "checks")
BACKGROUNDS = {
    "white": (0.95, 0.95, 0.95),
    "grey": (0.52, 0.52, 0.52),
    "black": (0.06, 0.06, 0.06),
    "beige": (0.88, 0.78, 0.62),
}
POSITIONS = {"middle": (0.0, 0.0), "left": (-9.0, 0.0), "right": (9.0, 0.0), "top": (0.0, -9.0), "bottom": (0.0, 9.0)}
SIZES = {"small": 14.0, "large": 21.0}  # radius in pixels

VALUES: dict[str, tuple[str, ...]] = {
    "shape": SHAPES,
    "colour": tuple(COLOURS),
    "texture": TEXTURES,
    "background": tuple(BACKGROUNDS),
    "position": tuple(POSITIONS),
    "size": tuple(SIZES),
}

SHADE = 0.42  # of the darker tone of a texture
PERIOD = 8.0  # of a texture, in pixels
SHIFT, STRETCH, TINT = 1.5, 0.07, 0.06  # how far a picture strays from the values: pixels, part of the radius, colour
IN_PAIRS = 0.68  # the radius of an object in half a picture
PAIRS = 0.3  # of the training scenes
MENTIONED = 0.75  # chance that a caption mentions an attribute


@dataclass(frozen=True)
class Scene:
    """One object. The values are words of VALUES; the rest is what words do not say."""

    shape: str
    colour: str
    texture: str
    background: str
    position: str
    size: str
    shift: tuple[float, float] = (0.0, 0.0)
    stretch: float = 0.0
    tint: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def held_out(self) -> bool:
        """24 of the 144 combinations of shape, colour and texture never occur in training."""
        s, c, t = (VALUES[name].index(getattr(self, name)) for name in ("shape", "colour", "texture"))
        return (s + c + t) % 6 == 0

    def caption(self, mention: Sequence[str] = tuple(VALUES)) -> str:
        """What a caption says that mentions these attributes."""
        said = {name: getattr(self, name) for name in mention}
        noun = said.get("shape", "shape")
        words = ["a", said.get("size"), said.get("colour"), noun]
        if "texture" in said:
            words += [said["texture"]] if said["texture"] == "plain" else ["with", said["texture"]]
        if "position" in said:
            words += ["in" if said["position"] == "middle" else "at", "the", said["position"]]
        if "background" in said:
            words += ["on", said["background"]]
        return " ".join(word for word in words if word)


Picture = tuple[Scene, ...]  # one scene, or a left and a right one


def caption(picture: Picture, mentions: Sequence[Sequence[str]]) -> str:
    return " and ".join(scene.caption(mention) for scene, mention in zip(picture, mentions, strict=True))


def words() -> list[str]:
    """Every word a caption can hold."""
    values = [value for values in VALUES.values() for value in values]
    return sorted({*values, "a", "and", "at", "in", "on", "shape", "the", "with"})


class World:
    """Random scenes. `held_out`: only those that training never sees, instead of only the others."""

    def __init__(self, seed: int | torch.Generator, held_out: bool = False, pairs: float = 0.0):
        self.generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
        self.held_out = held_out
        self.pairs = pairs

    def picture(self) -> Picture:
        if self._chance() < self.pairs:
            return self._half(self.scene()), self._half(self.scene())
        return (self.scene(),)

    def scene(self) -> Scene:
        while True:
            values = {name: options[int(self._chance() * len(options))] for name, options in VALUES.items()}
            numbers = (torch.rand(6, generator=self.generator) * 2 - 1).tolist()
            scene = Scene(
                **values,
                shift=(numbers[0] * SHIFT, numbers[1] * SHIFT),
                stretch=numbers[2] * STRETCH,
                tint=(numbers[3] * TINT, numbers[4] * TINT, numbers[5] * TINT),
            )
            if scene.held_out == self.held_out:
                return scene

    def mentions(self, picture: Picture) -> list[list[str]]:
        """A random choice of attributes to mention, for each scene. In a pair the position is the order."""
        names = [name for name in VALUES if name != "position" or len(picture) == 1]
        return [[name for name in names if self._chance() < MENTIONED] for _ in picture]

    def _half(self, scene: Scene) -> Scene:
        return Scene(**{**vars(scene), "position": "middle"})

    def _chance(self) -> float:
        return torch.rand((), generator=self.generator).item()


# ------------------------------------------------------------------------------------------------------------ drawing


def draw(pictures: Sequence[Picture]) -> Tensor:
    """Draw pictures as (B, 3, 64, 64) in 0..1."""
    scenes = [scene for picture in pictures for scene in picture]
    counts = [len(picture) for picture in pictures]
    places = [side for count in counts for side in ((0.0,) if count == 1 else (-1.0, 1.0))]
    side = torch.tensor(places) * SIZE / 4
    scale = torch.where(side == 0, 1.0, IN_PAIRS)
    drawn = render(
        x=torch.tensor([POSITIONS[s.position][0] + s.shift[0] for s in scenes]) * scale + side + SIZE / 2,
        y=torch.tensor([POSITIONS[s.position][1] + s.shift[1] for s in scenes]) * scale + SIZE / 2,
        radius=torch.tensor([SIZES[s.size] * (1 + s.stretch) for s in scenes]) * scale,
        shape=torch.tensor([SHAPES.index(s.shape) for s in scenes]),
        colour=(torch.tensor([COLOURS[s.colour] for s in scenes]) + torch.tensor([s.tint for s in scenes])).clamp(0, 1),
        texture=torch.tensor([TEXTURES.index(s.texture) for s in scenes]),
        ground=torch.tensor([BACKGROUNDS[s.background] for s in scenes]),
    ).split(counts)
    half = SIZE // 2
    return torch.stack(
        [
            parts[0] if len(parts) == 1 else torch.cat([parts[0][..., :half], parts[1][..., half:]], -1)
            for parts in drawn
        ]
    )


def render(
    x: Tensor, y: Tensor, radius: Tensor, shape: Tensor, colour: Tensor, texture: Tensor, ground: Tensor
) -> Tensor:
    """Objects (B, 3, 64, 64) from place and radius in pixels, the numbers of shape and texture, (B, 3) colours."""
    u, v = grid(x, y, OVERSAMPLING)
    covered = chosen(INSIDE, shape, u / at(radius), v / at(radius))
    tone = torch.where(chosen(DARK, texture, u / PERIOD, v / PERIOD), SHADE, 1.0)
    shares = torch.stack([covered * tone, ~covered], dim=1).float()  # of the colour and of the ground
    shares = torch.nn.functional.avg_pool2d(shares, OVERSAMPLING)
    return torch.einsum("bnhw,bnc->bchw", shares, torch.stack([colour, ground], dim=1))


def grid(x: Tensor, y: Tensor, oversampling: int = 1) -> tuple[Tensor, Tensor]:
    """Pixels right of and below each place: two (B, S, S)."""
    line = (torch.arange(SIZE * oversampling) + 0.5) / oversampling
    u, v = line[None, None, :] - at(x), line[None, :, None] - at(y)
    return u.expand(-1, v.shape[1], -1), v.expand(-1, -1, u.shape[2])


def at(values: Tensor) -> Tensor:
    return values[..., None, None]


Region = Callable[[Tensor, Tensor], Tensor]


def chosen(regions: Sequence[Region], numbers: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Row by row, whether the points (u, v) lie in the region with the row's number."""
    out = torch.empty(u.shape, dtype=torch.bool)
    for number in numbers.unique().tolist():
        rows = numbers == number
        out[rows] = regions[number](u[rows], v[rows])
    return out


def square(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(u.abs(), v.abs()) < 0.84


def triangle(u: Tensor, v: Tensor) -> Tensor:
    return (v < 0.72) & (v > 1.7 * u.abs() - 0.9)


def star(u: Tensor, v: Tensor) -> Tensor:
    """A star of five points, whose edge runs from a tip at radius 1 to a notch at radius 0.42."""
    fifth = 2 * math.pi / 5
    turn = (torch.atan2(u, -v) + fifth / 2).remainder(fifth) - fifth / 2  # from the nearest tip
    radius = torch.hypot(u, v)
    notch = 0.42 * math.cos(fifth / 2), 0.42 * math.sin(fifth / 2)
    return (1 - radius * turn.cos()) * notch[1] > radius * turn.abs().sin() * (1 - notch[0])


def cross(u: Tensor, v: Tensor) -> Tensor:
    return (torch.minimum(u.abs(), v.abs()) < 0.3) & (torch.maximum(u.abs(), v.abs()) < 0.95)


def ring(u: Tensor, v: Tensor) -> Tensor:
    radius = torch.hypot(u, v)
    return (radius < 0.98) & (radius > 0.54)


INSIDE: tuple[Region, ...] = (lambda u, v: torch.hypot(u, v) < 0.95, square, triangle, star, cross, ring)
DARK: tuple[Region, ...] = (  # fixed to the centre of the object, in periods
    lambda u, v: torch.zeros_like(u, dtype=torch.bool),
    lambda u, v: (v.remainder(1) - 0.5).abs() < 0.25,
    lambda u, v: torch.hypot(u.remainder(1) - 0.5, v.remainder(1) - 0.5) < 0.32,
    lambda u, v: (u.floor() + v.floor()).remainder(2) == 0,
)
