"""What an open graph needs of the model folders."""

import pytest
import tiny
from own_files import OWN, put_adapter, put_catalogue, put_encoder
from safetensors.torch import save_file

from image_prompt.nodes.loading import model_library
from image_prompt.nodes.panels.graph import Graph
from image_prompt.nodes.panels.needed import needed


def put_checkpoint(folders, base="SD1.5"):
    tensors = tiny.unet(base).model.diffusion_model.state_dict()
    named = {f"model.diffusion_model.{key}": tensor.contiguous() for key, tensor in tensors.items()}
    save_file(named, folders / "checkpoints" / f"{base}.safetensors")


def node(number, kind, *before, **values):
    return {"id": number, "type": kind, "values": values, "before": list(before)}


def ask(*nodes, models=()):
    return needed(Graph.of({"nodes": list(nodes), "models": list(models)}))


def statuses(found):
    """{name: (status, ids of the nodes)}"""
    return {(item["file"] or item["get"])["name"]: (item["status"], item["nodes"]) for item in found["items"]}


def test_files_that_loaders_name_are_found_or_can_be_got(folders):
    put_adapter(folders)
    put_encoder(folders, "clip_vision/mine.safetensors")
    found = ask(
        node(1, "ImagePromptLoadAdapter", adapter_name="tiny.safetensors", family="auto"),
        node(2, "ImagePromptLoadEncoder", encoder_name="mine.safetensors"),
        node(3, "IPAdapterModelLoader", ipadapter_file="ip-adapter-plus_sd15.bin"),
        node(4, "CLIPVisionLoader", clip_name="my own.safetensors"),
        node(5, "KSampler", sampler_name="euler"),
    )
    assert statuses(found) == {
        "tiny.safetensors": ("found", ["1"]),
        "mine.safetensors": ("found", ["1", "2"]),  # the adapter reads it
        "ip-adapter-plus_sd15.safetensors": ("missing", ["3"]),
        "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors": ("missing", ["3"]),
        "my own.safetensors": ("missing", ["4"]),
    }
    assert found["missing"] == 3
    links = {item["get"]["name"]: item["get"]["link"] for item in found["items"] if item["get"]}
    assert links["ip-adapter-plus_sd15.safetensors"].startswith("https://") and links["my own.safetensors"] == ""


def test_what_load_models_would_look_for_follows_from_the_checkpoint_before_it(folders):
    put_checkpoint(folders, "SDXL")
    put_checkpoint(folders, "SD1.5")
    found = ask(
        node(9, "CheckpointLoaderSimple", ckpt_name="SD1.5.safetensors"),
        node(1, "CheckpointLoaderSimple", ckpt_name="SDXL.safetensors"),
        node(2, "LoraLoaderModelOnly", 1, lora_name="none.safetensors"),
        node(3, "ImagePromptLoadModels", 2, purpose="plus"),
    )
    assert statuses(found) == {
        "ip-adapter-plus_sdxl_vit-h.safetensors": ("missing", ["3"]),
        "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors": ("missing", ["3"]),
    }


def test_load_models_takes_the_best_file_that_is_there(folders, catalogue):
    put_checkpoint(folders)
    put_adapter(folders, "odd name.safetensors")
    found = ask(node(1, "CheckpointLoaderSimple", ckpt_name="SD1.5.safetensors"), node(2, "ImagePromptLoadModels", 1))
    assert statuses(found)["odd name.safetensors"] == ("found", ["2"])


def test_an_adapter_for_faces_needs_its_lora_and_its_face_pack(folders):
    put_checkpoint(folders)
    found = ask(
        node(1, "CheckpointLoaderSimple", ckpt_name="SD1.5.safetensors"),
        node(2, "IPAdapterUnifiedLoaderFaceID", 1, preset="FACEID", provider="CPU"),
    )
    assert {*statuses(found)} == {
        "ip-adapter-faceid_sd15.bin",
        "ip-adapter-faceid_sd15_lora.safetensors",
        "buffalo_l.zip",
    }


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ([node(3, "ImagePromptLoadModels", purpose="plus")], "once the file of its model is there"),
        (
            [
                node(1, "CheckpointLoaderSimple", ckpt_name="SD1.5.safetensors"),
                node(3, "IPAdapterUnifiedLoader", 1, preset="HUGE"),
            ],
            "The preset is 'HUGE'",
        ),
        (
            [
                node(1, "CheckpointLoaderSimple", ckpt_name="SD1.5.safetensors"),
                node(3, "ImagePromptLoadModels", 1, purpose="bread"),
            ],
            "no such file is known to be published",
        ),
    ],
)
def test_where_it_cannot_be_known_it_says_why(folders, nodes, why):
    put_checkpoint(folders)
    found = ask(*nodes)
    (note,) = found["notes"]
    assert found["items"] == [] and note["node"] == "3" and why in note["why"]


def test_a_file_that_is_here_under_another_name_is_not_missing(folders):
    put_catalogue(folders, OWN | {"files": ["published.safetensors", "tiny.safetensors"]})
    put_adapter(folders)
    found = ask(node(1, "ImagePromptLoadAdapter", adapter_name="published.safetensors"))
    (item, _encoder) = found["items"]
    assert item["status"] == "renamed" and "choose tiny.safetensors in place of published.safetensors" in item["why"]


def test_what_a_workflow_says_of_its_files_fills_what_no_catalogue_knows(folders):
    given = {"name": "rare.safetensors", "url": "https://example.com/rare.safetensors", "directory": "ipadapter"}
    script = given | {"name": "other.safetensors", "url": "javascript:alert(1)"}
    elsewhere = given | {"name": "x.safetensors", "directory": "../../etc"}
    found = ask(node(1, "ImagePromptLoadAdapter", adapter_name="rare.safetensors"), models=[given, script, elsewhere])
    links = {item["get"]["name"]: item["get"]["link"] for item in found["items"]}
    assert links == {"rare.safetensors": given["url"], "other.safetensors": ""}


def test_a_circle_of_links_ends(folders):
    assert ask(node(1, "ImagePromptLoadModels", 2), node(2, "Reroute", 1))["items"] == []


def test_no_folder_is_read_for_a_graph_without_image_prompts(folders, monkeypatch):
    monkeypatch.setattr(model_library, "report", None)
    found = ask(node(1, "CheckpointLoaderSimple", ckpt_name="a.safetensors"), node(2, "KSampler", 1))
    assert found == {"items": [], "missing": 0, "notes": [], "unread": []}
