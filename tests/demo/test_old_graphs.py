"""Old graphs, of nodes of IPAdapter_plus, make the pictures that our own nodes make in the same layers."""

import comfy.sample
import folder_paths
import pytest
import torch
from studio import COUNT, FILES, adapter, checkpoints, encode, encoder, generate, held_out, pictures
from torch import Tensor

from image_prompt.demo.measure import distance, matches, measure
from image_prompt.demo.nodes.checkpoint import MODELS
from image_prompt.demo.world import SIZE
from image_prompt.nodes.compat.node import node_class
from image_prompt.nodes.compat.table import NODES
from image_prompt.nodes.controls.apply_references import ApplyReferences
from image_prompt.nodes.controls.layer_weights import ImagePromptLayerWeights
from image_prompt.nodes.controls.reference import MakeReference

CLASSES = {row.id: node_class(row, "") for row in NODES}
SCENES = held_out(seed=101)
WITHOUT_MIDDLE = "1, 0, 1"  # weights of the input blocks, the middle and the output blocks
BLACK = torch.zeros(1, SIZE, SIZE, 3)  # what IPAdapter_plus moves away from, and our nodes only if they are told
SEED = 11


@pytest.fixture(autouse=True)
def demo_files(monkeypatch):
    """The adapters of the demo world in ComfyUI's model folder, and no gradients."""
    known = ([str(MODELS / "ipadapter")], {".safetensors"})
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "ipadapter", known)
    folder_paths.filename_list_cache.pop("ipadapter", None)
    with torch.inference_mode():
        yield
    folder_paths.filename_list_cache.pop("ipadapter", None)


def outputs(prompt: dict, number: str) -> tuple:
    """The outputs of a node of a prompt in API form. A link is a list of a node's number and an output's."""
    node = CLASSES[prompt[number]["class_type"]]
    inputs = {
        name: outputs(prompt, value[0])[value[1]] if isinstance(value, list) else value
        for name, value in prompt[number]["inputs"].items()
    }
    return getattr(node(), node.FUNCTION)(**inputs)


def old_graph(id: str, images: Tensor, **inputs) -> object:
    """The model of a graph as it was saved in 2024. What core's nodes would load is given as it is."""
    prompt = {
        "1": {"class_type": "IPAdapterModelLoader", "inputs": {"ipadapter_file": FILES["plus"]}},
        "2": {
            "class_type": id,
            "inputs": {
                "model": checkpoints()[0],
                "ipadapter": ["1", 0],
                "clip_vision": encoder(),
                "image": images,
                "weight": 1.0,
                "weight_type": "linear",
                "start_at": 0.0,
                "end_at": 1.0,
                "embeds_scaling": "V only",
                **inputs,
            },
        },
    }
    return outputs(prompt, "2")[0]


def without_the_middle() -> object:
    """The model with a reference of our own nodes for each picture, in all layers but those of the middle."""
    weights = ImagePromptLayerWeights.execute("values", values=WITHOUT_MIDDLE).args[0]
    options = {"combining": "one per image", "layer_weights": weights, "negative": encode(BLACK)}
    reference = MakeReference.execute(encode(pictures(SCENES)), **options).args[0]
    return ApplyReferences.execute(checkpoints()[0], adapter("plus"), {"reference_0": reference}).args[0]


def interval(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share that was measured in so many trials."""
    z = 1.96
    middle, half = share + z**2 / (2 * count), z * (share * (1 - share) / count + z**2 / (4 * count**2)) ** 0.5
    return (middle - half) / (1 + z**2 / count), (middle + half) / (1 + z**2 / count)


def test_an_old_graph_takes_colours_as_our_own_nodes_do():
    ours, theirs = generate(without_the_middle()), generate(old_graph("IPAdapterBatch", pictures(SCENES)))
    found = [matches(measure(made), SCENES, "colour") for made in (ours, theirs)]
    low, high = interval(found[0], COUNT)
    print(f"\ncolour: ours {found[0]:.3f}, in {low:.3f} to {high:.3f}; an old graph {found[1]:.3f}")
    assert low <= found[1] <= high
    assert found[1] > 0.9
    assert distance(theirs, ours).mean() < 1e-3
    noise = comfy.sample.prepare_noise(torch.zeros(COUNT, 4, SIZE // 4, SIZE // 4), SEED)
    for number in (0, 5):
        model = old_graph("IPAdapterAdvanced", pictures(SCENES[number : number + 1]), combine_embeds="concat")
        alone = generate(model, count=1, noise=noise[number : number + 1])
        assert distance(alone, theirs[number : number + 1]).item() < 1e-3
