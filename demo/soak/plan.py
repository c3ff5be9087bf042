"""Which prompts are queued, in which order: all kinds once, then a deck of them, shuffled again and again.

Standard library only.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..columns import Workflow
from ..stand_ins import FACES, api_example
from . import bad, graphs, old_graphs
from .prompts import SIZE, STEPS, Draw, Prompt, varied

MOST = 4  # prompts of one kind after each other, as people change a picture or a weight and queue again
ADDED = 4  # different pictures that a library is given: what it holds is kept in memory, and would grow with each
Turn = Sequence[Prompt]  # what is queued at once


@dataclass(frozen=True)
class Kind:
    """A kind of prompts.

    make: given its name and what to draw from, a turn
    cards: how often it is in the deck
    repeated: whether its first prompt is queued again at the end, which must give the same pictures
    """

    name: str
    make: Callable[[str, Draw], Turn]
    cards: int = 1
    repeated: bool = False


def of(workflow: Workflow, most: int = MOST, variants: int = 0) -> Callable[[str, Draw], Turn]:
    """Turns of one to `most` variations of a graph. variants: how many different ones there are; 0: of any number"""

    def make(kind: str, draw: Draw) -> Turn:
        count = 1 + draw.one_of(range(most))
        draws = [drawing(draw.one_of(range(variants)), draw.pictures) if variants else draw for _ in range(count)]
        return [Prompt(kind, varied(workflow, each, kept=FACES)) for each in draws]

    return make


def example(name: str) -> Callable[[str, Draw], Turn]:
    return of(api_example(name, size=SIZE, steps=STEPS))


KINDS = (
    Kind("one reference, SD1.5", example("One_reference_SD1.5"), cards=2, repeated=True),
    Kind("two references, SDXL", example("Two_references_SDXL"), repeated=True),
    Kind("a batch of frame weights, SD1.5", example("From_one_reference_to_another_SD1.5")),
    Kind("regions, SD1.5", example("Regions_SD1.5"), repeated=True),
    Kind("layer weights, SDXL", example("Style_and_composition_SDXL")),
    Kind("a mask and its influence map, SD1.5", example("Influence_map_SD1.5")),
    Kind("XLabs, Flux", example("XLabs_Flux.1"), repeated=True),
    Kind("InstantX, Flux", example("InstantX_Flux.1")),
    Kind("InstantX, SD3.5", example("InstantX_SD3.5"), repeated=True),
    Kind("a character, Anima", example("Character_Anima"), repeated=True),
    Kind("FaceID, SDXL", example("FaceID_SDXL"), repeated=True),
    Kind("InstantID, SDXL", example("InstantID_SDXL")),
    Kind("PuLID, SDXL", example("PuLID_SDXL")),
    Kind("saved features", example("Saved_features_SD1.5")),
    Kind("the best of eight by a text", example("Best_of_eight_by_text_SD1.5")),
    Kind("the nearest references", example("Nearest_references_SD1.5"), repeated=True),
    Kind("demo world: step and layer weights", of(graphs.WEIGHTED), repeated=True),
    Kind("demo world: regions, influence map", of(graphs.REGIONS)),
    Kind("demo world: two adapters", of(graphs.STACKED), repeated=True),
    Kind("demo world: combined features", of(graphs.COMBINED)),
    Kind("demo world: encoder in fp16", of(graphs.HALF_PRECISION)),
    Kind("demo world: conditioning", of(graphs.CARRIED)),
    Kind("demo world: features that are saved", of(graphs.SAVED)),
    Kind("demo world: no reference", of(graphs.PLAIN, most=1)),
    Kind("embeddings of a text and a picture", of(graphs.COMPARED)),
    Kind("ranked pictures", of(graphs.RANKED, most=2)),
    Kind("unique pictures", of(graphs.UNIQUE, most=2)),
    Kind("library: nearest", of(graphs.NEAREST)),
    Kind("library: rated", of(graphs.RATED, most=2)),
    Kind("library: added", of(graphs.ADDED, most=2, variants=ADDED)),
    Kind("library: advice", of(graphs.ADVISED, most=1, variants=ADDED)),
    Kind("IPAdapter_plus: advanced", of(old_graphs.ADVANCED), repeated=True),
    Kind("IPAdapter_plus: tiled, masked", of(old_graphs.MASKED)),
    Kind("IPAdapter_plus: embeds", of(old_graphs.EMBEDDED)),
    Kind("IPAdapter_plus: style and composition", of(old_graphs.STYLED)),
    Kind("refused", bad.refused, cards=4),
    Kind("failing", bad.failing, cards=4),
    Kind("cancelled", bad.cancelled, cards=2),
    Kind("deleted", bad.deleted, cards=2),
)


def first_of(kinds: Sequence[Kind], draw: Draw) -> list[Prompt]:
    """One prompt of each kind that is repeated at the end."""
    return [replace(kind.make(kind.name, draw)[0]) for kind in kinds if kind.repeated]


def turns(kinds: Sequence[Kind], draw: Draw, count: int) -> Iterator[Turn]:
    """The first turns that are dealt, of `count` prompts together."""
    for turn in itertools.takewhile(lambda _: count > 0, dealt(kinds, draw)):
        yield turn[:count]
        count -= len(turn)


def dealt(kinds: Sequence[Kind], draw: Draw) -> Iterator[Turn]:
    """Of each kind a prompt of every fate, then turns from a deck that is shuffled anew whenever it is used up."""
    for kind in kinds:
        yield list({prompt.fate: prompt for prompt in kind.make(kind.name, draw)}.values())
    deck = [kind for kind in kinds for _ in range(kind.cards)]
    while True:
        draw.generator.shuffle(deck)
        for kind in deck:
            yield kind.make(kind.name, draw)


def drawing(seed: int, pictures: Sequence[str]) -> Draw:
    return Draw(random.Random(seed), pictures)
