"""Features are found again by the content of their picture, within a bound, and each is encoded once."""

import threading

import pytest
import torch

from image_prompt.service import FeatureCache, digest, encode_once


def row(value: float, numbers: int = 25) -> dict[str, torch.Tensor]:
    return {"image_embeds": torch.full((numbers,), float(value))}  # 100 bytes


def test_the_least_recently_used_go_first():
    cache = FeatureCache(limit=1000)
    for number in range(10):
        cache.keep(number, row(number))
    assert cache.find(0, ["image_embeds"]) is not None
    cache.keep(10, row(10))
    assert [key for key in range(11) if cache.find(key, ["image_embeds"]) is None] == [1]
    assert cache.stats()["bytes"] == 1000 and len(cache) == 10


def test_one_picture_cannot_push_out_all_others():
    cache = FeatureCache(limit=1000)
    cache.keep("small", row(1))
    cache.keep("large", row(2, numbers=63))
    assert cache.find("large", ["image_embeds"]) is None and cache.find("small", ["image_embeds"]) is not None


def test_what_is_too_large_leaves_what_was_known():
    cache = FeatureCache(limit=1000)
    cache.keep("a", row(1))
    cache.keep("a", {"penultimate": torch.zeros(60)})
    assert cache.find("a", ["image_embeds"]) is not None and cache.find("a", ["penultimate"]) is None


def test_features_of_one_picture_come_together():
    cache = FeatureCache()
    cache.keep("a", {"image_embeds": torch.zeros(4)})
    assert cache.find("a", ["image_embeds", "penultimate"]) is None
    cache.keep("a", {"penultimate": torch.ones(2, 4)})
    found = cache.find("a", ["image_embeds", "penultimate"])
    assert found is not None and found.keys() == {"image_embeds", "penultimate"}
    assert cache.stats()["bytes"] == 48


def test_what_was_kept_is_no_view_of_what_was_given():
    cache, given = FeatureCache(), torch.ones(3, 1000)
    cache.keep("a", {"image_embeds": given[0]})
    given.zero_()
    found = cache.find("a", ["image_embeds"])
    assert found is not None and found["image_embeds"].eq(1).all()
    assert found["image_embeds"].untyped_storage().nbytes() == 4000


@pytest.mark.parametrize("known, encoded", [("", [0, 1, 3]), ("a", [1, 3]), ("ac", [1]), ("abc", None)])
def test_only_unknown_pictures_are_encoded_and_each_once(known, encoded):
    values, asked = {"a": 1.0, "b": 2.0, "c": 3.0}, []
    cache = FeatureCache()
    for key in known:
        cache.keep(key, row(values[key]))

    def encode(numbers):
        asked.append(numbers)
        return {"image_embeds": torch.stack([row(values["abac"[number]])["image_embeds"] for number in numbers])}

    found = encode_once(cache, list("abac"), ["image_embeds"], encode)
    assert found["image_embeds"][:, 0].tolist() == [1.0, 2.0, 1.0, 3.0]
    assert asked == ([] if encoded is None else [encoded])
    found["image_embeds"].zero_()  # what is given out is not what is kept
    assert encode_once(cache, ["c"], ["image_embeds"], encode)["image_embeds"][0, 0] == 3


def test_threads_that_ask_for_the_same_picture_wait_for_one():
    cache, lock, begun, asked = FeatureCache(), threading.Lock(), threading.Barrier(4), []

    def encode(numbers):
        asked.append(numbers)
        return {"image_embeds": torch.ones(1, 4)}

    def ask():
        begun.wait()
        encode_once(cache, ["a"], ["image_embeds"], encode, lock)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == [[0]]


def test_a_failure_leaves_nothing_behind():
    cache = FeatureCache()

    def fail(numbers):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        encode_once(cache, ["a"], ["image_embeds"], fail, threading.Lock())
    assert len(cache) == 0
    assert encode_once(cache, ["a"], ["image_embeds"], lambda _: {"image_embeds": torch.ones(1, 2)})


def test_a_digest_tells_numbers_shapes_and_types_apart():
    one = torch.arange(12, dtype=torch.float32).view(1, 3, 2, 2)
    others = [one + 1e-6, one.view(1, 3, 4, 1), one.to(torch.uint8), one.view(torch.int32)]
    assert len({digest(each) for each in [one, *others]}) == 5
    assert digest(one.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)) == digest(one)
