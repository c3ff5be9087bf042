"""What the nodes declare about their inputs agrees with what they do."""

import inspect

import pytest

from image_prompt.nodes import NODES
from image_prompt.nodes.applying.apply import ApplyImagePrompt


@pytest.mark.usefixtures("folders")
@pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)
def test_an_input_with_a_default_is_optional_and_has_it_when_it_is_left_out(node):
    parameters = inspect.signature(node.execute).parameters
    for given in node.define_schema().inputs:
        if getattr(given, "default", None) is not None:
            assert given.optional, given.id
            assert parameters[given.id].default == given.default, given.id


def test_the_range_is_checked_with_the_defaults():
    assert ApplyImagePrompt.validate_inputs() is True
    assert ApplyImagePrompt.validate_inputs(start=1.0) is True
    assert ApplyImagePrompt.validate_inputs(end=-1.0) == "The end is -1.0: it must be a number between 0 and 1."
