"""The service on the files of the demo world: it finds, loads, encodes once, and gives the bits of the cores."""

import copy
import gc
import os
import shutil
import sys
import threading
import time
import weakref

import numpy
import pytest
import torch
from PIL import Image

from image_prompt import clip_vision, ip_adapter
from image_prompt.clip_vision.pictures.images import to_rgb
from image_prompt.devtools.stages import ROOT
from image_prompt.model_files import ModelFolders, NotFound
from image_prompt.model_files.folders import model_folders, search_paths
from image_prompt.service import HashedPicture, ImagePromptService
from image_prompt.service.pictures import Views

WORLD = ROOT / "demo" / "models"
ENCODER = WORLD / "clip_vision" / "demo_world.safetensors"
ADAPTERS = {"standard": "ip-adapter_demo_world.safetensors", "plus": "ip-adapter-plus_demo_world.safetensors"}


@pytest.fixture
def models(tmp_path):
    """A models folder with the encoder and the adapters of the demo world, under names that say nothing."""
    for number, file in enumerate([ENCODER, *(WORLD / "ipadapter" / name for name in ADAPTERS.values())]):
        folder = tmp_path / "models" / file.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder / f"{number}.safetensors")
    return tmp_path / "models"


@pytest.fixture
def service(models):
    with ImagePromptService(models, purpose="plus", base_model="SD1.5", device="cpu", dtype="fp32") as made:
        yield made


@pytest.fixture(scope="module")
def pictures():
    generator = numpy.random.default_rng(0)
    return [Image.fromarray(generator.integers(0, 256, (50 + 7 * n, 70, 3), dtype=numpy.uint8)) for n in range(6)]


def done(service, what):
    return service.info()["activity"].get(what, {"count": 0})["count"]


@pytest.mark.parametrize("purpose", ADAPTERS)
def test_it_gives_the_bits_of_the_cores(models, pictures, purpose):
    encoder = clip_vision.load(ENCODER, "cpu", "fp32")
    adapter = ip_adapter.load(WORLD / "ipadapter" / ADAPTERS[purpose], "cpu")
    want = [reads.name for reads in adapter.reads]
    expected = clip_vision.encode(encoder, pictures, want=want, crop="pad", background=(1.0, 1.0, 1.0))
    with ImagePromptService(models, purpose=purpose, device="cpu", dtype="fp32") as service:
        features = service.features_batch(pictures, crop="pad", background=(1.0, 1.0, 1.0))
        assert repr(features) == repr(expected) and torch.equal(features.select(want[0]), expected.select(want[0]))
        tokens = service.tokens(features)
        assert torch.equal(tokens, adapter.tokens(expected.as_dict()))
        for ours, theirs in zip(service.key_values(tokens), adapter.key_value(tokens), strict=True):
            assert torch.equal(ours[0], theirs[0]) and torch.equal(ours[1], theirs[1])
        assert len(service.key_values(tokens, layers=[3])) == 1


def test_what_stands_for_the_picture_in_the_unconditional_rows(models):
    encoder = clip_vision.load(ENCODER, "cpu", "fp32")
    size = encoder.config.image_size
    with ImagePromptService(models, purpose="plus", device="cpu", dtype="fp32") as service:
        found = service.negative_features()
    zeros = encoder(torch.zeros(1, 3, size, size), ("penultimate",))
    assert torch.equal(found.select("penultimate"), zeros.select("penultimate"))
    with ImagePromptService(models, purpose="standard", device="cpu") as service:
        found = service.negative_features().select("image_embeds")
    assert found.eq(0).all() and found.shape == (1, encoder.config.projection)


