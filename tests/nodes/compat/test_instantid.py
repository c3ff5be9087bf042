"""The nodes of InstantID take the largest face, and give its attention and its ControlNet what that pack gives them."""

from functools import cache

import face_tools
import numpy as np
import pytest
import tiny
import torch

from image_prompt.faces import Face, draw_key_points
from image_prompt.ip_adapter import load_adapter
from image_prompt.nodes.compat.middle import IPAdapterMiddleBlock
from image_prompt.nodes.compat.node import node_class
from image_prompt.nodes.compat.other_packs import instantid
from image_prompt.nodes.loading.wires import as_adapter

from .calls import Prompt
from .face_world import FaceWorld, Finder, bytes_of, faces_in
from .formulas import combined, plan

CLASSES = {row.id: node_class(row, "test") for row in instantid.ROWS}
PICTURES = (torch.randint(1, 255, (3, 190, 180, 3), generator=torch.Generator().manual_seed(1)) + 0.7) / 255
POSES = (torch.randint(1, 255, (2, 170, 200, 3), generator=torch.Generator().manual_seed(2)) + 0.7) / 255
MASK = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(3))
PROMPTS = tiny.conditions("SDXL")


@cache
def world():
    return FaceWorld("SDXL", "unnorm")


@cache
def net():
    return load_adapter(world().file, family="instantid").eval()


def largest(image):
    *_, face = faces_in(bytes_of(image))
    return face


def identities(images):
    return torch.from_numpy(np.stack([largest(each).embedding for each in images]))


