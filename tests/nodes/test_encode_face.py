"""Encode Face Prompt gives what the adapters for faces read, of the faces that were chosen."""

import gc
import json
import logging
import weakref

import face_tools
import numpy as np
import pytest
import tiny
import torch
import torch.nn.functional as F
from face_tools import Analysis, face, pictures, two
from timm.models.eva import Eva

from image_prompt.clip_vision import load_encoder
from image_prompt.demo import face_packs
from image_prompt.faces import FaceAnalyser, align, crop_box, draw_faces, draw_key_points
from image_prompt.nodes.applying.apply import ApplyImagePrompt
from image_prompt.nodes.encoding.encode import EncodeImagePrompt
from image_prompt.nodes.encoding.encoder import ImageEncoder
from image_prompt.nodes.encoding.faces import face_finder
from image_prompt.nodes.encoding.faces.encode_face import EncodeFacePrompt

SIZES = (640, 576, 512, 448, 384, 320, 256)


def encode(analysis, image, **options):
    return EncodeFacePrompt.execute(analysis, image, **options).args


def features(analysis, image, **options):
    return encode(analysis, image, **options)[0]


def eight_bits(image):
    return (image * 255).round().to(torch.uint8).numpy()


def unit(embedding):
    return embedding / np.linalg.norm(embedding)


def test_the_identity_is_that_of_the_networks(tmp_path):
    analyser = FaceAnalyser.load(face_packs.write_pack(tmp_path))
    picture = face_packs.picture((120, 130, face_packs.RED), (400, 380, face_packs.GREEN))
    found = features(analyser, torch.from_numpy(picture)[None].float() / 255)
    largest = max(analyser.find(picture), key=lambda each: each.box[2] - each.box[0])
    torch.testing.assert_close(found.face_embeds_raw, torch.from_numpy(largest.embedding)[None], rtol=0, atol=0)
    torch.testing.assert_close(found.face_embeds, torch.from_numpy(largest.normed)[None], rtol=0, atol=1e-7)
    assert found.face_embeds.shape == (1, 512) and found.face_embeds.dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({}, [1]),
        ({"choose": "by index", "index": 0}, [0]),
        ({"choose": "by index", "index": 1}, [1]),
        ({"choose": "all"}, [0, 1]),
    ],
)
def test_faces_are_chosen_in_every_picture(options, chosen):
    analysis = two()
    found = features(analysis, pictures(2), **options)
    expected = np.stack([analysis.faces[number].embedding for number in chosen * 2])
    assert torch.equal(found.face_embeds_raw, torch.from_numpy(expected))


def test_from_left_to_right_is_by_place():
    analysis = Analysis(*reversed(two().faces))
    found = features(analysis, pictures(), choose="left to right")
    assert torch.equal(found.face_embeds_raw, torch.from_numpy(np.stack([face.embedding for face in two().faces])))


def test_the_pictures_show_what_was_taken():
    analysis, image = two(), pictures(2)
    _, found, faces, key_points = encode(analysis, image, choose="all")
    ours = face_finder.as_finder(analysis).find(eight_bits(image)[0], SIZES)
    for number, picture in enumerate(eight_bits(image)):
        assert np.array_equal(eight_bits(found)[number], draw_faces(picture, ours))
        assert np.array_equal(eight_bits(key_points)[number], draw_key_points(ours, 160, 112))
        for at, each in enumerate(ours):
            assert np.array_equal(eight_bits(faces)[2 * number + at], align(picture, each.points, 224))
    assert found.shape == key_points.shape == image.shape and faces.shape == (4, 224, 224, 3)
    only = encode(analysis, image)[1]
    assert np.array_equal(eight_bits(only)[0], draw_faces(eight_bits(image)[0], ours[1:]))


def test_the_look_is_what_the_encoder_makes_of_the_aligned_face(encoder):
    found, _, faces, _ = encode(two(), pictures(2), clip_vision=encoder)
    expected = EncodeImagePrompt.execute(encoder, faces).args[0]
    assert torch.equal(found.face_penultimate, expected.penultimate_hidden_states)
    assert torch.equal(found.negative_penultimate, expected.negative_penultimate)
    assert found.encoder == encoder.name and not hasattr(found, "face_box_penultimate")


def test_kolors_reads_the_square_around_the_box():
    encoder, image = tiny.encoder(), pictures()
    encoder.name = "CLIP ViT-L/14-336"
    found = features(two(), image, clip_vision=encoder)
    cut = crop_box(eight_bits(image)[0], two().faces[1].bbox, encoder.image_size)
    expected = EncodeImagePrompt.execute(encoder, torch.tensor(cut)[None].float() / 255).args[0]
    assert torch.equal(found.face_box_penultimate, expected.penultimate_hidden_states)


