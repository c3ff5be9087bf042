"""Graphs with nodes of this pack that no template has. Standard library only."""

from __future__ import annotations

from ..columns import node
from ..graphs import (
    COURSE,
    DIVIDED,
    FILES,
    GRAPHS,
    KEPT,
    LAYERS,
    MAPPED,
    ONE,
    OWN_LIBRARY,
    TEXT,
    TWO,
    WORLD,
    encoded,
    referenced,
    sampled,
    together,
)
from .prompts import changed

SHAPES = "a shape and a shape"
FROM_FILES = {"model": ["world", 0], "adapter": ["adapter", 0]}
SECOND_ADAPTER = "ip-adapter_demo_world.safetensors"

WEIGHTED = (
    TWO
    | COURSE
    | LAYERS
    | referenced(0, name="one", step_weights=["step weights", 0], layer_weights=["layer weights", 0])
    | together("reference 0", "reference 1")
    | sampled(["apply", 0])
)
REGIONS = TWO | DIVIDED | together("regions") | MAPPED | sampled(["record", 0], text=SHAPES)
STACKED = (  # two adapters, each with a picture of its own
    ONE
    | encoded(1, 1)
    | {
        "second adapter": node("ImagePromptLoadAdapter", adapter_name=SECOND_ADAPTER),
        "second": node(
            "ImagePromptApply",
            model=["apply", 0],
            adapter=["second adapter", 0],
            features=["features 1", 0],
            layers="style",
            end=0.6,
        ),
    }
    | sampled(["second", 0])
)
COMBINED = (
    FILES
    | encoded(0)
    | encoded(1)
    | {
        "combined": node("ImagePromptCombine", features_1=["features 0", 0], features_2=["features 1", 0]),
        "apply": node("ImagePromptApply", **FROM_FILES, features=["combined", 0], layers="composition"),
    }
    | sampled(["apply", 0])
)
SAVED = ONE | KEPT
HALF_PRECISION = changed(ONE, "ImagePromptLoadEncoder", dtype="fp16")
CARRIED = GRAPHS["ImagePromptConditioning"].nodes
COMPARED = GRAPHS["ImagePromptSimilarity"].nodes
RANKED = GRAPHS["ImagePromptRank"].nodes
UNIQUE = GRAPHS["ImagePromptUnique"].nodes
NEAREST = GRAPHS["ImagePromptNearestReference"].nodes
RATED = GRAPHS["ImagePromptRateInLibrary"].nodes
ADDED = GRAPHS["ImagePromptAddToLibrary"].nodes
ADVISED = ADDED | TEXT | {"advice": node("ImagePromptAdvise", library=OWN_LIBRARY, query=["text", 0])}
PLAIN = sampled(["world", 0]) | WORLD
