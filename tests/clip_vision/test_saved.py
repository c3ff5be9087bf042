"""Saved features come back to the bit, old embeds are read as data, and what is neither is refused by name."""

import base64
import hashlib
import io
import json
import os
import pickle
import struct
from dataclasses import replace

import numpy as np
import pytest
import safetensors
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from image_prompt.clip_vision import VisionFeatures, load_features, save_features
from image_prompt.clip_vision.saving.saved import FORMAT
from image_prompt.clip_vision.saving.saved_checks import by_name
from image_prompt.tensor_files.whole_files import NameTaken

G = torch.Generator().manual_seed(5)
PICTURE = (torch.rand(90, 200, 3, generator=G) * 255).to(torch.uint8).numpy()


def rand(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=G)


@pytest.fixture
def features() -> VisionFeatures:
    """All that an encoder can give for three pictures."""
    wide = {name: rand(3, 5, 8) for name in ("patches", "projected_patches", "last")}
    narrow = {name: rand(3, 6) for name in ("image_embeds", "cls", "pooled")}
    halves = {0: rand(3, 5, 8).half(), -2: rand(3, 5, 8).bfloat16()}
    return VisionFeatures(**wide, **narrow, penultimate=rand(3, 5, 8), hidden=halves, encoder="CLIP ViT-H/14")


def same(found: VisionFeatures, expected: VisionFeatures) -> None:
    assert found.encoder == expected.encoder
    assert by_name(found).keys() == by_name(expected).keys()
    for name, tensor in by_name(expected).items():
        assert by_name(found)[name].dtype == tensor.dtype and torch.equal(by_name(found)[name], tensor), name


def test_what_is_saved_comes_back_to_the_bit(tmp_path, features):
    path = tmp_path / "cat.safetensors"
    empty = VisionFeatures(penultimate=rand(1, 5, 8), encoder=features.encoder)
    written = save_features(
        path, features, empty=empty, kept_for="a.safetensors", pixel_shape=(3, 32, 32), image=PICTURE
    )
    found = load_features(path)
    same(found.features, features)
    same(found.empty, empty)
    assert (found.kept_for, found.pixel_shape, found.negative) == ("a.safetensors", (3, 32, 32), None)
    assert (found.thumbnail, found.sources) == (written.thumbnail, written.sources)


def test_features_of_faces_and_texts_are_of_the_second_version(tmp_path, features):
    """Programs that know the first one alone say that they are too old, instead of calling the file damaged."""
    others = {"face_embeds": rand(3, 512), "face_eva_hidden": rand(3, 10, 8), "instruction": rand(3, 7, 6)}
    empty = VisionFeatures(others={"instruction": rand(1, 7, 6)}, encoder=features.encoder)
    save_features(tmp_path / "face.safetensors", replace(features, others=others), empty=empty)
    found = load_features(tmp_path / "face.safetensors")
    same(found.features, replace(features, others=others))
    same(found.empty, empty)
    assert torch.equal(found.features[1:].others["face_embeds"], others["face_embeds"][1:]) and len(found.empty) == 1
    with safetensors.safe_open(tmp_path / "face.safetensors", "pt") as file:
        assert file.metadata()[FORMAT] == "2"


def test_features_of_characters_are_of_the_third_version(tmp_path):
    others = {"character_shallow": rand(2, 6, 8), "character_deep": rand(2, 2, 8), "character_pieces": rand(2, 8, 8)}
    features = VisionFeatures(others=others, encoder="SigLIP and DINOv2")
    save_features(tmp_path / "character.safetensors", features)
    same(load_features(tmp_path / "character.safetensors").features, features)
    with safetensors.safe_open(tmp_path / "character.safetensors", "pt") as file:
        assert file.metadata()[FORMAT] == "3"


def test_other_programs_read_what_is_saved(tmp_path, features):
    path = tmp_path / "cat.safetensors"
    save_features(path, features, image=[PICTURE, PICTURE[:9, :7]])
    assert torch.equal(load_file(path)["penultimate"], features.penultimate)
    with safetensors.safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert (metadata[FORMAT], metadata["encoder"]) == ("1", "CLIP ViT-H/14")
    assert json.loads(metadata["widths"])["image_embeds"] == 6
    assert json.loads(metadata["sources"]) == [
        hashlib.sha256(Image.fromarray(np.ascontiguousarray(picture)).tobytes()).hexdigest()
        for picture in (PICTURE, PICTURE[:9, :7])
    ]
    thumbnail = Image.open(io.BytesIO(base64.b64decode(metadata["thumbnail"])))
    assert (thumbnail.format, thumbnail.size) == ("PNG", (128, 58))
    expected = Image.fromarray(PICTURE).resize((128, 58), Image.Resampling.BICUBIC)
    assert np.abs(np.asarray(thumbnail, int) - np.asarray(expected, int)).max() <= 1
    shown = load_features(path).picture()
    assert torch.equal((shown[0] * 255).round(), torch.from_numpy(np.array(thumbnail)).float())


