"""One file embeds pictures and texts into one space, as transformers' CLIPModel compares them."""

import pytest
import text_witness
import torch
from safetensors.torch import save_file

from image_prompt.clip_vision import preprocess
from image_prompt.clip_vision.text.bpe import BytePairs
from image_prompt.references.embedder import Embedder, roomy_device, space_of
from image_prompt.references.similarity import cosines, probabilities
from image_prompt.tensor_files import placement

TEXTS = ["red", "a blue square"]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return text_witness.clip(64, 2)


@pytest.fixture(scope="module")
def file(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("encoder") / "full.safetensors"
    save_file(model.state_dict(), path, metadata=text_witness.description(model))
    return path


def test_similarity_of_texts_and_pictures_is_that_of_transformers(model, file):
    pictures = torch.rand(3, 32, 32, 3)
    with Embedder(file, "cpu", "fp32") as embedder, torch.no_grad():
        texts, images = embedder.embed_texts(TEXTS, "a photo of {}"), embedder.embed_images(pictures)
        config = embedder.image_encoder.config
        pixel_values = preprocess(pictures, config.image_size, config.mean, config.std)
        pairs = BytePairs()
        rows = [[49406, *pairs(f"a photo of {text}"), 49407] for text in TEXTS]
        tokens = torch.tensor([row + [49407] * (77 - len(row)) for row in rows])
        theirs = model(input_ids=tokens, pixel_values=pixel_values)
        assert texts.space == images.space == embedder.space == space_of(embedder.image_encoder)
        scale = model.logit_scale.exp().item()
    torch.testing.assert_close(cosines(texts, images) * scale, theirs.logits_per_text, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(probabilities(texts, images).T, theirs.logits_per_image.softmax(dim=1))


def test_what_is_not_needed_is_not_loaded(file):
    with Embedder(file, "cpu") as embedder:
        embedder.embed_texts("red")
        assert embedder._images is None
    assert embedder._texts is None
    assert len(embedder.embed_images(torch.rand(32, 32, 3))) == 1  # after it was closed it loads anew
    assert embedder._texts is None


def test_it_says_what_it_holds(file, model):
    embedder = Embedder(str(file), "cpu", "fp32")
    info = embedder.info()
    assert (info["dimension"], info["feature"], info["device"], info["dtype"]) == (24, "image_embeds", "cpu", "float32")
    assert info["weights"] == embedder.space.weights and info["text"] is None
    embedder.embed_texts("red")
    assert embedder.info()["text"]["context"] == 77
    assert embedder.too_long(["red", "word " * 80]) == [1]


def test_pictures_have_the_logit_of_the_texts_as_soon_as_it_is_known(file, model):
    embedder = Embedder(file, "cpu")
    assert embedder.embed_images(torch.rand(32, 32, 3)).logit is None
    texts = embedder.embed_texts("red")
    assert embedder.embed_images(torch.rand(32, 32, 3)).logit == texts.logit
    assert texts.logit.scale == pytest.approx(model.logit_scale.exp().item()) and not texts.logit.pairs


def test_an_encoder_without_a_projection_is_compared_by_cls(file, model, tmp_path):
    sd = {key: tensor for key, tensor in model.state_dict().items() if key != "visual_projection.weight"}
    save_file(sd, tmp_path / "headless.safetensors", metadata=text_witness.description(model))
    embedder = Embedder(tmp_path / "headless.safetensors", "cpu", text=file)
    pictures, texts = embedder.embed_images(torch.rand(2, 32, 32, 3)), embedder.embed_texts(TEXTS)
    assert (pictures.space.feature, pictures.space.dimension) == ("cls", 64)
    with pytest.raises(ValueError, match="The text was encoded by .*24 numbers.*, the picture by .*64 numbers, cls"):
        cosines(texts, pictures)


def test_texts_may_come_from_another_copy_of_the_weights_but_not_from_other_weights(file, model, tmp_path):
    images = {key: tensor for key, tensor in model.state_dict().items() if key.startswith("vis")}
    save_file(images, tmp_path / "images.safetensors", metadata=text_witness.description(model))
    pictures = Embedder(tmp_path / "images.safetensors", "cpu", text=file).embed_images(torch.rand(2, 32, 32, 3))
    save_file({key: tensor.half() for key, tensor in model.state_dict().items()}, tmp_path / "half.safetensors")
    assert cosines(Embedder(tmp_path / "half.safetensors", "cpu").embed_texts(TEXTS), pictures).shape == (2, 2)
    save_file(text_witness.clip(64, 2).state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="by two files of .* with different weights"):
        cosines(Embedder(tmp_path / "other.safetensors", "cpu").embed_texts(TEXTS), pictures)
    with pytest.raises(ValueError, match="alone, without its text encoder"):
        Embedder(tmp_path / "images.safetensors", "cpu").embed_texts(TEXTS)


@pytest.mark.parametrize("template", ["a photo", "", None])
def test_a_template_without_a_place_for_the_text_is_refused(template, file):
    with pytest.raises(ValueError, match=r"The template is .*: write \{\} where the text goes"):
        Embedder(file, "cpu").embed_texts("red", template)


def test_an_empty_text_is_refused_in_a_template_too(file):
    with pytest.raises(ValueError, match="Text 2 of 2 is empty"):
        Embedder(file, "cpu").embed_texts(["red", " "], "a photo of {}")


def test_auto_is_a_gpu_with_room_for_the_file(file, monkeypatch):
    """There is none here: what torch says of one."""
    monkeypatch.setattr(placement, "find_device", lambda device: torch.device("cuda", 0))
    for free, expected in ((2**31, torch.device("cuda", 0)), (2**30, "cpu")):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 2**34))
        assert roomy_device("auto", file) == expected
    assert roomy_device("cuda", file) == "cuda"
