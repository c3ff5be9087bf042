"""Faces are found, chosen, cut out and combined as IPAdapter_plus does it, and act as its formulas say.

Crops are compared with those of insightface. Letters: N pictures.
"""

from functools import cache

import numpy as np
import pytest
import tiny
import torch
from comfy.model_patcher import ModelPatcher

from image_prompt.devtools import published
from image_prompt.faces import align
from image_prompt.nodes.compat.middle import IPAdapterMiddleBlock
from image_prompt.nodes.compat.node import node_class
from image_prompt.nodes.compat.table import NODES
from image_prompt.nodes.encoding.features import ImageFeatures
from image_prompt.nodes.loading.adapter import AdapterOptions
from image_prompt.nodes.loading.wires import as_adapter

from . import formulas
from .calls import Prompt
from .face_world import FAMILIES, FaceWorld, Finder
from .formulas import combined, held, plan

CLASSES = {row.id: node_class(row, "test") for row in NODES}


@cache
def world(base="SD1.5", kind="plus"):
    return FaceWorld(base, kind)


def eight_bits(*shape, seed):
    """Pictures whose values are between those of 8 bits, so that it matters whether they are rounded."""
    values = torch.randint(1, 255, shape, generator=torch.Generator().manual_seed(seed))
    return (values + 0.7) / 255.0


PICTURES = eight_bits(3, 200, 190, 3, seed=1)
NEGATIVES = eight_bits(2, 224, 224, 3, seed=2)


def applied(world, id="IPAdapterFaceID", flags=(), **inputs):
    given = {"model": world.model, "ipadapter": {**world.wire, **dict.fromkeys(flags, True)}, **inputs}
    given = {"clip_vision": world.encoder, "insightface": Finder(), **given}
    node = CLASSES[id]()
    return getattr(node, node.FUNCTION)(**given)


V2 = ("faceidplusv2",)
BASES = pytest.mark.parametrize("base", ["SD1.5", "SDXL"])


@BASES
@pytest.mark.parametrize(("flags", "family", "given"), [((), "faceid-plus", 1.7), (V2, "faceid-plus-v2", 1.4)])
def test_faceid_plus(base, flags, family, given):
    here, image = world(base), PICTURES[:1]
    model, crops = applied(here, flags=flags, image=image, weight=0.8, weight_faceidv2=given)
    expected = here.crops(image)
    assert crops.shape == expected.shape and (crops - expected).abs().max() <= 8 / 255
    hidden, black = here.features(crops), here.features(formulas.black())
    tokens = here.face_tokens(family, here.identities(image), hidden, given)
    nobody = here.face_tokens(family, torch.zeros(1, 512), black, given)
    here.check(here.calls(model), Prompt(plan("linear", base, 0.8), tokens.unsqueeze(0), nobody.unsqueeze(0)))


def test_the_look_of_a_face_counts_twice_the_weight_where_nothing_is_said_and_not_at_all_with_false():
    here, image = world(), PICTURES[:1]
    hidden, black, identity = here.features(here.crops(image)), here.features(formulas.black()), here.identities(image)
    for inputs, factor in (({"weight_faceidv2": None}, 1.2), ({"weight_faceidv2": False}, 0.0), ({}, 1.2)):
        model, crops = applied(here, "IPAdapterAdvanced", V2, image=image, weight=0.6, **inputs)
        hidden = here.features(crops)
        tokens = here.face_tokens("faceid-plus-v2", identity, hidden, factor)
        nobody = here.face_tokens("faceid-plus-v2", torch.zeros(1, 512), black, factor)
        prompt = Prompt(plan("linear", "SD1.5", 0.6), tokens.unsqueeze(0), nobody.unsqueeze(0))
        here.check(here.calls(model), prompt, case=inputs)


@pytest.mark.parametrize(
    ("kind", "flags", "raw", "base"),
    [
        ("faceid", (), False, "SDXL"),
        ("portrait", (), False, "SD1.5"),
        ("unnorm", ("portraitunnorm",), True, "SDXL"),
    ],
)
def test_adapters_that_read_only_the_identity_need_no_encoder(kind, flags, raw, base):
    here = world(base, kind)
    given = {"image": PICTURES, "image_negative": NEGATIVES, "clip_vision": None, "weight": 0.8}
    model, crops = applied(here, flags=flags, **given)
    assert len(crops) == 3
    tokens = here.face_tokens(FAMILIES[kind], here.identities(PICTURES, raw), None)
    nobody = here.face_tokens(FAMILIES[kind], torch.zeros(3, 512), None)
    here.check(here.calls(model), Prompt(plan("linear", base, 0.8), tokens.unsqueeze(0), nobody.unsqueeze(0)))


