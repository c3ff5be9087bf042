"""Bad inputs of the nodes for weights of layers and of steps."""

import tiny

from image_prompt.nodes.controls.layer_weights import ImagePromptLayerWeights as LayerWeights
from image_prompt.nodes.controls.step_weights import ImagePromptStepWeights as StepWeightsNode

from ..made import unet
from ..row import DICT, LIST, NOTHING, TEXT, Bad

ROWS = (
    # Image Prompt Layer Weights
    Bad(
        LayerWeights,
        {"preset": "colour"},
        "The input preset is the text 'colour': choose one of all, style and composition, st",
    ),
    Bad(
        LayerWeights,
        {"preset": "weight type linear"},
        "The input preset is the text 'weight type linear': choose one of all",
    ),
    Bad(LayerWeights, {"curve": NOTHING}, "The input curve is nothing: choose one of linear, ease in"),
    Bad(LayerWeights, {"first": float("nan")}, "The first weight is nan: it must be a number between -5 and 5"),
    Bad(LayerWeights, {"last": 5.5}, r"The last weight is 5\.5: it must be a number between -5 and 5"),
    Bad(LayerWeights, {"index": "rows"}, "The input index is the text 'rows': choose one of blocks, layers"),
    Bad(LayerWeights, {"values": LIST}, "The input values is a list of 2: type a text, or connect a STRING"),
    Bad(
        LayerWeights,
        {"values": "1"},
        "values is the text '1', and preset is 'all', which does not read it: choose 'values', or",
    ),
    Bad(
        LayerWeights,
        {"preset": "values"},
        "The input preset is 'values', and values is empty: give values, or choose another",
    ),
    Bad(
        LayerWeights,
        {"preset": "values", "values": "1, nan"},
        "Layer weight 2 is 'nan': it must be a number between -5 and 5",
    ),
    Bad(
        LayerWeights,
        {"preset": "values", "values": "1:1, 1:2"},
        "Number 1 of the blocks has two layer weights: give one for e",
    ),
    Bad(
        LayerWeights,
        {"preset": "values", "values": "1, 1, 1, 1"},
        r"^There are 4 layer weights, SD1\.5 takes 1 .* 16 (?s:.*)SDXL takes .* 70 (?s:.*)"
        r"Flux \(InstantCharacter\): There are 4 .*, Flux takes 1 .* 57 (?s:.*)Flux \(XLabs\): .* 19 ",
    ),
    Bad(
        LayerWeights,
        {"preset": "values", "values": ",".join("1" * 11), "model": lambda _: unet("SD1.5")},
        r"^There are 11 layer weights, SD1\.5 takes 1 \(for all\), 3 .* or 16 \(one for each block\): give as many",
    ),
    Bad(
        LayerWeights,
        {"preset": "style", "model": lambda _: tiny.flux()},
        "is for SD1.5, SDXL, Kolors, the model is Flux: choose",
    ),
    Bad(LayerWeights, {"model": TEXT}, "The model is the text 'a word': connect a SD1.5"),
    Bad(
        LayerWeights,
        {"model": lambda _: tiny.flux2()},
        "The model is Flux.2: layer weights are for SD1.5, .* one of these, or",
    ),
    # Image Prompt Step Weights
    Bad(
        StepWeightsNode,
        {"curve": "bounce"},
        "The input curve is the text 'bounce': choose one of constant, linear, hold, ease in, ",
    ),
    Bad(
        StepWeightsNode, {"first": TEXT}, "The first weight is the text 'a word': it must be a number between -5 and 5"
    ),
    Bad(StepWeightsNode, {"last": float("inf")}, "The last weight is inf: it must be a number between -5 and 5"),
    Bad(StepWeightsNode, {"curve_start": float("nan")}, "The curve_start is nan: it must be a number between 0 and 1"),
    Bad(StepWeightsNode, {"curve_end": 1.5}, r"The curve_end is 1\.5: it must be a number between 0 and 1"),
    Bad(
        StepWeightsNode,
        {"curve": "linear", "curve_start": 0.5, "curve_end": 0.5},
        r"starts at 0\.5 and ends at 0\.5: it must start b",
    ),
    Bad(
        StepWeightsNode,
        {"keyframes": DICT},
        "The input keyframes is a dict with image_proj, ip_adapter: type a text, or connect a",
    ),
    Bad(
        StepWeightsNode,
        {"keyframes": "0:1"},
        "keyframes is the text '0:1', and curve is 'constant', which does not read it: choose",
    ),
    Bad(
        StepWeightsNode,
        {"curve": "keyframes"},
        "The input curve is 'keyframes', and keyframes is empty: give keyframes, or choose",
    ),
    Bad(
        StepWeightsNode,
        {"curve": "keyframes", "keyframes": "0.3:1, 0:0"},
        "at 0 comes after one at 0.3: write keyframes in the",
    ),
    Bad(
        StepWeightsNode,
        {"curve": "keyframes", "keyframes": "0:1\n2:0"},
        "Line 2: The point of a keyframe is '2': it must be a num",
    ),
)