def test_a_picture_is_encoded_once_in_whatever_form_it_comes(service, pictures, tmp_path):
    pictures[0].save(tmp_path / "one.png")
    array = numpy.asarray(pictures[0])
    forms = [
        pictures[0],
        array,
        torch.from_numpy(array.copy()).float() / 255,
        tmp_path / "one.png",
        str(tmp_path / "one.png"),
        HashedPicture.of(pictures[0]),
    ]
    found = [service.features(form).select("penultimate") for form in forms]
    assert done(service, "pictures encoded") == 1 and done(service, "pictures") == len(forms)
    assert all(torch.equal(each, found[0]) for each in found)
    batch = service.features_batch([pictures[1], *forms[:2], pictures[1]])
    assert done(service, "pictures encoded") == 2
    assert torch.equal(batch.select("penultimate")[1:3], found[0].expand(2, -1, -1))
    service.features(pictures[0], crop="pad")
    assert done(service, "pictures encoded") == 3
    by_hand = [
        service.features(pictures[0], crop=square).select("penultimate") for square in ((0.1, 0, 0.5), [0.1, 0, 0.5])
    ]
    assert done(service, "pictures encoded") == 4 and torch.equal(*by_hand) and not torch.equal(by_hand[0], found[0])


def save(picture, path, seconds_ago):
    picture.save(path)
    os.utime(path, (time.time() - seconds_ago,) * 2)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (4, 16), (16, 4), (3, 3), (5, 5)])
@pytest.mark.parametrize("crop", ["pad", "squash"])
def test_a_picture_of_few_pixels_is_what_the_core_takes_it_for(service, size, crop):
    encoder = clip_vision.load(ENCODER, "cpu", "fp32")
    array = numpy.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=numpy.uint8)
    for picture in (Image.fromarray(array), HashedPicture.of(Image.fromarray(array))):
        found = service.features(picture, crop=crop, want=("image_embeds",)).image_embeds
        assert torch.equal(found, clip_vision.encode(encoder, Image.fromarray(array), crop=crop).image_embeds)


def test_a_known_file_is_not_read_again_until_it_changes(service, pictures, tmp_path, monkeypatch):
    path = tmp_path / "one.png"
    save(pictures[0], path, 60)
    first = service.features(path)
    opened, really = [], Image.open
    monkeypatch.setattr(Image, "open", lambda *what: opened.append(what) or really(*what))
    assert torch.equal(service.features(path).select("penultimate"), first.select("penultimate"))
    assert not opened
    save(pictures[1], path, 30)
    changed = service.features(path).select("penultimate")
    assert torch.equal(changed, service.features(pictures[1]).select("penultimate")) and len(opened) == 1


def test_a_file_that_may_be_written_again_within_its_time_is_read_each_time(service, pictures, tmp_path):
    """Some disks tell times in steps of two seconds: a picture of the same size may take the place of another."""
    path = tmp_path / "one.bmp"
    save(pictures[0], path, 0)
    now = path.stat().st_mtime_ns
    service.features(path)
    pictures[0].rotate(180).save(path)
    os.utime(path, ns=(now, now))
    found = service.features(path).select("penultimate")
    assert torch.equal(found, service.features(pictures[0].rotate(180)).select("penultimate"))


def test_a_hashed_picture_is_a_copy(service, pictures):
    pixels = torch.from_numpy(numpy.asarray(pictures[0]).copy()).permute(2, 0, 1)[None].contiguous()
    hashed = HashedPicture.of(pixels)
    pixels.zero_()
    found = service.features(hashed).select("penultimate")
    assert torch.equal(found, service.features(pictures[0]).select("penultimate"))


def test_known_pictures_are_not_held_at_full_size(pictures, monkeypatch):
    module, made = sys.modules[Views.__module__], []

    def watched(*arguments):
        found = to_rgb(*arguments)
        made.extend(map(weakref.ref, found))
        return found

    monkeypatch.setattr(module, "to_rgb", watched)
    config, views = clip_vision.load(ENCODER, "cpu").config, Views()
    kept = [views.of(pictures, config, "center", [0, 0, 0]) for _ in range(2)]
    gc.collect()
    assert len(made) == 12 and not any(each() is not None for each in made)
    assert all(torch.equal(a.pixel_values(), b.pixel_values()) for a, b in zip(*kept))