@pytest.mark.parametrize("method", ["concat", "average", "norm average", "subtract", "add"])
def test_faces_are_combined_as_features_are(method):
    here = world()
    model, crops = applied(here, image=PICTURES, combine_embeds=method, image_negative=NEGATIVES, weight=0.8)
    identity, hidden = (combined(each, method) for each in (here.identities(PICTURES), here.features(crops)))
    negative = held(here.features(NEGATIVES), 3)[: len(hidden)]
    tokens = here.face_tokens("faceid-plus", identity, hidden)
    nobody = here.face_tokens("faceid-plus", torch.zeros(len(negative), 512), negative)
    here.check(here.calls(model), Prompt(plan("linear", "SD1.5", 0.8), tokens.unsqueeze(0), nobody.unsqueeze(0)))


def test_a_batch_node_takes_a_face_for_each_picture():
    here = world()
    model, crops = applied(here, "IPAAdapterFaceIDBatch", V2, image=PICTURES[:2], weight=0.8, weight_faceidv2=1.0)
    tokens = here.face_tokens("faceid-plus-v2", here.identities(PICTURES[:2]), here.features(crops))
    nobody = here.face_tokens("faceid-plus-v2", torch.zeros(1, 512), here.features(formulas.black()))
    positive = held(tokens, 3).unsqueeze(1)
    prompt = Prompt(plan("linear", "SD1.5", 0.8), positive, nobody.unsqueeze(1).expand_as(positive))
    here.check(here.calls(model, batch=3), prompt)


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("v2", [False, True])
def test_the_node_of_2023_is_told_which_kind_it_has_and_cuts_out_256_pixels(v2, noise):
    here, image, finder = world(), PICTURES[:2], Finder(sees_at=200)
    given = {"image": image, "weight": 0.8, "faceid_v2": v2, "weight_v2": 1.3, "noise": noise, "insightface": finder}
    (model,) = applied(here, "IPAdapterApplyFaceID", () if v2 else V2, **given)
    assert finder.asked[:8] == [640, 576, 512, 448, 384, 320, 256, 192] and len(finder.asked) == 16
    family = "faceid-plus-v2" if v2 else "faceid-plus"
    cut = [align(picture[..., ::-1], face.kps, 256) for picture, face in here.faces(image)]
    crops = torch.from_numpy(np.stack(cut)) / 255.0
    seen = formulas.noisy(formulas.resized(crops.movedim(-1, 1), 224, 224).movedim(1, -1), noise) if noise else None
    tokens = here.face_tokens(family, here.identities(image), here.features(crops), 1.3)
    negative = held(here.features(formulas.black()), 2) if seen is None else here.features(seen)
    nobody = here.face_tokens(family, torch.zeros(2, 512), negative, 1.3)
    prompt = Prompt(plan("linear", "SD1.5", 0.8, middle=True), tokens.unsqueeze(0), nobody.unsqueeze(0), mode="bicubic")
    for each in here.calls(model):
        assert each.out is not None
    here.check(here.calls(model), prompt)


def kolors() -> ModelPatcher:
    """An SDXL model like Kolors, with the projection of its text that other packs keep."""
    model = tiny.unet("SDXL")
    model.model.adm_channels = 5632  # by which Kolors is told from SDXL
    model.model.diffusion_model.encoder_hid_proj = tiny.fill(torch.nn.Linear(4096, 2048), 8)
    return model


def narrow(context: int) -> published.Shapes:
    """The projection of Kolors FaceID plus with a narrow feed-forward, which has 134 million numbers otherwise."""
    shapes = published.identity_perceiver(4096, width=32, tokens=6, depth=1)
    feed = "perceiver_resampler.layers.0.1"
    return shapes | {f"{feed}.1.weight": (64, 4096), f"{feed}.3.weight": (4096, 64)}


