"""Features that were saved act as they did, to the bit, and know their encoder; old embeds are loaded as data."""

import hashlib
import os
from types import SimpleNamespace

import comfy.clip_vision
import folder_paths
import numpy as np
import pytest
import safetensors
import tiny
import torch
from PIL import Image

from image_prompt.clip_vision import VisionFeatures, save_features
from image_prompt.nodes.encoding.encode import CombineImagePrompts, EncodeImagePrompt
from image_prompt.nodes.encoding.encoder import known_features
from image_prompt.nodes.encoding.features import ENCODED, ImageFeatures
from image_prompt.nodes.encoding.saving import saved_features
from image_prompt.nodes.encoding.saving.library import LoadImagePromptFeatures, SaveImagePromptFeatures
from image_prompt.nodes.folders import register_folders
from image_prompt.nodes.loading.files_used import with_files_used


@pytest.fixture(autouse=True)
def library(folders, tmp_path, monkeypatch):
    """Empty folders for features, for input, output and temporary pictures; the first of them."""
    for name in ("input", "output", "temp"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(folder_paths, f"{name}_directory", str(tmp_path / name))
    return folders / "image_prompts"


def save(features, name="cat", image=None):
    return SaveImagePromptFeatures.execute(features, name, image).args[0]


def load(name, clip_vision=None):
    return LoadImagePromptFeatures.execute(name, clip_vision).args[0]


def again(features):
    return load(save(features))


def with_core(encoder, picture):
    """Features of core's own class, without a name and without what an empty picture gives."""
    given, found = encoder.encode_image(picture), comfy.clip_vision.Output()
    for name in (*ENCODED.values(), "image_sizes"):
        found[name] = getattr(given, name)
    return found


@pytest.mark.parametrize("kind", [tiny.adapter, tiny.plus_adapter])
@pytest.mark.parametrize("kept", [False, True])
def test_loaded_features_act_as_the_saved_ones_to_the_bit(model, apply, encoder, pictures, kind, kept):
    adapter = kind(model)
    features = EncodeImagePrompt.execute(encoder, pictures, adapter=adapter if kept else None).args[0]
    loaded = again(features)
    assert torch.equal(*(tiny.sample(apply(model, adapter, each), "SD1.5") for each in (features, loaded)))
    assert not torch.equal(tiny.sample(apply(model, adapter, loaded), "SD1.5"), tiny.sample(model, "SD1.5"))
    assert loaded.kept_for == features.kept_for


def test_all_that_nodes_read_is_saved_also_of_an_empty_picture(encoder, pictures):
    known_features.clear()
    features = EncodeImagePrompt.execute(encoder, pictures).args[0]
    assert callable(vars(features)["negative_penultimate"])  # not made yet
    loaded = again(features)
    for name in (*ENCODED.values(), "negative_penultimate", "negative_image_embeds"):
        assert torch.equal(getattr(loaded, name), getattr(features, name)), name
    assert (loaded.encoder, loaded.image_sizes) == ("tiny CLIP", features.image_sizes)
    assert loaded.patcher is None  # the encoder may leave the memory


def test_features_of_faces_and_of_texts_are_saved_combined_and_kept_apart_from_those_of_core(library):
    shapes = {"face_embeds": (2, 512), "face_penultimate": (2, 5, 32), "instruction": (2, 7, 16)}
    fields = {name: torch.rand(shape) for name, shape in shapes.items()}
    empty = torch.rand(1, 5, 32), torch.rand(1, 7, 16)
    given = ImageFeatures(negative_penultimate=empty[0], negative_instruction=empty[1], encoder="tiny CLIP", **fields)
    loaded = again(given)
    assert all(torch.equal(getattr(loaded, name), tensor) for name, tensor in fields.items())
    assert torch.equal(loaded.negative_penultimate, empty[0]) and torch.equal(loaded.negative_instruction, empty[1])
    average = CombineImagePrompts.execute(method="average", features_1=loaded).args[0]
    assert all(torch.equal(getattr(average, name), tensor.mean(0, keepdim=True)) for name, tensor in fields.items())
    assert torch.equal(average.negative_instruction, empty[1])
    with pytest.raises(AttributeError, match="The features hold no image_embeds"):
        average.image_embeds


def test_core_nodes_find_every_layer_again(encoder, pictures):
    features = encoder.encode_image(pictures)
    features.all_hidden_states = torch.rand(2, 12, 17, 32)  # as encoders of the SigLIP kind give them
    assert torch.equal(again(features).all_hidden_states, features.all_hidden_states)


def test_features_of_cores_encoders_are_saved(model, apply, encoder, pictures):
    features = with_core(encoder, pictures[:1])
    loaded, adapter = again(features), tiny.adapter(model)
    assert loaded.encoder == "" and loaded.negative_penultimate is None
    assert torch.equal(*(tiny.sample(apply(model, adapter, each), "SD1.5") for each in (features, loaded)))


def test_features_of_another_encoder_are_refused_by_name(model, apply, features):
    adapter = tiny.adapter(model, embed=1280)
    features.encoder = "CLIP ViT-H/14"
    with pytest.raises(ValueError, match=r"was made for CLIP ViT-bigG/14, and the features were made by CLIP ViT-H/14"):
        apply(model, adapter, again(features))
    with pytest.raises(ValueError, match=r"different encoders \(CLIP ViT-H/14, tiny CLIP\): encode all with one"):
        other = type(features)(**{**vars(features), "encoder": "tiny CLIP"})
        CombineImagePrompts.execute(features_1=again(features), features_2=other)


# files and names


def test_a_file_says_where_the_features_are_from(library, features, pictures):
    name = save(features, "cats/black cat", pictures[:1])
    assert name == os.path.join("cats", "black cat_00001_.safetensors")
    with safetensors.safe_open(library / name, "pt") as file:
        metadata = file.metadata()
    pixels = (pictures[0].numpy() * 255).round().astype(np.uint8)
    assert metadata["encoder"] == "tiny CLIP"
    assert metadata["sources"] == f'["{hashlib.sha256(pixels.tobytes()).hexdigest()}"]'
    assert metadata["pixel_shape"] == "[3, 32, 32]"


@pytest.mark.parametrize(
    ("fields", "encoder", "said"),
    [
        ({"face_embeds": (2, 512)}, "", "identity of faces\n2 pictures"),
        ({"face_embeds": (1, 512), "face_penultimate": (1, 5, 32)}, "tiny CLIP", "tiny CLIP\n1 picture"),
        ({"image_embeds": (1, 32)}, "", "encoder not known\n1 picture"),
        ({"instruction": (1, 7, 16)}, "", "encoder not known\n1 picture"),
    ],
)
def test_the_loader_says_what_made_the_features(library, fields, encoder, said):
    tensors = {name: torch.rand(shape) for name, shape in fields.items()}
    saved = SaveImagePromptFeatures.execute(ImageFeatures(negative_penultimate=None, encoder=encoder, **tensors))
    assert LoadImagePromptFeatures.execute(saved.args[0]).ui["image_prompt_said"] == [said]


def test_both_nodes_show_the_thumbnail(tmp_path, features, pictures):
    saved = SaveImagePromptFeatures.execute(features, "cat", pictures)
    loaded = LoadImagePromptFeatures.execute(saved.args[0])
    shown = [tmp_path / "temp" / node.ui["images"][0]["filename"] for node in (saved, loaded)]
    first, second = (np.asarray(Image.open(path)) for path in shown)
    assert np.array_equal(first, second) and first.shape == (40, 60, 3)
    assert "images" not in SaveImagePromptFeatures.execute(features).ui


def test_nothing_is_overwritten(library, features, monkeypatch):
    names = [save(features, "cat") for _ in range(2)]
    assert names == ["cat_00001_.safetensors", "cat_00002_.safetensors"]
    before = [(library / name).stat().st_mtime_ns for name in names]
    listed = saved_features.numbered_names

    def late(*given):
        monkeypatch.setattr(saved_features, "numbered_names", listed)
        numbers = listed(*given)
        save(features, "cat")  # another process is faster
        return numbers

    monkeypatch.setattr(saved_features, "numbered_names", late)
    assert save(features, "cat") == "cat_00004_.safetensors"
    assert [(library / name).stat().st_mtime_ns for name in names] == before
    assert len(os.listdir(library)) == 4


def test_a_folder_that_cannot_be_made_is_told(library, features):
    (library / "cats").touch()
    with pytest.raises(ValueError, match=r"^The folder image_prompts.cats could not be made: .*Choose another name"):
        save(features, "cats/black")


def test_it_is_saved_where_the_user_keeps_such_files(library, tmp_path, features, monkeypatch):
    monkeypatch.setattr(folder_paths, "folder_names_and_paths", dict(folder_paths.folder_names_and_paths))
    folder_paths.folder_names_and_paths.pop("image_prompts")
    folder_paths.add_model_folder_path("image_prompts", str(tmp_path / "nas"))  # as extra_model_paths.yaml does
    register_folders()
    name = save(features)
    assert os.listdir(tmp_path / "nas") == [name]
    paths, extensions = folder_paths.folder_names_and_paths["image_prompts"]
    assert paths == [str(tmp_path / "nas"), os.path.join(folder_paths.models_dir, "image_prompts")]
    assert extensions == {".safetensors", ".ipadpt"}
    assert saved_features.listed_names()[:1] == [name]


def test_the_loader_lists_features_and_old_files_wherever_they_were_saved(library, tmp_path, features):
    name = save(features, "cats/black")
    for path in (library / "a.ipadpt", tmp_path / "input" / "b" / "c.ipadpt", tmp_path / "output" / "d_00001.ipadpt"):
        path.parent.mkdir(exist_ok=True)
        torch.save(torch.rand(1, 24), path)
    (tmp_path / "input" / "photo.png").touch()
    (tmp_path / "output" / "no.safetensors").touch()
    (combo, *_) = LoadImagePromptFeatures.define_schema().inputs
    assert combo.options == ["a.ipadpt", name, f"{os.path.join('b', 'c.ipadpt')} [input]", "d_00001.ipadpt [output]"]
    assert all(load(each).image_embeds.shape == (1, 24) for each in combo.options)


@pytest.mark.parametrize("name", ["../out.ipadpt [input]", "photo.png [input]", "out.ipadpt [temp]", "/out.ipadpt"])
def test_no_other_file_can_be_named(tmp_path, name):
    torch.save(torch.rand(1, 24), tmp_path / "out.ipadpt")
    (tmp_path / "input" / "photo.png").touch()
    with pytest.raises(ValueError, match="is not in models/image_prompts, nor an .ipadpt file in input or output"):
        load(name)


def test_the_loader_runs_again_when_its_file_was_replaced(library, features):
    name, other = save(features, "a"), save(features, "b")
    one, every = LoadImagePromptFeatures.fingerprint_inputs(name), LoadImagePromptFeatures.fingerprint_inputs(None)
    os.utime(library / other, ns=(1, 1))
    assert LoadImagePromptFeatures.fingerprint_inputs(name) == one
    assert LoadImagePromptFeatures.fingerprint_inputs(None) != every  # whose name comes over a link
    os.replace(library / other, library / name)
    assert LoadImagePromptFeatures.fingerprint_inputs(name) != one
    assert LoadImagePromptFeatures.fingerprint_inputs("gone.safetensors")


def test_a_picture_says_which_features_made_it(library, features):
    name = save(features)
    graph = {"5": {"class_type": "ImagePromptLoadFeatures", "inputs": {"features_name": name}}}
    carried = with_files_used({"prompt": graph})["extra_data"]["extra_pnginfo"]
    hidden = SimpleNamespace(unique_id="5", extra_pnginfo=carried)
    type("Node", (LoadImagePromptFeatures,), {"hidden": hidden}).execute(name)
    size = (library / name).stat().st_size
    told = {"node": "5", "kind": "features", "folder": "image_prompts", "name": name, "size": size}
    assert carried["image_prompt"]["files"] == [{**told, "encoder": "tiny CLIP"}]


# old files


@pytest.fixture
def old(library):
    def old(tensor):
        torch.save(tensor, library / "old.ipadpt")
        return LoadImagePromptFeatures.execute("old.ipadpt").args

    return old


def test_old_embeds_act_as_the_features_that_they_hold(model, apply, adapter, features, old):
    loaded, negative = old(features.image_embeds)
    assert negative is None and loaded.encoder == ""
    assert torch.equal(*(tiny.sample(apply(model, adapter, each), "SD1.5") for each in (features, loaded)))


def test_of_the_oldest_embeds_the_negative_is_apart(model, apply, features, encoder, pictures, old):
    adapter = tiny.plus_adapter(model)
    other = EncodeImagePrompt.execute(encoder, pictures[1:]).args[0]
    both = torch.stack([each.penultimate_hidden_states for each in (features, other)])
    loaded, negative = old(both)
    pictures = [
        tiny.sample(apply(model, adapter, given, negative=against), "SD1.5")
        for given, against in ((features, other), (loaded, negative), (features, None))
    ]
    assert torch.equal(pictures[0], pictures[1]) and not torch.equal(pictures[0], pictures[2])


def test_the_encoder_makes_what_an_old_file_lacks_of_an_empty_picture(library, model, apply, features, encoder):
    adapter, states = tiny.plus_adapter(model), features.penultimate_hidden_states
    torch.save(torch.cat([states] * 3), library / "old.ipadpt")
    with pytest.raises(ValueError, match="needs the encoder's answer to an empty image"):
        apply(model, adapter, load("old.ipadpt"))
    three = type(features)(**{**vars(features), "penultimate_hidden_states": torch.cat([states] * 3)})
    completed = load("old.ipadpt", encoder)
    assert torch.equal(*(tiny.sample(apply(model, adapter, each), "SD1.5") for each in (three, completed)))


def test_what_a_file_holds_of_an_empty_picture_counts_before_the_encoder(features, encoder):
    features.negative_penultimate = features.negative_penultimate + 1
    loaded = load(save(features), encoder)
    assert torch.equal(loaded.negative_penultimate, features.negative_penultimate)


def test_features_that_nodes_do_not_read_are_refused(library):
    save_features(library / "cls.safetensors", VisionFeatures(cls=torch.rand(1, 8), hidden={3: torch.rand(1, 5, 8)}))
    with pytest.raises(ValueError, match=r"^cls\.safetensors holds cls, hidden states, and nodes read image_embeds, "):
        load("cls.safetensors")
