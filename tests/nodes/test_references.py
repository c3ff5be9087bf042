"""References as values: what Apply References does with them, and how they act together."""

from functools import partialmethod

import pytest
import tiny
import torch

from image_prompt.ip_adapter import Course, CurveWeights, Keyframe, ListedWeights, StepWeights
from image_prompt.ip_adapter.layer_networks.plain import ImageKeyValue
from image_prompt.nodes.applying.image_prompt import ImagePrompt
from image_prompt.nodes.applying.joint import Joint
from image_prompt.nodes.applying.masks import Grid
from image_prompt.nodes.applying.sampling import HALVINGS, KEY, Evaluation, Run
from image_prompt.nodes.controls.apply_references import ApplyReferences
from image_prompt.nodes.controls.reference import MakeReference
from image_prompt.nodes.encoding.encode import EncodeImagePrompt

CLOSE = {"rtol": 1e-4, "atol": 2e-4}


def reference(features, **options):
    return MakeReference.execute(features, **options).args[0]


def apply_references(model, adapter, *references, **options):
    return ApplyReferences.execute(
        model, adapter, {f"reference_{number}": each for number, each in enumerate(references)}, **options
    ).args[0]


def steps(*keyframes):
    return StepWeights((Course(keyframes=tuple(Keyframe(*each) for each in keyframes)),))


@pytest.fixture
def other_features(encoder, pictures):
    return EncodeImagePrompt.execute(encoder, pictures[1:]).args[0]


@pytest.fixture
def halves():
    left = torch.zeros(1, 8, 8)
    left[..., :4] = 1.0
    return left, 1.0 - left


@pytest.mark.parametrize("base", ["SD1.5", "SDXL"])
def test_one_reference_gives_the_bits_of_apply(model, base, adapter, two_references, halves, apply):
    alike = {"weight": 0.7, "start": 0.1, "end": 0.9, "mask": halves[0], "negative": two_references, "layers": "style"}
    expected = tiny.sample(apply(model, adapter, two_references, batch="together", **alike), base)
    found = tiny.sample(apply_references(model, adapter, reference(two_references, **alike)), base)
    assert torch.equal(found, expected)
    assert not torch.equal(found, tiny.sample(model, base))


def test_one_per_image_is_that_of_apply(model, base, adapter, two_references, apply):
    expected = tiny.sample(apply(model, adapter, two_references, batch="one per image"), base, batch=2)
    patched = apply_references(model, adapter, reference(two_references, combining="one per image"))
    assert torch.equal(tiny.sample(patched, base, batch=2), expected)


@pytest.mark.parametrize("options", [{"on": False}, {"weight": 0.0}, {"start": 1.0}, {"frame_weights": "0, 0"}])
def test_a_reference_that_does_nothing_leaves_the_same_bits(model, base, adapter, features, options):
    patched = apply_references(model, adapter, reference(features, **options))
    assert torch.equal(tiny.sample(patched, base, batch=2), tiny.sample(model, base, batch=2))


WHITE = torch.ones(1, 8, 8)
CONTROLS = {  # name -> its neutral value, and one that changes the picture
    "weight": ({"weight": 1.0}, {"weight": 0.7}),
    "layers": ({"layers": "all"}, {"layers": "composition"}),
    "listed layer weights": (
        {"layer_weights": ListedWeights((1.0,) * 16)},
        {"layer_weights": ListedWeights((1, 0, 1))},
    ),
    "curve of layers": (
        {"layer_weights": CurveWeights(first=1.0, last=1.0)},
        {"layer_weights": CurveWeights(first=1.0, last=0.5)},
    ),
    "step weights": ({"step_weights": steps((0.0, 1.0), (1.0, 1.0))}, {"step_weights": steps((0.0, 1.0), (1.0, 0.5))}),
    "range": ({"start": 0.0, "end": 1.0}, {"end": 0.5}),
    "frame weights": ({"frame_weights": "1, 1"}, {"frame_weights": "0:1, 1:0.5"}),
    "mask": ({"mask": WHITE}, {"mask": WHITE * 0.5}),
    "inverted mask": ({"mask": WHITE * 0.0, "invert_mask": True}, {"mask": WHITE * 0.5, "invert_mask": True}),
    "feather": ({"mask": WHITE, "feather": 0.2}, {"mask": WHITE.triu(), "feather": 0.2}),
    "combining of one": ({"combining": "one softmax each"}, None),
    "scaling": ({"scaling": "V only"}, {"scaling": "K+V", "weight": 0.7}),
}


