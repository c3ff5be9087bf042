"""Every node of IPAdapter_plus is explained: in tooltips, and on a help page."""

from image_prompt.nodes.compat.help import help_page
from image_prompt.nodes.compat.inputs import ATTN_MASK, IMAGE, WEIGHT, WEIGHT_TYPE
from image_prompt.nodes.compat.node import Node, Output, node_class


def make(id: str, **more) -> Node:
    def apply_ipadapter(self, **inputs): ...

    inputs = (IMAGE, WEIGHT, WEIGHT_TYPE, ATTN_MASK)
    return Node(id, "A title", inputs, (Output("MODEL"),), apply_ipadapter, "In new graphs use another.", **more)


def test_tooltips_stand_beside_what_clients_read():
    found = node_class(make("IPAdapterAdvanced"), "")
    required, optional = found.INPUT_TYPES()["required"], found.INPUT_TYPES()["optional"]
    assert required["weight_type"][0][:2] == ["linear", "ease in"]
    assert {**required["weight"][1], "tooltip": ""} == {**WEIGHT.options, "tooltip": ""}
    assert all(options["tooltip"] for _, options in (*required.values(), *optional.values()))
    assert found.OUTPUT_TOOLTIPS == ("The model with the references.",)


def test_a_batch_node_says_how_a_batch_acts():
    one, each = (help_page(make(id, by_picture=id.endswith("Batch"))) for id in ("IPAdapterAdvanced", "IPAdapterBatch"))
    assert "- **image**: The reference images. All images of the batch" in one and "## Combining images" in one
    assert "- **image**: The reference images. Each steers the picture of its number" in each and "## Batches" in each


def test_a_page_says_what_to_use_what_goes_in_and_out_and_what_is_repaired():
    page = help_page(make("IPAdapterAdvanced"))
    assert page.startswith("# A title\n\nLets reference images steer a model.")
    assert "\nIn new graphs use another.\n" in page
    assert "- **attn_mask** (optional): Where in the picture" in page
    assert "- **MODEL**: The model with the references.\n" in page
    assert "| The middle block is left out. | The same. *IPAdapter Middle Block* turns it on. |" in page
