"""Where, and how much, references act: what is recorded while a sampler runs is what the definition says."""

import gc
import weakref

import pytest
import tiny
import torch
from comfy.patcher_extension import WrappersMP
from test_calls import animatediff_window, core_window, inner_tiles, tiled, windows
from torch.nn import functional as F

from image_prompt.devtools import published
from image_prompt.ip_adapter import OWN, Course, Frame, Share, Strength
from image_prompt.nodes.applying.attach import attach, attach_to_conditions, image_prompt, matching_sites
from image_prompt.nodes.applying.hosts.unet import CrossAttentionPatch
from image_prompt.nodes.applying.joint import Joint
from image_prompt.nodes.applying.masks import Place
from image_prompt.nodes.applying.sampling import CARRIED
from image_prompt.nodes.encoding.features import ImageFeatures
from image_prompt.nodes.influence import influence as module
from image_prompt.nodes.influence.influence import Influence
from image_prompt.nodes.influence.record_influence import RecordInfluence

EXACT = {"rtol": 0, "atol": 0}
CLOSE = {"rtol": 1e-5, "atol": 1e-6}
LAYERS = 16  # of SD1.5
MASK = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(4)).round(decimals=1)  # also 0


@pytest.fixture
def sides(two_references):
    """The features of two references and of an empty negative image, as `image_prompt` takes them."""
    features = two_references.image_embeds
    return {"image_embeds": features}, {"image_embeds": torch.zeros_like(features)}


def recorded(model, **options) -> tuple[object, Influence]:
    return RecordInfluence.execute(model, **options).args


def half(side: str, size: tuple[int, int] = (8, 8)) -> torch.Tensor:
    mask = torch.zeros(1, *size)
    middle = size[1] // 2
    mask[..., :middle] = 1.0
    return mask if side == "left" else 1.0 - mask


def conditioned(condition, **options):
    ((text, given),) = condition
    return [[text, {**given, **options}]]


def layer(model, adapter, kind: str, index: int) -> int:
    """The number of the adapter's layer in a block."""
    blocks = {(site.block.kind, site.block.index): layer for site, layer in matching_sites(model, adapter).items()}
    return blocks[kind, index]


class Attentions:
    """The query, the output of the text attention and the rows of each call of one block."""

    def __init__(self, monkeypatch):
        self.calls, text = [], CrossAttentionPatch._text

        def spy(patch, q, k, v, extra_options):
            out = text(patch, q, k, v, extra_options)
            self.calls.append((q.clone(), out.clone(), list(extra_options["cond_or_uncond"])))
            return out

        monkeypatch.setattr(CrossAttentionPatch, "_text", spy)


