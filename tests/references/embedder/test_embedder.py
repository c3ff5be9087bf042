"""One file embeds pictures and texts into one space, as transformers' CLIPModel compares them."""

import pytest
import text_witness
import torch
from safetensors.torch import save_file

from image_prompt.clip_vision import preprocess
from image_prompt.clip_vision.text.bpe import BytePairs
from image_prompt.references.embedder import Embedder, space_of
from image_prompt.references.similarity import cosines, probabilities

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