@pytest.mark.parametrize("control", CONTROLS)
def test_a_neutral_control_gives_the_same_bits_and_another_value_does_not(model, base, adapter, features, control):
    neutral, acting = CONTROLS[control]
    plain = tiny.sample(apply_references(model, adapter, reference(features)), base, batch=2)
    found = tiny.sample(apply_references(model, adapter, reference(features, **neutral)), base, batch=2)
    assert torch.equal(found, plain)
    if acting is not None:
        assert not torch.equal(
            tiny.sample(apply_references(model, adapter, reference(features, **acting)), base, batch=2), plain
        )


def test_several_references_are_a_chain_of_applies(model, base, adapter, features, other_features, halves, apply):
    chain = apply(model, adapter, features, 0.6, mask=halves[0], layers="style")
    chain = apply(chain, adapter, other_features, 0.4, mask=halves[1])
    patched = apply_references(
        model,
        adapter,
        reference(features, weight=0.6, mask=halves[0], layers="style"),
        reference(other_features, weight=0.4, mask=halves[1]),
    )
    torch.testing.assert_close(tiny.sample(patched, base), tiny.sample(chain, base), **CLOSE)


@pytest.mark.parametrize("base", ["SD1.5", "SDXL"])
def test_joined_by_concat_they_share_one_softmax(model, base, adapter, features, other_features, two_references, apply):
    one, two = reference(features), reference(other_features)
    found = tiny.sample(apply_references(model, adapter, one, two, joining="concat"), base)
    turned = tiny.sample(apply_references(model, adapter, two, one, joining="concat"), base)
    each = tiny.sample(apply_references(model, adapter, one, two), base)
    torch.testing.assert_close(found, tiny.sample(apply(model, adapter, two_references), base), **CLOSE)
    torch.testing.assert_close(found, turned, **CLOSE)
    assert (found - each).abs().max() > 1e-2


def test_joined_by_concat_each_keeps_its_weight(model, base, adapter, features, other_features):
    """What the second one adds falls with its weight, while it takes its part of the softmax as before."""
    one = reference(features)
    added = []
    for weight in (1e-6, 0.5, 1.0):
        two = reference(other_features, weight=weight)
        added.append(_added(apply_references(model, adapter, one, two, joining="concat")))
    torch.testing.assert_close(added[1] - added[0], added[2] - added[1], rtol=1e-3, atol=1e-5)
    alone = _added(apply_references(model, adapter, one))
    assert (alone - added[0]).abs().max() > 1e-3


def _added(patched):
    """What the first layer adds to a text attention of zeros, for random queries of the positive rows."""
    slots = patched.model_options["transformer_options"]["patches_replace"]["attn2"]
    joint = slots["input", 1].joint
    q = torch.randn(1, 64, joint.site.block.width, generator=torch.Generator().manual_seed(0))
    out = torch.zeros_like(q)
    evaluation = Evaluation(Run(), (False,), {}, (8, 8), torch.ones(1), None)
    joint.add(q, out, {KEY: evaluation, "cond_or_uncond": [0], "uuids": [0]}, Grid(8, 8), (1, 4, 8, 8))
    return out


def test_one_softmax_each_adds_the_pictures_of_a_reference(
    model, base, adapter, features, other_features, two_references, halves, apply
):
    chain = apply(apply(model, adapter, features, 0.6), adapter, other_features, 0.6)
    each = reference(two_references, weight=0.6, combining="one softmax each")
    torch.testing.assert_close(
        tiny.sample(apply_references(model, adapter, each), base), tiny.sample(chain, base), **CLOSE
    )
    chain = apply(apply(model, adapter, features, mask=halves[0]), adapter, other_features, mask=halves[1])
    masked = reference(two_references, combining="one softmax each", mask=torch.cat(halves))
    torch.testing.assert_close(
        tiny.sample(apply_references(model, adapter, masked), base), tiny.sample(chain, base), **CLOSE
    )


def test_methods_blend_the_pictures_first(model, base, adapter, two_references, apply):
    blended = type(two_references)(
        negative_penultimate=None, encoder="", image_embeds=two_references.image_embeds.mean(0, keepdim=True)
    )
    found = apply_references(model, adapter, reference(two_references, combining="average"))
    assert torch.equal(tiny.sample(found, base), tiny.sample(apply(model, adapter, blended), base))


