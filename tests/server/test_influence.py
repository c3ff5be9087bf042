"""The influence map through the queue: shown on the node, live while the sampler runs, and by cached runs as well."""

import copy
import io
import json
import urllib.parse
import uuid
from dataclasses import dataclass, field

import numpy as np
import pytest
import websocket
from PIL import Image

from .conftest import decode
from .test_workflows import find

STEPS = 3  # of the sampler
PREVIEW = 4  # the kind of binary messages that say of which node their picture is


@pytest.fixture
def workflow(sd15):
    """The simple workflow with the model recorded, and the map drawn on the picture."""
    sampler = find(sd15, "KSampler")
    given = {"model": sd15[sampler]["inputs"]["model"]}
    sd15["record"] = {"class_type": "ImagePromptRecordInfluence", "inputs": given}
    sd15[sampler]["inputs"]["model"] = ["record", 0]
    given = {"influence": ["record", 1], "latent": [sampler, 0], "image": [find(sd15, "VAEDecode"), 0]}
    sd15["map"] = {"class_type": "ImagePromptInfluenceMap", "inputs": given}
    sd15["text"] = {"class_type": "PreviewAny", "inputs": {"source": ["map", 2]}}
    return sd15


@dataclass
class Seen:
    """What a browser sees of a run."""

    executed: set[str] = field(default_factory=set)
    live: list[tuple[str, Image.Image]] = field(default_factory=list)  # (node, picture)
    ended: dict[str, str] = field(default_factory=dict)  # node -> its last state
    shown: dict[str, list[np.ndarray]] = field(default_factory=dict)  # node -> pictures on it, (H, W, 3)
    texts: list[str] = field(default_factory=list)


@pytest.fixture
def look(server):
    """Queue a workflow as a browser does, with live pictures, and look at the nodes to the end."""

    def look(workflow: dict) -> Seen:
        client, seen = uuid.uuid4().hex, Seen()
        url = f"{server.url.replace('http', 'ws')}/ws?clientId={client}"
        socket = websocket.create_connection(url, timeout=120, http_no_proxy=["127.0.0.1"])
        try:
            socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
            prompt_id = server.queue(workflow, client)
            while True:
                message = socket.recv()
                if isinstance(message, bytes):
                    if int.from_bytes(message[:4], "big") == PREVIEW:
                        end = 8 + int.from_bytes(message[4:8], "big")
                        seen.live.append((json.loads(message[8:end])["node_id"], Image.open(io.BytesIO(message[end:]))))
                    continue
                event = json.loads(message)
                kind, data = event["type"], event["data"]
                if data.get("prompt_id") != prompt_id:
                    continue
                if kind == "executing" and data["node"]:
                    seen.executed.add(data["node"])
                elif kind == "progress_state":
                    seen.ended |= {node: state["state"] for node, state in data["nodes"].items()}
                elif kind == "executed" and "images" in (data["output"] or {}):
                    files = [urllib.parse.urlencode(image) for image in data["output"]["images"]]
                    seen.shown[data["node"]] = [decode(server.fetch(f"/view?{file}")) for file in files]
                elif kind == "execution_success":
                    break
        finally:
            socket.close()
        entry = server.wait(prompt_id)
        seen.texts = entry["outputs"].get("text", {}).get("text", [])
        return seen

    return look


def test_the_map_is_drawn_live_and_shown_again_by_a_cached_run(look, run, workflow):
    seen = look(workflow)
    sampler, (picture,) = find(workflow, "KSampler"), seen.shown["map"]
    live = [image for node, image in seen.live if node == "record"]
    assert len(live) == STEPS and all(np.asarray(image).std() > 10 for image in live)
    assert seen.ended["record"] == "finished"
    assert picture.shape == (64, 64, 3)
    assert seen.texts[0].startswith("image prompt 1: mean ")

    again = look(workflow)
    assert not again.executed & {sampler, "record", "map"}
    assert np.array_equal(again.shown["map"][0], picture) and again.texts == seen.texts

    lighter = copy.deepcopy(workflow)
    lighter["map"]["inputs"]["opacity"] = 0.0
    plain = look(lighter)
    assert "map" in plain.executed and sampler not in plain.executed
    without = {name: node for name, node in workflow.items() if name not in ("record", "map", "text")}
    without[sampler] = copy.deepcopy(without[sampler])
    without[sampler]["inputs"]["model"] = workflow["record"]["inputs"]["model"]
    assert np.array_equal(plain.shown["map"][0], run(without).pictures[0])
    assert not np.array_equal(picture, plain.shown["map"][0])


def test_another_seed_makes_another_map(look, workflow):
    first = look(workflow)
    workflow[find(workflow, "KSampler")]["inputs"]["seed"] += 1
    second = look(workflow)
    assert "record" not in second.executed and "map" in second.executed
    assert first.texts != second.texts


def test_the_map_is_that_of_the_connected_sampler_also_from_the_cache(look, workflow):
    first = look(workflow)
    sampler, longer = find(workflow, "KSampler"), copy.deepcopy(workflow)
    longer["second"] = copy.deepcopy(workflow[sampler])
    longer["second"]["inputs"].update(latent_image=[sampler, 0], denoise=0.5)
    longer["map"]["inputs"]["latent"] = ["second", 0]
    second = look(longer)
    assert "second" in second.executed and sampler not in second.executed
    assert second.texts != first.texts

    workflow["map"]["inputs"]["opacity"] = 0.5
    again = look(workflow)
    assert "map" in again.executed and sampler not in again.executed
    assert again.texts == first.texts


def test_the_map_runs_without_a_node_behind_it(look, workflow):
    del workflow["text"]
    workflow = {name: node for name, node in workflow.items() if node["class_type"] != "SaveImage"}
    seen = look(workflow)
    assert "map" in seen.executed and seen.shown["map"][0].shape == (64, 64, 3)
