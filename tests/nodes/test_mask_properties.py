"""For any mask, latent, area and block, each token has the mask that a plain loop over its pixels finds."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from image_prompt.nodes.applying.masks import Grid, token_mask

FEW = st.integers(1, 8)


@st.composite
def masks(draw):
    shape = draw(st.integers(1, 2)), draw(st.integers(1, 20)), draw(st.integers(1, 20))
    return np.random.default_rng(draw(st.integers(0, 99))).random(shape)


@st.composite
def areas(draw, latent):
    """A part of the latent: (height, width, top, left)."""
    top, left = (draw(st.integers(0, side - 1)) for side in latent)
    return draw(st.integers(1, latent[0] - top)), draw(st.integers(1, latent[1] - left)), top, left


def taps(old: int, new: int, number: int, resizing: str, shrinks: bool) -> dict[int, float]:
    """What a new pixel takes of the old ones, in one direction: {number: share}."""
    if resizing == "average" and shrinks:
        seen = range(number * old // new, math.ceil((number + 1) * old / new))
        return dict.fromkeys(seen, 1 / len(seen))
    place = (number + 0.5) * old / new - 0.5
    kernel, reach = (cubic, 2) if resizing == "bicubic" else (linear, 1)
    place = max(place, 0.0) if reach == 1 else place  # only a straight line is cut at the edge before it is read
    found: dict[int, float] = {}
    for at in range(math.floor(place) - reach + 1, math.floor(place) + reach + 1):
        inside = min(max(at, 0), old - 1)
        found[inside] = found.get(inside, 0.0) + kernel(abs(place - at))
    return found


def linear(distance: float) -> float:
    return max(0.0, 1.0 - distance)


def cubic(distance: float) -> float:
    """R. Keys, with a = -3/4."""
    if distance <= 1:
        return 1.25 * distance**3 - 2.25 * distance**2 + 1
    return -0.75 * (distance**3 - 5 * distance**2 + 8 * distance - 4) if distance < 2 else 0.0


def resized(mask: np.ndarray, size: tuple[int, int], resizing: str) -> np.ndarray:
    """A mask (H, W), pixel by pixel."""
    shrinks = size[0] <= mask.shape[0] and size[1] <= mask.shape[1]
    found = np.zeros(size)
    for y, x in np.ndindex(size):
        for row, share in taps(mask.shape[0], size[0], y, resizing, shrinks).items():
            for column, part in taps(mask.shape[1], size[1], x, resizing, shrinks).items():
                found[y, x] += mask[row, column] * share * part
    return found


def placed(mask: np.ndarray, latent, area, grid: Grid, resizing: str) -> list[float]:
    """The mask (H, W) of each token."""
    if area is not None and resizing == "average":  # others squeeze all of it into an area
        height, width, top, left = area
        mask = resized(mask, latent, resizing)[top : top + height, left : left + width]
    if any(grid.padding):
        mask = mask if area is not None and resizing == "average" else resized(mask, latent, resizing)
        mask = np.pad(mask, [(0, each) for each in grid.padding], mode="edge")
    tokens = [*resized(mask, (grid.height, grid.width), resizing).flatten()] * grid.frames
    return [sum(tokens) / len(tokens)] * grid.before + tokens


@given(st.data(), masks(), st.tuples(FEW, FEW), st.sampled_from(["average", "bilinear", "bicubic"]))
def test_each_token_has_the_mask_of_its_place(data, mask, latent, resizing):
    area = data.draw(st.none() | areas(latent))
    padding = st.integers(0, 1)
    grid = Grid(
        data.draw(FEW),
        data.draw(FEW),
        data.draw(st.tuples(padding, padding)),
        before=data.draw(st.integers(0, 2)),
        frames=data.draw(st.integers(1, 2)),
    )
    found = token_mask(torch.from_numpy(mask), latent, area, grid, resizing)
    expected = [placed(each, latent, area, grid, resizing) for each in mask]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)
