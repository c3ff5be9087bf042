"""The node that says how much of an image prompt acts in each layer."""

from collections.abc import Iterable, Iterator, Sequence

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ...ip_adapter import (
    APPLIED_TO,
    DEPTH_CURVES,
    PRESETS,
    WEIGHT_LIMIT,
    Block,
    CurveWeights,
    LayerWeights,
    PresetWeights,
    acting_in,
    layer_summary,
    layer_table,
    parse_layer_weights,
)
from ...ip_adapter.layers import by_name
from .. import input_checks
from ..applying.hosts import base_model, host_of
from ..display import show
from ..sockets import CATEGORY, LayerWeightsType
from .blocks import Part, part_row, published_parts

CURVE, VALUES = "curve", "values"
CHOICES = (*PRESETS, CURVE, VALUES)
INDICES = ("blocks", "layers")
UI = "image_prompt_layer_weights"  # the rows of the connected model, for the bars on the node


def _published() -> Iterator[Part]:
    """What is shown if no model is connected: the published models, but not one like that before it, as Kolors is."""
    told = set[Sequence[Block]]()
    for title, base, blocks in published_parts():
        if blocks not in told:
            told.add(blocks)
            yield title, base, blocks


PUBLISHED = tuple(_published())
COUNTED = {title: (len(by_name(blocks)), len(blocks)) for title, _, blocks in PUBLISHED}  # blocks and layers of each
BLOCKS = ", ".join(f"{title} {blocks}" for title, (blocks, _) in COUNTED.items())
LAYERS = ", ".join(f"{title} {layers}" for title, (blocks, layers) in COUNTED.items() if layers > blocks)


