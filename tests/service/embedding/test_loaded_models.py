"""Which models are let go, by a clock that a test turns."""

import pytest

from image_prompt.service.embedding.loaded_models import LoadedModels


class Files:
    def is_current(self, name, model):
        return True


@pytest.fixture
def now():
    return [0.0]


@pytest.fixture
def models(now):
    return LoadedModels(Files(), 2, 10, lambda: now[0])


def test_one_that_is_not_used_for_long_is_let_go(models, now):
    a, _ = models.put("a", "A"), models.put("b", "B")
    models.take(a)
    now[0] = 9
    assert models.seconds_left() == 1 and not models.surplus(False)
    now[0] = 20
    assert models.surplus(False) == ["B"]  # the other is in use
    assert models.seconds_left() is None
    models.release(a)
    now[0] = 29
    assert models.seconds_left() == 1 and not models.surplus(False)
    now[0] = 30
    assert models.surplus(False) == ["A"] and not list(models)


def test_the_longest_unused_gives_way_and_none_that_is_used(models):
    a, b = models.put("a", "A"), models.put("b", "B")
    models.take(a)
    models.release(a)
    models.take(b)
    assert models.is_full and models.surplus(True) == ["A"]
    assert not models.is_full and not models.surplus(True)
    models.put("c", "C")
    assert models.surplus(True) == ["C"] and not models.surplus(True)


def test_retired_ones_are_given_to_nobody(models):
    a = models.put("a", "A")
    models.take(a)
    assert models.find("a") is a
    models.retire()
    assert models.find("a") is None and not models.surplus(False)
    models.release(a)
    assert models.surplus(False) == ["A"]
