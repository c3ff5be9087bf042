"""Pictures of a batch are ranked as numpy does it, and those that are kept are the pictures themselves."""

import numpy as np
import pytest
import tiny
import torch

from image_prompt.nodes.display import SAID
from image_prompt.nodes.embeddings.pictures import embed_pictures
from image_prompt.nodes.embeddings.rank import RankPictures


@pytest.fixture(scope="module")
def batch():
    return torch.rand(6, 40, 60, 3, generator=torch.Generator().manual_seed(3))


def embeds(encoder, images):
    """image_embeds in float64, of length 1."""
    found = embed_pictures(encoder, images).vectors.double().numpy()
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def rank(encoder, images, reference, **options):
    return RankPictures.execute(images, reference, encoder, **options).args


@pytest.mark.parametrize("order, sign", [("best", -1), ("worst", 1)])
def test_pictures_are_kept_in_the_order_of_their_scores(encoder, batch, pictures, order, sign):
    reference = embed_pictures(encoder, pictures[:1])
    expected = embeds(encoder, batch) @ embeds(encoder, pictures[:1])[0]
    images, scores, indices, table = rank(encoder, batch, reference, keep=4, order=order)
    assert indices == np.argsort(sign * expected, kind="stable")[:4].tolist()
    assert scores == pytest.approx(expected[indices], abs=1e-6)
    assert torch.equal(images, batch[indices])
    head, *rows = [line.split() for line in table.splitlines()]
    assert head == ["rank", "index", "cosine", "kept"] and [len(row) for row in rows] == [4, 4, 4, 4, 3, 3]
    assert [int(row[1]) for row in rows] == np.argsort(sign * expected, kind="stable").tolist()


@pytest.mark.parametrize("references, numpy_of", [("average", np.mean), ("nearest", np.max)])
def test_several_references_give_one_score(encoder, batch, pictures, references, numpy_of):
    cosine = embeds(encoder, batch) @ embeds(encoder, pictures).T
    _, scores, indices, _ = rank(encoder, batch, embed_pictures(encoder, pictures), keep=6, references=references)
    assert scores == pytest.approx(numpy_of(cosine, axis=1)[indices], abs=1e-6)


def test_only_those_above_the_minimum_are_kept_or_it_says_why_none_is(encoder, batch, pictures):
    reference = embed_pictures(encoder, batch[2:3])
    images, scores, indices, _ = rank(encoder, batch, reference, keep=6, minimum=0.9999)
    assert indices == [2] and torch.equal(images, batch[2:3]) and scores[0] == pytest.approx(1)
    for order in ("best", "worst"):
        with pytest.raises(
            ValueError, match=r"None of 5 pictures has a score of 0.9999 or more: the best is 0\.\d{4}, "
        ):
            rank(encoder, batch[[0, 1, 3, 4, 5]], reference, minimum=0.9999, order=order)


def test_it_shows_how_many_were_kept(encoder, batch):
    shown = RankPictures.execute(batch, embed_pictures(encoder, batch[2:3]), encoder).ui[SAID]
    assert shown == ["1 of 6 pictures\n1.0000"]


def test_what_cannot_be_ranked_is_refused(encoder, batch, features):
    with pytest.raises(
        ValueError, match="The reference was encoded by tiny CLIP .*the pictures by tiny CLIP .*compare"
    ):
        rank(tiny.encoder(projection=16), batch, embed_pictures(encoder, batch[:1]))
    with pytest.raises(ValueError, match="The input reference is .*connect the output of Embed Text or Embed Image Fe"):
        rank(encoder, batch, features)
    reference = embed_pictures(encoder, batch[:1])
    for wrong, words in [({"keep": 0}, "keep is 0"), ({"minimum": 2}, "minimum is 2"), ({"order": "up"}, "order is")]:
        with pytest.raises(ValueError, match=words):
            rank(encoder, batch, reference, **wrong)
    with pytest.raises(ValueError, match="The input images is a tensor of shape"):
        rank(encoder, batch[0], reference)
