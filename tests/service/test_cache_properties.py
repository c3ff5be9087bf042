"""Whatever is kept, found and dropped in whatever order: caches hold what plain lists say, within their bounds."""

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from image_prompt.service import FeatureCache, encode_once
from image_prompt.service.embedding.loaded_models import Loaded, LoadedModels

KEY, NAMES = st.integers(0, 7), ("image_embeds", "penultimate")
LIMIT, BYTES = 400, 4


class KeptFeatures(RuleBasedStateMachine):
    """The cache of features beside a list of (key, {name: (value, length)}), the last used last."""

    def __init__(self):
        super().__init__()
        self.cache, self.plain = FeatureCache(LIMIT), list[tuple[int, dict[str, tuple[int, int]]]]()

    @rule(key=KEY, name=st.sampled_from(NAMES), value=st.integers(0, 9), length=st.integers(12, 26))
    def keep(self, key, name, value, length):
        self.cache.keep(key, {name: torch.full((length,), float(value))})
        row = {**dict(self.plain).get(key, {}), name: (value, length)}
        if 4 * size(row) > LIMIT or 4 * BYTES * length > LIMIT:  # it would push out too many others
            return
        self.plain = [each for each in self.plain if each[0] != key] + [(key, row)]
        while sum(size(row) for _, row in self.plain) > LIMIT:
            self.plain.pop(0)

    @rule(key=KEY, want=st.sets(st.sampled_from(NAMES), min_size=1))
    def find(self, key, want):
        row = dict(self.plain).get(key, {})
        found = self.cache.find(key, want)
        if not want <= row.keys():
            assert found is None
            return
        assert found is not None and found.keys() == want
        assert all(found[name].tolist() == [row[name][0]] * row[name][1] for name in want)
        self.plain = [each for each in self.plain if each[0] != key] + [(key, row)]

    @precondition(lambda self: len(self.plain) > 5)  # seldom, or it would never be full
    @rule()
    def clear(self):
        self.cache.clear()
        self.plain = []

    @invariant()
    def counts_are_those_of_the_list(self):
        whole = sum(size(row) for _, row in self.plain)
        assert self.cache.stats() == {"pictures": len(self.plain), "bytes": whole, "limit": LIMIT}


def size(row):
    return BYTES * sum(length for _, length in row.values())


class Files:
    """Models by name, of which a file may change."""

    def __init__(self):
        self.versions = dict.fromkeys("abc", 0)

    def is_current(self, name, model):
        return model == (name, self.versions[name])


class ModelsInUse(RuleBasedStateMachine):
    """The loaded models beside plain rows [name, model, time of the last use, users, retired], the last taken last."""

    MOST, AFTER = 2, 10

    def __init__(self):
        super().__init__()
        self.now, self.files = 0, Files()
        self.loaded = LoadedModels(self.files, self.MOST, self.AFTER, lambda: self.now)  # type: ignore[arg-type]
        self.rows, self.handles = list[list], dict[int, Loaded]()
        self.rows = []
        self.numbers = itertools.count()

    @rule(name=st.sampled_from("abc"))
    def use(self, name):
        """As the service does: the known one, or a new one once the surplus is gone."""
        row = next((row for row in self.rows if row[0] == name and not row[4]), None)
        if row is not None and not self.files.is_current(name, row[1]):
            row[4], row = True, None
        known = self.loaded.find(name)
        assert (known is None) == (row is None)
        if known is None:
            self.let_go(True)
            if len(self.rows) >= self.MOST:
                assert self.loaded.is_full
                return
            model = (name, self.files.versions[name])
            known, row = self.loaded.put(name, model), [name, model, self.now, 0, False, next(self.numbers)]  # type: ignore[arg-type]
            self.rows.append(row)
            self.handles[row[5]] = known
        self.loaded.take(known)
        row[3] += 1
        self.rows.sort(key=lambda each: each is row)

    @rule(which=st.integers(0, 2))
    def release(self, which):
        used = [row for row in self.rows if row[3]]
        if used:
            row = used[which % len(used)]
            self.loaded.release(self.handles[row[5]])
            row[2:4] = [self.now, row[3] - 1]

    @rule(seconds=st.integers(1, 12))
    def wait(self, seconds):
        self.now += seconds

    @rule(name=st.sampled_from("abc"))
    def change(self, name):
        self.files.versions[name] += 1

    @rule()
    def retire(self):
        self.loaded.retire()
        for row in self.rows:
            row[4] = True

    @rule(for_another=st.booleans())
    def let_go(self, for_another):
        gone = [row for row in self.rows if not row[3] and (row[4] or self.now - row[2] >= self.AFTER)]
        if for_another and not gone and len(self.rows) >= self.MOST:
            gone = [row for row in self.rows if not row[3]][:1]
        self.rows = [row for row in self.rows if all(row is not each for each in gone)]
        assert self.loaded.surplus(for_another) == [row[1] for row in gone]

    @invariant()
    def they_are_those_of_the_rows(self):
        assert [(each.name, each.model, each.users) for each in self.loaded] == [
            (name, model, users) for name, model, _, users, *_ in self.rows
        ]
        assert len(self.rows) <= self.MOST
        left = [row[2] + self.AFTER - self.now for row in self.rows if not row[3]]
        assert self.loaded.seconds_left() == min(left, default=None)


TestKeptFeatures = KeptFeatures.TestCase
TestModelsInUse = ModelsInUse.TestCase


@given(st.lists(KEY, min_size=1, max_size=8), st.lists(KEY, max_size=4))
def test_features_of_many_pictures_are_those_of_each_and_each_is_encoded_once(keys, known):
    cache, asked = FeatureCache(), list[int]()
    of = lambda key: torch.tensor([key, key * key], dtype=torch.float32)  # noqa: E731

    def encode(numbers):
        asked.extend(keys[number] for number in numbers)
        return {"image_embeds": torch.stack([of(keys[number]) for number in numbers])}

    for key in known:
        cache.keep(key, {"image_embeds": of(key)})
    found = encode_once(cache, keys, ["image_embeds"], encode)
    assert torch.equal(found["image_embeds"], torch.stack([of(key) for key in keys]))
    assert sorted(asked) == sorted({*keys} - {*known})
