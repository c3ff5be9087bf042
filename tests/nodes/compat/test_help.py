"""Every node of another pack is explained: in tooltips, and on a help page."""

import pytest

from image_prompt.devtools.help_pages import FOLDER, pages
from image_prompt.nodes.compat.help import (
    DIFFERENCES,
    FORMULAS,
    INPUTS,
    OUTPUTS,
    PAGES,
    help_page,
    input_help,
    output_help,
)
from image_prompt.nodes.compat.help.texts import BY_PICTURE
from image_prompt.nodes.compat.inputs import ATTN_MASK, IMAGE, WEIGHT, WEIGHT_TYPE
from image_prompt.nodes.compat.node import Node, Output, node_class
from image_prompt.nodes.compat.table import PACKS

NODES = [row for pack in PACKS for row in pack.rows]


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


@pytest.mark.parametrize("row", NODES, ids=lambda row: row.id)
def test_the_help_page_of_each_node_is_the_one_of_its_row(row):
    """`python dev.py help` writes them."""
    assert (FOLDER / f"{row.id}.md").read_text(encoding="utf-8") == pages()[row.id]
    assert all(input_help(row, each.name) for each in row.inputs)
    assert all(output_help(row, each) for each in row.outputs)


def test_no_sentence_is_left_over():
    assert set(PAGES) == {row.id for row in NODES}
    assert set(INPUTS) <= {each.name for row in NODES for each in row.inputs}
    assert set(BY_PICTURE) <= {each.name for row in NODES if row.by_picture for each in row.inputs}
    assert set(OUTPUTS) <= {each.name or each.type for row in NODES for each in row.outputs}
    about = {each for page in PAGES.values() for each in page.about}
    assert about == {*FORMULAS, *(each.about for each in DIFFERENCES)}
    for row in NODES:
        assert set(PAGES[row.id].inputs) <= {each.name for each in row.inputs}
        assert set(PAGES[row.id].outputs) <= {each.name or each.type for each in row.outputs}
