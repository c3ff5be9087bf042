"""A prompt with nodes of another pack, rewritten to ours, runs and gives the picture of ours."""

import json

import numpy as np

from image_prompt.migration import migrate


def old_nodes(prompt: dict) -> dict:
    """The prompt of `One_reference_SD1.5` as people made it with the other pack."""
    wired = {"model": ["1", 0], "ipadapter": ["2", 0], "clip_vision": ["3", 0], "image": ["5", 0]}
    weight = prompt["6"]["inputs"]["weight"]
    adapter, crop = prompt["2"]["inputs"]["adapter_name"], prompt["5"]["inputs"]["crop"]
    return {
        **prompt,
        "2": {"class_type": "IPAdapterModelLoader", "inputs": {"ipadapter_file": adapter}},
        "5": {"class_type": "PrepImageForClipVision", "inputs": {"image": ["4", 0], "crop_position": crop}},
        "6": {"class_type": "IPAdapterAdvanced", "inputs": {**wired, "weight": weight, "weight_type": "linear"}},
    }


def test_a_migrated_prompt_gives_the_picture_of_our_nodes(run, sd15):
    done = migrate(json.dumps(old_nodes(sd15)))
    assert not done.stays and len(done.changes) == 3
    (ours,), (migrated,) = run(sd15).pictures, run(json.loads(done.text)).pictures
    assert np.array_equal(ours, migrated)
