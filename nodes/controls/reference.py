"""A reference as a value: features, and how they act on a model. And the node that makes one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from comfy.clip_vision import Output
from comfy_api.latest import io

from ...ip_adapter import (
    PRESETS,
    WEIGHT_LIMIT,
    Course,
    Frame,
    LayerWeights,
    PresetWeights,
    ScalingName,
    StepWeights,
    parse_frame_weights,
)
from .. import input_checks
from ..applying.prepared import Arrangement
from ..encoding.features import FIELDS, join
from ..sockets import CATEGORY, ImagePromptType, LayerWeightsType, StepWeightsType
from .mask_shapes import feathered, inverted

SCALINGS_SHOWN: tuple[ScalingName, ...] = ("V only", "K+V")  # the others are for compatibility
FEATHER_LIMIT = 0.5  # half of the mask's shorter side


class Combining(NamedTuple):
    """How the pictures of one reference act: combined into one by a method or not, and arranged so.

    method: of `clip_vision.combine`; "" if they stay as they are
    """

    method: str
    arrangement: Arrangement


COMBININGS: Mapping[str, Combining] = {
    "concat": Combining("", "together"),
    "one softmax each": Combining("", "each"),
    "one per image": Combining("", "by picture"),
    **{name: Combining(name, "together") for name in ("average", "norm average", "add", "subtract")},
}


@dataclass(frozen=True, eq=False)
class Reference:
    """Features of one or more pictures, and how they act. Apply References makes an image prompt for a model of it.

    name: what people call it
    features, negative: of the references and of the images to move away from; None: the rule of the adapter's family
    arrangement: how several pictures act
    weight, frames: the weight, and what is different for each picture of a batch
    course: when it acts, and how strongly
    layers: how much of it acts in each layer
    mask: (N, H, W) in 0..1, where it acts; None: everywhere
    """

    name: str
    features: Output
    negative: Output | None
    arrangement: Arrangement
    weight: float
    frames: tuple[Frame, ...]
    course: Course
    layers: LayerWeights
    scaling: ScalingName
    mask: torch.Tensor | None

    @property
    def pictures(self) -> int:
        """How many pictures its features are of."""
        tensors = (getattr(self.features, field, None) for field in FIELDS.values())
        return next((len(each) for each in tensors if isinstance(each, torch.Tensor)), 1)  # no features: refused later

    @property
    def has_mask_of_each(self) -> bool:
        """Whether each of its pictures has a mask of its own."""
        return self.arrangement == "each" and self.mask is not None and len(self.mask) == self.pictures

    @property
    def is_nothing(self) -> bool:
        """Whether it does not act on any model."""
        no_frame = bool(self.frames) and all(frame.is_nothing for frame in self.frames)
        return self.weight == 0.0 or self.course.is_nothing or no_frame


class References(tuple[Reference, ...]):
    """Several references as one value. Nodes that take references take it in any socket, as if each had its own."""


class MakeReference(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptReference",
            display_name="Image Prompt Reference",
            category=CATEGORY,
            description="Says how references act: how strongly, where, when and in which layers. Apply References and "
            "Image Prompt to Conditioning take any number of them.",
            search_aliases=[
                "ip-adapter params",
                "image prompt",
                "regional",
                "reference weight",
                "ipadapter",
                "attention mask",
                "negative",
                "style transfer",
                "composition",
                "weight type",
            ],
            inputs=[
                io.ClipVisionOutput.Input("features", tooltip="The reference images, from Encode Image Prompt."),
                io.Boolean.Input(
                    "on", default=True, optional=True, tooltip="Off: this reference does nothing, as if it were absent."
                ),
                io.Float.Input(
                    "weight",
                    default=1.0,
                    min=-WEIGHT_LIMIT,
                    max=WEIGHT_LIMIT,
                    step=0.05,
                    optional=True,
                    tooltip="How strongly it acts. About 0.5 leaves room for a text prompt; 0 does nothing, below 0 "
                    "pushes away.",
                ),
                io.Combo.Input(
                    "combining",
                    options=list(COMBININGS),
                    default="concat",
                    optional=True,
                    tooltip="What several pictures in the features mean. concat: the model looks at all at once, in "
                    "one softmax. one softmax each: it looks at each for itself, and all are added. one per image: the "
                    "first steers the first picture of the batch, the second the second. The others blend them into "
                    "one reference.",
                ),
                io.Combo.Input(
                    "layers",
                    options=list(PRESETS),
                    default="all",
                    optional=True,
                    tooltip="Which part of it acts: its style, its composition, both, or everything. 'strong style' is "
                    "all but the composition; 'precise style' also pushes the composition away. Models of which nobody "
                    "knows such blocks take 'all' and the choices by depth: the half of the blocks that runs first, "
                    "and so on.",
                ),
                io.Float.Input(
                    "start",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Part of sampling at which it sets in: 0 is the first step.",
                ),
                io.Float.Input(
                    "end",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Part of sampling at which it stops: 1 is after the last step.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Where in the picture it acts: white fully, black not at all. Several masks: one for each "
                    "picture of the batch; with 'one softmax each', one for each picture of the features comes first.",
                ),
                io.Float.Input(
                    "feather",
                    default=0.0,
                    min=0.0,
                    max=FEATHER_LIMIT,
                    step=0.01,
                    optional=True,
                    advanced=True,
                    tooltip="How far the edges of the mask are softened, as a part of its shorter side.",
                ),
                io.Boolean.Input(
                    "invert_mask",
                    default=False,
                    optional=True,
                    advanced=True,
                    tooltip="Act where the mask is black.",
                ),
                io.ClipVisionOutput.Input(
                    "negative", optional=True, tooltip="An image to move away from. Without it, a neutral one is used."
                ),
                LayerWeightsType.Input(
                    "layer_weights",
                    optional=True,
                    tooltip="How much of it acts in each layer, from Layer Weights. 'layers' must then be 'all'.",
                ),
                StepWeightsType.Input(
                    "step_weights",
                    optional=True,
                    tooltip="How its weight changes while sampling, from Step Weights. Start and end still hold.",
                ),
                io.String.Input(
                    "frame_weights",
                    default="",
                    optional=True,
                    advanced=True,
                    tooltip="A factor on the weight for each picture of the batch: '1, 0.5, 0', or with straight ways "
                    "between, '0:1, 29:0'. Empty: the same for all.",
                ),
                io.Combo.Input(
                    "scaling",
                    options=list(SCALINGS_SHOWN),
                    default="V only",
                    optional=True,
                    advanced=True,
                    tooltip="What takes the weight. V only: how much is added. K+V: also how sharply the model looks "
                    "at it, so that low weights blur what it sees.",
                ),
                io.String.Input(
                    "name", default="", optional=True, advanced=True, tooltip="A name for reports and messages."
                ),
            ],
            outputs=[ImagePromptType.Output(display_name="reference", tooltip="The reference, for Apply References.")],
        )

    @classmethod
    def validate_inputs(cls, start: float | None = 0.0, end: float | None = 1.0) -> bool | str:
        """Check the range before the prompt is queued. Linked values are None here, and `execute` checks them."""
        return input_checks.is_range(start, end)

    @classmethod
    def execute(
        cls,
        features: Output,
        on: bool = True,
        weight: float = 1.0,
        combining: str = "concat",
        layers: str = "all",
        start: float = 0.0,
        end: float = 1.0,
        mask: torch.Tensor | None = None,
        feather: float = 0.0,
        invert_mask: bool = False,
        negative: Output | None = None,
        layer_weights: LayerWeights | None = None,
        step_weights: StepWeights | None = None,
        frame_weights: str = "",
        scaling: ScalingName = "V only",
        name: str = "",
    ) -> io.NodeOutput:
        input_checks.image_features(features)
        if negative is not None:
            input_checks.image_features(negative, "negative")
        for value, what in ((on, "on"), (invert_mask, "invert_mask")):
            input_checks.switch(value, what)
        weight = input_checks.number(weight, -WEIGHT_LIMIT, WEIGHT_LIMIT, "weight")
        input_checks.choice(combining, list(COMBININGS), "combining")
        input_checks.choice(layers, list(PRESETS), "layers")
        input_checks.choice(scaling, SCALINGS_SHOWN, "scaling")
        for value, what in ((frame_weights, "frame_weights"), (name, "name")):
            input_checks.expect(value, str, what, "give a text")
        start, end = input_checks.part_of_sampling(start, end)
        feather = input_checks.number(feather, 0.0, FEATHER_LIMIT, "feather")
        if mask is None and (invert_mask or feather):
            raise ValueError(
                f"{'invert_mask is on' if invert_mask else f'feather is {feather:g}'}, and there is no mask: connect a "
                "mask, or set it back."
            )
        method, arrangement = COMBININGS[combining]
        keyframes, frames = _in_time(step_weights, parse_frame_weights(frame_weights))
        return io.NodeOutput(
            Reference(
                name=name.strip(),
                features=join([features], method, "all together") if method else features,
                negative=negative,
                arrangement=arrangement,
                weight=weight if on else 0.0,
                frames=frames,
                course=Course(start, end, keyframes.keyframes),
                layers=_layers(layers, layer_weights),
                scaling=scaling,
                mask=None if mask is None else _shaped(input_checks.mask(mask), feather, invert_mask),
            )
        )


def _shaped(mask: torch.Tensor, feather: float, invert: bool) -> torch.Tensor:
    return feathered(inverted(mask) if invert else mask, feather)


def _layers(preset: str, given: LayerWeights | None) -> LayerWeights:
    if given is None:
        return PresetWeights(preset)
    input_checks.expect(given, LayerWeights, "layer_weights", "connect the output of Layer Weights")
    if preset != "all":
        raise ValueError(
            f"The layers are {preset!r}, and layer weights are connected as well: set layers to 'all', or disconnect "
            "layer_weights."
        )
    return given


def _in_time(steps: StepWeights | None, weights: tuple[float, ...]) -> tuple[Course, tuple[Frame, ...]]:
    """The course of all pictures, and what is different for each picture of a batch."""
    if steps is None:
        return Course(), tuple(Frame(each) for each in weights)
    input_checks.expect(steps, StepWeights, "step_weights", "connect the output of Step Weights")
    if len(steps.courses) == 1:
        return steps.courses[0], tuple(Frame(each) for each in weights)
    factors = weights or (1.0,)
    if len(factors) not in (1, len(steps.courses)):
        raise ValueError(
            f"There are frame weights for {len(factors)} pictures and step weights for {len(steps.courses)}: give as "
            "many of both, or one of either."
        )
    factors = factors * len(steps.courses) if len(factors) == 1 else factors
    return Course(), tuple(Frame(factor, course) for factor, course in zip(factors, steps.courses, strict=True))
