"""The demo world's CLIP with CLIP's own vocabulary embeds captions as its small text tower does."""

import json
from pathlib import Path

import comfy.sd1_clip
import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cosine_similarity
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from image_prompt import clip_vision
from image_prompt.demo import full_clip, playground
from image_prompt.demo.nodes.weights import read
from image_prompt.demo.nodes.words import LENGTH, Words
from image_prompt.demo.world import World, caption, draw, words

SMALL = full_clip.MODELS / full_clip.TEXT
COUNT = 300


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    models = tmp_path_factory.mktemp("models")
    full_clip.write_full_clip(models)
    return models / full_clip.FILE


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(str(Path(comfy.sd1_clip.__file__).with_name("sd1_tokenizer")))


def model(vocabulary: int, places: int, end: int) -> CLIPModel:
    towers = {"hidden_size": 128, "intermediate_size": 384, "num_attention_heads": 4, "hidden_act": "quick_gelu"}
    text = {"vocab_size": vocabulary, "num_hidden_layers": 2, "max_position_embeddings": places, "eos_token_id": end}
    vision = {"num_hidden_layers": 4, "image_size": 64, "patch_size": 8}
    config = CLIPConfig(text_config=towers | text, vision_config=towers | vision, projection_dim=128)
    return CLIPModel(config).eval()


@pytest.fixture(scope="module")
def full(file) -> CLIPModel:
    found = model(full_clip.VOCABULARY, full_clip.PLACES, full_clip.END)
    found.load_state_dict({key: tensor.float() for key, tensor in load_file(file).items()})
    return found


@pytest.fixture(scope="module")
def small() -> CLIPModel:
    weights, about = read(SMALL)
    vocabulary = len(json.loads(about["words"])) + 3
    found = model(vocabulary, LENGTH, vocabulary - 1)
    assert not found.load_state_dict(weights, strict=False).unexpected_keys
    return found


@pytest.fixture(scope="module")
def captions() -> list[str]:
    world = World(7, pairs=0.3)
    drawn = [world.picture() for _ in range(COUNT)]
    return [caption(picture, world.mentions(picture)) for picture in drawn]


@pytest.fixture(scope="module")
def similarity(full, small, tokenizer, captions) -> torch.Tensor:
    """How alike both text towers find each caption, (COUNT,)."""
    found = full.get_text_features(**tokenizer(captions, padding=True, return_tensors="pt")).pooler_output
    expected = small.get_text_features(input_ids=Words(words()).batch(captions)).pooler_output
    return cosine_similarity(found, expected)


def test_the_pieces_are_those_of_the_tokenizer(tokenizer):
    assert list(full_clip.PIECES) == words()
    for word, pieces in full_clip.PIECES.items():
        assert tokenizer(word)["input_ids"] == [full_clip.START, *pieces, full_clip.END]


def test_captions_are_embedded_as_by_the_small_tower(similarity, captions):
    whole = torch.tensor(["cyan" not in text for text in captions])
    torch.testing.assert_close(similarity[whole], torch.ones(int(whole.sum())), rtol=0, atol=1e-5)


def test_a_word_of_two_pieces_is_nearly_the_same(similarity, captions):
    """What follows it is one place further on, which the tower takes for a caption that mentions more."""
    parted = similarity[torch.tensor(["cyan" in text for text in captions])]
    assert len(parted) > 40
    assert parted.mean() > 0.98 and parted.min() > 0.93


def test_an_unknown_word_is_that_of_the_small_tower(full, small, tokenizer):
    found = full.get_text_features(**tokenizer("a violin star", return_tensors="pt")).pooler_output
    expected = small.get_text_features(input_ids=Words(words()).batch(["a zebra star"])).pooler_output
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_image_half_is_that_of_the_small_file(file):
    pictures = draw([World(3).picture() for _ in range(4)]).movedim(1, -1)
    found, expected = (
        clip_vision.encode(clip_vision.load(path, "cpu"), pictures, want=("image_embeds",)).image_embeds
        for path in (file, full_clip.MODELS / full_clip.FILE)
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_the_text_half_is_read_from_the_file_alone(file, full, tokenizer, captions):
    encoder = clip_vision.load_text(file, "cpu", "fp32")
    found = clip_vision.encode_texts(encoder, captions)
    expected = full.get_text_features(**tokenizer(captions, padding=True, return_tensors="pt")).pooler_output
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert encoder.config.activation == "quick_gelu"
    assert encoder.logit_scale == pytest.approx(float(read(SMALL)[1]["logit_scale"]))
    assert encoder.fingerprint == clip_vision.fingerprint(clip_vision.load(file, "cpu"))


def test_the_demo_to_play_with_has_the_text_too(file, tmp_path):
    base = playground.prepare(tmp_path)
    assert (base / "models" / full_clip.FILE).read_bytes() == file.read_bytes()
