"""The nodes for layer weights and step weights run on the real server, and their tables are outputs."""

import pytest

from image_prompt.devtools.comfyui import ServerError

WEIGHTS = {
    "ImagePromptLayerWeights": ({"preset": "values", "values": "0:0.5, 5:1"}, "SD1.5\ninput 1    0.500"),
    "ImagePromptStepWeights": ({"curve": "keyframes", "keyframes": "0:1, 0.3:0.2"}, "0:1, 0.3:0.2\n\npicture     all"),
}


def shown(server, run, class_type, **inputs):
    """The second output of the node, as core's Preview as Text shows it."""
    prompt = {
        "1": {"class_type": class_type, "inputs": inputs},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 1]}},
    }
    run(prompt)
    return next(iter(server.get("/history?max_items=1").values()))["outputs"]["2"]["text"][0]


@pytest.mark.parametrize("class_type", WEIGHTS)
def test_a_table_comes_out(server, run, class_type):
    inputs, text = WEIGHTS[class_type]
    assert shown(server, run, class_type, **inputs).startswith(text)
    assert shown(server, run, class_type) != shown(server, run, class_type, **inputs)


@pytest.mark.parametrize("class_type", WEIGHTS)
def test_a_text_that_nothing_reads_is_refused(server, run, class_type):
    _, (name, text) = WEIGHTS[class_type][0].items()
    with pytest.raises(ServerError, match=f"{class_type}: The input {name} is .*, or empty {name}"):
        shown(server, run, class_type, **{name: text})