def test_keyframes_that_switch_are_a_range(model, base, adapter, features, apply):
    late = steps((0.0, 0.0, "hold"), (0.5, 1.0))
    for options, expected in (
        ({"step_weights": late}, {"start": 0.5}),
        ({"step_weights": late, "end": 0.8}, {"start": 0.5, "end": 0.8}),
        ({"step_weights": steps((0.0, 1.0))}, {}),
        ({"step_weights": steps((0.0, 0.5)), "weight": 0.8}, {"weight": 0.4}),
    ):
        found = tiny.sample(apply_references(model, adapter, reference(features, **options)), base, steps=5)
        assert torch.equal(found, tiny.sample(apply(model, adapter, features, **expected), base, steps=5))


def test_keyframes_need_nothing_projected_again(model, base, adapter, features, monkeypatch):
    shapes, forward = [], ImageKeyValue.forward
    monkeypatch.setattr(
        ImageKeyValue, "forward", lambda self, tokens, _=None: shapes.append(1) or forward(self, tokens)
    )
    ramp = reference(features, step_weights=steps((0.0, 1.0), (1.0, 0.0)))
    patched = apply_references(model, adapter, ramp)
    once = len(shapes)
    first, second = (tiny.sample(patched, base, steps=4) for _ in range(2))
    assert len(shapes) == once > 0
    assert torch.equal(first, second)
    constant = tiny.sample(apply_references(model, adapter, reference(features, weight=0.5)), base, steps=4)
    assert (first - constant).abs().max() > 1e-3


def test_a_schedule_reads_the_device_once_an_evaluation(model, base, adapter, features, monkeypatch):
    """A value that is read waits for the device, so nothing may be read for each layer."""
    ramp = reference(features, step_weights=steps((0.0, 1.0), (1.0, 0.0)), frame_weights="1, 0.5", start=0.1, end=0.9)
    patched = apply_references(model, adapter, ramp, reference(features, step_weights=steps((0.0, 0.5), (1.0, 1.0))))
    read = []
    items = {name: getattr(torch.Tensor, name) for name in ("item", "__float__", "tolist", "__bool__")}

    def watched(self, *args, method):
        with monkeypatch.context() as patch:
            for name, item in items.items():
                patch.setattr(torch.Tensor, name, lambda tensor, item=item: read.append(tensor.shape) or item(tensor))
            return method(self, *args)

    for kind, name in ((ImagePrompt, "factors"), (Joint, "add")):
        monkeypatch.setattr(kind, name, partialmethod(watched, method=getattr(kind, name)))
    tiny.sample(patched, base, steps=3, batch=2)
    assert read == [()] * (3 + 2 + 3 * HALVINGS)  # sigma at each step, the ends, and the search on the CPU
    read.clear()
    tiny.sample(patched, base, steps=3, batch=2)
    assert read == [()] * (3 + 2)
    read.clear()
    tiny.sample(apply_references(model, adapter, reference(features)), base, steps=3, batch=2)
    assert read == []


def test_weights_and_schedules_belong_to_pictures(model, base, adapter, features, apply):
    plain = tiny.sample(model, base, batch=3)
    full, half = (tiny.sample(apply(model, adapter, features, weight), base, batch=3) for weight in (1.0, 0.5))
    found = tiny.sample(apply_references(model, adapter, reference(features, frame_weights="0:1, 2:0")), base, batch=3)
    for number, expected in enumerate((full, half, plain)):
        torch.testing.assert_close(found[number], expected[number], **CLOSE)
    courses = StepWeights((Course(keyframes=(Keyframe(0.0, 0.0),)), Course(), Course(end=0.5)))
    early = tiny.sample(apply(model, adapter, features, end=0.5), base, batch=3)
    found = tiny.sample(apply_references(model, adapter, reference(features, step_weights=courses)), base, batch=3)
    for number, expected in enumerate((plain, full, early)):
        torch.testing.assert_close(found[number], expected[number], **CLOSE)


