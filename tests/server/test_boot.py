"""ComfyUI knows the pack and its nodes after it has started."""

import copy
import re

import numpy as np
import pytest

from image_prompt.demo.stand_ins import EXAMPLES
from image_prompt.devtools.workflows import widget_names
from image_prompt.model_files.environment import pack_version

from .old_graphs import MORE_NODES
from .old_graphs import NODES as IPADAPTER_PLUS

COMPAT = {**IPADAPTER_PLUS, **MORE_NODES}
NODES = {
    "ImagePromptLoadEncoder": ["CLIP_VISION"],
    "ImagePromptLoadAdapter": ["IMAGE_PROMPT_ADAPTER"],
    "ImagePromptFaceAnalyserLoader": ["INSIGHTFACE"],
    "ImagePromptFaceOptions": ["IMAGE_PROMPT_ADAPTER"],
    "ImagePromptEncode": ["CLIP_VISION_OUTPUT", "IMAGE"],
    "ImagePromptEncodeFace": ["CLIP_VISION_OUTPUT", "IMAGE", "IMAGE", "IMAGE"],
    "ImagePromptEncodeCharacter": ["CLIP_VISION_OUTPUT", "IMAGE"],
    "ImagePromptEncodeFolder": ["CLIP_VISION_OUTPUT", "IMAGE", "STRING"],
    "ImagePromptCombine": ["CLIP_VISION_OUTPUT"],
    "ImagePromptApply": ["MODEL"],
    "ImagePromptReference": ["IMAGE_PROMPT"],
    "ImagePromptRegions": ["IMAGE_PROMPT", "MASK"],
    "ImagePromptApplyReferences": ["MODEL", "STRING"],
    "ImagePromptConditioning": ["MODEL", "CONDITIONING", "CONDITIONING"],
    "ImagePromptInstantIDControlNet": ["CONDITIONING", "CONDITIONING"],
    "ImagePromptLayerWeights": ["IMAGE_PROMPT_LAYER_WEIGHTS", "STRING"],
    "ImagePromptStepWeights": ["IMAGE_PROMPT_STEP_WEIGHTS", "STRING"],
    "ImagePromptRecordInfluence": ["MODEL", "INFLUENCE"],
    "ImagePromptInfluenceMap": ["IMAGE", "MASK", "STRING"],
    "ImagePromptLoadModels": ["MODEL", "IMAGE_PROMPT_ADAPTER", "CLIP_VISION"],
    "ImagePromptModelReport": ["STRING"],
    "ImagePromptSaveFeatures": ["STRING"],
    "ImagePromptLoadFeatures": ["CLIP_VISION_OUTPUT", "CLIP_VISION_OUTPUT"],
    "ImagePromptNearestReference": ["IMAGE", "STRING", "FLOAT", "EMBEDDING", "CLIP_VISION_OUTPUT"],
    "ImagePromptAddToLibrary": ["STRING", "STRING"],
    "ImagePromptRateInLibrary": ["STRING"],
    "ImagePromptAdvise": ["STRING"],
    "ImagePromptMiddleBlock": ["IPADAPTER,INSTANTID,PULID"],
    "ImagePromptEmbedText": ["EMBEDDING"],
    "ImagePromptEmbedding": ["EMBEDDING"],
    "ImagePromptEmbedVLM": ["EMBEDDING"],
    "ImagePromptSimilarity": ["FLOAT", "STRING"],
    "ImagePromptRank": ["IMAGE", "FLOAT", "INT", "STRING"],
    "ImagePromptUnique": ["IMAGE", "INT", "STRING"],
}
WIDGETS = {  # in the order in which `widgets_values` of saved workflows lists them
    "ImagePromptLoadEncoder": ["encoder_name", "variant", "dtype", "image_size"],
    "ImagePromptLoadAdapter": ["adapter_name", "variant"],
    "ImagePromptFaceAnalyserLoader": ["face_pack", "provider"],
    "ImagePromptFaceOptions": ["lora_strength", "shortcut", "method"],
    "ImagePromptEncode": ["crop", "background", "outside", "margin", "tiles", "instruction", "prompt", "box"],
    "ImagePromptEncodeFace": ["choose", "index", "combine"],
    "ImagePromptEncodeCharacter": ["crop", "background"],
    "ImagePromptCombine": ["method", "rows", "weights", "interpolation"],
    "ImagePromptEncodeFolder": ["folder", "pictures", "count", "number", None, "crop", "background", "tiles"],
    "ImagePromptApply": ["weight", "start", "end", "batch", "layers"],
    "ImagePromptReference": [
        *("on", "weight", "combining", "layers", "start", "end", "feather", "invert_mask", "frame_weights", "scaling"),
        "name",
    ],
    "ImagePromptRegions": ["regions", "width", "height", "feather"],
    "ImagePromptApplyReferences": ["joining", "overlap"],
    "ImagePromptConditioning": ["joining", "overlap"],
    "ImagePromptInstantIDControlNet": ["strength", "start", "end"],
    "ImagePromptLayerWeights": ["preset", "curve", "first", "last", "values", "index"],
    "ImagePromptStepWeights": ["curve", "first", "last", "curve_start", "curve_end", "keyframes"],
    "ImagePromptRecordInfluence": ["start", "end", "layers", "every"],
    "ImagePromptInfluenceMap": ["scale", "opacity"],
    "ImagePromptLoadModels": ["purpose"],
    "ImagePromptModelReport": [],
    "ImagePromptSaveFeatures": ["name"],
    "ImagePromptLoadFeatures": ["features_name"],
    "ImagePromptNearestReference": [
        *("library", "k", "minimum", "folder", "picture", "prefer_rated", "crop", "longest"),
    ],
    "ImagePromptAddToLibrary": ["library", "files", "text", "rating", "crop"],
    "ImagePromptRateInLibrary": ["library", "paths", "rating"],
    "ImagePromptAdvise": ["library", "k"],
    "ImagePromptMiddleBlock": ["on"],
    "ImagePromptEmbedText": ["text", "template", "texts"],
    "ImagePromptEmbedding": [],
    "ImagePromptEmbedVLM": ["text", "instruction", "dimensions", "max_pixels", "pooling"],
    "ImagePromptSimilarity": [],
    "ImagePromptRank": ["keep", "order", "minimum", "references", "crop"],
    "ImagePromptUnique": ["alike", "threshold", "crop"],
}
SOCKETS = {
    "ImagePromptLoadEncoder": [],
    "ImagePromptLoadAdapter": [],
    "ImagePromptFaceAnalyserLoader": [],
    "ImagePromptFaceOptions": ["adapter"],
    "ImagePromptEncode": ["clip_vision", "image", "adapter", "mask", "clip"],
    "ImagePromptEncodeFace": ["insightface", "image", "clip_vision", "adapter", "mask"],
    "ImagePromptEncodeCharacter": ["siglip", "dino", "image", "adapter", "mask"],
    "ImagePromptEncodeFolder": ["clip_vision", "adapter"],
    "ImagePromptCombine": [f"features_{number}" for number in range(1, 7)],
    "ImagePromptApply": ["model", "adapter", "features", "mask", "negative"],
    "ImagePromptReference": ["features", "mask", "negative", "layer_weights", "step_weights"],
    "ImagePromptRegions": ["references", "latent"],
    "ImagePromptApplyReferences": ["model", "adapter", "references"],
    "ImagePromptConditioning": ["model", "adapter", "conditioning", "references", "negative"],
    "ImagePromptInstantIDControlNet": [
        *("positive", "negative", "control_net", "key_points", "adapter", "features", "mask", "vae"),
    ],
    "ImagePromptLayerWeights": ["model"],
    "ImagePromptStepWeights": [],
    "ImagePromptRecordInfluence": ["model"],
    "ImagePromptInfluenceMap": ["influence", "latent", "image"],
    "ImagePromptLoadModels": ["model"],
    "ImagePromptModelReport": [],
    "ImagePromptSaveFeatures": ["features", "image"],
    "ImagePromptLoadFeatures": ["clip_vision"],
    "ImagePromptNearestReference": ["query", "clip_vision", "adapter"],
    "ImagePromptAddToLibrary": ["clip_vision", "images"],
    "ImagePromptRateInLibrary": [],
    "ImagePromptAdvise": ["query"],
    "ImagePromptMiddleBlock": ["ipadapter"],
    "ImagePromptEmbedText": ["clip_vision", "clip"],
    "ImagePromptEmbedding": ["features", "clip_vision"],
    "ImagePromptEmbedVLM": ["clip", "image"],
    "ImagePromptSimilarity": ["a", "b"],
    "ImagePromptRank": ["images", "reference", "clip_vision"],
    "ImagePromptUnique": ["images", "clip_vision"],
}

