"""Every node of other packs runs in the queue, with what old files and client programs send."""

import copy

import numpy as np
import pytest

from image_prompt.devtools.comfyui import ServerError
from image_prompt.devtools.workflows import is_widget

from .conftest import EMBEDS_FILE
from .old_graphs import (
    COMMUNITY,
    ENCODER_V1,
    ENDS_IN_WORDS,
    FACE_FILE,
    FACES,
    FILES,
    ID_V1,
    MORE_NODES,
    NODES,
    SIDE,
    all_inputs,
    graph,
    least,
    node,
    sampled,
    shown,
    world,
    world_with_faces,
)
from .test_boot import inputs

pytestmark = pytest.mark.usefixtures("embeds_file")

RUNNING = [id for id in NODES if id not in ENDS_IN_WORDS]
WITH_FACES = [id for id, about in NODES.items() if FACES in [each[1] for each in about["inputs"]]]


@pytest.mark.parametrize("id", RUNNING)
def test_a_node_runs_with_the_least_and_with_all_inputs(run, id):
    """Without its widgets, which then have their defaults, and with other values in each."""
    short, whole = run(graph(id, least(id))), run(graph(id, all_inputs(id)))
    assert all("it" in each.executed | each.cached for each in (short, whole))
    if "MODEL" in NODES[id]["outputs"] and NODES[id]["inputs"][1][0] != "preset":
        seen = [
            picture.tobytes() for picture in (*short.pictures, *whole.pictures) if picture.shape[:2] == (SIDE, SIDE)
        ]
        assert len(seen) == len(set(seen)) == 4


@pytest.mark.parametrize("id", WITH_FACES)
def test_a_node_for_faces_takes_them(run, id):
    given = all_inputs(id, faces=True)
    with_face, alone = run({**world_with_faces(), "it": node(id, **given), **shown(id)}), run(graph(id, given))
    assert not np.array_equal(with_face.pictures[0], alone.pictures[0])


@pytest.mark.parametrize("given", [{}, {"inputs": None}, {"inputs": {}}, {"inputs": []}, "null in each"], ids=str)
def test_a_node_without_inputs_is_answered(server, given):
    """It runs, or ComfyUI says what is missing; it does not break (HTTP 500)."""
    for id, about in NODES.items():
        nulls = {"inputs": {name: None for name, *_ in about["inputs"]}}
        prompt = {"it": {"class_type": id, **(nulls if given == "null in each" else given)}}
        show = node("PreviewAny", source=["it", 0]) if about["outputs"] else {}
        try:
            server.queue({**prompt, **({"show": show} if show else {})})
        except ServerError as error:
            assert '"node_errors"' in str(error), id


def test_a_preset_without_its_file_says_which_to_get(run):
    with pytest.raises(ServerError, match="Get ip_plus_composition_sd15.safetensors"):
        run(graph(COMMUNITY, {**least(COMMUNITY), "preset": "Composition"}))


# ------------------------------------------------------------------------------------------------------ client programs

TEXT_AND_LATENT = ("model", "encoder", "image", "other", "mask", "positive", "negative", "latent")
WORLD = {name: each for name, each in world().items() if name in TEXT_AND_LATENT}
FILE = FILES["SD1.5"]


def krita_layer(name: str, model: list, embeds: str, weight_type: str, **given: object) -> dict:
    links = {"model": model, "ipadapter": ["loader", 0], "pos_embed": [embeds, 0], "clip_vision": ["encoder", 0]}
    settings = {"weight": 1.0, "weight_type": weight_type, "embeds_scaling": "V only"}
    return {name: node("IPAdapterEmbeds", **links, **settings, **given)}


