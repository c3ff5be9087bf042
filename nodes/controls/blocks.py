"""The blocks of models, as the bars of Image Prompt Layer Weights show them, with what presets and curves give them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...ip_adapter import (
    DEPTH_CURVES,
    PRESETS,
    PUBLISHED_BLOCKS,
    WEIGHT_LIMIT,
    Block,
    CurveWeights,
    Share,
    acting_in,
)
from ...ip_adapter.families.base_models import LAYER_SETS
from ...ip_adapter.layer_weights.divisions import By, divided
from ...ip_adapter.layer_weights.preset import Preset
from ...ip_adapter.layers import by_name

Part = tuple[str, str, Sequence[Block]]  # title, base model, blocks in which the same adapters act
SETS = ("style", "composition")
DIGITS = 6
NOT_ACTING = Share(0.0)


def published_parts() -> Iterator[Part]:
    """The blocks of the published models, once for each way in which adapters act in them."""
    for base, blocks in PUBLISHED_BLOCKS.items():
        for acting in acting_in(base):
            yield acting.title, base, tuple(acting.among(blocks))


def published_table() -> dict[str, Any]:
    """Everything about the published models, as JSON."""
    return {"limit": WEIGHT_LIMIT, "models": [part_row(*part) for part in published_parts()]}


def part_row(title: str, base: str, blocks: Sequence[Block]) -> dict[str, Any]:
    """What there is to show of a model, as JSON.

    blocks: in the order of execution; `set` is what they are known to carry
    presets: {name: the weight of each block, and the numbers of blocks in which guidance pushes away}, if they fit
    ways: {what has one weight: {curve: how far it is from the first weight (0) to the last (1) in each}}; for
        layers only where a block has several
    """
    named = by_name(blocks)
    by: list[By] = ["blocks", "layers"] if len(blocks) > len(named) else ["blocks"]
    return {
        "title": title,
        "base": base,
        "blocks": [
            {
                "kind": kind,
                "index": index,
                "layers": len(layers),
                "width": layers[0].width,
                "set": _set(base, kind, index),
            }
            for (kind, index), layers in named.items()
        ],
        "presets": {name: _preset(preset, base, blocks) for name, preset in PRESETS.items() if preset.fits(base)},
        "ways": {each: _ways(blocks, each) for each in by},
    }


def _set(base: str, kind: str, index: int) -> str | None:
    sets = LAYER_SETS[base]
    return next((name for name in SETS if (kind, index) in (sets.get(name) or ())), None)


def _preset(preset: Preset, base: str, blocks: Sequence[Block]) -> dict[str, Any]:
    shares = preset.shares(blocks, base)
    each = [shares.get(layers[0], NOT_ACTING) for layers in by_name(blocks).values()]  # all layers of a block are alike
    return {
        "weights": [round(share.amount, DIGITS) for share in each],
        "away": [number for number, share in enumerate(each) if share.rows == "opposite"],
    }


def _ways(blocks: Sequence[Block], by: By) -> Mapping[str, list[float]]:
    parts = divided(blocks, by)
    shares = {curve: CurveWeights(curve, 0.0, 1.0, by).shares(blocks, "") for curve in DEPTH_CURVES}
    return {
        curve: [round(found.get(layers[0], NOT_ACTING).amount, DIGITS) for layers in parts]
        for curve, found in shares.items()
    }