@pytest.mark.parametrize("arrangement", ["together", "each"])
def test_the_map_is_that_of_the_definition(model, base, adapter, sides, monkeypatch, arrangement):
    """One layer as large as the latent, two references and three steps, computed plainly."""
    number, weight = layer(model, adapter, "input", 1), 0.6
    prompt = image_prompt(
        model, adapter, *sides, Strength(weight, {number: OWN}), Place(half("left")), arrangement=arrangement
    )
    seen = Attentions(monkeypatch)
    watched, influence = recorded(attach(model, [prompt]))
    tiny.sample(watched, base, steps=3)

    heads = next(site.heads for site, each in prompt.layers.items() if each == number)
    ((key, value),) = adapter.module.key_value(adapter.module.tokens(sides[0]), [number])  # (2, 4, I)
    expected = torch.zeros(2, 64)
    for q, text, sides_of_rows in seen.calls:
        row = sides_of_rows.index(0)
        for reference in range(2):
            query = q[row].view(64, heads, -1).transpose(0, 1)  # (H, L, D)
            keys, values = (x.view(2, 4, heads, -1).permute(2, 0, 1, 3) for x in (key, value))  # (H, 2, 4, D)
            scores = torch.einsum("hld,hrtd->hlrt", query, keys) / query.shape[-1] ** 0.5
            shares = scores.flatten(2).softmax(-1).view_as(scores) if arrangement == "together" else scores.softmax(-1)
            own = torch.einsum("hlt,htd->lhd", shares[:, :, reference], values[:, reference]).flatten(1)
            mask = half("left").view(64, 1)
            expected[reference] += (weight * mask * own).norm(dim=-1) / text[row].norm(dim=-1)
    assert len(seen.calls) == 3 and expected.max() > 0.1
    assert influence.record.evaluations == 3
    torch.testing.assert_close(influence.record.maps, (expected / 3 / LAYERS).view(2, 1, 8, 8), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("base", ["SD1.5", "SDXL"])
def test_pictures_are_equal_to_the_bit_and_so_is_the_next_record(model, base, adapter, features, apply):
    patched = apply(model, adapter, features, mask=half("left"))
    watched, influence = recorded(patched)
    runs = []
    for _ in range(3):
        assert torch.equal(tiny.sample(watched, base, steps=1), tiny.sample(patched, base, steps=1))
        runs.append(influence.record)
    assert len({id(record) for record in runs}) == 3
    for record in runs:
        torch.testing.assert_close(record.maps, runs[0].maps, **EXACT)
    assert runs[0].maps.shape == (1, 1, 8, 8) and runs[0].maps.max() > 0.01


def test_the_order_of_the_nodes_makes_no_difference(model, base, adapter, features, apply):
    after, one = recorded(apply(model, adapter, features))
    before, two = recorded(model)
    tiny.sample(after, base)
    tiny.sample(apply(before.clone(), adapter, features).clone(), base)
    assert one.record.maps.max() > 0.01
    torch.testing.assert_close(one.record.maps, two.record.maps, **EXACT)


@pytest.fixture
def changes(monkeypatch):
    """What image prompts change, in each call of a block: its grid, and the output before and after."""
    found, add = [], Joint.add

    def spy(joint, q, out, extra_options, grid, *more):
        before = out.clone()
        add(joint, q, out, extra_options, grid, *more)
        found.append((grid, before, out.clone(), list(extra_options["cond_or_uncond"])))

    monkeypatch.setattr(Joint, "add", spy)
    return found


@pytest.mark.parametrize(
    ("base", "rows", "size", "grids"),
    [
        ("SD1.5", "own", (8, 6), 4),
        ("SD1.5", "opposite", (8, 8), 4),
        ("SDXL", "own", (8, 12), 2),
        ("Flux", "own", (7, 5), 1),  # in tokens of 2x2, which need an eighth line and a sixth column
    ],
)
def test_layers_of_every_grid_are_joined(base, rows, size, grids, two_references, changes):
    """Rows that are pushed away count in the same way, in the negative rows."""
    model = tiny.flux() if base == "Flux" else tiny.unet(base)
    adapter = tiny.wrapped(tiny.flux_file(model)) if base == "Flux" else tiny.adapter(model)
    features = {"image_embeds": two_references.image_embeds[:1]}
    layers = dict.fromkeys(matching_sites(model, adapter).values(), Share(0.7, rows))
    prompt = image_prompt(model, adapter, features, features, Strength(1.0, layers), Place(torch.rand(1, *size)))
    watched, influence = recorded(attach(model, [prompt]))
    tiny.sample(watched, base, steps=1, size=size)
    expected = torch.zeros(size)
    for grid, before, after, conditions in changes:
        row = conditions.index(0 if rows == "own" else 1)
        ratio = ((after - before)[row].norm(dim=-1) / before[row].norm(dim=-1)).view(1, 1, grid.height, grid.width)
        every = F.interpolate(ratio, [each + more for each, more in zip(size, grid.padding)], mode="nearest-exact")
        expected += every[0, 0, : size[0], : size[1]]
    assert len(changes) == len(layers) and len({change[0] for change in changes}) == grids
    torch.testing.assert_close(influence.record.maps[0, 0], expected / len(layers), rtol=1e-3, atol=1e-5)


def test_each_picture_of_a_batch_has_its_own_map(model, adapter, sides):
    number = layer(model, adapter, "input", 1)
    masks = Place(torch.cat([half("left"), half("right"), half("left")]))
    frames = Frame(1.0), Frame(1.0), Frame(0.0)
    prompt = image_prompt(model, adapter, *sides, Strength(1.0, {number: OWN}, frames=frames), masks)
    watched, influence = recorded(attach(model, [prompt]))
    tiny.sample(watched, "SD1.5", batch=3)
    maps = influence.record.maps
    assert maps.shape == (2, 3, 8, 8)
    for picture, side in enumerate(("left", "right")):
        inside = half(side)[0].bool()
        assert maps[:, picture, inside].min() > 1e-4 and maps[:, picture, ~inside].max() == 0
    assert maps[:, 2].max() == 0


@pytest.mark.parametrize("mark", [core_window, animatediff_window])
@pytest.mark.parametrize("frames", [[[0, 2], [3, 1]], [[0, 1, 2], [1, 2, 3]]])
def test_windows_of_frames_give_the_maps_of_all_frames_at_once(model, adapter, two_references, apply, mark, frames):
    """A window is no evaluation of its own, and a frame in two windows counts once."""
    model.model_options["transformer_options"]["ad_params"] = {"sub_idxs": None}
    masks = torch.rand(4, 8, 8)
    patched = apply(model, adapter, two_references, batch="one per image", mask=masks)
    positive, negative = tiny.conditions("SD1.5")
    conds = [conditioned(positive, mask=MASK) + conditioned(negative, mask=1.0 - MASK), negative]
    watched, whole = recorded(patched, every=2)
    tiny.sample(watched, "SD1.5", batch=4, steps=3, conds=conds)
    watched, parts = recorded(patched, every=2)
    watched.add_wrapper(WrappersMP.CALC_COND_BATCH, windows(mark, frames))
    tiny.sample(watched, "SD1.5", batch=4, steps=3, conds=conds)
    assert whole.record.maps.shape == (1, 4, 8, 8) and whole.record.maps.amin((0, 2, 3)).max() > 0
    assert whole.record.evaluations == parts.record.evaluations == 2
    torch.testing.assert_close(parts.record.maps, whole.record.maps, rtol=1e-3, atol=1e-5)


def carrying(condition, prompt, **options):
    return conditioned(condition, **options, **{CARRIED: [(prompt, "cond")]})


def test_areas_lie_where_they_are_and_share_a_place(model, adapter, sides):
    """Two references in two areas; then the first, where a second condition without references covers it too."""
    prompts = [
        image_prompt(model, adapter, *sides, Strength(weight), names=(name, "other"))
        for weight, name in ((1.0, "one"), (0.5, "two"))
    ]
    positive, negative = tiny.conditions("SD1.5")
    left = carrying(positive, prompts[0], area=(8, 4, 0, 0))
    right = carrying(positive, prompts[1], area=(4, 4, 2, 4))
    watched, influence = recorded(attach_to_conditions(model))
    tiny.sample(watched, "SD1.5", steps=1, conds=[left + right, negative])
    assert influence.record.names == ("one", "other", "two", "other (2)")
    one, two = influence.record.maps[0, 0], influence.record.maps[2, 0]
    assert one[:, :4].min() > 1e-3 and one[:, 4:].max() == 0
    assert two[2:6, 4:].min() > 1e-3 and two[:2].max() == two[6:].max() == two[:, :4].max() == 0
    tiny.sample(watched, "SD1.5", steps=1, conds=[left + positive, negative])
    torch.testing.assert_close(influence.record.maps[0, 0], one / 2, rtol=1e-4, atol=1e-6)


@pytest.fixture
def maps_of(model, adapter, features, apply):
    """The map of one step at 16x16 with these positive conditions, of a reference that acts in all of them."""
    watched, influence = recorded(apply(model, adapter, features))

    def maps_of(*positive):
        negative = tiny.conditions("SD1.5")[1]
        tiny.sample(watched, "SD1.5", steps=1, size=(16, 16), conds=[sum(positive, []), negative])
        return influence.record.maps[0, 0]

    return maps_of


HALVES = half("left", (16, 16))[0], half("right", (16, 16))[0]
FADING = torch.tensor([1.0] * 10 + [2 / 3, 1 / 3] + [0.0] * 4).expand(16, 16)  # a third of a quarter of 12 at each step


@pytest.mark.parametrize(
    ("one", "other", "weights"),
    [
        ({"mask": MASK}, {"mask": 1.0 - MASK}, (MASK[0], 1.0 - MASK[0])),
        ({"mask": HALVES[0]}, {"mask": HALVES[1]}, HALVES),
        (
            {"mask": MASK, "mask_strength": 0.5, "strength": 3.0},
            {"strength": 0.4},
            (1.5 * MASK[0], 0.4 * torch.ones(1)),
        ),
        ({"area": (16, 12, 0, 0)}, {}, (FADING, torch.ones(1))),
        ({"mask": 0.7 * MASK}, {"default": True}, (0.7 * MASK[0], 1.0 - 0.7 * MASK[0])),
    ],
    ids=["mask", "half", "strength", "area", "default"],
)
def test_conditions_count_as_in_the_mean_of_comfyui(maps_of, one, other, weights):
    """Two conditions together have the weighted mean of the maps that each has alone."""
    first, second = (conditioned(each, **given) for each, given in zip(tiny.conditions("SD1.5", seed=8), (one, other)))
    alone = [maps_of(each) for each in (first, second)]
    expected = (weights[0] * alone[0] + weights[1] * alone[1]) / (weights[0] + weights[1])
    assert not torch.allclose(alone[0], alone[1], rtol=0.1)
    torch.testing.assert_close(maps_of(first, second), expected, rtol=1e-4, atol=1e-6)


def test_each_evaluation_counts_the_same_whatever_strength_its_conditions_have(model, adapter, features, apply):
    watched, early = recorded(apply(model, adapter, features), end=0.5)
    watched, late = recorded(watched, start=0.5)
    watched, every = recorded(watched)
    positive, negative = tiny.conditions("SD1.5")
    strong = conditioned(positive, strength=4.0, end_percent=0.5)
    weak = conditioned(positive, strength=0.5, start_percent=0.5)
    tiny.sample(watched, "SD1.5", steps=4, conds=[strong + weak, negative])
    assert early.record.evaluations == late.record.evaluations == 2
    torch.testing.assert_close(every.record.maps, (early.record.maps + late.record.maps) / 2, **CLOSE)


def test_a_reference_of_a_condition_is_known_before_it_acts(model, adapter, sides):
    prompt = image_prompt(model, adapter, *sides, Strength(course=Course(0.0, 0.1)), names=("one", "two"))
    positive, negative = tiny.conditions("SD1.5")
    watched, influence = recorded(attach_to_conditions(model), start=0.6)
    tiny.sample(watched, "SD1.5", steps=4, conds=[carrying(positive, prompt), negative])
    assert influence.record.names == ("one", "two")
    assert influence.record.maps.shape == (2, 1, 8, 8) and influence.record.maps.max() == 0


def test_recorders_in_a_row_record_what_each_is_told_to(model, adapter, features, apply):
    """Style has 5 of the 16 layers of SD1.5; the other layers count as 0."""
    patched, every = recorded(apply(model, adapter, features, layers="style"))
    patched, style = recorded(patched, layers="style")
    patched, composition = recorded(patched, layers="composition")
    patched, late = recorded(patched, start=0.6)
    tiny.sample(patched, "SD1.5", steps=4)
    assert every.record.maps.max() > 0.01 and composition.record.maps.max() == 0
    torch.testing.assert_close(style.record.maps, every.record.maps * 16 / 5, **CLOSE)
    assert (every.record.evaluations, late.record.evaluations) == (4, 1)
    assert not torch.allclose(late.record.maps, every.record.maps)


def test_steps_in_which_a_reference_does_not_act_count_as_zero(model, adapter, sides):
    first, second = (
        image_prompt(model, adapter, *sides, Strength(1.0, course=course))
        for course in (Course(0.0, 0.4), Course(0.0, 0.0))
    )
    watched, whole = recorded(attach(model, [first]))
    watched, beginning = recorded(watched, end=0.4)
    tiny.sample(watched, "SD1.5", steps=4)
    assert beginning.record.evaluations == 2
    torch.testing.assert_close(whole.record.maps, beginning.record.maps / 2, **CLOSE)


def test_where_the_text_gives_nothing_there_is_no_influence(model, adapter, sides):
    number = layer(model, adapter, "input", 1)

    def silent(q, k, v, extra_options):
        out = torch.ones_like(q)
        out[:, :8] = 0.0
        return out

    model.set_model_attn2_replace(silent, "input", 1)
    watched, influence = recorded(attach(model, [image_prompt(model, adapter, *sides, Strength(1.0, {number: OWN}))]))
    tiny.sample(watched, "SD1.5")
    maps = influence.record.maps
    assert maps[..., 0, :].max() == 0 and maps[..., 1:, :].min() > 1e-4 and maps.isfinite().all()


def test_half_precision_gives_about_the_same_map(features, apply):
    maps = []
    for dtype in (torch.float32, torch.bfloat16):
        model = tiny.unet("SD1.5", dtype=dtype)
        watched, influence = recorded(apply(model, tiny.adapter(model), features))
        tiny.sample(watched, "SD1.5", steps=1)
        maps.append(influence.record.maps)
    assert maps[1].dtype == torch.float32
    torch.testing.assert_close(maps[1], maps[0], rtol=0.1, atol=1e-3)


def test_records_stay_until_newer_ones_push_them_out(model, adapter, features, apply, monkeypatch):
    """A run that fails leaves them as they are."""
    watched, influence = recorded(apply(model, adapter, features))
    made = [tiny.sample(watched, "SD1.5", size=(8, width), steps=1) for width in (8, 10)]

    def fails(*_):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        tiny.sample(watched, "SD1.5", callback=fails)
    assert [influence.of(samples).maps.shape[-1] for samples in made] == [8, 10]
    assert influence.record is influence.of(made[1])
    monkeypatch.setattr(module, "RUNS", 2)
    tiny.sample(watched, "SD1.5", steps=1, batch=2)
    assert [influence.of(samples) is None for samples in made] == [True, False]
    monkeypatch.setattr(module, "MEMORY", 3 * 8 * 8 * 4)  # as much as the three maps of the last two runs
    tiny.sample(watched, "SD1.5", steps=1)
    assert [record.maps.shape[1] for record in influence.records] == [2, 1]
    tiny.sample(watched, "SD1.5", steps=1, batch=4)
    assert [record.maps.shape[1] for record in influence.records] == [4]


def test_nothing_but_maps_is_kept(model, adapter, sides):
    prompt = image_prompt(model, adapter, *sides, Strength())
    watched, influence = recorded(attach(model, [prompt]))
    tiny.sample(watched, "SD1.5")
    kept = weakref.ref(prompt)
    del watched, prompt
    gc.collect()
    assert kept() is None
    assert influence.record.maps.untyped_storage().nbytes() == 2 * 8 * 8 * 4


def twice(apply_model, call):
    """Stack two copies of the latent along the batch, as tiled diffusion does with tiles."""
    c = {**call["c"], "c_crossattn": call["c"]["c_crossattn"].repeat(2, 1, 1)}
    return apply_model(call["input"].repeat(2, 1, 1, 1), call["timestep"].repeat(2), **c)[: len(call["input"])]


def stacked(model):
    model.set_model_unet_function_wrapper(twice)
    return model


def within(model):
    model.add_wrapper(WrappersMP.DIFFUSION_MODEL, inner_tiles)
    return model


def merged(model):
    """Every other token in the large blocks, as packs that merge tokens do it."""

    def fewer(n, context, value, options):
        return n[:, ::2] if n.shape[1] == 64 else n, context, value

    model.set_model_patch(fewer, "attn2_patch")
    model.set_model_patch(lambda n, _: n.repeat_interleave(2, 1) if n.shape[1] == 32 else n, "attn2_output_patch")
    return model


@pytest.mark.parametrize(
    ("tile", "message"),
    [
        (lambda model: tiled(model, 1), "on parts of the latent"),
        (stacked, "on parts of the latent"),
        (within, "on parts of the latent"),
        (merged, "merges tokens"),
    ],
)
def test_what_cannot_be_placed_is_said_and_sampling_goes_on(model, adapter, features, apply, tile, message):
    patched = tile(apply(model, adapter, features))
    expected = tiny.sample(patched, "SD1.5")
    watched, influence = recorded(patched)
    assert torch.equal(tiny.sample(watched, "SD1.5"), expected)
    assert message in influence.record.trouble


def test_a_picture_is_drawn_once_a_step_where_somebody_looks(model, adapter, two_references, apply, monkeypatch):
    drawn, ended, called = [], [], []
    monkeypatch.setattr(module, "is_shown", lambda node_id: node_id == "7")
    monkeypatch.setattr(module, "show_progress", lambda *args: drawn.append(args))
    monkeypatch.setattr(module, "progress_ended", ended.append)
    watched, influence = recorded(apply(model, adapter, two_references))
    tiny.sample(watched, "SD1.5")
    assert not drawn
    influence.node_id = "7"
    tiny.sample(watched, "SD1.5", steps=3, callback=lambda step, *_: called.append(step))
    assert [(value, most, node_id) for value, most, _, node_id in drawn] == [(n, 3, "7") for n in (1, 2, 3)]
    assert called == [0, 1, 2] and ended == ["7"]
    picture = drawn[-1][2]
    assert picture.shape == (128, 256, 3) and 0 <= picture.min() and picture.max() <= 1 and picture.std() > 0.01


def test_a_reference_of_which_each_layer_takes_a_part_has_a_map(apply):
    """In CSGO, the down blocks take the tokens of the content, and the up blocks those of the style."""
    model = tiny.unet("SDXL")
    file = tiny.file_for(model, lambda context: published.content_and_style(context, 32))
    layers = {f"ip_adapter.{2 * number + 1}." for number in range(60)}  # those of the middle block are left out
    kept = {
        key: each for key, each in file.items() if key.startswith("image_proj.") or key[: key.index("to_")] in layers
    }
    features = ImageFeatures(penultimate_hidden_states=torch.rand(1, 9, 32), negative_penultimate=None, encoder="")
    patched, influence = recorded(apply(model, tiny.wrapped(kept), features))
    tiny.sample(patched, "SDXL")
    assert len(influence.record.maps) == 1 and influence.record.maps.max() > 0
