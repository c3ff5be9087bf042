"""Texts by the text encoder in the file of an image encoder, compared with transformers, and what is refused."""

import comfy.model_management
import comfy.sd1_clip
import comfy.utils
import full_files
import pytest
import torch
import torch.nn.functional as F
from core_clips import core_clip

from image_prompt.nodes.display import SAID
from image_prompt.nodes.embeddings.embed_text import EmbedText
from image_prompt.nodes.embeddings.pictures import embed_pictures
from image_prompt.nodes.embeddings.similarity import SimilarityOfEmbeddings
from image_prompt.nodes.embeddings.text_half import text_half
from image_prompt.nodes.folders import all_shared
from image_prompt.nodes.loading.load import LoadImageEncoder

LINES = "a red bicycle\n\n  A (blue:1.4) house, embedding:nobody"


@pytest.fixture
def whole():
    return full_files.full_clip()


@pytest.fixture
def clip_vision(folders, whole):
    full_files.save(whole, folders / "clip_vision" / "full.safetensors")
    return LoadImageEncoder.execute("full.safetensors", dtype="fp32").args[0]


def embed(text, clip_vision=None, **options):
    return EmbedText.execute(text, clip_vision, **options).args[0]


def tokens(texts):
    tokenizer = comfy.sd1_clip.SD1Tokenizer().clip_l.tokenizer
    return tokenizer(texts, padding="max_length", max_length=77, truncation=True, return_tensors="pt")["input_ids"]


def test_texts_are_those_of_transformers(clip_vision, whole):
    found = embed(LINES, clip_vision, texts="one in each line", template="a photo of {}.")
    texts = ["a photo of a red bicycle.", "a photo of A (blue:1.4) house, embedding:nobody."]
    expected = whole.text_projection(whole.text_model(tokens(texts)).pooler_output)
    torch.testing.assert_close(found.vectors, F.normalize(expected, dim=1), rtol=0, atol=1e-5)
    assert found.of == "text" and found.logit.scale == pytest.approx(float(whole.logit_scale.exp()))


def test_similarity_is_that_of_transformers(clip_vision, whole, pictures):
    texts, images = embed(LINES, clip_vision, texts="one in each line"), embed_pictures(clip_vision, pictures)
    similarity, table = SimilarityOfEmbeddings.execute(texts, images).args
    expected = (texts.vectors.double() @ images.vectors.double().T).numpy()
    assert similarity == pytest.approx(expected[0, 0], abs=1e-6)
    likely = (float(whole.logit_scale.exp()) * torch.tensor(expected)).softmax(dim=0)
    head, *rows = [line.split() for line in table.splitlines()]
    assert head == ["text", "picture", "cosine", "probability"]
    assert [row[:2] for row in rows] == [["1", "1"], ["1", "2"], ["2", "1"], ["2", "2"]]
    assert [float(row[2]) for row in rows] == pytest.approx(expected.flatten(), abs=6e-5)
    assert [float(row[3]) for row in rows] == pytest.approx(likely.flatten().tolist(), abs=6e-5)
    other_way = SimilarityOfEmbeddings.execute(images, texts).args[1].splitlines()
    assert other_way[0].split() == ["picture", "text", "cosine", "probability"]
    assert other_way[2].split()[2:] == rows[2][2:]


def test_a_text_alone_has_no_probability(clip_vision, pictures):
    one = embed("a red bicycle", clip_vision)
    assert "probability" not in SimilarityOfEmbeddings.execute(one, embed_pictures(clip_vision, pictures)).args[1]
    similarity, table = SimilarityOfEmbeddings.execute(one, one).args
    assert similarity == pytest.approx(1) and table.split() == ["text", "other", "text", "cosine", "1", "1", "1.0000"]


