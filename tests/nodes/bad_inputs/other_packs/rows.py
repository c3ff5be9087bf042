"""The rows of all nodes of other packs."""

from collections.abc import Iterator, Mapping

from image_prompt.nodes.compat.node import Node
from image_prompt.nodes.compat.table import PACKS

from ..row import NOTHING, Bad
from .good import ROWS as NODES
from .ipadapter_plus import IPADAPTER_PLUS, Values
from .others import INSTANTID, INSTANTX_FLUX, INSTANTX_SD3, OF_ONE_NODE, PULID, XLABS
from .together import TOGETHER

BY_PACK: Mapping[str, Values] = {
    pack.name: values
    for pack, values in zip(PACKS, (IPADAPTER_PLUS, INSTANTID, PULID, XLABS, INSTANTX_FLUX, INSTANTX_SD3), strict=True)
}


def _rows(node: Node) -> Iterator[Bad]:
    values = {**BY_PACK[node.pack], **OF_ONE_NODE.get(node.id, {})}
    for given in node.inputs:
        for value, message in values.get(given.name, ()):
            if value is not NOTHING or not given.optional or given.name == "insightface":
                yield Bad(node, {given.name: value}, message)


ROWS = (
    *(row for node in NODES.values() for row in _rows(node)),
    *(Bad(NODES["IPAdapter_plus", id], inputs, f"(?s){message}") for id, inputs, message in TOGETHER),
)
