"""Regions are drawn on the node, and what is drawn is the text that is sent, in both renderers."""

import re

SCENARIO = "regions"
PLACED = 0.006  # a pixel of the screen, and what text rounds


def same(text: str, expected: str) -> bool:
    """Whether two texts say the same shapes, with numbers that are as near as a hand is."""
    number = r"\d+(?:\.\d+)?"
    found, wanted = ([float(each) for each in re.findall(number, some)] for some in (text, expected))
    return re.sub(number, "_", text) == re.sub(number, "_", expected) and all(
        abs(one - other) <= PLACED for one, other in zip(found, wanted, strict=True)
    )


RECT = "1: rect 0.1 0.1, 0.4 0.9"
POLYGON = "\n2: polygon 0.3 0.1, 0.9 0.1, 0.9 0.8"
SAID = {
    "drawn": RECT,
    "polygon": RECT + POLYGON,
    "closed by its first point": RECT + POLYGON,
    "resized": "1: rect 0.1 0.1, 0.5 0.7" + POLYGON,
    "moved": "1: rect 0.15 0.3, 0.55 0.9" + POLYGON,
    "pushed": "1: rect 0.16 0.25, 0.56 0.85" + POLYGON,
    "hole": "1: rect 0.16 0.25, 0.56 0.85" + POLYGON + "\n1: not rect 0.2 0.3, 0.3 0.4",
}


def test_shapes_are_drawn_moved_reshaped_and_undone(seen):
    for what, expected in SAID.items():
        assert same(seen["said"][what], expected), (what, seen["said"][what])


def test_one_draws_over_other_references_and_takes_it_back(seen):
    said = seen["said"]
    assert same(said["over"], SAID["hole"] + "\n1: rect 0.86 0.3, 0.87 0.4"), said["over"]
    assert said["deleted"] == said["hole"]
    assert said["shown"] == [True, True]  # the view of the node that undo made
    assert seen["still"]  # Delete removes the shape, not the node


def test_references_are_called_by_name_or_number(seen):
    assert [each.strip() for each in seen["legend"]] == ["hopper", "2"]


def test_what_is_drawn_is_sent_and_nothing_else(seen):
    assert seen["ended"] == "execution_success"
    sent = seen["sent"]
    assert sent["regions"] == seen["said"]["over"] and sent["feather"] == 0.1
    assert sorted(sent) == [
        *("feather", "height", "latent", "references.reference_0", "references.reference_1", "regions", "width"),
    ]


def test_it_is_saved_and_copied(seen):
    assert seen["said"]["loaded"] == seen["copy"] == seen["said"]["over"]


def test_text_that_is_wrong_is_named_and_stays(seen):
    assert seen["wrong"]["text"] == "# by hand\n1: rect 0 0, 0.5 1\n2: rect 0 0, 512 512"
    assert "3" in seen["wrong"]["shown"] and "'512'" in seen["wrong"]["shown"]
    assert seen["said"]["beside what is wrong"] == "# by hand\n1: rect 0.01 0, 0.51 1\n2: rect 0 0, 512 512"