class TimmEncoder:
    """EVA02-CLIP, 32 wide and 21 deep, in timm and as ours."""

    def __init__(self):
        torch.manual_seed(0)
        sizes = {"img_size": 56, "patch_size": 14, "embed_dim": 32, "depth": 21, "num_heads": 4, "num_classes": 24}
        kind = {"qkv_fused": False, "swiglu_mlp": True, "scale_mlp": True, "scale_attn_inner": True}
        turns = {"use_rot_pos_emb": True, "ref_feat_shape": (16, 16), "global_pool": "token", "mlp_ratio": 4 * 2 / 3}
        self.timm = Eva(**sizes, **kind, **turns).eval()
        about = {"heads": 4, "image_size": 56, "name": "EVA02-CLIP-L-336"}
        module = load_encoder(self.timm.state_dict(), metadata={"vision_config": json.dumps(about)})
        self.ours = ImageEncoder(module, torch.device("cpu"))

    def states(self, pixel_values):
        """The embedding, and what blocks 4, 8, 12, 16 and 20 give, counted from 1."""
        found = []
        hooks = [
            self.timm.blocks[number - 1].register_forward_hook(lambda block, args, out: found.append(out))
            for number in (4, 8, 12, 16, 20)
        ]
        embeds = self.timm(pixel_values)
        for hook in hooks:
            hook.remove()
        return embeds, torch.cat(found, dim=1)


@pytest.mark.parametrize("masked", [True, False])
def test_pulid_reads_the_face_in_grey_on_white(masked):
    """As `get_id_embedding` of ToTheBeginning/PuLID does it, with a mask in place of its face parser."""
    twins, image = TimmEncoder(), pictures()
    mask = torch.zeros(1, 112, 160)
    mask[:, 30:90, 100:150] = 1.0
    found = features(two(), image, clip_vision=twins.ours, mask=mask if masked else None)

    large = two().faces[1]
    cut = torch.from_numpy(align(eight_bits(image)[0], large.kps, 512, "ffhq")).float()[None].movedim(-1, 1) / 255
    grey = (0.299 * cut[:, 0:1] + 0.587 * cut[:, 1:2] + 0.114 * cut[:, 2:3]).repeat(1, 3, 1, 1)
    if masked:
        person = align((mask[0, ..., None].expand(-1, -1, 3) * 255).byte().numpy(), large.kps, 512, "ffhq")
        outside = align(np.zeros((112, 160, 3), np.uint8), large.kps, 512, "ffhq") > 20  # of the picture
        grey[torch.from_numpy((person < 128) | outside)[None].movedim(-1, 1)] = 1.0
    pixels = F.interpolate(grey, (56, 56), mode="bicubic", antialias=True)
    mean, std = torch.tensor(twins.ours.image_mean), torch.tensor(twins.ours.image_std)
    embeds, hidden = twins.states((pixels - mean[:, None, None]) / std[:, None, None])
    torch.testing.assert_close(found.face_eva_embeds, embeds / embeds.norm(dim=-1, keepdim=True), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.face_eva_hidden, hidden, rtol=1e-4, atol=1e-4)
    assert not hasattr(found, "face_penultimate")


def test_a_mask_that_leaves_nothing_of_a_face_is_refused():
    with pytest.raises(ValueError, match=r"leaves nothing of the face at .*it is white where the person is, so invert"):
        features(two(), pictures(), clip_vision=TimmEncoder().ours, mask=torch.zeros(1, 112, 160))


def test_without_a_mask_it_is_said_that_the_background_is_kept(caplog):
    encoder = TimmEncoder().ours
    with caplog.at_level(logging.INFO):
        features(two(), pictures(), clip_vision=encoder, mask=torch.ones(1, 112, 160))
        assert "background" not in caplog.text
        features(two(), pictures(), clip_vision=encoder)
    assert "no mask: the background was kept" in caplog.text


def test_of_several_faces_the_largest_is_taken_and_it_is_said(caplog):
    with caplog.at_level(logging.INFO):
        features(two(), pictures(2), choose="all")
        assert "several" not in caplog.text
        features(two(), pictures(2))
    assert "several faces were found (2 in picture 1, 2 in picture 2): the largest was taken" in caplog.text


def test_an_average_is_one_identity(encoder):
    each = features(two(), pictures(2), clip_vision=encoder, choose="all")
    one = features(two(), pictures(2), clip_vision=encoder, choose="all", combine="average")
    for name in ("face_embeds_raw", "face_penultimate"):
        assert torch.equal(getattr(one, name), getattr(each, name).mean(0, keepdim=True))
    mean = each.face_embeds.mean(0)
    torch.testing.assert_close(one.face_embeds[0], mean / mean.norm(), rtol=0, atol=1e-6)
    assert len(each.face_embeds) == 4 and len(one.image_sizes) == 1


