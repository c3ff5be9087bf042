"""What stands in for the published model files, which are gigabytes. Standard library only.

The workflows name the published files and the picture that ComfyUI ships. `with_stand_ins` is the one place where they
are exchanged.
"""

from __future__ import annotations

import copy
import itertools
import json

from devtools.stages import ROOT
from devtools.workflows import nodes_of, widget_names

from .columns import ADAPTER, CFG, ENCODER, SAMPLER, SCHEDULER, SIZE

EXAMPLES = ROOT / "example_workflows"
NOTE = """Small models with random weights stand in for the published ones here, so that this runs at once. Its pictures
mean nothing. The same template under *Image Prompt* is for the published models; its note says:

"""
WORLD_NOTE = """The small models of the demo world stand in for the published ones here, so that this runs at once. They
know coloured shapes alone: write texts such as *a large blue square with dots*. The same template under *Image Prompt*
is for the published models; its note says:

"""
SEED_STAYS = "fixed"

FILES = {  # published name -> small file with seeded random weights, written by make_models.py
    "clip_vision_h.safetensors": "demo-encoder.safetensors",
    "ip-adapter-plus_sd15.safetensors": "demo-ip-adapter-plus_sd15.safetensors",
    "ip-adapter-plus_sdxl_vit-h.safetensors": "demo-ip-adapter-plus_sdxl.safetensors",
    "ip-adapter-faceid-plusv2_sdxl.bin": "demo-faceid-plusv2_sdxl.safetensors",
    "instantid-ip-adapter.bin": "demo-instantid_sdxl.safetensors",
    "pulid_v1.1.safetensors": "demo-pulid_sdxl.safetensors",
    "EVA02_CLIP_L_336_psz14_s6B.pt": "demo-eva.safetensors",
    "flux1-dev.safetensors": "demo-flux.safetensors",
    "flux-ip-adapter-v2.safetensors": "demo-xlabs.safetensors",
    "FLUX.1-dev-IP-Adapter.bin": "demo-instantx.safetensors",
    "SD3.5-Large-IP-Adapter.bin": "demo-instantx_sd35.safetensors",
    "ip_adapter-Character_Reference-10.safetensors": "demo-anima.safetensors",
    "siglip2-base-patch16-512.safetensors": "demo-wide-encoder.safetensors",
    "clip-vit-large-patch14.safetensors": "demo-encoder.safetensors",
    "sigclip_vision_patch14_384.safetensors": "demo-encoder.safetensors",
    "image_prompt_00001_.safetensors": "demo-features.safetensors",  # that a user has saved
}
CHECKPOINTS = {  # published name -> what the demo node builds
    "v1-5-pruned-emaonly-fp16.safetensors": "SD1.5",
    "sd_xl_base_1.0.safetensors": "SDXL",
    "sd3.5_large_fp8_scaled.safetensors": "SD3.5 Large",
}
ANIMA = "anima-base-v1.0.safetensors"
NODES = {  # loader -> the demo's node that makes a small model with seeded random weights instead, and what it is told
    "ControlNetLoader": ("ImagePromptDemoControlNet", {}),
    "CLIPLoader": ("ImagePromptDemoText", {"base_model": "Anima"}),
    "DualCLIPLoader": ("ImagePromptDemoText", {"base_model": "Flux"}),
    "VAELoader": ("ImagePromptDemoAutoencoder", {}),
}
LATENTS = {"EmptyLatentImage", "EmptySD3LatentImage"}
TRAINED = "ImagePromptEmbedText"  # workflows with this node are for models that know what a text means
WORLD_FILES = {  # published name -> the file of the demo world
    "clip-vit-large-patch14.safetensors": ENCODER,
    "clip_vision_h.safetensors": ENCODER,
    "ip-adapter-plus_sd15.safetensors": ADAPTER,
}
WORLD_TEXTS = {  # in the words of the demo world
    "a red bicycle leaning against a blue wall": "a large red square with dots on white",
    "a stormy sea, oil painting": "a blue shape",
    "a lighthouse on a cliff": "a shape",
    "blurry, low quality": "",
}
PHOTOGRAPHS = ("grace_hopper.jpg", "astronaut.jpg")  # for ComfyUI's example.png, in turn, in the order of the nodes
FACES = ("face.png",)  # the same where faces are looked for: the tests draw what their face analyser finds