def test_a_small_picture_is_its_own_thumbnail(tmp_path, features):
    saved = save_features(tmp_path / "a.safetensors", features, image=PICTURE[:9, :7])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(saved.thumbnail))), PICTURE[:9, :7])


def test_nothing_is_overwritten(tmp_path, features):
    path = tmp_path / "cat.safetensors"
    path.write_text("mine")
    with pytest.raises(NameTaken, match=r"There is a file cat\.safetensors already, and nothing is overwritten"):
        save_features(path, features)
    assert path.read_text() == "mine"


E = torch.ones(2, 6)
UNSAVED = {
    "nothing": (VisionFeatures(), "The features hold nothing: give what clip_vision.encode returns"),
    "tensor": (E, "The features are a Tensor: give what clip_vision.encode returns"),
    "NaN": (VisionFeatures(image_embeds=E / 0 * 0), "The image_embeds hold NaN or infinity: encode the picture again"),
    "infinity": (VisionFeatures(hidden={3: E[None] / 0}), r"The hidden\.3 hold NaN or infinity"),
    "rank": (VisionFeatures(penultimate=E), r"The penultimate have the shape \(2, 6\): expected are 3 dimensions"),
    "no picture": (VisionFeatures(image_embeds=E[:0]), r"The image_embeds have the shape \(0, 6\)"),
    "dtype": (VisionFeatures(image_embeds=E.long()), "of the dtype torch.int64: expected are floats of 16 bits"),
    "rows": (VisionFeatures(image_embeds=E, last=E[None]), "different numbers of pictures, 2 of image_embeds, 1 of l"),
}


@pytest.mark.parametrize("name", UNSAVED)
def test_what_are_no_features_is_not_saved(tmp_path, name):
    features, words = UNSAVED[name]
    with pytest.raises(ValueError, match=words):
        save_features(tmp_path / "cat.safetensors", features)
    assert os.listdir(tmp_path) == []


def test_the_name_has_to_end_as_others_expect_it(tmp_path, features):
    with pytest.raises(ValueError, match=r"cat\.ipadpt is the name for features: give one that ends in \.safetensors"):
        save_features(tmp_path / "cat.ipadpt", features)


# IPAdapter Plus

OLD = {  # shape of the tensor -> shape of the features, of the negative, which field
    (3, 6): ((3, 6), None, "image_embeds"),
    (1, 257, 8): ((1, 257, 8), None, "penultimate"),
    (2, 257, 8): ((2, 257, 8), None, "penultimate"),
    (2, 577, 8): ((2, 577, 8), None, "penultimate"),
    (3, 9, 8): ((3, 9, 8), None, "penultimate"),
    (2, 3, 6): ((3, 6), (3, 6), "image_embeds"),  # version 1: the features and their negative
    (2, 3, 257, 8): ((3, 257, 8), (3, 257, 8), "penultimate"),
}


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("shape", OLD)
def test_an_old_file_is_read(tmp_path, shape, archive):
    tensor, (expected, negative, field) = rand(*shape), OLD[shape]
    torch.save(tensor, tmp_path / "old.ipadpt", _use_new_zipfile_serialization=archive)
    found = load_features(tmp_path / "old.ipadpt")
    assert found.features.names() == [field] and found.features.encoder == ""
    assert torch.equal(found.features.select(field), tensor if negative is None else tensor[0])
    assert found.features.select(field).shape == expected
    if negative is None:
        assert found.negative is None
    else:
        assert torch.equal(found.negative.select(field), tensor[1])


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("bombed",)


def torch_file(value):
    return lambda path: torch.save(value, path)


NO_OLD = {
    "code": (lambda path: path.write_bytes(pickle.dumps(Bomb(), 2)), r"more than tensors.*It asks for \w+\.mkdir"),
    "code in an archive": (torch_file([torch.zeros(1, 6), Bomb()]), r"more than tensors.*It asks for \w+\.mkdir"),
    "module": (torch_file(torch.nn.Linear(2, 2)), r"more than tensors.*torch\.nn\.modules\.linear\.Linear"),
    "pair": (torch_file((torch.zeros(1, 6), torch.zeros(1, 6))), "holds a tuple, not a table of tensors"),
    "table": (torch_file({"image_proj": {"a": torch.zeros(1)}}), r"It holds image_proj\.a, and does not say that"),
    "number": (torch_file(torch.tensor(3.0)), r"The features have the shape \(\): expected are 2 or 3 or 4 dimens"),
    "whole numbers": (torch_file(torch.zeros(1, 6, dtype=torch.int8)), "of the dtype torch.int8: expected are floats"),
    "NaN": (torch_file(torch.full((1, 6), float("nan"))), "The image_embeds hold NaN or infinity"),
    "three of them": (torch_file(torch.zeros(3, 1, 257, 8)), r"\(3, 1, 257, 8\): the first of four has to be 2"),
    "more than its bytes": (torch_file(torch.zeros(1, 1).expand(1 << 20, 1 << 20)), r"only [\d,]+ bytes are here"),
    "page": (lambda path: path.write_text("<html>"), "is a web page, not a model"),
    "nothing": (lambda path: path.write_bytes(b""), "is empty"),
}