def test_a_known_file_is_read_again_where_its_features_were_pushed_out(models, pictures, tmp_path):
    pictures[0].save(tmp_path / "one.png")
    with ImagePromptService(models, purpose="plus", device="cpu", limit=0) as service:
        first, second = (service.features(tmp_path / "one.png").select("penultimate") for _ in range(2))
        assert torch.equal(first, second) and done(service, "pictures encoded") == 2


def test_four_threads_give_the_bits_of_one(models, service, pictures):
    alone = [service.features(picture) for picture in pictures]
    layers = [service.key_values(service.tokens(each)) for each in alone]
    failed, start = [], threading.Barrier(4)
    with ImagePromptService(models, purpose="plus", base_model="SD1.5", device="cpu", dtype="fp32") as shared:

        def work(first: int) -> None:
            start.wait()
            for step in range(len(pictures)):
                number = (first + step) % len(pictures)
                features = shared.features(pictures[number])
                found = shared.key_values(shared.tokens(features))
                same = torch.equal(features.select("penultimate"), alone[number].select("penultimate"))
                pairs = zip(found, layers[number], strict=True)
                if not (same and all(torch.equal(a, b) for ours, theirs in pairs for a, b in zip(ours, theirs))):
                    failed.append(number)

        threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == [] and done(shared, "pictures encoded") == len(pictures)
        assert done(shared, "load encoder") == done(shared, "load adapter") == 1


@pytest.fixture
def short(service, monkeypatch):
    """Puts the service on a device with memory for so many pictures at a time; returns what is tried from then on."""
    module = sys.modules[ImagePromptService.__module__]
    place, encode, tried = module._place, module.encode_pixels, []
    device = torch.device("cuda")

    def placed(model, where):
        tried.append((type(model).__name__, where.type))
        place(model, torch.device("cpu"))
        if where == device and short.fits < 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    def encoded(encoder, pixels, *, chunk_size, **options):
        if chunk_size is not None and chunk_size > short.fits:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return encode(encoder, pixels, chunk_size=chunk_size, **options)

    def short(fits):
        short.fits = fits
        service._device = device
        tried.clear()
        return tried

    monkeypatch.setattr(module, "_place", placed)
    monkeypatch.setattr(module, "encode_pixels", encoded)
    return short


@pytest.mark.parametrize("fits, tries", [(8, 1), (2, 2), (1, 3), (0, 4)])
def test_short_memory_takes_fewer_pictures_and_then_the_cpu(models, service, short, pictures, fits, tries):
    with ImagePromptService(models, purpose="plus", device="cpu", dtype="fp32") as other:
        expected = other.features_batch(pictures).select("penultimate")
    tried = short(fits)
    found = service.features_batch(pictures).select("penultimate")
    assert [device for _, device in tried] == (["cuda"] * 3 + ["cpu"] if fits == 0 else ["cuda"] * tries)
    assert done(service, "out of memory") == tries - 1
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_move_that_ended_half_way_is_undone(pictures, monkeypatch):
    """torch moves layers one after the other, and the encoder's own parameters last."""
    place = sys.modules[ImagePromptService.__module__]._place
    encoder = clip_vision.load(ENCODER, "cpu", "fp32", pack=False)
    expected = clip_vision.encode(encoder, pictures[0]).image_embeds
    half = copy.deepcopy(encoder)
    half.layers[:2].to("meta")  # there may be no other device here, and none has values that come back
    with pytest.raises(NotImplementedError, match="meta tensor"):
        place(half, torch.device("cpu"))
    place(encoder, torch.device("cpu"))
    torch.testing.assert_close(clip_vision.encode(encoder, pictures[0]).image_embeds, expected)


