"""A prompt, what must become of it, and what is drawn at random in it. Standard library only."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from ..columns import Workflow

T = TypeVar("T")

STEPS = 2
SIZE = 64
SEEDS = 8
WEIGHTS = (0.2, 0.5, 0.8, 1.0, 1.3)


class Fate(Enum):
    """What becomes of a prompt."""

    SUCCESS = "success"
    REFUSED = "refused"  # by the check before it is queued
    FAILED = "failed"  # while a node runs
    CANCELLED = "cancelled"  # while it runs
    DELETED = "deleted"  # while it waits
    LOST = "lost"  # it is neither waiting, nor running, nor in the history


@dataclass(frozen=True)
class Prompt:
    """A prompt to queue.

    kind: the row of the table that made it
    fate, says: what must become of it, and words of the message of what is refused or fails
    after: seconds from its start to its cancellation
    """

    kind: str
    workflow: Workflow
    fate: Fate = Fate.SUCCESS
    says: str = ""
    after: float = 0.0


class Draw:
    """What differs between prompts of a kind."""

    def __init__(self, generator: random.Random, pictures: Sequence[str]):
        self.generator, self.pictures = generator, pictures

    def picture(self) -> str:
        return self.one_of(self.pictures)

    def weight(self) -> float:
        return self.one_of(WEIGHTS)

    def seed(self) -> int:
        return self.generator.randrange(SEEDS)

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[self.generator.randrange(len(choices))]

    def seconds(self, most: float) -> float:
        return self.generator.uniform(0, most)


VARIED: Mapping[str, Mapping[str, Callable[[Draw], object]]] = {  # class of a node -> its inputs that differ
    "LoadImage": {"image": Draw.picture},
    "KSampler": {"seed": Draw.seed, "steps": lambda _: STEPS},
    "ImagePromptApply": {"weight": Draw.weight},
    "ImagePromptReference": {"weight": Draw.weight},
    "IPAdapterAdvanced": {"weight": Draw.weight},
    "IPAdapterTiled": {"weight": Draw.weight},
    "ImagePromptStepWeights": {"last": Draw.weight},
    "ImagePromptLayerWeights": {"preset": lambda draw: draw.one_of(("composition", "strong style"))},
}


def varied(workflow: Workflow, draw: Draw, kept: Sequence[str] = ()) -> Workflow:
    """A copy with other pictures, seeds and weights. kept: the pictures that stay"""
    workflow = copy.deepcopy(workflow)
    for node in workflow.values():
        inputs = inputs_of(node)
        if inputs.get("image") not in kept:
            inputs.update({name: make(draw) for name, make in VARIED.get(str(node["class_type"]), {}).items()})
    return workflow


def changed(workflow: Workflow, class_type: str, **inputs: object) -> Workflow:
    """A copy in which the nodes of a class have these inputs. ValueError if there is none."""
    workflow = copy.deepcopy(workflow)
    found = [node for node in workflow.values() if node["class_type"] == class_type]
    if not found:
        raise ValueError(f"No node of the workflow is a {class_type}.")
    for node in found:
        inputs_of(node).update(inputs)
    return workflow


def inputs_of(node: Mapping[str, object]) -> dict[str, object]:
    inputs = node["inputs"]
    assert isinstance(inputs, dict)
    return inputs
