"""The node that says how strongly an image prompt acts over the steps of sampling."""

from comfy_api.latest import io

from ...ip_adapter import (
    CURVES,
    WEIGHT_LIMIT,
    Course,
    Keyframe,
    StepWeights,
    parse_step_weights,
    step_curve,
    step_table,
    step_text,
)
from .. import input_checks
from ..display import show
from ..sockets import CATEGORY, StepWeightsType

CONSTANT, KEYFRAMES = "constant", "keyframes"
CHOICES = (CONSTANT, *CURVES, KEYFRAMES)
SHOWN = 8  # courses that fit on the node


class ImagePromptStepWeights(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptStepWeights",
            display_name="Image Prompt Step Weights",
            category=CATEGORY,
            description="Says how strongly an image prompt acts over the steps of sampling: by a curve between two "
            "weights, or by keyframes, for all pictures or for each picture of a batch.",
            search_aliases=[
                "ip-adapter schedule",
                "keyframes",
                "weights timing",
                "fade",
                "prompt schedule",
                "weights strategy",
                "start at",
                "end at",
            ],
            inputs=[
                io.Combo.Input(
                    "curve",
                    options=list(CHOICES),
                    default=CHOICES[0],
                    optional=True,
                    tooltip="How the weight goes from first to last. 'constant': it stays at first; 'hold': it stays "
                    "at first until curve_end, and is last from there on; 'keyframes': as the text below says.",
                ),
                _weight("first", 1.0, "The weight until curve_start."),
                _weight("last", 0.0, "The weight from curve_end on; not for 'constant' and 'keyframes'."),
                _point("curve_start", 0.0, "Part of sampling at which the curve starts: 0 is the first step."),
                _point("curve_end", 1.0, "Part of sampling at which the curve ends: 1 is after the last step."),
                io.String.Input(
                    "keyframes",
                    default="",
                    multiline=True,
                    optional=True,
                    placeholder="0:1.0, 0.3:0.2 ease in, 0.8:0",
                    tooltip="For the curve 'keyframes': point of sampling and weight, such as 0:1.0, 0.3:0.2, and "
                    "after a weight the curve that leads to the next one. One line for all pictures, or one for each "
                    "picture of the batch. A line of one number is that weight all the time.",
                ),
            ],
            outputs=[
                StepWeightsType.Output(display_name="step weights", tooltip="How strongly it acts over the steps."),
                io.String.Output(display_name="table", tooltip="The keyframes, and the weight at every tenth."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        curve: str = CHOICES[0],
        first: float = 1.0,
        last: float = 0.0,
        curve_start: float = 0.0,
        curve_end: float = 1.0,
        keyframes: str = "",
    ) -> io.NodeOutput:
        input_checks.choice(curve, CHOICES, "curve")
        first = input_checks.number(first, -WEIGHT_LIMIT, WEIGHT_LIMIT, "first weight")
        last = input_checks.number(last, -WEIGHT_LIMIT, WEIGHT_LIMIT, "last weight")
        start = input_checks.number(curve_start, 0.0, 1.0, "curve_start")
        end = input_checks.number(curve_end, 0.0, 1.0, "curve_end")
        if input_checks.typed(keyframes, curve, KEYFRAMES, "curve", "keyframes"):
            weights = parse_step_weights(keyframes)
        elif curve == CONSTANT:
            weights = StepWeights((Course(keyframes=(Keyframe(0.0, first),)),))
        else:
            weights = step_curve(curve, first, last, start, end)
        text = step_text(weights)
        show(_short(text), getattr(cls.hidden, "unique_id", None))
        return io.NodeOutput(weights, f"{text}\n\n{step_table(weights)}")


def _weight(name: str, default: float, tooltip: str) -> io.Float.Input:
    return io.Float.Input(
        name, default=default, min=-WEIGHT_LIMIT, max=WEIGHT_LIMIT, step=0.05, optional=True, tooltip=tooltip
    )


def _point(name: str, default: float, tooltip: str) -> io.Float.Input:
    return io.Float.Input(
        name, default=default, min=0.0, max=1.0, step=0.01, optional=True, tooltip=tooltip, advanced=True
    )


def _short(text: str) -> str:
    lines = text.split("\n")
    return "\n".join(lines if len(lines) <= SHOWN else [*lines[: SHOWN - 1], f"and {len(lines) - SHOWN + 1} more"])