def test_an_adapter_for_which_memory_is_short_computes_on_the_cpu(models, service, short, pictures, monkeypatch):
    with ImagePromptService(models, purpose="plus", device="cpu", dtype="fp32") as other:
        features = other.features(pictures[0])
        expected = other.tokens(features)
    tried = short(0)
    torch.testing.assert_close(service.tokens(features), expected)
    assert tried == [("IPAdapter", "cuda")] * 3 + [("IPAdapter", "cpu")]


def test_it_says_what_it_uses_and_what_it_did(service, models, pictures):
    assert service.info()["encoder"] is service.info()["adapter"] is None
    assert "plus" in repr(service) and "cpu" in repr(service)
    service.tokens(service.features_batch(pictures[:2]))
    info = service.info()
    assert info["files"] == {
        "adapter": str(models / "ipadapter" / "2.safetensors"),
        "encoder": str(models / "clip_vision" / "0.safetensors"),
    }
    encoder, adapter = info["encoder"], info["adapter"]
    assert encoder["name"] == clip_vision.load(ENCODER, "cpu").config.name
    assert (encoder["dtype"], encoder["device"]) == ("float32", "cpu") and encoder["bytes"] > 1_000_000
    assert (adapter["family"], adapter["base_model"], adapter["layers"]) == ("plus", "SD1.5", 16)
    assert info["known features"]["pictures"] == 2
    for what in ("load encoder", "load adapter", "features", "encode", "tokens"):
        assert info["activity"][what]["count"] == 1 and info["activity"][what]["seconds"] >= 0


@pytest.mark.gpu
def test_moving_to_a_gpu_and_back_gives_the_bits_of_before(models, pictures):
    with ImagePromptService(models, purpose="plus", device="cpu", dtype="fp32", limit=0) as service:
        before = service.key_values(service.tokens(service.features_batch(pictures)))
        there = service.to("cuda").key_values(service.tokens(service.features_batch(pictures)))
        assert there[0][0].device.type == "cuda"
        torch.testing.assert_close(there[0][0].cpu(), before[0][0], rtol=1e-3, atol=1e-3)
        after = service.to("cpu").key_values(service.tokens(service.features_batch(pictures)))
        assert all(torch.equal(a, b) for one, two in zip(before, after) for a, b in zip(one, two))


def test_moving_to_the_device_it_is_on_changes_nothing(service, pictures):
    before = service.features(pictures[0])
    assert service.to("cpu") is service
    assert service.to("auto").info()["device"] in ("cpu", "cuda", "mps", "xpu")
    assert torch.equal(service.features(pictures[0]).select("penultimate"), before.select("penultimate"))


def test_a_closed_service_says_so(service, pictures):
    service.features(pictures[0])
    service.close()
    service.close()
    for call in (
        lambda: service.features(pictures[0]),
        lambda: service.tokens(torch.zeros(1, 2, 3)),
        service.missing,
        service.__enter__,
        service.negative_features,
        lambda: service.to("cpu"),
    ):
        with pytest.raises(ValueError, match="This service was closed: make a new one"):
            call()
    assert "closed" in repr(service)


def test_an_encoder_alone_needs_no_adapter(tmp_path, pictures):
    with ImagePromptService(ModelFolders(), encoder=ENCODER, device="cpu") as service:
        assert service.missing() == ""
        assert service.features(pictures[0]).names() == ["image_embeds"]
        assert service.features(pictures[0], want=("penultimate",)).names() == ["penultimate"]
        with pytest.raises(NotFound, match="IP-Adapter"):
            service.tokens(service.features(pictures[0]))


def test_a_file_that_was_moved_is_found_again(models, pictures):
    with ImagePromptService(models, purpose="plus", base_model="SD1.5", device="cpu") as service:
        assert service.missing() == ""
        (models / "clip_vision" / "0.safetensors").rename(models / "clip_vision" / "other.safetensors")
        assert len(service.features(pictures[0])) == 1
        assert service.info()["files"]["encoder"] == str(models / "clip_vision" / "other.safetensors")


