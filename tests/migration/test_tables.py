"""What the migration knows of nodes is what they are, on both sides."""

import pytest

from image_prompt.migration.old_nodes import OLD_NODES, V1_ENCODER, V1_ENCODER_HERE, old_node
from image_prompt.migration.our_nodes import OUR_NODES, REFERENCES
from image_prompt.migration.rules import RULES
from image_prompt.nodes.compat.table import NODES as COMPAT_NODES

ROWS = {row.id: row for row in COMPAT_NODES}
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}


@pytest.mark.parametrize("type", OUR_NODES)
def test_our_nodes_are_known_as_they_are(type, schemas):
    """Workflows list the values of widgets in the order of the schema, and outputs by their numbers."""
    node, schema = OUR_NODES[type], schemas[type]
    usual = [each for each in schema.inputs if each.io_type != "COMFY_AUTOGROW_V3"]
    widgets = {each.id: each for each in usual if each.io_type in WIDGETS}
    sockets = {each.id: each.io_type for each in usual if each.io_type not in WIDGETS}
    assert node.title == schema.display_name
    assert list(node.widgets) == list(widgets)
    for name, (kind, default) in node.widgets.items():
        assert kind == widgets[name].io_type
        assert default == widgets[name].default or name == "adapter_name"
    assert {name: kind for name, kind in node.sockets.items() if not name.startswith(REFERENCES)} == sockets
    assert list(node.outputs) == [(each.display_name, each.io_type) for each in schema.outputs]


@pytest.mark.parametrize("id", ROWS)
def test_every_node_of_the_other_pack_is_known_as_it_is(id):
    row = OLD_NODES[old_node(id, ())]
    assert row.title
    if not row.stays:
        widgets = {each.name: each.default for each in ROWS[id].inputs if not each.is_socket}
        assert dict(row.widgets) == (widgets | {"ipadapter_file": None} if "ipadapter_file" in widgets else widgets)
        assert list(row.widgets) == list(widgets)


def test_every_node_has_a_rule_or_a_reason_to_stay():
    assert {name for name, row in OLD_NODES.items() if not row.stays} == set(RULES)


@pytest.mark.parametrize("type", ["IPAdapterEncoder", V1_ENCODER_HERE])
def test_the_encoder_of_2023_is_known_by_its_input(type):
    assert old_node(type, ["clip_vision", "image_1"]) == V1_ENCODER


def test_the_later_encoder_and_nodes_of_others():
    assert old_node("IPAdapterEncoder", ["image"]) == "IPAdapterEncoder"
    assert old_node("KSampler", ["image_1"]) == ""