@pytest.mark.parametrize("name", NO_OLD)
def test_a_file_that_holds_more_than_one_tensor_is_refused_by_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    make, words = NO_OLD[name]
    make(tmp_path / "old.ipadpt")
    with pytest.raises(ValueError, match=rf"^old\.ipadpt.*{words}"):
        load_features(tmp_path / "old.ipadpt")
    assert os.listdir(tmp_path) == ["old.ipadpt"]


# files from strangers


def changed(**metadata: str | None):
    """A saved file with other metadata; None takes one away."""

    def make(path, tensors, given):
        merged = {key: text for key, text in {**given, **metadata}.items() if text is not None}
        save_file(tensors, path, merged)

    return make


def holding(**tensors: torch.Tensor):
    return lambda path, given, metadata: save_file({**given, **tensors}, path, metadata)


def png(width: int, height: int) -> str:
    head = struct.pack(">8sI4sII", b"\x89PNG\r\n\x1a\n", 13, b"IHDR", width, height)
    return base64.b64encode(head).decode()


def huge(path, *_):
    path.write_bytes((1 << 30).to_bytes(8, "little") + b"{" + b" " * 1000)


def cut(path, tensors, metadata):
    save_file(tensors, path, metadata)
    path.write_bytes(path.read_bytes()[:-4])


STRANGE = {
    "no features": (changed(**{FORMAT: None}), "It holds .*, and does not say that they are features. Expected are"),
    "newer": (changed(**{FORMAT: "4"}), "saved in version 4 of the format, and this is version 3: update Image Prompt"),
    "other widths": (changed(widths='{"image_embeds": 7}'), "Its widths are not those of its features"),
    "no widths": (changed(widths=None), "Its widths are not those of its features"),
    "widths are no JSON": (changed(widths="{"), "Its widths is not as it is written here"),
    "deep JSON": (changed(sources="[" * 100_000), "Its sources is not as it is written here"),
    "no digest": (changed(sources='["x"]'), "Its sources is not as it is written here"),
    "a number for digests": (changed(sources="3"), "Its sources is not as it is written here"),
    "no shape": (changed(pixel_shape="[3, -1]"), "Its pixel_shape is not as it is written here"),
    "no base64": (changed(thumbnail="?"), "Its thumbnail is not as it is written here"),
    "no PNG": (changed(thumbnail=base64.b64encode(b"GIF89a" * 9).decode()), "Its thumbnail is not as it is written"),
    "large PNG": (changed(thumbnail=png(30_000, 30_000)), "Its thumbnail is not as it is written here"),
    "another tensor": (holding(weight=torch.zeros(2)), "It holds weight beside features: it is damaged"),
    "another empty": (holding(**{"empty.b": torch.zeros(2)}), r"It holds empty\.b beside features"),
    "rank": (holding(image_embeds=torch.zeros(3, 2, 6)), r"The image_embeds have the shape \(3, 2, 6\)"),
    "dtype": (holding(image_embeds=torch.zeros(3, 6).byte()), r"of the dtype torch\.uint8"),
    "NaN": (holding(image_embeds=torch.full((3, 6), torch.nan)), "The image_embeds hold NaN or infinity"),
    "NaN in empty": (holding(**{"empty.cls": torch.full((1, 6), torch.nan)}), "The cls hold NaN or infinity"),
    "rows": (holding(image_embeds=torch.zeros(2, 6)), "different numbers of pictures"),
    "huge header": (huge, "its header is 1,073,741,824 bytes long"),
    "cut": (cut, "is cut short"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_file_from_a_stranger_is_refused_with_its_reason(tmp_path, features, name):
    make, words = STRANGE[name]
    save_features(tmp_path / "good.safetensors", features, image=PICTURE, pixel_shape=(3, 8, 8))
    with safetensors.safe_open(tmp_path / "good.safetensors", "pt") as file:
        tensors, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()
    make(tmp_path / "cat.safetensors", tensors, metadata)
    with pytest.raises(ValueError, match=rf"^mine/cat\.safetensors: .*{words}|^cat\.safetensors .*{words}"):
        load_features(tmp_path / "cat.safetensors", name="mine/cat.safetensors")


def test_a_thumbnail_that_is_damaged_is_refused_when_it_is_shown(tmp_path, features):
    path = tmp_path / "cat.safetensors"
    widths = json.dumps({name: tensor.shape[-1] for name, tensor in by_name(features).items()})
    save_file(by_name(features), path, {FORMAT: "1", "widths": widths, "thumbnail": png(8, 8)})
    with pytest.raises(ValueError, match="The PNG could not be read"):
        load_features(path).picture()


def test_a_file_that_is_not_there_is_told():
    with pytest.raises(ValueError, match=r"^There is no file cat\.safetensors: give the path"):
        load_features("cat.safetensors")