RARE = {  # inputs that Nodes 2.0 folds away; layers, start, end, mask and negative are to be seen
    "ImagePromptApply": ["batch"],
    "ImagePromptReference": ["feather", "invert_mask", "frame_weights", "scaling", "name"],
    "ImagePromptInstantIDControlNet": [],
}


def inputs(info: dict) -> dict:
    return {**info["input"].get("required", {}), **info["input"].get("optional", {})}


def test_the_pack_loads_without_a_complaint(server):
    log = server.log.read_text(errors="replace")
    assert "custom_nodes/image-prompt" in log.replace("\\", "/")
    assert "(IMPORT FAILED)" not in log  # as ComfyUI says it of a pack
    assert (
        log.count(
            f"Image Prompt {pack_version()}: {len(NODES)} nodes, and 44 of IPAdapter_plus, 7 of InstantID, 5 of PuLID, "
            "3 of x-flux, 4 of IPAdapter-Flux, 2 of InstantX-IPAdapter-SD3."
        )
        == 1
    )
    assert "Error while calling comfy_entrypoint" not in log
    assert not re.search(r'File "[^"]*image-prompt', log)  # in a traceback; older ComfyUIs log some of their own


def test_the_pack_offers_exactly_its_nodes(server, object_info):
    """And those of another pack, whose folder here ends in `.disabled`, so that ComfyUI does not load it."""
    ours = {name for name, info in object_info.items() if info["python_module"] == "custom_nodes.image-prompt"}
    assert ours == {*NODES, *COMPAT}
    status = server.get("/image-prompt/status")
    assert status["compatibility"] == {"registered": 44, "yields to": ""}
    assert status["other packs"] == {
        "InstantID": {"registered": 7, "yields to": ""},
        "PuLID": {"registered": 5, "yields to": ""},
        "x-flux": {"registered": 3, "yields to": ""},
        "IPAdapter-Flux": {"registered": 4, "yields to": ""},
        "InstantX-IPAdapter-SD3": {"registered": 2, "yields to": ""},
    }


