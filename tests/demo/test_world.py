"""The demo world is the same everywhere, its held-out scenes stay out of training, and its words say what is drawn."""

import itertools

import pytest
import torch

from image_prompt.demo.world import (
    COLOURS,
    IN_PAIRS,
    POSITIONS,
    SHAPES,
    SIZE,
    TEXTURES,
    VALUES,
    Scene,
    World,
    caption,
    draw,
    words,
)

COMBINATIONS = list(itertools.product(SHAPES, COLOURS, TEXTURES))
SCENE = Scene("star", "red", "stripes", "white", "left", "large")
PLAIN = Scene("ring", "blue", "plain", "beige", "middle", "small")


def scenes(seed, count, held_out=False):
    world = World(seed, held_out)
    return [world.scene() for _ in range(count)]


def combination(scene):
    return scene.shape, scene.colour, scene.texture


def out_of_training(shape, colour, texture):
    return Scene(shape, colour, texture, "white", "middle", "small").held_out


def test_a_seed_gives_the_same_scenes_and_pixels():
    first, second = (World(5, pairs=0.5) for _ in range(2))
    pictures, again = ([world.picture() for _ in range(12)] for world in (first, second))
    assert pictures == again
    assert {len(picture) for picture in pictures} == {1, 2}
    assert torch.equal(draw(pictures), draw(again))
    assert first.mentions(pictures[0]) == second.mentions(again[0])
    assert scenes(5, 12) != scenes(6, 12)


def test_a_picture_does_not_depend_on_its_batch():
    pictures = [(scene,) for scene in scenes(7, 6)]
    assert torch.equal(torch.cat([draw([picture]) for picture in pictures]), draw(pictures))


def test_other_machines_draw_the_same():
    """The numbers were computed on another machine."""
    found = scenes(1, 3)
    assert [tuple(getattr(scene, name) for name in VALUES) for scene in found] == [
        ("triangle", "cyan", "checks", "beige", "middle", "large"),
        ("ring", "green", "dots", "grey", "bottom", "small"),
        ("triangle", "green", "plain", "grey", "top", "small"),
    ]
    assert found[0].shift == pytest.approx((0.4190458, 1.4228332))
    assert found[0].stretch == pytest.approx(0.0462042)
    assert found[0].tint == pytest.approx((-0.0546683, -0.0570485, -0.0289399))
    means = draw([(scene,) for scene in found]).double().mean((2, 3))
    expected = [[0.727864, 0.734663, 0.612049], [0.483160, 0.521381, 0.489832], [0.488468, 0.534083, 0.499838]]
    torch.testing.assert_close(means, torch.tensor(expected).double(), rtol=0, atol=1e-4)  # of one pixel's colour: 2e-4

    world = World(1, held_out=True, pairs=0.5)
    pictures = [[combination(scene) for scene in world.picture()] for _ in range(3)]
    assert pictures == [
        [("star", "green", "stripes")],
        [("square", "pink", "plain"), ("cross", "green", "plain")],
        [("star", "green", "stripes")],
    ]


def test_24_of_144_combinations_are_held_out_and_every_value_is_trained_on():
    out = [c for c in COMBINATIONS if out_of_training(*c)]
    assert (len(out), len(COMBINATIONS)) == (24, 144)
    trained = set(COMBINATIONS) - set(out)
    for place, values in enumerate((SHAPES, COLOURS, TEXTURES)):
        assert {c[place] for c in trained} == set(values) == {c[place] for c in out}


@pytest.mark.parametrize("held_out", [False, True])
def test_a_world_shows_all_of_its_combinations_and_no_others(held_out):
    shown = {combination(scene) for scene in scenes(3, 2500, held_out)}
    assert shown == {c for c in COMBINATIONS if out_of_training(*c) == held_out}


def test_no_half_of_a_training_pair_is_held_out():
    world = World(3, pairs=1.0)
    halves = [scene for _ in range(300) for scene in world.picture()]
    assert len(halves) == 600
    assert not any(scene.held_out for scene in halves)
    assert {scene.position for scene in halves} == {"middle"}


@pytest.mark.parametrize("held_out", [False, True])
def test_attributes_are_independent(held_out):
    """Every pair of values is equally likely, except that shape and colour depend on each other by what is held out."""
    count = 4000
    found = scenes(11, count, held_out)
    for one, two in itertools.combinations(VALUES, 2):
        if (one, two) == ("shape", "colour"):
            continue
        for a, b in itertools.product(VALUES[one], VALUES[two]):
            likely = 1 / len(VALUES[one]) / len(VALUES[two])
            seen = sum(getattr(scene, one) == a and getattr(scene, two) == b for scene in found) / count
            assert abs(seen - likely) < 4.5 * (likely * (1 - likely) / count) ** 0.5, (a, b)


@pytest.mark.parametrize(
    ("picture", "mentions", "said"),
    [
        ((SCENE,), [tuple(VALUES)], "a large red star with stripes at the left on white"),
        ((PLAIN,), [tuple(VALUES)], "a small blue ring plain in the middle on beige"),
        ((SCENE,), [()], "a shape"),
        ((SCENE,), [("colour", "background")], "a red shape on white"),
        (
            (SCENE, PLAIN),
            [("shape", "texture"), ("size", "shape", "colour")],
            "a star with stripes and a small blue ring",
        ),
    ],
)
def test_captions(picture, mentions, said):
    assert caption(picture, mentions) == said


def test_captions_use_every_word_of_the_list_and_no_other():
    world = World(2, pairs=0.3)
    pictures = [world.picture() for _ in range(400)]
    used = {word for picture in pictures for word in caption(picture, world.mentions(picture)).split()}
    assert sorted(used) == words()


def test_the_words_of_a_pair_leave_out_the_position():
    world = World(2, pairs=1.0)
    mentions = [mention for _ in range(100) for mention in world.mentions(world.picture())]
    assert not any("position" in mention for mention in mentions)
    assert {name for mention in mentions for name in mention} == set(VALUES) - {"position"}


def test_pictures_are_channels_first_in_0_to_1():
    world = World(4, pairs=0.3)
    drawn = draw([world.picture() for _ in range(64)])
    assert drawn.shape == (64, 3, SIZE, SIZE) == (64, 3, 64, 64)
    assert drawn.dtype == torch.float32
    assert 0 <= drawn.min() < 0.1
    assert 0.9 < drawn.max() <= 1


def test_an_object_is_where_its_position_says():
    for position, (x, y) in POSITIONS.items():
        picture = draw([(Scene("circle", "red", "plain", "black", position, "small"),)])[0]
        red = picture[0] > 0.4
        rows, columns = red.nonzero().float().mean(0).tolist()
        assert (columns + 0.5, rows + 0.5) == pytest.approx((32 + x, 32 + y), abs=1e-3)


def test_a_pair_has_one_scene_in_each_half():
    red, green = (Scene("square", colour, "plain", "black", "middle", "small") for colour in ("red", "green"))
    picture = draw([(red, green)])[0]
    is_red, is_green = picture[0] > 0.5, picture[1] > 0.5
    assert is_red[:, :32].any() and is_green[:, 32:].any()
    assert not is_red[:, 32:].any() and not is_green[:, :32].any()
    assert is_red[:, :32].sum() == is_green[:, 32:].sum() == is_red[:, 7:25].sum()  # in the middle of the half
    alone = (draw([(red,)])[0, 0] > 0.5).sum()
    assert is_red.sum() / alone == pytest.approx(IN_PAIRS**2, rel=0.1)
