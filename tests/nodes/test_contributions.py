"""What observers are told of: how much each reference adds in a layer."""

import pytest
import tiny
import torch

from image_prompt.ip_adapter import SCALINGS, Frame, Strength
from image_prompt.nodes.applying.attach import attach, image_prompt
from image_prompt.nodes.applying.joint import Joint
from image_prompt.nodes.applying.masks import Place
from image_prompt.nodes.applying.sampling import OBSERVERS


class Noted:
    """The sum of all contributions in each call of a block, and which references they are of."""

    def __init__(self):
        self.sums, self.references = [], set()

    def observe(self, site, call, text, contributions):
        total = torch.zeros_like(text)
        for side in ("cond", "uncond"):
            for each in contributions(side):
                assert each.side == side
                total[each.group.rows] += each.added
                self.references.add((side, each.reference))
        self.sums.append(total)


@pytest.fixture
def added(monkeypatch):
    """What the image prompts add to the output, in each call of a block."""
    found, add = [], Joint.add

    def spy(self, q, out, *args):
        before = out.clone()
        add(self, q, out, *args)
        found.append(out - before)

    monkeypatch.setattr(Joint, "add", spy)
    return found


def observed(model, observer):
    model = model.clone()
    model.model_options["transformer_options"][OBSERVERS] = (observer,)
    return model


MASKS = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(4))
BOTH = {("cond", 0), ("cond", 1), ("uncond", 0), ("uncond", 1)}
OF_PICTURES = {("cond", None), ("uncond", None)}
WAYS = {
    "concat": ({}, {"factors": ((1.0, 0.4), (1.0, 0.4))}, BOTH),
    "one softmax each": ({}, {"arrangement": "each", "place": Place(MASKS)}, BOTH),
    "one per image": ({}, {"arrangement": "by picture"}, OF_PICTURES),
    "weights of pictures": ({"frames": (Frame(0.3), Frame(0.9))}, {"place": Place(MASKS)}, BOTH),
    **{scaling: ({"scaling": scaling}, {}, BOTH) for scaling in SCALINGS},
}


@pytest.mark.parametrize("way", WAYS)
def test_contributions_add_up_to_what_is_added(model, base, adapter, two_references, added, way):
    strength, options, references = WAYS[way]
    features = {"image_embeds": two_references.image_embeds}
    away = {"image_embeds": -two_references.image_embeds}
    prompt = image_prompt(model, adapter, features, away, Strength(0.8, **strength), **options)
    noted = Noted()
    tiny.sample(observed(attach(model, [prompt]), noted), base, batch=2)
    assert noted.references == references
    assert len(added) == len(noted.sums) > 0
    for found, expected in zip(noted.sums, added, strict=True):
        assert expected.std() > 1e-3
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_each_observer_is_told_and_nothing_changes(model, base, adapter, two_references, apply):
    patched = apply(model, adapter, two_references)
    expected = tiny.sample(patched, base)
    one, two = Noted(), Noted()
    watched = patched.clone()
    watched.model_options["transformer_options"][OBSERVERS] = (one, two)
    assert torch.equal(tiny.sample(watched, base), expected)
    assert len(one.sums) == len(two.sums) > 0


def test_a_model_that_is_observed_may_have_no_image_prompt(model, base):
    noted = Noted()
    assert torch.equal(tiny.sample(observed(model, noted), base), tiny.sample(model, base))
    assert noted.sums == []