def test_the_text_encoder_is_loaded_once_and_goes_with_its_image_encoder(clip_vision):
    again = LoadImageEncoder.execute("full.safetensors", dtype="fp32", image_size=64).args[0]
    assert again is not clip_vision and text_half(again) is text_half(clip_vision)
    assert [loaded.name for _, loaded in all_shared()].count("full CLIP, text") == 1
    embed("a red bicycle", clip_vision)
    patchers = [loaded.model for loaded in comfy.model_management.current_loaded_models]
    assert text_half(clip_vision).patcher in patchers


def test_a_long_text_is_told(clip_vision, caplog):
    shown = EmbedText.execute("word " * 76, clip_vision).ui[SAID][0]
    assert shown == "full CLIP (24 numbers)\nThe text is longer than full CLIP reads; the rest is not seen."
    assert "the rest is not seen" in caplog.text
    assert EmbedText.execute("word " * 75, clip_vision).ui[SAID] == ["full CLIP (24 numbers)"]


@pytest.fixture(scope="module")
def sd15():
    return core_clip("SD1.5")


def test_loras_are_told(sd15):
    clip = sd15.clone()
    clip.add_patches({"clip_l.transformer.text_model.encoder.layers.0.mlp.fc1.weight": (torch.ones(64, 768),)})
    assert "LoRAs have changed 1 weight of this CLIP" in EmbedText.execute("a cat", clip=clip).ui[SAID][0]


@pytest.mark.parametrize("kind", ["the file's", "core's"])
def test_embedding_tells_its_progress_and_ends_when_it_is_cancelled(clip_vision, sd15, monkeypatch, kind):
    given, chunk = {"clip_vision": clip_vision}, 32
    if kind == "core's":
        given, chunk = {"clip": sd15}, 8
    told = []

    def hook(now, total, *_, **__):
        told.append((now, total))
        comfy.model_management.interrupt_current_processing(len(told) == 4)

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    monkeypatch.setattr(comfy.utils, "PROGRESS_THROTTLE_MIN_INTERVAL", 0)
    many = "\n".join(["cat"] * (2 * chunk + 1))
    embed(many, texts="one in each line", **given)
    assert told == [(chunk, 2 * chunk + 1), (2 * chunk, 2 * chunk + 1), (2 * chunk + 1, 2 * chunk + 1)]
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        embed(many, texts="one in each line", **given)
    assert len(told) == 4 and len(embed("a cat", **given)) == 1


def test_texts_that_cannot_be_embedded_are_refused(folders, whole, encoder, core_encoder):
    with pytest.raises(ValueError, match="Nothing is connected to clip_vision and clip: connect one of them"):
        embed("a cat")
    with pytest.raises(ValueError, match="Both are connected to"):
        embed("a cat", encoder, clip=object())
    with pytest.raises(ValueError, match="The text is empty: type what a picture shows"):
        embed(" \n ", encoder)
    with pytest.raises(ValueError, match="The template is 'a photo': write {} where"):
        embed("a cat", encoder, template="a photo")
    with pytest.raises(ValueError, match="core's loader does not keep the file, in which the text encoder is. Load it"):
        embed("a cat", core_encoder)
    with pytest.raises(ValueError, match="tiny CLIP is of no file that could hold the text encoder: use Load Image"):
        embed("a cat", encoder)
    full_files.save(whole, folders / "clip_vision" / "images.safetensors", left_out="text_")
    alone = LoadImageEncoder.execute("images.safetensors").args[0]
    with pytest.raises(ValueError, match="images.safetensors: This file holds the image encoder of full CLIP alone"):
        embed("a cat", alone)


def test_texts_of_another_file_are_not_compared(folders, clip_vision, pictures):
    full_files.save(full_files.full_clip(seed=1), folders / "clip_vision" / "other.safetensors")
    other = LoadImageEncoder.execute("other.safetensors", dtype="fp32").args[0]
    with pytest.raises(ValueError, match="The text was encoded by two files of full CLIP with different weights"):
        SimilarityOfEmbeddings.execute(embed("a cat", other), embed_pictures(clip_vision, pictures))