def krita() -> dict:
    encoders = {
        f"embeds {number}": node(
            "IPAdapterEncoder",
            image=[image, 0],
            weight=weight,
            ipadapter=["loader", 0],
            clip_vision=["encoder", 0],
        )
        for number, (image, weight) in enumerate((("image", 0.8), ("other", 0.4), ("other", 1.2)), start=1)
    }
    return {
        "loader": node("IPAdapterModelLoader", ipadapter_file=FILE),
        **encoders,
        "embeds": node("IPAdapterCombineEmbeds", method="concat", embed1=["embeds 1", 0], embed2=["embeds 2", 0]),
        **krita_layer("region", ["model", 0], "embeds", "linear", start_at=0.0, end_at=1.0, attn_mask=None),
        **krita_layer(
            "it", ["region", 0], "embeds 3", "style transfer", start_at=0.0, end_at=0.9, attn_mask=["mask", 0]
        ),
    }


def krita_faces() -> dict:
    links = {name: [source, 0] for name, source in FACE_LINKS.items()}
    settings = {"weight": 0.7, "weight_faceidv2": 1.4, "weight_type": "linear", "combine_embeds": "concat"}
    window = {"start_at": 0.0, "end_at": 0.9, "attn_mask": None, "embeds_scaling": "V only"}
    return {
        "loader": node("IPAdapterModelLoader", ipadapter_file=FACE_FILE),
        "faces": node("IPAdapterInsightFaceLoader", provider="CPU", model_name="buffalo_l"),
        "it": node("IPAdapterFaceID", **links, **settings, **window),
    }


FACE_LINKS = {
    "model": "model",
    "ipadapter": "loader",
    "image": "image",
    "clip_vision": "encoder",
    "insightface": "faces",
}


def swarm_preset(preset: str = "PLUS (high strength)", weight_type: str = "prompt is more important") -> dict:
    """Also what StableGen sends, with titles."""
    links = {"model": ["loader", 0], "ipadapter": ["loader", 1], "image": ["image", 0]}
    settings = {"weight": 0.8, "start_at": 0.0, "end_at": 0.9, "weight_type": weight_type}
    return {
        "loader": node("IPAdapterUnifiedLoader", model=["model", 0], preset=preset),
        "it": node("IPAdapter", **links, **settings),
    }


def swarm_faces() -> dict:
    given = {"preset": "FACEID PLUS V2", "lora_strength": 0.6, "provider": "CPU"}
    loader = node("IPAdapterUnifiedLoaderFaceID", model=["model", 0], **given)
    return {**swarm_preset(), "loader": loader}


def swarm_file() -> dict:
    """It connects the same encoder to all files, here one that does not belong to this adapter."""
    links = {"model": ["model", 0], "ipadapter": ["loader", 0], "image": ["image", 0], "clip_vision": ["wrong", 0]}
    settings = {"weight": 0.8, "start_at": 0.0, "end_at": 0.9, "weight_type": "ease out"}
    more = {"combine_embeds": "concat", "embeds_scaling": "V only"}
    return {
        "loader": node("IPAdapterModelLoader", ipadapter_file=FILE),
        "wrong": node("ImagePromptLoadEncoder", encoder_name="demo_world.safetensors"),
        "it": node("IPAdapterAdvanced", **links, **settings, **more),
    }


def swarm_v1() -> dict:
    links = {"ipadapter": ["loader", 0], "model": ["model", 0], "image": ["image", 0], "clip_vision": ["encoder", 0]}
    return {
        "loader": node("IPAdapterModelLoader", ipadapter_file=FILE),
        "it": node("IPAdapterApply", **links, weight=0.8, noise=0, weight_type="original"),
    }


def stablegen() -> dict:
    nodes = swarm_preset(weight_type="style transfer")
    return {name: {**each, "_meta": {"title": name}} for name, each in nodes.items()}


def v1_encoded() -> dict:
    images = {"image_1": ["image", 0], "image_2": ["other", 0]}
    settings = {"ipadapter_plus": True, "noise": 0.4, "weight_1": 0.9}
    return {
        "loader": node("IPAdapterModelLoader", ipadapter_file=FILE),
        "embeds": node(ID_V1, clip_vision=["encoder", 0], **images, **settings),
        "it": node(
            "IPAdapterApplyEncoded", ipadapter=["loader", 0], embeds=["embeds", 0], model=["model", 0], weight=0.8
        ),
    }