@pytest.mark.parametrize("name", [*NODES, *COMPAT])
def test_every_input_and_output_is_explained(object_info, name):
    info = object_info[name]
    assert info["description"]
    assert name in COMPAT or info["display_name"] != name and info["output"] == NODES[name]
    assert [key for key, (_, *rest) in inputs(info).items() if not rest or not rest[0].get("tooltip")] == []
    assert all(info["output_tooltips"]) and len(info["output_tooltips"]) == len(info["output"])


@pytest.mark.parametrize("name", NODES)
def test_inputs_are_in_the_order_of_saved_workflows(object_info, name):
    widgets = widget_names(object_info[name])
    assert widgets == WIDGETS[name]
    assert [socket for socket in inputs(object_info[name]) if socket not in widgets] == SOCKETS[name]


def test_what_has_a_default_may_be_left_out_of_a_prompt(object_info, sdxl, run):
    """The pictures are those of the defaults, written out."""
    left_out = copy.deepcopy(sdxl)
    for node, short in zip(sdxl.values(), left_out.values()):
        if node["class_type"] in NODES:
            for name, (_, options) in inputs(object_info[node["class_type"]]).items():
                if "default" in options:
                    node["inputs"][name] = options["default"]
                    short["inputs"].pop(name, None)
    assert left_out != sdxl
    assert np.array_equal(run(left_out).pictures, run(sdxl).pictures)


@pytest.mark.parametrize("name, rare", RARE.items())
def test_only_what_is_rarely_set_is_advanced(object_info, name, rare):
    found = inputs(object_info[name])
    assert [each for each, (_, options) in found.items() if options.get("advanced")] == rare


@pytest.mark.parametrize("name", [*NODES, *COMPAT])
def test_every_node_has_a_help_page(server, name):
    page = server.fetch(f"/extensions/image-prompt/docs/{name}.md").decode()
    assert page.startswith(f"# {server.get(f'/object_info/{name}')[name]['display_name']}\n")


def test_model_files_are_listed_and_other_files_are_not(server, object_info):
    (server.base / "models" / "ipadapter" / "notes.txt").write_text("not a model")
    assert "demo-ip-adapter-plus_sd15.safetensors" in server.get("/models/ipadapter")
    assert "notes.txt" not in server.get("/models/ipadapter")
    assert "demo-encoder.safetensors" in inputs(object_info["ImagePromptLoadEncoder"])["encoder_name"][1]["options"]


def test_the_example_workflows_are_templates_with_a_picture(server):
    names = {path.stem for path in EXAMPLES.glob("*.json")}
    assert set(server.get("/workflow_templates")["image-prompt"]) == names
    for name in names:
        assert server.fetch(f"/api/workflow_templates/image-prompt/{name}.jpg").startswith(b"\xff\xd8")