def test_what_is_loaded_needs_its_file_no_more(models, pictures):
    with ImagePromptService(models, purpose="plus", base_model="SD1.5", device="cpu") as service:
        service.negative_features()
        for file in models.glob("*/*.safetensors"):
            file.unlink()
        assert service.missing() == "" and service.tokens(service.features(pictures[0])).shape[0] == 1


def test_the_encoder_of_an_adapter_that_is_loaded_is_found_when_its_file_is_gone(models, pictures):
    with ImagePromptService(models, purpose="plus", base_model="SD1.5", device="cpu") as service:
        service.tokens(torch.zeros(1, 17, 128))
        (models / "ipadapter" / "2.safetensors").unlink()
        assert service.missing() == "" and len(service.features(pictures[0])) == 1


def test_a_known_batch_is_made_once_for_all_features_that_are_not_known(service, pictures, monkeypatch):
    batch = torch.rand(8, 40, 40, 3, generator=torch.Generator().manual_seed(0))
    service.features_batch(batch)
    module, made = sys.modules[Views.__module__], []
    monkeypatch.setattr(module, "to_rgb", lambda *what: made.append(1) or to_rgb(*what))
    found = service.features_batch(batch, want=("image_embeds",))
    assert len(found) == 8 and len(made) == 2  # to look them up, and to encode them


def test_files_may_be_named(pictures):
    adapter = WORLD / "ipadapter" / ADAPTERS["plus"]
    with ImagePromptService(ModelFolders({"clip_vision": ENCODER.parent}), adapter=adapter, device="cpu") as service:
        assert service.tokens(service.features(pictures[0])).shape[0] == 1
        assert service.info()["files"]["encoder"] == str(ENCODER)


def test_words_are_those_of_find_encoder_and_find_adapter(models, pictures, tmp_path):
    for options, match in (
        ({"purpose": "pluss"}, "'pluss' is not a purpose of adapters: meant is perhaps \"plus\""),
        ({"base_model": "sdxl"}, "'sdxl' is not a base model of adapters: meant is perhaps \"SDXL\""),
        ({"encoder": "CLIP ViT-H/15"}, "'CLIP ViT-H/15' is not the name of an image encoder: meant is perhaps"),
    ):
        with ImagePromptService(models, device="cpu", **options) as service, pytest.raises(ValueError, match=match):
            service.missing()
    with ImagePromptService(models, encoder="CLIP ViT-B/32", device="cpu") as service:
        assert service.missing().startswith("Not found: image encoder CLIP ViT-B")


@pytest.mark.parametrize("kind", ["adapter", "encoder"])
def test_a_named_file_that_is_not_there_is_missing(models, pictures, kind):
    with ImagePromptService(models, **{kind: "/nowhere/file.safetensors"}, device="cpu") as service:
        said = service.missing()
        assert "/nowhere/file.safetensors" in said and len(said.splitlines()) == 1
        with pytest.raises(ValueError) as error:
            service.features(pictures[0])
        assert str(error.value) == said


@pytest.mark.parametrize("given", ["{}", "https://example.org/a.safetensors", "{}/other.safetensors", "{}/page"])
@pytest.mark.parametrize("kind", ["adapter", "encoder"])
def test_a_named_file_that_cannot_do_is_missing(models, tmp_path, kind, given):
    (tmp_path / "page").write_text("<html>Sign in</html>")
    other = ENCODER if kind == "adapter" else WORLD / "ipadapter" / ADAPTERS["plus"]
    shutil.copy(other, tmp_path / "other.safetensors")
    words = {"{}": "folder", "{}/page": "web page", "{}/other.safetensors": "choose another file|Load it with|is an"}
    with pytest.raises(ValueError, match=words.get(given, "is an address")):
        with ImagePromptService(models, **{kind: given.format(tmp_path)}, device="cpu") as service:
            said = service.missing()
        raise ValueError(said)