def first_days() -> dict:
    """Nodes of the first days of V2, with names that weight types had in these days."""
    links = {"model": ["model", 0], "ipadapter": ["loader", 0], "image": ["image", 0], "clip_vision": ["encoder", 0]}
    window = {"combine_embeds": "concat", "start_at": 0.0, "end_at": 1.0}
    return {
        "loader": node("IPAdapterModelLoader", ipadapter_file=FILE),
        "it": node("IPAdapterAdvanced", **links, weight=0.8, weight_type="style transfer (SDXL)", **window),
    }


PROGRAMS = {
    "Krita": krita,
    "SwarmUI, a preset": swarm_preset,
    "SwarmUI, a file": swarm_file,
    "SwarmUI, the nodes of 2023": swarm_v1,
    "StableGen": stablegen,
    "nodes of 2023 with encoded pictures": v1_encoded,
    "nodes of March 2024": first_days,
}
PROGRAMS_WITH_FACES = {"Krita": krita_faces, "SwarmUI": swarm_faces}


@pytest.fixture(scope="module")
def without(server):
    return {**WORLD, **sampled(["model", 0])}


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_a_program_sends_steers_the_picture(run, without, name):
    prompt = {**WORLD, **PROGRAMS[name](), **sampled(["it", 0])}
    finished = run(prompt)
    assert finished.executed | finished.cached >= PROGRAMS[name]().keys()
    assert not np.array_equal(finished.pictures, run(without).pictures)


@pytest.mark.parametrize("name", PROGRAMS_WITH_FACES)
def test_what_a_program_sends_for_faces_steers_the_picture(run, name):
    here = {**{name: each for name, each in world_with_faces().items() if name in TEXT_AND_LATENT}}
    sent = PROGRAMS_WITH_FACES[name]()
    with_face = run({**here, **sent, **sampled(["it", 0])})
    assert with_face.executed | with_face.cached >= sent.keys()
    assert not np.array_equal(with_face.pictures, run({**here, **sampled(["model", 0])}).pictures)


def test_a_picture_without_a_face_is_refused_in_words(run):
    here = {**world_with_faces(), "image": node("SolidMask", value=0.2, width=64, height=64)}
    here["blank"] = node("MaskToImage", mask=["image", 0])
    sent = krita_faces()
    sent["it"]["inputs"]["image"] = ["blank", 0]
    with pytest.raises(ServerError, match="No face was found in the image, looked at in squares of 640, 576"):
        run({**here, **sent, **sampled(["it", 0])})


# --------------------------------------------------------------------------------------------- InstantID and PuLID


def test_instantid_and_its_control_net_steer_the_picture(run, server):
    here = world_with_faces()
    links = {"instantid": ["instantid", 0], "insightface": ["faces", 0], "image": ["image", 0], "model": ["model", 0]}
    prompts = {name: [name, 0] for name in ("positive", "negative")}
    here |= {
        "instantid": node("InstantIDModelLoader", instantid_file="demo-instantid_sdxl.safetensors"),
        "faces": node("InstantIDFaceAnalysis", provider="CPU"),
        "control": node("ImagePromptDemoControlNet", seed=0),
        "points": node("FaceKeypointsPreprocessor", faceanalysis=["faces", 0], image=["image", 0]),
    }
    control = {"control_net": ["control", 0], "image_kps": ["points", 0]}
    whole = node("ApplyInstantID", **links, **prompts, **control, weight=0.8, start_at=0.0, end_at=1.0)
    half = node("InstantIDAttentionPatch", **links, weight=0.8, start_at=0.0, end_at=1.0, noise=0.3)
    other = node(
        "ApplyInstantIDControlNet",
        face_embeds=["half", 1],
        **prompts,
        **control,
        strength=0.8,
        start_at=0.0,
        end_at=1.0,
    )

    def pictures(nodes, model, positive, negative):
        prompt = {**here, **nodes, **sampled(model)}
        prompt["sampler"]["inputs"] |= {"positive": positive, "negative": negative}
        return run(prompt).pictures

    plain = pictures({}, ["model", 0], ["positive", 0], ["negative", 0])
    found = [
        pictures({"it": whole}, ["it", 0], ["it", 1], ["it", 2]),
        pictures({"half": half}, ["half", 0], ["positive", 0], ["negative", 0]),
        pictures({"half": half, "other": other}, ["model", 0], ["other", 0], ["other", 1]),
    ]
    every = [each[0].tobytes() for each in (plain, *found)]
    assert len(set(every)) == len(every)