class ImagePromptLayerWeights(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptLayerWeights",
            display_name="Image Prompt Layer Weights",
            category=CATEGORY,
            description="Says how much of an image prompt acts in each layer of the model: by a preset for style and "
            "composition or by depth, by a curve over depth, or by numbers for parts, blocks or layers. It shows the "
            "numbers that come out.",
            search_aliases=[
                "ip-adapter weight type",
                "style transfer",
                "composition",
                "block weights",
                "mad scientist",
                "style and composition",
                "precise style",
                "layer weights",
            ],
            inputs=[
                io.Combo.Input(
                    "preset",
                    options=list(CHOICES),
                    default=CHOICES[0],
                    optional=True,
                    tooltip="Where the references act. 'style': their colours and textures; 'composition': their "
                    "shapes and places; 'strong style': everywhere but in the blocks of composition; 'precise style': "
                    "in the blocks of style, and in those of composition guidance pushes away from them. These need a "
                    "model of which such blocks are known. All others fit every model: a half of its blocks; 'falling' "
                    "from 1 in the first block to run to 0 in the last, 'rising' the other way, 'there and back' to 1 "
                    "in the middle; 'curve' and 'values' as the inputs below say.",
                ),
                io.Combo.Input(
                    "curve",
                    options=list(DEPTH_CURVES),
                    default=next(iter(DEPTH_CURVES)),
                    optional=True,
                    tooltip="For the preset 'curve': how the weights go from first to last. 'there and back' comes to "
                    "last in the middle of the model, and goes back to first.",
                ),
                io.Float.Input(
                    "first",
                    default=1.0,
                    min=-WEIGHT_LIMIT,
                    max=WEIGHT_LIMIT,
                    step=0.05,
                    optional=True,
                    tooltip="For the preset 'curve': the weight of the first block to run.",
                ),
                io.Float.Input(
                    "last",
                    default=0.0,
                    min=-WEIGHT_LIMIT,
                    max=WEIGHT_LIMIT,
                    step=0.05,
                    optional=True,
                    tooltip="For the preset 'curve': the weight at its end.",
                ),
                io.String.Input(
                    "values",
                    default="",
                    multiline=True,
                    optional=True,
                    placeholder="1, 0.5, 0 or 3:0.5, 6:1",
                    tooltip="For the preset 'values': one number for all layers, three for the input blocks, the "
                    f"middle and the output blocks, one for each block ({BLOCKS}) or one for each layer ({LAYERS}), in "
                    "the order in which they run; or single ones like 3:0.5, 6:1, and all others do not act.",
                ),
                io.Combo.Input(
                    "index",
                    options=list(INDICES),
                    default=INDICES[0],
                    optional=True,
                    tooltip="What a curve goes along, and what the numbers before the colons count: blocks or single "
                    "layers, from 0, in the order in which they run.",
                    advanced=True,
                ),
                io.Model.Input(
                    "model",
                    optional=True,
                    tooltip="The model whose table is shown. Without it, those of all published models are.",
                ),
            ],
            outputs=[
                LayerWeightsType.Output(display_name="layer weights", tooltip="How much acts in each layer."),
                io.String.Output(display_name="table", tooltip="The weight of every block: 'x10' means in ten layers."),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        preset: str = CHOICES[0],
        curve: str = next(iter(DEPTH_CURVES)),
        first: float = 1.0,
        last: float = 0.0,
        values: str = "",
        index: str = INDICES[0],
        model: ModelPatcher | None = None,
    ) -> io.NodeOutput:
        input_checks.choice(preset, CHOICES, "preset")
        input_checks.choice(curve, tuple(DEPTH_CURVES), "curve")
        first = input_checks.number(first, -WEIGHT_LIMIT, WEIGHT_LIMIT, "first weight")
        last = input_checks.number(last, -WEIGHT_LIMIT, WEIGHT_LIMIT, "last weight")
        input_checks.choice(index, INDICES, "index")
        by = "layers" if index == "layers" else "blocks"
        if input_checks.typed(values, preset, VALUES, "preset", "values"):
            weights = parse_layer_weights(values, by)
        else:
            weights = CurveWeights(curve, first, last, by) if preset == CURVE else PresetWeights(preset)
        parts = PUBLISHED if model is None else _parts(model)
        table, summary = _shown(weights, parts)
        show(summary, getattr(cls.hidden, "unique_id", None))
        rows = [part_row(*part) for part in parts] if model is not None else []
        return io.NodeOutput(weights, table, ui={UI: rows})


def _parts(model: ModelPatcher) -> list[Part]:
    """The blocks of the model, once for each way in which adapters act in it.

    Raises:
        ValueError: there are no IP-Adapters here for the model.
    """
    base, host = base_model(input_checks.diffusion_model(model)), host_of(model)
    if host is None or base not in APPLIED_TO:
        raise ValueError(
            f"The model is {base}: layer weights are for {', '.join(APPLIED_TO)} models. Connect one of these, or none."
        )
    sites = host.sites(model)
    return [
        (acting.title, base, acting.among(site.block for site in sites if site.acts == acting.acts))
        for acting in acting_in(base)
    ]


def _shown(weights: LayerWeights, parts: Iterable[Part]) -> tuple[str, str]:
    """The table and the summary of the weights in all models that they fit, and why they do not fit the others.

    Raises:
        ValueError: they fit none.
    """
    tables, summaries, misfits = list[str](), list[str](), list[tuple[str, str, str]]()
    for title, base, blocks in parts:
        try:
            shares = weights.shares(blocks, base)
        except ValueError as error:
            misfits.append((title, base, str(error)))
        else:
            tables.append(f"{title}\n{layer_table(shares, blocks)}")
            summaries.append(f"{title}: {layer_summary(shares, blocks)}")
    reasons = _reasons(misfits)
    if not tables:
        raise ValueError("\n".join(reasons))
    return "\n\n".join([*tables, *reasons]), "\n".join(summaries)


def _reasons(misfits: Sequence[tuple[str, str, str]]) -> list[str]:
    """Why weights do not fit, each reason once, and for which adapters where a model has several reasons.

    misfits: (title, base model, reason)
    """
    each = {(base, reason) for _, base, reason in misfits}
    several = {base for base, _ in each if sum(other == base for other, _ in each) > 1}
    return list(dict.fromkeys(f"{title}: {why}" if base in several else why for title, base, why in misfits))