def with_stand_ins(workflow: dict, size: int = 256, steps: int = 8) -> dict:
    """A copy of an API-format workflow with small models, photographs, a small picture and few steps."""
    workflow = copy.deepcopy(workflow)
    if is_for_the_world(workflow):
        return in_the_world(workflow, min(size, SIZE), steps)
    has_faces = any(node["class_type"] == "ImagePromptFaceAnalyserLoader" for node in workflow.values())
    photographs = itertools.cycle(FACES if has_faces else PHOTOGRAPHS)
    for node in workflow.values():
        inputs = node["inputs"]
        if node["class_type"] == "CheckpointLoaderSimple":
            base_model = CHECKPOINTS[inputs["ckpt_name"]]
            node["class_type"], node["inputs"] = "ImagePromptDemoCheckpoint", {"base_model": base_model, "seed": 0}
        elif inputs.get("unet_name") == ANIMA:
            node["class_type"], node["inputs"] = "ImagePromptDemoAnima", {"seed": 0}
        elif node["class_type"] in NODES:
            node["class_type"], given = NODES[node["class_type"]]
            node["inputs"] = {**given, "seed": 0}
        elif node["class_type"] == "LoadImage":
            inputs["image"] = next(photographs)
        elif node["class_type"] in LATENTS:
            inputs.update(width=size, height=size)
        elif node["class_type"] == "KSampler":
            inputs.update(steps=steps)
        else:
            inputs.update({key: FILES[name] for key, name in inputs.items() if is_one_of(name, FILES)})
    return workflow


def is_for_the_world(workflow: dict) -> bool:
    return any(node["class_type"] == TRAINED for node in workflow.values())


def in_the_world(workflow: dict, size: int, steps: int) -> dict:
    """The workflow with the models of the demo world, in its words."""
    exchanged = WORLD_FILES | WORLD_TEXTS
    for node in workflow.values():
        inputs = node["inputs"]
        if node["class_type"] == "CheckpointLoaderSimple":
            node["class_type"], node["inputs"] = "ImagePromptDemoWorld", {}
        elif node["class_type"] in LATENTS:
            inputs.update(width=size, height=size)
        elif node["class_type"] == "KSampler":
            inputs.update(steps=steps, cfg=CFG, sampler_name=SAMPLER, scheduler=SCHEDULER)
        else:
            inputs.update({key: exchanged[value] for key, value in inputs.items() if is_one_of(value, exchanged)})
    return workflow


def is_one_of(value: object, names: dict[str, str]) -> bool:
    return isinstance(value, str) and value in names


def api_example(name: str, **changes: int) -> dict:
    """An example workflow with stand-ins, as the queue takes it."""
    return with_stand_ins(json.loads((EXAMPLES / "api" / f"{name}.json").read_text(encoding="utf-8")), **changes)


def example(name: str, object_info: dict, **changes: int) -> dict:
    """An example workflow with stand-ins, as the browser loads it. object_info: what the server says about nodes"""
    ui, small = json.loads((EXAMPLES / f"{name}.json").read_text(encoding="utf-8")), api_example(name, **changes)
    note = WORLD_NOTE if is_for_the_world(small) else NOTE
    for node in ui["nodes"]:
        if node["type"] == "MarkdownNote":
            node["widgets_values"] = [note + text for text in node["widgets_values"]]
    for node in nodes_of(ui):
        given = small[str(node["id"])]
        names = widget_names(object_info[given["class_type"]])
        if node["type"] != given["class_type"]:  # a loader
            node |= {"type": given["class_type"], "widgets_values": [SEED_STAYS] * len(names)}
        pairs = zip(names, node["widgets_values"], strict=True)
        node["widgets_values"] = [given["inputs"].get(name, old) for name, old in pairs]
    return ui