def noise_like(identity, factor):
    """Uniform noise with a seed from the identity, of ComfyUI's generator of numbers on the CPU."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.sum(identity).item()) % 1000000007)
        return factor * torch.rand_like(identity)


def run(id, **inputs):
    given = {"instantid": world().wire, "insightface": Finder(), "image": PICTURES, "model": world().model}
    given |= {"control_net": face_tools.Control([]), "positive": PROMPTS[0], "negative": PROMPTS[1]}
    given |= {each.name: each.default for each in CLASSES[id].row.inputs if not each.is_socket} | inputs
    names = {each.name for each in CLASSES[id].row.inputs}
    node = CLASSES[id]()
    return getattr(node, node.FUNCTION)(**{name: each for name, each in given.items() if name in names})


def points_in(images):
    drawn = []
    for image in images:
        face = largest(image)
        found = Face(face.bbox, face.det_score, face.kps, face.embedding, 640)
        drawn.append(draw_key_points([found], image.shape[1], image.shape[0]))
    return torch.from_numpy(np.stack(drawn)) / 255.0


def prompt(cond, uncond, weight, middle=False, **more):
    tokens = [net().tokens({"face_embeds_raw": each}).unsqueeze(0) for each in (cond, uncond)]
    return Prompt(plan("linear", "SDXL", weight, middle=middle), *tokens, **more)


@pytest.mark.parametrize("count", [1, 3])
def test_the_simple_node_averages_faces_and_adds_noise_to_what_is_nobody(count):
    here, image = world(), PICTURES[:count]
    model, *_ = run("ApplyInstantID", image=image, weight=0.7, mask=MASK, start_at=0.2, end_at=0.6)
    identity = identities(image).mean(0, keepdim=True)
    expected = prompt(identity, noise_like(identity, 0.35), 0.7, mask=MASK, sigmas=(here.sigma(0.2), here.sigma(0.6)))
    for percent in (0.4, 0.2, 0.6, 0.7):
        here.check(here.calls(model, here.sigma(percent)), expected, case=percent)


@pytest.mark.parametrize("method", ["average", "norm average", "concat"])
def test_the_advanced_node_combines_faces_and_adds_noise_where_asked(method):
    here = world()
    for noise in (0.0, 0.4):
        given = {"ip_weight": 0.9, "noise": noise, "combine_embeds": method}
        model, positive, negative = run("ApplyInstantIDAdvanced", **given)
        identity = combined(identities(PICTURES), method)
        nobody = noise_like(identity, noise) if noise else torch.zeros_like(identity)
        here.check(here.calls(model), prompt(identity, nobody, 0.9), case=noise)
        for conditions, each in ((positive, identity), (negative, nobody)):
            read = conditions[0][1]["cross_attn_controlnet"]
            torch.testing.assert_close(read, net().tokens({"face_embeds_raw": each}), rtol=1e-5, atol=1e-5)


def test_the_control_net_reads_the_face_and_its_points():
    given = {"weight": 0.7, "start_at": 0.1, "end_at": 0.8, "mask": MASK}
    before = face_tools.Control([])
    positive = [*PROMPTS[0], [PROMPTS[0][0][0], {**PROMPTS[0][0][1], "control": before}]]
    _, *pair = run("ApplyInstantID", positive=positive, **given)
    points = points_in(PICTURES[:1]).movedim(-1, 1)
    for conditions in pair:
        for text, values in conditions:
            control = values["control"]
            torch.testing.assert_close(control.cond_hint_original, points)
            assert (control.strength, control.timestep_percent_range) == (0.7, (0.1, 0.8))
            assert values["control_apply_to_uncond"] is False and text is not None
    assert [values["control"].previous_controlnet for _, values in pair[0]] == [None, before]
    assert pair[1][0][1]["control"] is pair[0][0][1]["control"]  # both are run at once
    assert all(torch.equal(values["mask"], MASK) and values["set_area_to_bounds"] is False for _, values in pair[0])
    assert "mask" not in pair[1][0][1] and "control" not in PROMPTS[0][0][1]
    assert run("ApplyInstantIDAdvanced", cn_strength=0.3)[1][0][1]["control"].strength == 0.3


def test_the_points_may_come_from_another_picture(caplog):
    nobody = torch.full_like(POSES, 0.25)
    for given, expected in (
        ({"image_kps": POSES}, points_in(POSES)),
        ({"image_kps": nobody, "insightface": Finder(only=PICTURES)}, nobody),  # it is a picture of points already
        ({"insightface": Finder(only=PICTURES[1:])}, torch.zeros_like(PICTURES)),
    ):
        assert "sees no points" not in caplog.text
        _, positive, _ = run("ApplyInstantID", **given)
        torch.testing.assert_close(positive[0][1]["control"].cond_hint_original, expected.movedim(-1, 1))
    assert "found no face in the first picture, so its ControlNet sees no points: connect image_kps" in caplog.text
    torch.testing.assert_close(run_points(PICTURES), points_in(PICTURES))
    assert torch.equal(run_points(PICTURES, Finder(only=POSES)), torch.zeros_like(PICTURES))


def run_points(image, finder=None):
    return CLASSES["FaceKeypointsPreprocessor"]().preprocess_image(finder or Finder(), image)[0]


def test_both_halves_apart_give_what_the_whole_gives():
    here = world()
    given = {"noise": 0.3, "mask": MASK}
    model, embeds = run("InstantIDAttentionPatch", weight=0.9, **given)
    identity = identities(PICTURES).mean(0, keepdim=True)
    here.check(here.calls(model), prompt(identity, noise_like(identity, 0.3), 0.9, middle=True, mask=MASK))
    halves = run("ApplyInstantIDControlNet", face_embeds=embeds, image_kps=POSES, strength=0.6, mask=MASK)
    _, *whole = run(
        "ApplyInstantIDAdvanced",
        image_kps=points_in(POSES),
        insightface=Finder(only=PICTURES),
        cn_strength=0.6,
        **given,
    )
    for one, other in zip(halves, whole, strict=True):
        values, others = one[0][1], other[0][1]
        assert torch.equal(values["cross_attn_controlnet"], others["cross_attn_controlnet"])
        assert (
            torch.equal(values["control"].cond_hint_original, POSES.movedim(-1, 1))
            and values["control"].strength == 0.6
        )
        assert values.keys() == others.keys()
    assert run("ApplyInstantIDControlNet", face_embeds=embeds, image_kps=POSES, strength=0)[0] is PROMPTS[0]


def test_pictures_without_a_face_are_left_out(caplog):
    here = world()
    model, *_ = run("ApplyInstantID", insightface=Finder(only=PICTURES[1:]), image_kps=PICTURES[1:])
    identity = identities(PICTURES[1:]).mean(0, keepdim=True)
    here.check(here.calls(model), prompt(identity, noise_like(identity, 0.35), 0.8))
    assert "No face was found in picture 1 of 3 in the image" in caplog.text and "640, 576" in caplog.text


def test_the_middle_block_acts_where_asked():
    here = world()
    (on,) = IPAdapterMiddleBlock.execute(here.wire).args
    model, *_ = run("ApplyInstantID", instantid=on)
    identity = identities(PICTURES).mean(0, keepdim=True)
    here.check(here.calls(model), prompt(identity, noise_like(identity, 0.35), 0.8, middle=True))


@pytest.mark.parametrize(
    ("id", "inputs", "words"),
    [
        ("ApplyInstantID", {"instantid": None}, "The instantid is nothing: connect the output of Load InstantID Model"),
        (
            "ApplyInstantID",
            {"insightface": "a word"},
            "The face analysis is the text 'a word': connect the output of InstantID",
        ),
        ("ApplyInstantID", {"insightface": Finder(sees_at=0)}, "No face was found in the image, .* 256, 192 pixels"),
        ("ApplyInstantID", {"image": torch.rand(8, 8, 3)}, "The image is a tensor of shape"),
        ("ApplyInstantID", {"model": "a word"}, "The model is the text 'a word'"),
        ("ApplyInstantID", {"model": tiny.unet("SD1.5")}, "IP-Adapter for SDXL, the model is SD1.5"),
        ("ApplyInstantID", {"control_net": None}, "The control_net is nothing: connect InstantID's"),
        ("ApplyInstantID", {"positive": "a word"}, "The positive is the text 'a word': connect a CONDITIONING"),
        ("ApplyInstantID", {"weight": "a"}, "The weight is the text 'a'"),
        ("ApplyInstantIDAdvanced", {"ip_weight": "a"}, "The ip_weight is the text 'a'"),
        ("ApplyInstantIDAdvanced", {"cn_strength": "a"}, "The cn_strength is the text 'a'"),
        ("ApplyInstantIDAdvanced", {"noise": 2}, "The noise is 2"),
        (
            "ApplyInstantIDAdvanced",
            {"combine_embeds": "add"},
            "combine_embeds is the text 'add': choose one of average",
        ),
        ("InstantIDAttentionPatch", {"mask": "a word"}, "The mask is the text 'a word'"),
        ("ApplyInstantIDControlNet", {"face_embeds": {}, "image_kps": POSES}, "The face_embeds are a dict .*: connect"),
        (
            "ApplyInstantIDControlNet",
            {"face_embeds": dict.fromkeys(("cond", "uncond"), torch.rand(2048)), "image_kps": POSES},
            "The face_embeds are a dict with cond, uncond: connect",
        ),
        (
            "ApplyInstantIDControlNet",
            {"face_embeds": dict.fromkeys(("cond", "uncond"), torch.rand(1, 16, 2048)), "image_kps": POSES[:0]},
            "The image_kps has the shape .*, which holds no picture",
        ),
        ("InstantIDFaceAnalysis", {"provider": "TPU"}, "provider is the text 'TPU': choose one of CPU"),
        ("InstantIDModelLoader", {"instantid_file": "a.bin"}, "a.bin is not in models/instantid"),
    ],
)
def test_bad_input_is_named(id, inputs, words, folders):
    with pytest.raises(ValueError, match=words):
        run(id, **inputs)


def test_an_adapter_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="is of another kind: connect the output of Load InstantID Model"):
        run("ApplyInstantID", instantid=FaceWorld("SDXL", "portrait").wire)


def test_a_file_in_its_folder_is_instantids_whatever_it_is_called(folders):
    (folders / "instantid").mkdir(exist_ok=True)
    torch.save(world().wire, folders / "instantid" / "mine-unnorm.bin")
    (raw,) = CLASSES["InstantIDModelLoader"]().load_model("mine-unnorm.bin")
    assert (
        as_adapter(raw).module.family.id == "instantid"
        and raw["image_proj"].keys() == world().wire["image_proj"].keys()
    )
    assert CLASSES["InstantIDModelLoader"].INPUT_TYPES()["required"]["instantid_file"][0] == ["mine-unnorm.bin"]
