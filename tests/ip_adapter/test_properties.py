"""Tables of layers and courses of sampling give what plain loops give, and numbers come back from layers."""

from hypothesis import given
from hypothesis import strategies as st

from image_prompt.ip_adapter import Block, Course, Frame, Keyframe, Share, StepWeights, Strength, match_layers
from image_prompt.ip_adapter.layer_weights.curves import DEPTH_CURVES
from image_prompt.ip_adapter.layer_weights.kinds import CurveWeights, IndexedWeights, ListedWeights, parse_layer_weights
from image_prompt.ip_adapter.layers import by_name
from image_prompt.ip_adapter.step_weights import parse_step_weights, step_text
from image_prompt.ip_adapter.strength import CURVES
from image_prompt.ip_adapter.weight_text import written

WEIGHT = st.floats(-5, 5)
QUARTERS = st.integers(-20, 20).map(lambda n: n / 4)  # whose products never vanish
EXECUTED, IN_FILES = ("input", "middle", "output"), ("input", "output", "middle")
PLACES = st.tuples(st.sampled_from(EXECUTED), st.integers(0, 11), st.integers(1, 3))  # and how many layers a block has


@st.composite
def unets(draw):
    """Blocks of a UNet in any order, each layer as wide as no other."""
    found = {(kind, index): depth for kind, index, depth in draw(st.lists(PLACES, min_size=1, max_size=10))}
    layers = [(kind, index, each) for (kind, index), depth in found.items() for each in range(depth)]
    blocks = [Block(*layer, width=8 * number) for number, layer in enumerate(layers, 1)]
    return draw(st.permutations(blocks))


def ordered(blocks, kinds):
    """Blocks in the order of kinds, then of their numbers, found by looking for each in turn."""
    found = {(block.kind, block.index, block.depth): block for block in blocks}
    places = ((kind, index, depth) for kind in kinds for index in range(12) for depth in range(3))
    return [found[place] for place in places if place in found]


def in_blocks(blocks):
    """The layers of each block, in the order of execution."""
    parts = []
    for block in ordered(blocks, EXECUTED):
        if parts and (parts[-1][-1].kind, parts[-1][-1].index) == (block.kind, block.index):
            parts[-1].append(block)
        else:
            parts.append([block])
    return parts


@given(unets())
def test_layers_of_files_have_the_numbers_of_their_order_and_are_found_by_them(blocks):
    in_file = ordered(blocks, IN_FILES)
    matched = match_layers(blocks, [block.width for block in in_file])
    assert [*matched.items()] == [(block, number) for number, block in enumerate(in_file)]
    back = {number: block for block, number in matched.items()}
    assert [back[number].width for number in range(len(blocks))] == [block.width for block in in_file]
    assert [*by_name(blocks).values()] == in_blocks(blocks)


@given(unets(), st.data())
def test_listed_weights_are_for_what_there_are_as_many_of(blocks, data):
    layers = [[block] for block in ordered(blocks, EXECUTED)]
    kinds = [[block for block in blocks if block.kind == kind] for kind in EXECUTED]
    ways = [[blocks], [each for each in kinds if each], in_blocks(blocks), layers]
    count = data.draw(st.sampled_from([len(way) for way in ways]))
    values = data.draw(st.lists(WEIGHT, min_size=count, max_size=count))
    parts = next(way for way in ways if len(way) == count)  # the first that fits counts
    shares = ListedWeights(tuple(values)).shares(blocks, "SD1.5")
    assert shares == {block: Share(value) for part, value in zip(parts, values) for block in part if value}


@given(unets(), st.data(), st.sampled_from(["blocks", "layers"]))
def test_typed_numbers_lead_to_their_layers_and_back(blocks, data, by):
    parts = in_blocks(blocks) if by == "blocks" else [[block] for block in ordered(blocks, EXECUTED)]
    values = data.draw(st.dictionaries(st.integers(0, len(parts) - 1), WEIGHT, min_size=1))
    read = parse_layer_weights(", ".join(f"{number}:{written(value)}" for number, value in values.items()), by)
    assert read == IndexedWeights(tuple(values.items()), by)
    shares = read.shares(blocks, "SD1.5")
    for number, part in enumerate(parts):
        amounts = {shares[block].amount if block in shares else 0.0 for block in part}
        assert amounts == {values.get(number, 0.0)}


@given(unets(), st.sampled_from([*DEPTH_CURVES]), WEIGHT, WEIGHT, st.sampled_from(["blocks", "layers"]))
def test_a_curve_over_depth_goes_from_the_first_to_the_last(blocks, curve, first, last, by):
    parts = in_blocks(blocks) if by == "blocks" else [[block] for block in ordered(blocks, EXECUTED)]
    shares = CurveWeights(curve, first, last, by).shares(blocks, "SD1.5")
    for number, part in enumerate(parts):
        way = DEPTH_CURVES[curve](number / (len(parts) - 1) if len(parts) > 1 else 0.0)
        for block in part:
            assert abs((shares[block].amount if block in shares else 0.0) - (first + way * (last - first))) < 1e-9


@st.composite
def courses(draw, weight=WEIGHT):
    points = sorted(draw(st.sets(st.integers(0, 1000), min_size=1, max_size=5)))
    frames = [Keyframe(point / 1000, draw(weight), draw(st.sampled_from([*CURVES]))) for point in points]
    return Course(keyframes=tuple(frames))


@given(courses(), st.floats(0, 1))
def test_a_course_is_what_a_walk_along_its_keyframes_finds(course, progress):
    expected = course.keyframes[0].factor
    for one, other in zip(course.keyframes, course.keyframes[1:]):
        if one.progress <= progress < other.progress:
            way = CURVES[one.curve]((progress - one.progress) / (other.progress - one.progress))
            expected = one.factor * (1 - way) + other.factor * way
        elif progress >= other.progress:
            expected = other.factor
    assert abs(course.at(progress) - expected) < 1e-9


@given(st.lists(courses(), min_size=1, max_size=3), st.floats(0, 1))
def test_step_weights_come_back_from_their_text(some, progress):
    read = parse_step_weights(step_text(StepWeights(tuple(some))))
    assert len(read.courses) == len(some)
    assert [each.at(progress) for each in read.courses] == [each.at(progress) for each in some]


@given(
    QUARTERS,
    st.none() | st.dictionaries(st.integers(0, 5), st.builds(Share, QUARTERS), max_size=5),
    st.lists(st.builds(Frame, QUARTERS, courses(QUARTERS)), max_size=3),
    courses(QUARTERS),
    st.lists(QUARTERS, max_size=3),
)
def test_no_step_layer_or_picture_has_more_than_the_largest(weight, layers, frames, course, steps):
    strength = Strength(weight, layers, Course(keyframes=course.keyframes, steps=tuple(steps)), tuple(frames))
    every = [
        abs(weight * share * keyframe.factor * step * frame)
        for share in ([1.0] if layers is None else [each.amount for each in layers.values()])
        for keyframe in course.keyframes
        for step in steps or [1.0]
        for frame in [f.weight * key.factor for f in frames for key in f.course.keyframes] or [1.0]
    ]
    largest = max(every, default=0.0)
    assert abs(strength.largest - largest) <= 1e-9 * largest
    assert strength.is_nothing == (largest == 0.0)
