"""The schemas of our nodes, by which migrated graphs are checked."""

import pytest
from comfy_api.latest import io

from image_prompt.nodes import NODES
from image_prompt.nodes.folders import register_folders


@pytest.fixture(scope="session")
def schemas() -> dict[str, io.Schema]:
    register_folders()
    return {schema.node_id: schema for schema in (node.define_schema() for node in NODES)}
