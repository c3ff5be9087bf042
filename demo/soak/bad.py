"""Prompts that are refused, fail or are cancelled, each with the words that must be said. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..columns import ENCODER, Workflow
from ..stand_ins import api_example
from . import graphs
from .prompts import SIZE, STEPS, Draw, Fate, Prompt, changed, varied

FOR_SDXL = "demo-ip-adapter-plus_sdxl.safetensors"
CUT = "soak-cut.safetensors"
LONG = 10_000  # steps: it is always cancelled before it ends
LATEST = 1.5  # seconds from the start of a prompt to its cancellation

ONE = api_example("One_reference_SD1.5", size=SIZE, steps=STEPS)
LONG_ONES = (ONE, graphs.REGIONS, api_example("InstantX_Flux.1", size=SIZE, steps=STEPS))


@dataclass(frozen=True)
class Bad:
    """A graph, the class of its nodes whose inputs are changed, how, and what is said of it."""

    workflow: Workflow
    class_type: str
    inputs: Mapping[str, object]
    says: str

    def prompt(self, kind: str, draw: Draw, fate: Fate) -> Prompt:
        workflow = changed(varied(self.workflow, draw), self.class_type, **self.inputs)
        return Prompt(kind, workflow, fate, self.says)


REFUSED = (
    Bad(ONE, "ImagePromptApply", {"weight": 50.0}, "bigger than max"),
    Bad(ONE, "ImagePromptApply", {"layers": "colour"}, "not in"),
    Bad(ONE, "ImagePromptApply", {"start": 0.8, "end": 0.2}, "start 0.8 lies after end 0.2"),
    Bad(ONE, "ImagePromptLoadAdapter", {"adapter_name": "nowhere.safetensors"}, "not in"),
    Bad(ONE, "ImagePromptEncode", {"crop": "diagonal"}, "diagonal"),
    Bad(graphs.REGIONS, "ImagePromptRegions", {"regions": "left half"}, "Line 1 of the regions is 'left half'"),
)
FAILING = (
    Bad(ONE, "ImagePromptLoadAdapter", {"adapter_name": FOR_SDXL}, "model is SD1.5"),
    Bad(ONE, "ImagePromptLoadAdapter", {"adapter_name": CUT}, "cut short"),
    Bad(ONE, "ImagePromptLoadEncoder", {"encoder_name": ENCODER}, "wide"),
    Bad(graphs.WEIGHTED, "ImagePromptReference", {"frame_weights": "1, 1, 1"}, "3 weights for a batch of 1"),
    Bad(graphs.NEAREST, "ImagePromptNearestReference", {"library": "nowhere"}, "nowhere"),
    Bad(graphs.COMPARED, "ImagePromptLoadEncoder", {"encoder_name": "demo-encoder.safetensors"}, "text"),
)


def put_cut_file(adapters: Path) -> None:
    """An adapter whose download broke off."""
    whole = (adapters / "demo-ip-adapter-plus_sd15.safetensors").read_bytes()
    (adapters / CUT).write_bytes(whole[: len(whole) // 2])


def refused(kind: str, draw: Draw) -> list[Prompt]:
    return [draw.one_of(REFUSED).prompt(kind, draw, Fate.REFUSED)]


def failing(kind: str, draw: Draw) -> list[Prompt]:
    return [draw.one_of(FAILING).prompt(kind, draw, Fate.FAILED)]


def long(kind: str, draw: Draw) -> Prompt:
    workflow = changed(varied(draw.one_of(LONG_ONES), draw), "KSampler", steps=LONG)
    return Prompt(kind, workflow, Fate.CANCELLED, after=draw.seconds(LATEST))


def cancelled(kind: str, draw: Draw) -> list[Prompt]:
    """A prompt that is cancelled while it runs, and one that runs after it."""
    return [long(kind, draw), Prompt(kind, varied(ONE, draw))]


def deleted(kind: str, draw: Draw) -> list[Prompt]:
    """A prompt that is deleted while it waits for another one, and one that runs after it."""
    return [long(kind, draw), Prompt(kind, varied(ONE, draw), Fate.DELETED), Prompt(kind, varied(ONE, draw))]
