"""What the demo does with pictures: draw the references, and lay out and measure what was sampled from them.

python -m demo.sheet references FOLDER
python -m demo.sheet sheet FOLDER OUT
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .columns import COLUMNS, ROWS, SIZE, Column, ImagePrompt, reference
from .measure import measure, measure_half
from .world import SHAPES, VALUES, Scene, World, draw

WORLD_SEED, CANDIDATES = 0, 50
SHOWN = ("colour", "shape", "texture")
GIVEN = {"all": SHOWN, "style": ("colour", "texture"), "composition": ("shape",)}  # layers -> what they take over


@dataclass(frozen=True)
class Region:
    """A picture or a half of one: what it should show, and what was measured."""

    expected: Mapping[str, str]
    measured: Mapping[str, str]

    def matches(self, attribute: str) -> bool:
        return self.expected[attribute] == self.measured[attribute]


Cell = list[Region]  # one, or a left and a right one


def references() -> list[Scene]:
    """Combinations that training never saw, all different, and of no shape that a prompt names."""
    world = World(WORLD_SEED, held_out=True)
    named = {word for column in COLUMNS for word in column.text.split()}
    scenes = [scene for scene in (world.scene() for _ in range(CANDIDATES)) if scene.shape not in named]
    return list(next(group for group in combinations(scenes, ROWS) if all_differ(group)))


def all_differ(scenes: Sequence[Scene]) -> bool:
    return all(len({getattr(scene, name) for scene in scenes}) == len(scenes) for name in (*SHOWN, "background"))


def judge(column: Column, pictures: Tensor, scenes: Sequence[Scene]) -> list[Cell]:
    """What each of the pictures (ROWS, 3, S, S) should show, and what was measured in it; nothing in maps."""
    cells: list[Cell] = [[] for _ in scenes]
    if column.mapped:
        return cells
    for side in dict.fromkeys(prompt.side for prompt in column.prompts or (ImagePrompt(),)):
        readings = measure_half(pictures, side) if side else measure(pictures)
        for row, reading in enumerate(readings):
            cells[row].append(Region(expected(column, scenes, row, side), reading))
    return cells


def expected(column: Column, scenes: Sequence[Scene], row: int, side: str | None = None) -> dict[str, str]:
    """What a picture or its half should show: the shape that the text names, everything else from its references."""
    acting = [prompt for prompt in column.prompts or (ImagePrompt(),) if prompt.side == side]
    given = {
        name: getattr(scenes[(row + prompt.next_row) % len(scenes)], name)
        for prompt in acting
        for name in GIVEN[prompt.layers]
    }
    said = [word for word in column.text.split() if word in SHAPES]
    return given | ({"shape": said[0]} if said else {})


def shares(cells: Sequence[Cell]) -> dict[str, float]:
    """In which part of what was measured each attribute is right."""
    regions = [region for cell in cells for region in cell]
    return {name: float(np.mean([region.matches(name) for region in regions])) for name in SHOWN} if regions else {}


def table(judged: Mapping[Column, Sequence[Cell]]) -> str:
    """The shares of all columns, as text."""
    lines = [("matches", "", *SHOWN), ("by chance", "", *(f"{1 / len(VALUES[name]):.0%}" for name in SHOWN))]
    lines += [
        (column.title, column.note.replace("\n", " "), *(f"{value:.0%}" for value in shares(cells).values()))
        for column, cells in judged.items()
        if not column.mapped
    ]
    widths = [max(map(len, cells)) for cells in zip(*lines)]
    return "\n".join(
        "  " + "  ".join([*map(str.ljust, line[:2], widths), *map(str.rjust, line[2:], widths[2:])]) for line in lines
    )


# ------------------------------------------------------------------------------------------------------------- layout

PICTURE, GAP, LINE = 3 * SIZE, 18, 26
HEAD = 4 * LINE + 12
ROW = PICTURE + len(SHOWN) * LINE + 22
FOOT = (len(SHOWN) + 1) * LINE + 16
WIDTH = GAP + (len(COLUMNS) + 1) * (PICTURE + GAP)
HEIGHT = GAP + HEAD + ROWS * ROW + FOOT + 3 * LINE
INK, PALE, RIGHT, WRONG = (25, 25, 25), (120, 120, 120), (10, 125, 50), (190, 40, 30)
FOOTNOTE = "A toy world of small trained models, sampled by ComfyUI. Below each picture: what was measured in it, and "
FOOTNOTE += "whether that is right.\nFour references, one noise: demo/README.md has the shares of 64."


class Sheet:
    def __init__(self) -> None:
        self.image = Image.new("RGB", (WIDTH, HEIGHT), "white")
        self.pen = ImageDraw.Draw(self.image)

    def text(self, x: int, y: int, text: str, size: int = 20, ink: tuple[int, int, int] = INK) -> None:
        self.pen.text((x, y), text, fill=ink, font=ImageFont.load_default(size))

    def head(self, column: int, title: str, note: str, text: str) -> None:
        x = left(column)
        self.text(x, GAP, title, 23)
        self.text(x, GAP + LINE, note, 19, PALE)
        self.text(x, GAP + 3 * LINE, text, 19)

    def picture(self, column: int, row: int, picture: Image.Image) -> None:
        self.image.paste(picture.resize((PICTURE, PICTURE), Image.Resampling.LANCZOS), (left(column), top(row)))

    def values(self, column: int, row: int, values: Sequence[str]) -> None:
        for line, value in enumerate(values):
            self.text(left(column), top(row) + PICTURE + 4 + line * LINE, value)

    def marks(self, column: int, row: int, cell: Cell) -> None:
        for place, region in enumerate(cell):
            x = left(column) + place * PICTURE // 2
            for line, name in enumerate(SHOWN):
                y = top(row) + PICTURE + 4 + line * LINE
                good = region.matches(name)
                ink = RIGHT if good else WRONG
                strokes = [[(0, 8), (5, 13), (14, 1)]] if good else [[(1, 2), (12, 13)], [(1, 13), (12, 2)]]
                for stroke in strokes:
                    self.pen.line([(x + u, y + 4 + v) for u, v in stroke], fill=ink, width=3, joint="curve")
                self.text(x + 20, y, region.measured[name], ink=ink)

    def foot(self, column: int, title: str, shares: Mapping[str, float]) -> None:
        y = top(ROWS)
        self.text(left(column), y, title)
        for line, (name, value) in enumerate(shares.items(), 1):
            self.text(left(column), y + line * LINE, f"{name} {value:.0%}", ink=PALE if title == CHANCE else INK)


CHANCE = "matches by chance"


def left(column: int) -> int:
    return GAP + column * (PICTURE + GAP)


def top(row: int) -> int:
    return GAP + HEAD + row * ROW


def lay_out(
    scenes: Sequence[Scene], pictures: Mapping[Column, Tensor], judged: Mapping[Column, Sequence[Cell]]
) -> Image.Image:
    sheet = Sheet()
    sheet.head(0, "reference", "a combination that\ntraining never saw", "prompt:")
    sheet.foot(0, CHANCE, {name: 1 / len(VALUES[name]) for name in SHOWN})
    for row, (scene, picture) in enumerate(zip(scenes, draw([(scene,) for scene in scenes]), strict=True)):
        sheet.picture(0, row, to_image(picture))
        sheet.values(0, row, [getattr(scene, name) for name in SHOWN])
    for place, (column, cells) in enumerate(judged.items(), 1):
        sheet.head(place, column.title, column.note, f'"{column.text}"')
        if found := shares(cells):
            sheet.foot(place, "matches", found)
        for row, cell in enumerate(cells):
            sheet.picture(place, row, to_image(pictures[column][row]))
            sheet.marks(place, row, cell)
    sheet.text(GAP, HEIGHT - 3 * LINE, FOOTNOTE, 19, PALE)
    return sheet.image


def to_image(picture: Tensor) -> Image.Image:
    return Image.fromarray((picture.movedim(0, -1) * 255).round().to(torch.uint8).numpy())


def from_file(path: Path) -> Tensor:
    """The picture in a file as (3, H, W) in 0..1."""
    return torch.from_numpy(np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255).movedim(-1, 0)


# ----------------------------------------------------------------------------------------------------------- commands


def write_references(folder: str) -> None:
    for row, picture in enumerate(draw([(scene,) for scene in references()])):
        to_image(picture).save(Path(folder) / reference(row))


def write_sheet(folder: str, out: str) -> None:
    scenes = references()
    pictures = {
        column: torch.stack([from_file(Path(folder) / f"{column.name}-{row + 1}.png") for row in range(ROWS)])
        for column in COLUMNS
    }
    judged = {column: judge(column, found, scenes) for column, found in pictures.items()}
    lay_out(scenes, pictures, judged).save(out, quality=90)
    print(table(judged))


if __name__ == "__main__":
    {"references": write_references, "sheet": write_sheet}[sys.argv[1]](*sys.argv[2:])
