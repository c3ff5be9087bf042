"""Bad inputs are refused before sampling, with what was given, what was expected, and what to do."""

import pytest
from bad_inputs import BAD_INPUTS, GOOD, good

pytestmark = pytest.mark.usefixtures("folders")


@pytest.mark.parametrize("row", BAD_INPUTS, ids=lambda row: f"{row.node.__name__}-{'-'.join(row.inputs)}")
def test_a_bad_input_is_refused_in_words(row):
    inputs = good(row.node)
    for name, value in row.inputs.items():
        inputs[name] = value(inputs) if callable(value) else value
    with pytest.raises(ValueError, match=row.message) as refusal:
        row.node.execute(**inputs)
    assert type(refusal.value) is ValueError


@pytest.mark.parametrize("node", GOOD, ids=lambda node: node.__name__)
def test_the_inputs_that_rows_change_are_good(node):
    assert node.execute(**good(node)).args