def test_masks_are_inverted_feathered_and_normalised(model, base, adapter, features, other_features, halves, apply):
    inverted = apply_references(model, adapter, reference(features, mask=halves[0], invert_mask=True))
    assert torch.equal(tiny.sample(inverted, base), tiny.sample(apply(model, adapter, features, mask=halves[1]), base))
    soft = apply_references(model, adapter, reference(features, mask=halves[0], feather=0.3))
    assert not torch.equal(tiny.sample(soft, base), tiny.sample(apply(model, adapter, features, mask=halves[0]), base))
    both = [reference(each, mask=torch.ones(1, 8, 8)) for each in (features, other_features)]
    shared = tiny.sample(apply_references(model, adapter, *both, overlap="normalise"), base)
    halved = [reference(each, weight=0.5) for each in (features, other_features)]
    torch.testing.assert_close(shared, tiny.sample(apply_references(model, adapter, *halved), base), **CLOSE)


def test_masks_are_shared_out_among_all_that_have_a_softmax(model, base, adapter, features, two_references, halves):
    """A reference of two pictures counts twice; references in one softmax share their strength already."""
    white = torch.ones(2, 8, 8)
    each = {"combining": "one softmax each"}
    shared = apply_references(model, adapter, reference(two_references, mask=white, **each), overlap="normalise")
    half = tiny.sample(apply_references(model, adapter, reference(two_references, weight=0.5, **each)), base)
    torch.testing.assert_close(tiny.sample(shared, base), half, **CLOSE)
    three = [reference(two_references, **each), reference(features, mask=white[:1])]
    thirds = [reference(two_references, weight=1 / 3, **each), reference(features, weight=1 / 3)]
    torch.testing.assert_close(
        tiny.sample(apply_references(model, adapter, *three, overlap="normalise"), base),
        tiny.sample(apply_references(model, adapter, *thirds), base),
        **CLOSE,
    )
    apart = reference(two_references, mask=torch.cat(halves), **each)
    assert torch.equal(
        tiny.sample(apply_references(model, adapter, apart, overlap="normalise"), base),
        tiny.sample(apply_references(model, adapter, apart), base),
    )
    wide = torch.zeros(1, 32, 32)
    wide[..., :8] = 1.0
    mixed = [apart, reference(features, mask=wide)]
    assert torch.isfinite(tiny.sample(apply_references(model, adapter, *mixed, overlap="normalise"), base)).all()
    joined = [reference(features), reference(two_references)]
    assert torch.equal(
        tiny.sample(apply_references(model, adapter, *joined, joining="concat", overlap="normalise"), base),
        tiny.sample(apply_references(model, adapter, *joined, joining="concat"), base),
    )


def test_many_frames_are_prepared_once(model, base, adapter, features):
    """A film of ten thousand frames, each with its own weight."""
    patched = apply_references(model, adapter, reference(features, frame_weights="0:1, 9999:0"))
    slots = patched.model_options["transformer_options"]["patches_replace"]["attn2"]
    (prompt,) = {part.prompt for patch in slots.values() for part in patch.joint.parts}
    assert len(prompt.frame_numbers) == 10_000


def test_the_report_says_what_was_done(model, base, adapter, two_references, features):
    out = ApplyReferences.execute(
        model,
        adapter,
        {"reference_0": reference(two_references), "reference_1": reference(features, layers="style")},
    )
    first, second = out.args[1].split("\n")
    assert first == "2 references, 12 tokens"
    assert second.startswith("16 of 16 layers, ") and second.endswith(" ms") and " MB, " in second
    nothing = ApplyReferences.execute(model, adapter, {"reference_0": reference(features, on=False)})
    assert nothing.args[1] == "No reference acts.\nThe model is as it was."


def test_counts_that_do_not_fit_the_batch_are_named(model, base, adapter, features, two_references, halves):
    for options, words in (
        ({"frame_weights": "1, 1, 1"}, "reference 1 has 3 weights for a batch of 2: give one, or 2"),
        ({"mask": torch.ones(3, 8, 8)}, "reference 1 has 3 masks for a batch of 2: give one, or 2"),
    ):
        patched = apply_references(model, adapter, reference(features, **options))
        with pytest.raises(ValueError, match=words):
            tiny.sample(patched, base, batch=2)
    patched = apply_references(model, adapter, reference(two_references, combining="one per image", name="cats"))
    with pytest.raises(ValueError, match="has 2 reference images for a batch of 3"):
        tiny.sample(patched, base, batch=3)
