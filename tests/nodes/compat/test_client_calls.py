"""Other packs make instances of the nodes and call their methods, by keyword and by position.

ComfyUI-Easy-Use unpacks as many values as there are, and builds pipes itself. ComfyUI-Inspire-Pack and
ComfyUI-Impact-Pack take the first value.
"""

import inspect

import pytest
import tiny
import torch

from image_prompt.demo import face_packs
from image_prompt.devtools import published
from image_prompt.nodes.compat.node import node_class
from image_prompt.nodes.compat.table import NODES

CLASSES = {row.id: node_class(row, "custom_nodes.image-prompt") for row in NODES}
APPLIED = ["model", "ipadapter", "start_at", "end_at", "weight", "weight_style", "weight_composition", "expand_style"]
CENTRAL = [
    *(*APPLIED, "weight_type", "combine_embeds", "weight_faceidv2", "image", "image_style", "image_composition"),
    *("image_negative", "clip_vision", "attn_mask", "insightface", "embeds_scaling", "layer_weights"),
    *("ipadapter_params", "encode_batch_size", "style_boost", "composition_boost", "enhance_tiles", "enhance_ratio"),
    "weight_kolors",
]
EMBEDS = [
    *("model", "ipadapter", "pos_embed", "weight", "weight_type", "start_at", "end_at", "neg_embed", "attn_mask"),
    *("clip_vision", "embeds_scaling"),
]
TILED = [
    *("model", "ipadapter", "image", "weight", "weight_type", "start_at", "end_at", "sharpening", "combine_embeds"),
    *("image_negative", "attn_mask", "clip_vision", "embeds_scaling", "encode_batch_size"),
]
SIGNATURES = {
    "IPAdapter": ["model", "ipadapter", "image", "weight", "start_at", "end_at", "weight_type", "attn_mask"],
    "IPAdapterEmbeds": EMBEDS,
    "IPAdapterEmbedsBatch": EMBEDS,
    "IPAdapterTiled": TILED,
    "IPAdapterTiledBatch": TILED,
    "IPAdapterEncoder": ["ipadapter", "image", "weight", "mask", "clip_vision"],
    **dict.fromkeys(
        (
            *("IPAdapterAdvanced", "IPAdapterBatch", "IPAdapterFaceID", "IPAAdapterFaceIDBatch", "IPAdapterMS"),
            *("IPAdapterFaceIDKolors", "IPAdapterStyleComposition", "IPAdapterStyleCompositionBatch"),
            *("IPAdapterClipVisionEnhancer", "IPAdapterClipVisionEnhancerBatch", "IPAdapterFromParams"),
            *("IPAdapterPreciseStyleTransfer", "IPAdapterPreciseStyleTransferBatch"),
            *("IPAdapterPreciseComposition", "IPAdapterPreciseCompositionBatch"),
        ),
        CENTRAL,
    ),
}


def parameters(id: str) -> list[str]:
    method = getattr(CLASSES[id](), CLASSES[id].FUNCTION)
    return list(inspect.signature(method).parameters)


@pytest.mark.parametrize("id", SIGNATURES)
def test_methods_take_what_they_are_given_by_position(id):
    assert parameters(id)[: len(SIGNATURES[id])] == SIGNATURES[id]


@pytest.mark.parametrize("row", NODES, ids=lambda row: row.id)
def test_a_method_takes_each_input_of_its_node(row):
    assert {each.name for each in row.inputs} <= set(parameters(row.id))


def test_what_the_other_pack_had_later_may_be_left_out():
    """Programs that were written earlier do not know it."""
    for id in SIGNATURES:
        method = getattr(CLASSES[id](), CLASSES[id].FUNCTION)
        required = [name for name, each in inspect.signature(method).parameters.items() if each.default is each.empty]
        assert set(required) <= {"model", "ipadapter", "image", "pos_embed"}, id


# --------------------------------------------------------------------------------------------------------------- calls


@pytest.fixture
def raw(model):
    return published.nested(tiny.base_file(model))


@pytest.fixture
def encoder():
    return tiny.encoder()


@pytest.fixture
def pipe(raw, encoder):
    """As Easy-Use builds it."""
    return {
        "clipvision": {"file": "an encoder.safetensors", "model": encoder},
        "ipadapter": {"file": "an adapter.safetensors", "model": raw},
        "insightface": {"provider": None, "model": None},
    }


@pytest.fixture
def image():
    return torch.rand(1, 96, 80, 3, generator=torch.Generator().manual_seed(4))


@pytest.fixture
def plain(model):
    return tiny.sample(model, "SD1.5")


def steers(model, plain) -> bool:
    return not torch.equal(tiny.sample(model, "SD1.5"), plain)


def easy_use(model, pipe, image, **more):
    """What its nodes for one picture send, whether they have the input or not."""
    nothing = dict.fromkeys(("image_negative", "image_style", "image_composition", "attn_mask", "insightface"))
    given = {"weight": 0.8, "weight_type": "linear", "start_at": 0.0, "end_at": 1.0, "combine_embeds": "concat"}
    weights = {"weight_faceidv2": 1.0, "weight_style": 1.0, "weight_composition": 1.0, "weight_kolors": 1.0}
    rest = {"expand_style": False, "clip_vision": None, "embeds_scaling": "V only", "layer_weights": None}
    return (model, pipe), {"image": image, **given, **weights, **nothing, **rest, **more}


@pytest.mark.parametrize("id", ["IPAdapterAdvanced", "IPAdapterBatch", "IPAdapterMS"])
def test_easy_use_applies_a_picture(model, pipe, image, plain, id):
    positional, named = easy_use(model, pipe, image)
    patched, faces = CLASSES[id]().apply_ipadapter(*positional, **named)
    assert steers(patched, plain) and faces is None


