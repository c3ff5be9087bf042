"""Where new nodes go: what the browser would not show at a glance, such as how long it takes in a large workflow."""

from image_prompt.migration.layout import Box, free_place

NODES = [Box(400.0 * column, 400.0 * row, 300.0, 300.0) for column in range(30) for row in range(30)]


def test_no_further_places_are_looked_at_once_one_is_free(monkeypatch):
    looked, meets = [], Box.meets
    monkeypatch.setattr(Box, "meets", lambda box, other: looked.append(box) or meets(box, other))
    wanted = Box(-1000.0, 0.0, 300.0, 300.0)
    assert free_place(wanted, NODES, None) == wanted
    assert len(looked) == len(NODES)
