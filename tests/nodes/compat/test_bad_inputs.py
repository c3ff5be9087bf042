"""Bad inputs of the nodes of IPAdapter_plus end in words, and what only that pack cannot do runs."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
import tiny
import torch

from image_prompt.devtools import published
from image_prompt.nodes.compat.node import node_class
from image_prompt.nodes.compat.table import NODES

pytestmark = pytest.mark.usefixtures("folders")

ROWS = {row.id: row for row in NODES}
SDXL = {"IPAdapterStyleComposition", "IPAdapterStyleCompositionBatch"}  # what acts on no other model
STRATEGY = {"weights": "1, 0", "timing": "linear", "frames": 2, "method": "full batch", "frame_count": 1}
WIDTH = 25  # of features: a square number, because the enhancer asks for one
FEATURES = torch.rand(2, WIDTH)
PICTURES = torch.rand(2, 32, 32, 3)
NOT_A_NUMBER = float("nan")
EMPTY = {"image_proj": {}, "ip_adapter": {}}


unet, encoder = cache(tiny.unet), cache(tiny.encoder)


@cache
def adapter(base: str, embed: int = WIDTH) -> dict[str, Any]:
    """An adapter as other packs send it."""
    return published.nested(tiny.base_file(unet(base), embed=embed))


def region(**changes: Any) -> dict[str, list[Any]]:
    """The parameters of a region, as other packs make them."""
    values = {"image": PICTURES, "attn_mask": None, "weight": 1.0, "weight_type": "linear", "start_at": 0.0}
    return {name: [value] for name, value in (values | {"end_at": 1.0} | changes).items()}


def good(id: str) -> dict[str, Any]:
    """Inputs with which a node works: its sockets connected, and its defaults."""
    base = "SDXL" if id in SDXL else "SD1.5"
    seen = encoder(projection=WIDTH)
    pipe = {"ipadapter": {"file": "x", "model": adapter(base)}, "clipvision": {"file": "y", "model": seen}}
    wires = {
        "MODEL": unet(base),
        "IPADAPTER": pipe if id == "IPAdapter" else adapter(base),
        "CLIP_VISION": seen,
        "IMAGE": PICTURES,
        "EMBEDS": FEATURES,
        "WEIGHTS_STRATEGY": STRATEGY,
        "IPADAPTER_PARAMS": region(),
    }
    inputs = {each.name: each for each in ROWS[id].inputs if each.name != "image_negative"}
    return {name: wires.get(str(each.type)) if each.is_socket else each.default for name, each in inputs.items()}


def run(id: str, **inputs: Any) -> Any:
    node = node_class(ROWS[id], "")()
    return getattr(node, node.FUNCTION)(**inputs)


IMAGE = "connect an IMAGE output, which is .pictures, height, width, channels"
RANGE = "must be a number between 0 and 1"
BY_NAME: Mapping[str, tuple[tuple[Any, str], ...]] = {  # of an input -> bad values, in every node that has it
    "model": ((None, "The model is nothing: connect a SD1.5"), ("a word", "The model is the text 'a word': connect")),
    "ipadapter": (
        (None, "The ipadapter is nothing: connect"),
        (EMPTY, "The ipadapter is a dict with image_proj, ip_adapter: connect"),
    ),
    "image": (
        (None, f"The image is nothing: {IMAGE}"),
        (torch.zeros(8, 8, 3), f"shape .8, 8, 3.: {IMAGE}"),
        (torch.zeros(0, 8, 8, 3), "image .*without pictures|image has the shape .0, 8, 8, 3., which holds no picture"),
    ),
    "image_style": ((torch.zeros(8, 8), f"The image_style is a tensor of shape .8, 8.: {IMAGE}"),),
    "image_composition": ((torch.zeros(8, 8), f"The image_composition is a tensor of shape .8, 8.: {IMAGE}"),),
    "image_negative": (
        ("a word", f"The image_negative is the text 'a word': {IMAGE}"),
        (torch.zeros(1, 0, 8, 3), "The image_negative has the shape .1, 0, 8, 3., which holds no picture"),
        (torch.full((1, 8, 8, 3), NOT_A_NUMBER), "The image_negative holds NaN or infinite numbers"),
    ),
    "attn_mask": (
        ("a word", "The attn_mask is the text 'a word': connect a MASK"),
        (torch.ones(1, 1, 8, 8), "The attn_mask is a tensor of shape .1, 1, 8, 8.: connect a MASK"),
        (torch.full((1, 8, 8), NOT_A_NUMBER), "The attn_mask holds NaN or infinite numbers"),
    ),
    "clip_vision": (("a word", "The clip_vision is the text 'a word': connect"),),
    "weight": (
        (NOT_A_NUMBER, "The weight is nan: give a finite number"),
        (10**400, "The weight is inf: give a finite number"),
        ([], "weight is a list of 0: give"),
        ([10**400], "weight is a list of 1: give"),
    ),
    "weight_style": ((NOT_A_NUMBER, "The weight_style is nan: give a finite number"),),
    "weight_composition": (([1.0, None], "The weight_composition is a list of 2: give a finite number"),),
    "style_boost": ((NOT_A_NUMBER, "boost is nan: give a finite number"),),
    "composition_boost": (("a word", "boost is the text 'a word': give a finite number"),),
    "start_at": (("a word", f"The start_at is the text 'a word': it {RANGE}"),),
    "end_at": ((NOT_A_NUMBER, f"The end_at is nan: it {RANGE}"), (10**400, f"The end_at is inf: it {RANGE}")),
    **{
        name: (
            ("no", f"The {name} is the text 'no': it must be true or false"),
            (torch.zeros(2), f"The {name} is a te"),
        )
        for name in ("expand_style", "pad_around", "unfold_batch", "ipadapter_plus")
    },
    "combine_embeds": (("sum", "combine_embeds is the text 'sum': choose one of concat, add"),),
    "embeds_scaling": (("K", r"embeds_scaling is the text 'K': choose one of V only, K\+V"),),
    "sharpening": ((2.0, f"The sharpening is 2.0: it {RANGE}"),),
    "layer_weights": (
        ("0:1; 1:2", "The layer_weights are the text '0:1; 1:2': write the number of a block, a colon"),
        ("0:nan", "The layer_weights are the text '0:nan': write"),
    ),
    "enhance_tiles": ((None, "The enhance_tiles is nothing: it must be a number"),),
    "enhance_ratio": ((NOT_A_NUMBER, "The enhance_ratio is nan: it must be a number"),),
    "ipadapter_params": (
        ("a word", "The ipadapter_params is the text 'a word': connect"),
        (EMPTY, "The ipadapter_params do not hold one entry for each region: connect"),
    ),
    "pos_embed": ((None, "The pos_embed is nothing: connect"), (torch.rand(2, 16), "25 wide")),
    "neg_embed": ((torch.rand(2, 16), "25 wide"),),
    "embed1": ((None, "The embed1 is nothing: connect the EMBEDS"),),
    "embed2": ((torch.rand(2, 16), "The embed2 has the shape .2, 16., and embed1 .2, 25., which cannot be combined"),),
    "embeds": ((None, "embeds is nothing: c"),),
    "params_1": (("a word", "The params_1 is the text 'a word': connect the IPADAPTER_PARAMS"),),
    "params_2": ((EMPTY, "The params_2 do not hold one entry for each region: connect"),),
    "weights_strategy": ((None, "The weights_strategy is nothing: connect"),),
    "weights": (("1, x", "The weights are '1, x': write numbers"), (1.0, "The input weights is 1.0: write numbers")),
    "timing": (("reverse_in_out", "timing is the text 'reverse_in_out': choose one of custom, linear"),),
    "frames": ((-1, "The frames is -1: it must be a number"),),
    "weights_1": ((NOT_A_NUMBER, "The weights_1 is nan: give a finite number"),),
    "prompt": ((None, "The prompt is nothing: write a line for each picture"),),
    "image_weight": ((NOT_A_NUMBER, "The image_weight is nan: give a finite number"),),
    "prompt_weight": ((NOT_A_NUMBER, "The prompt_weight is nan: it must be a number"),),
    "interpolation": (("SINC", "interpolation is the text 'SINC': choose one of LANCZOS"),),
    "crop_position": (("middle", "crop_position is the text 'middle': choose one of"),),
    "type": (("loud", "type is the text 'loud': choose one of fade"),),
    "strength": ((NOT_A_NUMBER, f"The strength is nan: it {RANGE}"),),
    "blur": ((-1, "The blur is -1: it must be a number"),),
    "image_optional": (("a word", f"The image_optional is the text 'a word': {IMAGE}"),),
    "noise": ((2.0, f"The noise is 2.0: it {RANGE}"),),
    "image_1": ((None, f"The image_1 is nothing: {IMAGE}"),),
    "weight_1": ((NOT_A_NUMBER, "The weight_1 is nan: give a finite number"),),
    "preset": (("HUGE", "preset"),),
    "ipadapter_file": (
        ("x.safetensors", "x.safetensors is not in models/ipadapter: choose a file"),
        (None, "The adapter is nothing: give the name of a file in models/ipadapter"),
    ),
    "provider": (("TPU", "provider is the text 'TPU': choose one of CPU"),),
    "model_name": (("buffalo_s", "model_name is the text 'buffalo_s': choose one of buffalo_l"),),
    "filename_prefix": (("../cat", r"The filename_prefix is the text '\.\./cat': give the name of a file"),),
}
LOADERS = {row.id for row in NODES if row.method.__name__ == "load_models"}  # they look for files before
NOT_READ = {  # (node, input) that is not read with the other inputs of `good`
    *((id, name) for id in LOADERS for name in ("ipadapter", "provider")),
    ("IPAdapterEmbeds", "clip_vision"),
    ("IPAdapterEmbedsBatch", "clip_vision"),
    ("IPAdapterApplyEncoded", "embeds"),
}
BAD = [
    (row, name, value, message)
    for row in NODES
    for name, some in BY_NAME.items()
    for value, message in some
    for given in row.inputs
    if given.name == name and not (value is None and given.optional) and (row.id, name) not in NOT_READ
]


@pytest.mark.parametrize(
    ("row", "name", "value", "message"), [pytest.param(*each, id=f"{each[0].id}-{each[1]}") for each in BAD]
)
def test_a_bad_input_is_refused_in_words(row, name, value, message):
    with pytest.raises(ValueError, match=message) as refusal:
        run(row.id, **{**good(row.id), name: value})
    assert type(refusal.value) is ValueError


def base(**options: Any) -> dict[str, Any]:
    return adapter("SD1.5", **options)


SPECIAL = [
    # an adapter for another model, an encoder that it does not read and that is not there
    ("IPAdapterAdvanced", lambda: {"ipadapter": adapter("SDXL")}, r"for SDXL, the model is SD1\.5: use one made for"),
    ("IPAdapterTiled", lambda: {"model": unet("SDXL")}, r"for SD1\.5, the model is SDXL: use one made for SDXL"),
    ("IPAdapterEncoder", lambda: {"clip_vision": encoder()}, "The clip_vision is tiny CLIP, and .* reads .*Not found"),
    ("IPAdapterAdvanced", lambda: {"clip_vision": None}, "connect that encoder to clip_vision"),
    ("IPAdapterAdvanced", lambda: {"model": tiny.flux()}, r"for SD1\.5, the model is Flux: use one made for Flux"),
    ("IPAdapterStyleComposition", lambda: {"model": unet("SD1.5"), "ipadapter": base()}, "acts on SDXL and Kolors"),
    (
        "IPAdapterClipVisionEnhancer",
        lambda: {"ipadapter": base(embed=24), "clip_vision": encoder()},
        "image_embeds whose width is a square number, such as 1024, and it gives 24",
    ),
    ("IPAdapterClipVisionEnhancer", lambda: {"enhance_tiles": 16, "image": torch.rand(1, 8, 8, 3)}, "too small for 16"),
    (
        "IPAdapterBatch",
        lambda: {"weight": [1.0, 1e39]},
        r"weights of IPAdapter Batch .Adv.. multiply to 1e\+39, at most",
    ),
    (
        "IPAdapterMS",
        lambda: {"weight": 5.0, "layer_weights": "3:500"},
        "multiply to 2500, at most 1000 is allowed in any",
    ),
    ("IPAdapterFromParams", lambda: {"ipadapter_params": region(weight=NOT_A_NUMBER)}, "The weight is nan"),
    ("IPAdapterFromParams", lambda: {"ipadapter_params": region(image="a word")}, "The image is the text 'a word'"),
    (
        "IPAdapterInsightFaceLoader",
        lambda: {},
        "The face pack buffalo_l is not in models/insightface.*Get buffalo_l.zip.*research",
    ),
    (
        "InsightFaceLoader",
        lambda: {},
        "The face pack buffalo_l is not in models/insightface.*Get buffalo_l.zip.*research",
    ),
    ("IPAdapterUnifiedLoader", lambda: {"model": unet("SDXL")}, "LIGHT .*SD1.5"),
    (
        "IPAdapterUnifiedLoaderFaceID",
        lambda: {},
        "Not found: IP-Adapter for SD1.5 .*Get ip-adapter-faceid_sd15",
    ),
    ("IPAdapterLoadEmbeds", lambda: {"embeds": "x.ipadpt"}, "'x.ipadpt' is not an .ipadpt file in ComfyUI's input or"),
    ("IPAdapterBatchEmbeds", lambda: {"embed2": torch.rand(2, 2, WIDTH)}, "Only the embed2 holds references and their"),
]


@pytest.mark.parametrize(("id", "inputs", "message"), SPECIAL, ids=lambda each: each if each in ROWS else None)
def test_inputs_that_do_not_fit_together_are_refused_in_words(id, inputs, message):
    with pytest.raises(ValueError, match=f"(?s){message}") as refusal:
        run(id, **{**good(id), **inputs()})
    assert type(refusal.value) is ValueError


RUNS = {  # what ends in an error in IPAdapter_plus
    "a comma at the end of layer_weights": ("IPAdapterMS", {"layer_weights": "3:1, 6:0.5,"}),
    "a list as weight_composition": ("IPAdapterStyleCompositionBatch", {"weight_composition": [0.5, 1.0]}),
    "the largest numbers of several images": ("IPAdapterAdvanced", {"combine_embeds": "max"}),
    "one frame to change in": ("IPAdapterWeights", {"frames": 4, "start_frame": 1, "end_frame": 2}),
    "no frame to change in": ("IPAdapterWeights", {"frames": 4, "end_frame": 0}),
    "a range that ends before it starts": ("IPAdapterAdvanced", {"start_at": 0.8, "end_at": 0.2}),
    "features without an encoder": ("IPAdapterEmbeds", {"clip_vision": None}),
    "a mask without a first dimension": ("IPAdapterAdvanced", {"attn_mask": torch.ones(8, 8)}),
    "a mask of no size of the picture": ("IPAdapterTiled", {"attn_mask": torch.rand(3, 5, 7)}),
    "images with alpha": ("IPAdapterAdvanced", {"image": torch.rand(1, 9, 40, 4)}),
    "grey images": ("IPAdapterBatch", {"image": torch.rand(3, 40, 9, 1)}),
}


@pytest.mark.parametrize(("id", "inputs"), RUNS.values(), ids=RUNS)
def test_what_ends_in_an_error_in_ipadapter_plus_runs_here(id, inputs):
    found = run(id, **{**good(id), **inputs})
    if id.startswith("IPAdapterWeights"):
        assert len(found[0]) == 4 * len(PICTURES) and set(found[0]) <= {1.0, 0.0}
    else:
        sampled = tiny.sample(found[0], "SDXL" if id in SDXL else "SD1.5", batch=2)
        assert sampled.isfinite().all()


def test_an_adapter_alone_is_not_changed_by_the_nodes_that_take_it():
    given = base()
    keys = {part: list(each) for part, each in given.items()}
    run("IPAdapterAdvanced", **{**good("IPAdapterAdvanced"), "ipadapter": given})
    with pytest.raises(ValueError, match="connect that encoder to clip_vision"):  # not a KeyError
        run("IPAdapter", **{**good("IPAdapter"), "ipadapter": given})
    assert {part: list(each) for part, each in given.items()} == keys
