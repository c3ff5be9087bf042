"""What only IPAdapter_plus cannot do runs, and the nodes change nothing that they are given."""

import pytest
import tiny
import torch
from bad_inputs.other_packs.good import PICTURES, SDXL, adapter, good, run

from image_prompt.nodes.compat.table import NODES as ROWS

NODES = {row.id: row for row in ROWS}
RUNS = {  # what ends in an error in IPAdapter_plus
    "a comma at the end of layer_weights": ("IPAdapterMS", {"layer_weights": "3:1, 6:0.5,"}),
    "a list as weight_composition": ("IPAdapterStyleCompositionBatch", {"weight_composition": [0.5, 1.0]}),
    "the largest numbers of several images": ("IPAdapterAdvanced", {"combine_embeds": "max"}),
    "one frame to change in": ("IPAdapterWeights", {"frames": 4, "start_frame": 1, "end_frame": 2}),
    "no frame to change in": ("IPAdapterWeights", {"frames": 4, "end_frame": 0}),
    "a range that ends before it starts": ("IPAdapterAdvanced", {"start_at": 0.8, "end_at": 0.2}),
    "features without an encoder": ("IPAdapterEmbeds", {"clip_vision": None}),
    "a mask without a first dimension": ("IPAdapterAdvanced", {"attn_mask": torch.ones(8, 8)}),
    "a mask of no size of the picture": ("IPAdapterTiled", {"attn_mask": torch.rand(3, 5, 7)}),
    "images with alpha": ("IPAdapterAdvanced", {"image": torch.rand(1, 9, 40, 4)}),
    "grey images": ("IPAdapterBatch", {"image": torch.rand(3, 40, 9, 1)}),
}


@pytest.mark.parametrize(("id", "inputs"), RUNS.values(), ids=RUNS)
def test_what_ends_in_an_error_in_ipadapter_plus_runs_here(id, inputs):
    found = run(NODES[id], **{**good(NODES[id]), **inputs})
    if id.startswith("IPAdapterWeights"):
        assert len(found[0]) == 4 * len(PICTURES) and set(found[0]) <= {1.0, 0.0}
    else:
        sampled = tiny.sample(found[0], "SDXL" if id in SDXL else "SD1.5", batch=2)
        assert sampled.isfinite().all()


def test_an_adapter_alone_is_not_changed_by_the_nodes_that_take_it():
    given = adapter("SD1.5")
    keys = {part: list(each) for part, each in given.items()}
    run(NODES["IPAdapterAdvanced"], **{**good(NODES["IPAdapterAdvanced"]), "ipadapter": given})
    with pytest.raises(ValueError, match="connect that encoder to clip_vision"):  # not a KeyError
        run(NODES["IPAdapter"], **{**good(NODES["IPAdapter"]), "ipadapter": given})
    assert {part: list(each) for part, each in given.items()} == keys
