"""A node says on an IPADAPTER wire that the middle block takes part."""

import tiny

from image_prompt.devtools import published
from image_prompt.nodes.compat.middle import IPAdapterMiddleBlock
from image_prompt.nodes.loading.wires import acts_in_middle, as_adapter


def test_what_is_connected_comes_out_again_with_this_said(model):
    raw = published.nested(tiny.base_file(model))
    (on,) = IPAdapterMiddleBlock.execute(raw).args
    (off,) = IPAdapterMiddleBlock.execute(on, on=False).args
    assert [acts_in_middle(each) for each in (raw, on, off)] == [False, True, False]
    assert as_adapter(on) is as_adapter(raw)


def test_it_takes_and_gives_the_types_of_other_packs():
    schema = IPAdapterMiddleBlock.define_schema()
    taken = "IPADAPTER,INSTANTID,PULID"
    assert [(each.id, each.io_type) for each in schema.inputs] == [("ipadapter", taken), ("on", "BOOLEAN")]
    assert [each.io_type for each in schema.outputs] == [taken]