def test_pulid_says_which_encoder_to_get(run):
    loader = node("PulidEvaClipLoader")
    with pytest.raises(ServerError, match="Get EVA02_CLIP_L_336"):
        run({"it": loader, "show": node("PreviewAny", source=["it", 0])})


def test_a_mask_that_is_null_is_none(run):
    null, absent = krita(), krita()
    del absent["region"]["inputs"]["attn_mask"]
    pictures = [run({**WORLD, **each, **sampled(["it", 0])}).pictures for each in (null, absent)]
    assert np.array_equal(*pictures)


def test_old_names_of_weight_types_are_those_of_today(run):
    old, new = first_days(), first_days()
    new["it"]["inputs"] |= {"weight_type": "style transfer", "embeds_scaling": "V only"}
    pictures = [run({**WORLD, **each, **sampled(["it", 0], seed=5)}).pictures for each in (old, new)]
    assert np.array_equal(*pictures)


def test_what_a_picture_says_of_its_prompt_can_be_queued(run, server):
    """It is the prompt as it ran, in which the older of two nodes of one id has an id of its own."""
    queued = server.queue({**WORLD, **v1_encoded(), **sampled(["it", 0])})
    prompt = server.wait(queued)["prompt"][2]
    assert prompt["embeds"]["class_type"] == ENCODER_V1 and prompt["it"]["inputs"]["start_at"] == 0.0
    assert run(copy.deepcopy(prompt)).pictures


# --------------------------------------------------------------------------------------------- what programs read


@pytest.mark.parametrize("id", [*NODES, *MORE_NODES])
def test_a_node_is_described_as_the_other_pack_describes_it(object_info, id):
    """Titles, the order of inputs and outputs, and choices as a list; programs and old files go by these."""
    about, info = {**NODES, **MORE_NODES}[id], object_info[id]
    assert (info["display_name"], info["output"], info["output_node"]) == (
        about["title"],
        about["outputs"],
        about["is_output"],
    )
    groups = {
        group: {name: given for name, _, optional, _ in about["inputs"] if optional is (group == "optional")}
        for group, given in (("required", None), ("optional", None))
    }
    order = {group: names for group, names in info["input_order"].items() if names}
    assert {group: list(some) for group, some in groups.items() if some} == order
    for name, kind, _, options in about["inputs"]:
        found, *rest = inputs(info)[name]
        assert isinstance(found, list) if kind == "FILES" else found == kind, name
        assert (rest[0] if rest else {}).items() >= options.items(), name


def test_the_nodes_are_found_in_one_place_at_the_end_of_the_menu(object_info):
    own = {info["category"] for info in object_info.values() if info["python_module"] == "custom_nodes.image-prompt"}
    places = [{object_info[id]["category"] for id in some} for some in (NODES, MORE_NODES)]
    assert [len(each) for each in places] == [1, len({about["era"] for about in MORE_NODES.values()})]
    last = set().union(*places)
    assert sorted(own)[-len(last) :] == sorted(last) and all(place.startswith("image prompt/z ") for place in last)
    assert not any(object_info[id].get("deprecated") for id in NODES)


def test_every_value_that_a_node_requires_has_a_default(object_info):
    """Programs leave out what they do not know."""
    for id in (*NODES, *MORE_NODES):
        for name, (kind, *rest) in object_info[id]["input"].get("required", {}).items():
            if is_widget(kind):
                assert isinstance(kind, list) or "default" in rest[0], (id, name)


def test_files_are_offered_to_programs_that_look_for_names(object_info):
    assert FILE in inputs(object_info["IPAdapterModelLoader"])["ipadapter_file"][0]
    assert EMBEDS_FILE in inputs(object_info["IPAdapterLoadEmbeds"])["embeds"][0]
