"""Nodes that take any number of references, through the queue: sockets, conditionings, and what is refused."""

import numpy as np
import pytest

from image_prompt.devtools.comfyui import ServerError

SIMPLE = "One_reference_SD1.5"


def with_references(workflow: dict, node: str = "ImagePromptApplyReferences", **sockets: dict) -> dict:
    """A simple workflow in which this node takes the place of Apply IP-Adapter. sockets: inputs of each reference."""
    (name, apply) = next((name, node) for name, node in workflow.items() if node["class_type"] == "ImagePromptApply")
    references = {}
    for socket, inputs in sockets.items():
        key = f"of {socket}"
        workflow[key] = {
            "class_type": "ImagePromptReference",
            "inputs": {"features": apply["inputs"]["features"], **inputs},
        }
        references[f"references.{socket}"] = [key, 0]
    kept = {key: apply["inputs"][key] for key in ("model", "adapter")}
    workflow[name] = {"class_type": node, "inputs": kept | references}
    return workflow


def picture(run, workflow: dict) -> np.ndarray:
    (made,) = run(workflow).pictures
    return np.asarray(made)


def sampler(workflow: dict) -> dict:
    return next(node for node in workflow.values() if node["class_type"] == "KSampler")["inputs"]


def test_any_socket_may_be_the_first_and_references_can_be_off(run, load_workflow, sd15):
    alone = with_references(load_workflow(SIMPLE), reference_1={"weight": 0.6})
    beside = with_references(
        load_workflow(SIMPLE),
        reference_0={"on": False},
        reference_1={"weight": 0.6},
        reference_7={"weight": 0},
    )
    off = with_references(load_workflow(SIMPLE), reference_0={"on": False})
    first, second, plain = (picture(run, workflow) for workflow in (alone, beside, off))
    assert np.array_equal(first, second) and not np.array_equal(first, plain)


@pytest.mark.parametrize(
    ("sockets", "words"),
    [
        ({"reference_50": {}}, "There is no input references.reference_50: references are references.reference_0 to"),
        ({"reference_0": {"frame_weights": "1, x"}}, "Frame weight 2 is 'x': it must be a number between -5 and 5"),
        ({"reference_0": {"start": 0.6, "end": 0.4}}, "start must not be greater than end"),
        ({"reference_0": {"frame_weights": "1, 1, 1"}}, "reference 1 has 3 weights for a batch of 1: give one (each"),
        (
            {"reference_0": {"name": "a"}, "reference_1": {"name": "a"}},
            "Two references are called a: give each",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_words(run, load_workflow, sockets, words):
    with pytest.raises(ServerError) as error:
        run(with_references(load_workflow(SIMPLE), **sockets))
    assert words in str(error.value)


def test_a_conditioning_carries_references(run, load_workflow):
    workflow = with_references(load_workflow(SIMPLE), "ImagePromptConditioning", reference_0={"weight": 0.6})
    name = next(name for name, node in workflow.items() if node["class_type"] == "ImagePromptConditioning")
    inputs, sampled = workflow[name]["inputs"], sampler(workflow)
    positive, negative = sampled["positive"], sampled["negative"]
    inputs["conditioning"], sampled["positive"] = positive, [name, 1]
    alone = picture(run, workflow)
    sampled["negative"] = [name, 2]
    with pytest.raises(ServerError, match="gives a negative only if it is given one: connect its input negative"):
        run(workflow)
    inputs["negative"] = negative
    both = picture(run, workflow)
    applied = picture(run, with_references(load_workflow(SIMPLE), reference_0={"weight": 0.6}))
    assert np.array_equal(both, applied) and not np.array_equal(both, alone)


def solid(value: float, width: int, height: int) -> dict:
    return {"class_type": "SolidMask", "inputs": {"value": value, "width": width, "height": height}}


def test_regions_give_the_bits_of_core_s_masks(run, load_workflow):
    weights = {"reference_0": {"weight": 0.6}, "reference_1": {"weight": 0.3}}
    workflow = with_references(load_workflow(SIMPLE), **weights)
    (apply,) = (node["inputs"] for node in workflow.values() if node["class_type"] == "ImagePromptApplyReferences")
    references = {key: apply.pop(key) for key in list(apply) if key.startswith("references.")}
    text = {"regions": "1: rect 0 0, 0.5 1\nreference 2: rect 0.5 0, 1 1", "feather": 0.1}
    inputs = {**references, **text, "latent": sampler(workflow)["latent_image"]}
    workflow["regions"] = {"class_type": "ImagePromptRegions", "inputs": inputs}
    apply["references.reference_5"] = ["regions", 0]
    drawn = picture(run, workflow)

    inputs["regions"] = "left half"
    with pytest.raises(ServerError, match="Line 1 of the regions is 'left half': write a reference, a colon and a"):
        run(workflow)

    del workflow["regions"], apply["references.reference_5"]
    apply |= references
    latent = workflow[sampler(workflow)["latent_image"][0]]["inputs"]
    wide, high = latent["width"] // 8, latent["height"] // 8
    workflow |= {"black": solid(0.0, wide, high), "white": solid(1.0, wide // 2, high)}
    for (socket, (reference, _)), x in zip(references.items(), (0, wide // 2)):
        both = {"destination": ["black", 0], "source": ["white", 0]}
        inputs = {**both, "x": x, "y": 0, "operation": "add"}
        workflow[f"mask of {socket}"] = {"class_type": "MaskComposite", "inputs": inputs}
        workflow[reference]["inputs"] |= {"mask": [f"mask of {socket}", 0], "feather": 0.1}
    assert np.array_equal(drawn, picture(run, workflow))
    without = with_references(load_workflow(SIMPLE), **weights)
    assert not np.array_equal(drawn, picture(run, without))
