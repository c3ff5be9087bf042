"""The node that records where references act."""

from typing import Any, cast

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ...ip_adapter import APPLIED_TO, LAYER_SET_NAMES, select_layers
from .. import input_checks
from ..applying.hosts import base_model, host_of
from ..applying.image_prompt import Site
from ..sockets import CATEGORY, InfluenceType
from .influence import Choice, Influence

MOST = 1000  # evaluations that may lie between two recorded ones


class RecordInfluence(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptRecordInfluence",
            display_name="Record Influence",
            category=CATEGORY,
            description="Records where, and how much, each reference acts while a sampler runs, and shows it live. The "
            "pictures stay as they are to the bit. Image Prompt Influence Map shows the result.",
            search_aliases=["ip-adapter attention map", "heat map", "influence", "debug image prompt"],
            inputs=[
                io.Model.Input(
                    "model",
                    tooltip="The model, before or after the nodes that apply references. Sample with the result.",
                ),
                io.Float.Input(
                    "start",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Part of sampling at which recording sets in: 0 is the first step.",
                ),
                io.Float.Input(
                    "end",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Part of sampling at which recording stops: 1 is after the last step.",
                ),
                io.Combo.Input(
                    "layers",
                    options=list(LAYER_SET_NAMES),
                    default=LAYER_SET_NAMES[0],
                    optional=True,
                    tooltip="In which layers of the model. The sets are those of Apply IP-Adapter.",
                ),
                io.Int.Input(
                    "every",
                    default=1,
                    min=1,
                    max=MOST,
                    optional=True,
                    tooltip="1 records every evaluation of the model, 2 every other one, in half the time. Most "
                    "samplers evaluate the model once a step, some twice.",
                    advanced=True,
                ),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="The model. Connect it to the sampler."),
                InfluenceType.Output(
                    display_name="influence", tooltip="What the sampler will record, for Image Prompt Influence Map."
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, start: float | None = 0.0, end: float | None = 1.0) -> bool | str:
        """Check the range before the prompt is queued. Linked values are None here, and `execute` checks them."""
        return input_checks.is_range(start, end)

    @classmethod
    def execute(
        cls,
        model: ModelPatcher,
        start: float = 0.0,
        end: float = 1.0,
        layers: str = LAYER_SET_NAMES[0],
        every: int = 1,
    ) -> io.NodeOutput:
        input_checks.diffusion_model(model)
        start, end = input_checks.part_of_sampling(start, end)
        if start == end:
            raise ValueError(f"start and end are both {start:g}, so that nothing is recorded: make end greater.")
        input_checks.choice(layers, LAYER_SET_NAMES, "layers")
        influence = Influence(
            Choice(_sites(model, layers), start, end, _whole(every)),
            getattr(cls.hidden, "unique_id", None),
            cast(Any, model.get_model_object("latent_format")).spacial_downscale_ratio,
        )
        recorded = model.clone()
        influence.follow(recorded)
        return io.NodeOutput(recorded, influence)


def _sites(model: ModelPatcher, layers: str) -> frozenset[Site]:
    """The layers of a named set in a model.

    Raises:
        ValueError: there are no IP-Adapters here for the model, or it has no set of this name.
    """
    base, host = base_model(model), host_of(model)
    if host is None or base not in APPLIED_TO:
        raise ValueError(
            f"The model is {base}: image prompts act in {', '.join(APPLIED_TO)} models. Connect one of these."
        )
    sites = host.sites(model)
    chosen = select_layers({site.block: number for number, site in enumerate(sites)}, base, layers)
    return frozenset(site for site in sites if site.block in chosen)  # in a block adapters may act in several ways


def _whole(every: Any) -> int:
    number = input_checks.number(every, 1, MOST, "input every")
    if number != int(number):
        raise ValueError(f"The input every is {number:g}: it must be a whole number.")
    return int(number)