def test_a_computer_without_comfyui_is_explained_as_well(tmp_path, monkeypatch):
    monkeypatch.setattr(search_paths, "usual_places", lambda: [str(tmp_path)])
    monkeypatch.setattr(model_folders, "usual_places", lambda: [str(tmp_path)])
    with ImagePromptService(purpose="plus", device="cpu") as service:
        assert service.missing().startswith("No ComfyUI was found in ")


def test_what_is_absent_is_explained_where_the_caller_asks_for_that(models):
    (models / "clip_vision" / "0.safetensors").unlink()
    with ImagePromptService(models, purpose="plus", base_model="SD1.5", device="cpu") as service:
        said = service.missing()
        assert said.startswith("Not found: an encoder whose penultimate is")
        with pytest.raises(NotFound) as error:
            service.features("photo.jpg")
        assert str(error.value) == said and error.value.resolution.found is None
        shutil.copy(ENCODER, models / "clip_vision")
        assert service.missing() == ""


def test_bad_input_is_refused(service, pictures, tmp_path):
    (tmp_path / "page.png").write_text("<html>")
    for call, match in {
        lambda: service.features(torch.rand(2, 5, 5, 3)): "One picture is expected, and 2",
        lambda: service.features_batch([]): "list is empty",
        lambda: service.features_batch(pictures, batch_size=0): "A batch of 0 pictures: give a whole number, 1 or more",
        lambda: service.features(pictures[0], crop="middle"): "Unknown crop 'middle'",
        lambda: service.features(pictures[0], want=("nothing",)): "Unknown feature 'nothing'",
        lambda: service.features(pictures[0], want="image_embeds"): "collection of names",
        lambda: service.features(pictures[0], want=(each for each in ["penultimate"])): "not of type generator",
        lambda: service.features(pictures[0], want=5): "not of type int",
        lambda: service.features(pictures[0], crop=["pad"]): "Unknown crop",
        lambda: service.features(torch.zeros(1, 5, 5, 3, device="meta")): "expected a plain tensor",
        lambda: service.features(torch.zeros(1, 5, 5, 3).to_sparse()): "expected a plain tensor",
        lambda: service.key_values(torch.tensor(1.0)): "Expected image tokens",
        lambda: service.features(tmp_path / "none.png"): "none.png",
        lambda: service.features(tmp_path / "page.png"): "page.png",
        lambda: service.tokens(torch.zeros(1, 5)): "was made for an encoder whose penultimate",
        lambda: service.key_values(torch.zeros(1, 4, 5)): "Expected image tokens",
        lambda: service.key_values(service.features(pictures[0])): "was given a VisionFeatures: give what",
        lambda: service.key_values(torch.zeros(1, 4, 768), layers=[99]): "99",
        lambda: service.tokens("photo.jpg"): "a str",
        lambda: service.to("nowhere"): "nowhere",
        lambda: HashedPicture.of([pictures[0], pictures[1]]): "One picture is hashed at a time, and 2",
        lambda: ImagePromptService(device="cuda:99"): "device cuda:99",  # also where there are some
        lambda: ImagePromptService(dtype="int4"): "int4",
        lambda: ImagePromptService(limit="1GB"): "The limit of the features that are kept is '1GB'",
        lambda: ImagePromptService(adapter=""): "path of the model file is empty",
        lambda: ImagePromptService(adapter=5): "not by one of type int",
        lambda: ImagePromptService(adapter="a.sft", purpose="plus"): "give the file, or what to find",
        lambda: service.features(pictures[0], background="white"): "The background 'white' is not three numbers",
        lambda: service.features(pictures[0], background=None): "The background None is not three numbers",
        lambda: service.features_batch(pictures, batch_size=1.5): "A batch of 1.5 pictures",
        lambda: service.features(b"bytes"): "not bytes. Give several as a list; open the bytes of a file with PIL",
    }.items():
        with pytest.raises(ValueError, match=match):
            call()