def test_easy_use_gives_weights_of_layers(model, pipe, image, plain):
    one, two = (
        CLASSES["IPAdapterAdvanced"]().apply_ipadapter(*positional, **named)[0]
        for positional, named in (
            easy_use(model, pipe, image, layer_weights=text) for text in ("3:1.0", "3:1.0, 9:0.5")
        )
    )
    assert steers(one, plain) and steers(two, tiny.sample(one, "SD1.5"))


def test_easy_use_applies_with_few_inputs(model, pipe, image, plain):
    patched, faces = CLASSES["IPAdapter"]().apply_ipadapter(
        model, pipe, image, 0.8, 0.0, 1.0, weight_type="standard", attn_mask=None
    )
    assert steers(patched, plain) and faces is None


@pytest.mark.parametrize("id", ["IPAdapterTiled", "IPAdapterTiledBatch"])
def test_easy_use_applies_tiles(model, pipe, image, plain, id):
    patched, tiles, masks = CLASSES[id]().apply_tiled(
        *(model, pipe, image, 0.8, "linear", 0.0, 1.0),
        sharpening=0.0,
        combine_embeds="concat",
        image_negative=None,
        attn_mask=None,
        clip_vision=None,
        embeds_scaling="V only",
    )
    assert steers(patched, plain) and tiles.shape == (4, 256, 256, 3) and len(masks) == 4


def test_easy_use_encodes_and_applies_what_it_encoded(model, pipe, image, plain):
    pos, neg = CLASSES["IPAdapterEncoder"]().encode(pipe, image, 0.8, None, clip_vision=None)
    patched, _ = CLASSES["IPAdapterEmbeds"]().apply_ipadapter(
        model, pipe, pos, 0.8, "linear", 0.0, 1.0, neg_embed=neg, attn_mask=None, clip_vision=None
    )
    assert steers(patched, plain)


@pytest.mark.parametrize("combine_embeds", ["concat", "max", "min"])
def test_easy_use_joins_regions_outside_and_applies_them(model, pipe, image, plain, combine_embeds):
    regions = [
        CLASSES["IPAdapterRegionalConditioning"]().conditioning(
            *(image, 0.8, 1.0, "linear", 0.0, 1.0), mask=mask, positive=None, negative=None
        )
        for mask in (torch.ones(1, 64, 64), None)
    ]
    joined = {key: sum((params[key] for params, _, _ in regions), []) for key in regions[0][0]}
    patched, faces = CLASSES["IPAdapterFromParams"]().apply_ipadapter(
        model,
        pipe,
        clip_vision=None,
        combine_embeds=combine_embeds,
        embeds_scaling="V only",
        image_negative=None,
        ipadapter_params=joined,
    )
    assert steers(patched, plain) and faces is None


@pytest.mark.parametrize("weight_faceidv2", [0.4, False])
def test_inspire_applies_a_picture_by_keyword(model, raw, encoder, image, plain, weight_faceidv2):
    """It sends False where a prompt lacks a value that its own node has as an option."""
    patched = CLASSES["IPAdapterAdvanced"]().apply_ipadapter(
        model=model,
        ipadapter=raw,
        weight=0.8,
        weight_type="linear",
        start_at=0.0,
        end_at=1.0,
        combine_embeds="concat",
        weight_faceidv2=weight_faceidv2,
        image=image,
        image_negative=None,
        clip_vision=encoder,
        attn_mask=None,
        insightface=None,
        embeds_scaling="V only",
    )[0]
    assert steers(patched, plain)


def test_inspire_applies_embeds_by_keyword(model, raw, encoder, image, plain):
    embeds = CLASSES["IPAdapterEncoder"]().encode(ipadapter=raw, image=image, weight=1.0, clip_vision=encoder)[0]
    patched = CLASSES["IPAdapterEmbeds"]().apply_ipadapter(
        model=model,
        ipadapter=raw,
        pos_embed=embeds,
        weight=0.8,
        weight_type="linear",
        start_at=0.0,
        end_at=1.0,
        neg_embed=None,
        attn_mask=None,
        clip_vision=encoder,
        embeds_scaling="V only",
    )[0]
    assert steers(patched, plain)


def test_inspire_and_impact_offer_the_weight_types_of_the_node():
    offered = CLASSES["IPAdapterAdvanced"]().INPUT_TYPES()["required"]["weight_type"][0]
    assert isinstance(offered, list) and offered[0] == "linear" and "composition precise" in offered


@pytest.mark.parametrize("names", [{"provider": "CPU", "model_name": "buffalo_l"}, {"provider": "CPU"}])
def test_inspire_loads_the_recognition_of_faces(names, folders):
    face_packs.write_pack(folders / "insightface" / "models")
    faces = CLASSES["IPAdapterInsightFaceLoader"]().load_insightface(**names)[0]
    faces.det_model.input_size = (640, 640)
    (found,) = faces.get(face_packs.picture((200, 210, face_packs.RED))[..., ::-1])
    assert found.normed_embedding.shape == (512,) and found.kps.shape == (5, 2)


def test_inspire_loads_an_adapter(folders, model, image, encoder, plain):
    published.save(folders / "ipadapter" / "sub" / "a.safetensors", tiny.base_file(model))
    (loaded,) = CLASSES["IPAdapterModelLoader"]().load_ipadapter_model(ipadapter_file="sub/a.safetensors")
    patched, _ = CLASSES["IPAdapterAdvanced"]().apply_ipadapter(model, loaded, image=image, clip_vision=encoder)
    assert steers(patched, plain)
    assert loaded["ip_adapter"].keys() >= {"1.to_k_ip.weight", "1.to_v_ip.weight"}