def test_an_object_of_another_pack_is_asked_as_insightface_is_and_left_as_it_was():
    analysis, image = Analysis(face(), seen_at=512), pictures()
    features(analysis, image)
    assert [size for size, _ in analysis.asked] == [(640, 640), (576, 576), (512, 512)]
    assert np.array_equal(analysis.asked[0][1], eight_bits(image)[0][..., ::-1])
    assert analysis.det_model.input_size == (96, 96)


def test_a_detector_that_looks_in_several_squares_looks_in_the_one_that_is_meant():
    """Version 2.1 of insightface has a list of squares, beside which it does not read `input_size`."""
    analysis, seen = Analysis(face(), seen_at=512), []
    analysis.det_model.input_sizes = [(128, 128), (640, 640)]
    get = analysis.get
    analysis.get = lambda picture: seen.append(analysis.det_model.input_sizes) or get(picture)
    features(analysis, pictures())
    assert seen == [[(640, 640)], [(576, 576)], [(512, 512)]]
    assert analysis.det_model.input_sizes == [(128, 128), (640, 640)]


def test_a_picture_is_looked_through_once():
    analysis, other, image = two(), two(), pictures(2)
    features(analysis, image)
    features(analysis, image[1:], choose="all")
    assert len(analysis.asked) == 2
    features(other, image[1:])
    features(analysis, pictures(1, seed=3))
    assert (len(analysis.asked), len(other.asked)) == (3, 1)


def test_only_so_many_pictures_are_remembered(monkeypatch):
    monkeypatch.setattr(face_finder, "KEPT", 2)
    analysis, image = two(), pictures(3)
    features(analysis, image)
    assert len(face_finder._known[analysis]) == 2
    features(analysis, image[1:])
    assert len(analysis.asked) == 3
    features(analysis, image[:1])
    assert len(analysis.asked) == 4


def test_faces_are_forgotten_with_the_analyser_that_found_them():
    analysis = two()
    features(analysis, pictures(1))
    known = weakref.ref(face_finder._known[analysis])
    del analysis
    gc.collect()
    assert known() is None


@pytest.mark.parametrize("kind", ["faceid", "faceid-plus"])
def test_for_an_adapter_only_what_it_reads_is_made_and_it_acts(model, encoder, kind):
    adapter = face_tools.adapter(model, kind)
    wanted = {"faceid": {"face_embeds"}, "faceid-plus": {"face_embeds", "face_penultimate"}}[kind]
    found = features(two(), pictures(), adapter=adapter, clip_vision=encoder if kind == "faceid-plus" else None)
    assert {name for name in vars(found) if name.startswith("face_")} == wanted
    assert found.kept_for == adapter.name and found.patcher is None
    every = features(two(), pictures(), clip_vision=encoder)
    first, second = (ApplyImagePrompt.execute(model, adapter, each).args[0] for each in (found, every))
    assert torch.equal(tiny.sample(first, "SD1.5"), tiny.sample(second, "SD1.5"))
    assert not torch.equal(tiny.sample(first, "SD1.5"), tiny.sample(model, "SD1.5"))


@pytest.mark.parametrize(
    ("part", "value"), [("embedding", None), ("embedding", np.ones(256, np.float32)), ("kps", None), ("bbox", None)]
)
def test_a_face_of_another_pack_without_what_is_read_is_refused(part, value):
    odd = face()
    setattr(odd, part, value)
    with pytest.raises(ValueError, match=f"The insightface that is connected gives no {part} of the shape"):
        encode(Analysis(odd), pictures())


def test_the_size_of_pictures_is_that_which_the_encoder_reads(encoder):
    found = features(two(), pictures(2), clip_vision=encoder)
    assert found.image_sizes == [(3, encoder.image_size, encoder.image_size)] * 2


@pytest.mark.parametrize("kind", ["faceid", "instantid"])
def test_the_published_pack_of_other_adapters_is_refused(tmp_path, kind):
    """Both packs give vectors of one size, so nothing else would tell that somebody else is in the picture."""
    adapter = face_tools.adapter(tiny.unet("SDXL"), kind)
    read, other = {"faceid": ("buffalo_l", "antelopev2"), "instantid": ("antelopev2", "buffalo_l")}[kind]
    image = torch.from_numpy(face_packs.picture((300, 320, face_packs.GREEN)))[None].float() / 255
    for name in (read, "mine"):
        assert features(load_pack(tmp_path, read, name), image, adapter=adapter).kept_for == adapter.name
    with pytest.raises(ValueError, match=rf" reads the embeddings of {read}, .* is {other}, .*: choose {read} in Load"):
        features(load_pack(tmp_path, other, other), image, adapter=adapter)


def load_pack(folder, files, name):
    return FaceAnalyser.load(face_packs.write_pack(folder, files), name=name)
