"""Reciprocal rank fusion against the sum of fractions, and what has to hold for any rankings."""

import itertools
import random
from fractions import Fraction

import pytest

from image_prompt.references.fusion import Fused, fuse


def drawn(seed: int) -> list[list[str]]:
    """Some rankings of letters, each of some of them."""
    choose = random.Random(seed)
    return [choose.sample("abcdefghijklm", choose.randint(0, 13)) for _ in range(choose.randint(1, 4))]


def exact(rankings, weights, k=60) -> dict[str, Fraction]:
    scores: dict[str, Fraction] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for place, each in enumerate(ranking):
            scores[each] = scores.get(each, Fraction(0)) + Fraction(weight) / (k + place + 1)
    return scores


@pytest.mark.parametrize("seed", range(30))
def test_scores_are_those_of_fractions(seed):
    rankings = drawn(seed)
    weights = [random.Random(seed + 100).choice((0, 0.25, 1, 3)) for _ in rankings]
    for some, k in ((None, 60), (weights, 7)):
        expected = exact(rankings, some or [1] * len(rankings), k)
        fused = fuse(rankings, some, k)
        assert {each.id: each.score for each in fused} == pytest.approx({id: float(x) for id, x in expected.items()})
        assert [expected[each.id] for each in fused] == sorted(expected.values(), reverse=True)
        assert [each.rank for each in fused] == list(range(1, len(expected) + 1))
        for each in fused:
            assert each.ranks == tuple(r.index(each.id) + 1 if each.id in r else None for r in rankings)


@pytest.mark.parametrize("seed", range(10))
def test_the_order_of_the_rankings_changes_no_score(seed):
    rankings = drawn(seed)
    scores = {each.id: each.score for each in fuse(rankings)}
    for other in itertools.permutations(rankings):
        assert {each.id: each.score for each in fuse(other)} == scores  # to the last bit


def test_one_ranking_alone_keeps_its_order():
    ranking = random.Random(0).sample(range(5000), 5000)
    assert [each.id for each in fuse([ranking])] == ranking
    assert [each.id for each in fuse([ranking, ranking, []])] == ranking


def test_an_id_of_one_ranking_has_the_score_of_that_one():
    fused = fuse([["a", "b"], ["a", "c"]])
    assert fused[0] == Fused("a", 2 / 61, 1, (1, 1))
    assert fused[1:] == [Fused("b", 1 / 62, 2, (2, None)), Fused("c", 1 / 62, 3, (None, 2))]


def test_of_equal_scores_the_order_of_the_first_ranking_counts():
    assert [each.id for each in fuse(["ab", "ba"])] == ["a", "b"]
    assert [each.id for each in fuse(["ba", "ab"])] == ["b", "a"]
    assert [each.id for each in fuse(["xc", "xb", "xa"])] == ["x", "c", "b", "a"]


def test_weights_decide_between_rankings_that_disagree():
    assert [each.id for each in fuse(["abc", "cba"], (1, 1.5))] == ["c", "b", "a"]
    assert [each.id for each in fuse(["ab", "c"], (1, 0))] == ["a", "b", "c"]
    assert fuse(["ab", "c"], (1, 0))[-1].score == 0


@pytest.mark.parametrize(
    "rankings, more, expected",
    [
        ([], {}, "There is no ranking to fuse"),
        (["ab", "aba"], {}, "Ranking 2 of 2 has an id twice"),
        (["ab", "ba"], {"weights": (1,)}, "There are 1 weights for 2 rankings"),
        (["ab"], {"weights": (-1,)}, "Weights are numbers from 0 on"),
        (["ab"], {"weights": (float("nan"),)}, "Weights are numbers from 0 on"),
        (["ab"], {"k": -1}, "The k of the fusion is 0 or more"),
    ],
)
def test_what_cannot_be_fused_is_said(rankings, more, expected):
    with pytest.raises(ValueError, match=expected):
        fuse(rankings, **more)