def test_kolors_reads_the_normalised_identity_and_an_aligned_crop_of_336_pixels(apply):
    model, image, encoder = kolors(), PICTURES[:1], tiny.encoder(width=32, projection=25, patch=56, size=336)
    raw = published.nested(tiny.file_for(model, narrow))
    (on,) = IPAdapterMiddleBlock.execute(raw).args
    given = {"image": image, "clip_vision": encoder, "insightface": Finder(), "weight": 0.7}
    more = {"weight_faceidv2": 0.6, "weight_kolors": 1.3}
    found, crops = CLASSES["IPAdapterFaceIDKolors"]().apply_ipadapter(model, on, **given, **more)
    expected = world().crops(image, 336)
    assert crops.shape == expected.shape and (crops - expected).abs().max() <= 8 / 255

    def hidden(shown):
        pixels = formulas.pixel_values(shown, size=336)
        want = ("penultimate_hidden_states",)
        return encoder.features(pixels, None, want=want, on_chunk=lambda count: None)[want[0]].float()

    def features(identity, shown):
        looks = {"face_embeds_raw": identity, "face_box_penultimate": hidden(shown)}
        return ImageFeatures(**looks, negative_penultimate=None, encoder="")

    nobody = features(torch.zeros(1, 512), formulas.black(size=336))
    options = AdapterOptions(shortcut=0.6, text_scale=1.3)
    adapter, face = as_adapter(raw).with_options(options), features(world().identities(image), crops)
    ours = apply(model, adapter, face, 0.7, negative=nobody)
    outputs = [tiny.sample(each, "SDXL") for each in (found, ours, model)]
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-4, atol=1e-4)
    assert (outputs[0] - outputs[2]).abs().max() > 0.01


def test_faces_are_looked_for_in_smaller_squares_and_the_finder_is_left_as_it_was():
    finder = Finder(sees_at=330)
    applied(world(), image=PICTURES[:1] * 0.9, insightface=finder)
    assert finder.asked == [640, 576, 512, 448, 384, 320]
    assert finder.det_model.input_size == (320, 320)
    with pytest.raises(ValueError, match="No face was found in pictures 2, 3 of 3 in the image") as refusal:
        applied(world(), image=torch.cat([PICTURES[:1], PICTURES[:2] * 0.8]), insightface=Finder(only=PICTURES[:1]))
    assert "in squares of 640, 576, 512, 448, 384, 320 pixels" in str(refusal.value)


def test_the_face_finder_of_the_pipe_is_used():
    here = world()
    pipe = {"ipadapter": {"file": "", "model": {**here.wire, "faceidplusv2": True}}}
    pipe |= {"clipvision": {"file": "", "model": here.encoder}, "insightface": {"provider": "CPU", "model": Finder()}}
    node = CLASSES["IPAdapter"]()
    model, crops = node.apply_ipadapter(here.model, pipe, PICTURES[:1], weight=0.5, weight_type="standard")
    other, _ = applied(here, flags=V2, image=PICTURES[:1], weight=0.5, weight_faceidv2=1.0)
    assert len(crops) == 1
    for one, two in zip(here.calls(model), here.calls(other), strict=True):
        assert (one.out is None and two.out is None) or torch.equal(one.out, two.out)


def test_what_is_missing_is_said():
    here = world()
    for id in ("IPAdapterFaceID", "IPAdapterAdvanced"):
        with pytest.raises(ValueError, match="reads faces, and nothing that finds them: use IPAdapter Unified Loader"):
            applied(here, id, image=PICTURES[:1], insightface=None)
    with pytest.raises(ValueError, match="insightface is the text 'a word': connect the output of IPAdapter Insight"):
        applied(here, image=PICTURES[:1], insightface="a word")
    embeds = {"pos_embed": torch.rand(1, 17, 32)}
    with pytest.raises(ValueError, match="which EMBEDS do not carry: use a node that is given the picture"):
        node = CLASSES["IPAdapterEmbeds"]()
        node.apply_ipadapter(here.model, here.wire, **embeds, clip_vision=here.encoder)


def test_the_options_of_an_adapter_are_not_changed():
    here = world()
    applied(here, flags=V2, image=PICTURES[:1], weight_faceidv2=3.0)
    assert as_adapter(here.wire).options == AdapterOptions()


def test_adapters_that_read_no_faces_give_none(encoder):
    model = tiny.unet("SD1.5")
    given = {"ipadapter": tiny.adapter(model), "image": torch.rand(1, 20, 20, 3), "clip_vision": encoder}
    assert CLASSES["IPAdapterFaceID"]().apply_ipadapter(model, **given)[1] is None
