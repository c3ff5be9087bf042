"""Cosines and probabilities of embeddings against numpy and transformers' formulas, and spaces that do not compare."""

import numpy as np
import pytest
import torch

from image_prompt.references.embedding import Embedding, Logit
from image_prompt.references.similarity import cosines, probabilities
from image_prompt.references.space import Space

L14 = Space("CLIP ViT-L/14", 768, "00ff")


def vectors(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 768, generator=torch.Generator().manual_seed(seed)) * 7


def embedding(count: int, of: str, seed: int = 0, space: Space = L14, logit: Logit | None = None) -> Embedding:
    return Embedding.of_vectors(vectors(count, seed), space, of, logit)


def test_cosines_equal_those_of_numpy():
    a, b = vectors(3).double().numpy(), vectors(4, 1).double().numpy()
    expected = a @ b.T / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(cosines(embedding(3, "image"), embedding(4, "text", 1)), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_vectors_have_length_one_in_fp32(dtype):
    made = Embedding.of_vectors(vectors(5).to(dtype), L14, "image")
    assert made.vectors.dtype == torch.float32
    torch.testing.assert_close(made.vectors.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(made.mean().vectors.norm(dim=1), torch.ones(1))
    assert len(made.rows([4, 0])) == 2 and torch.equal(made.rows([4, 0]).vectors[1], made.vectors[0])


def test_shortened_vectors_are_the_first_numbers_of_length_one():
    made = embedding(3, "image", logit=Logit(100.0))
    short = made.shortened(64)
    expected = made.vectors[:, :64].double().numpy()
    np.testing.assert_allclose(short.vectors, expected / np.linalg.norm(expected, axis=1)[:, None], atol=1e-6)
    assert short.space == Space("CLIP ViT-L/14", 64, "00ff") and (short.of, short.logit) == ("image", Logit(100.0))
    torch.testing.assert_close(made.shortened(768).vectors, made.vectors)


@pytest.mark.parametrize("dimensions", [0, -1, 769, True, 64.0, "64", None], ids=repr)
def test_vectors_are_not_shortened_to_what_they_are_not(dimensions):
    with pytest.raises(ValueError, match=r"^Vectors of CLIP ViT-L/14 have 768 numbers: they cannot be shortened to "):
        embedding(1, "text").shortened(dimensions)


def test_a_shortened_vector_without_a_direction_is_refused():
    made = Embedding.of_vectors(torch.eye(768)[700:701], L14, "text")
    with pytest.raises(ValueError, match="has no direction"):
        made.shortened(64)


def test_probabilities_are_those_of_clip_and_of_siglip():
    """As transformers' CLIPModel and SiglipModel make them of `logits_per_text`."""
    pictures = embedding(2, "image", 1)
    clip = embedding(3, "text", logit=Logit(100.0))
    logits = cosines(clip, pictures).double().numpy() * 100
    grown = np.exp(logits - logits.max(axis=0))
    np.testing.assert_allclose(probabilities(clip, pictures), grown / grown.sum(axis=0), atol=1e-5)

    siglip = embedding(3, "text", logit=Logit(110.0, -12.9, pairs=True))
    logits = cosines(siglip, pictures).double().numpy() * 110 - 12.9
    np.testing.assert_allclose(probabilities(siglip, pictures), 1 / (1 + np.exp(-logits)), atol=1e-5)


@pytest.mark.parametrize(
    "other, named",
    [
        (
            Space("CLIP ViT-H/14", 768, "00ff"),
            "CLIP ViT-L/14 (768 numbers), the picture by CLIP ViT-H/14 (768 numbers)",
        ),
        (Space("CLIP ViT-L/14", 768, "ff00"), "two files of CLIP ViT-L/14 with different weights"),
        (Space("CLIP ViT-L/14", 768, "00ff", "cls"), "CLIP ViT-L/14 (768 numbers, cls)"),
    ],
)
def test_two_spaces_never_compare_and_both_encoders_are_named(other, named):
    with pytest.raises(ValueError) as refused:
        cosines(embedding(1, "text"), embedding(1, "image", space=other))
    assert named in str(refused.value) and str(refused.value).startswith("The text was encoded by")


def test_a_space_of_which_only_the_name_is_known_compares_by_it():
    assert L14.is_same(Space("CLIP ViT-L/14", 768)) and not L14.is_same(Space("CLIP ViT-L/14", 512))
    assert not Space("", 768).is_same(Space("", 768))  # two unknown encoders may be different ones
    assert Space.from_json(L14.as_json()) == L14
    for wrong in ({}, None, [1], {**L14.as_json(), "dimension": "768"}, {**L14.as_json(), "dimension": 0}):
        with pytest.raises(ValueError, match="does not say which encoder"):
            Space.from_json(wrong)


def test_vectors_without_a_direction_are_refused():
    broken = vectors(3)
    for value in (0.0, float("nan"), float("inf")):
        broken[1] = value
        with pytest.raises(ValueError, match="image 2 of 3 has no direction"):
            Embedding.of_vectors(broken, L14, "image")
    for shape in ((2, 512), (768,), (0, 768)):
        with pytest.raises(ValueError, match=r"have the shape \(N, 768\)"):
            Embedding.of_vectors(torch.ones(shape), L14, "image")


def test_probabilities_need_texts_pictures_and_a_scale():
    with pytest.raises(ValueError, match="not of image and text"):
        probabilities(embedding(1, "image"), embedding(1, "text"))
    with pytest.raises(ValueError, match="logit scale: use a full CLIP file"):
        probabilities(embedding(1, "text"), embedding(1, "image"))
