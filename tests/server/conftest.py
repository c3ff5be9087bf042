"""Start one real ComfyUI for the session, with the pack, the demo nodes and all small models, and follow its runs."""

import io
import json
import os
import shutil
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
import websocket
from PIL import Image

from image_prompt.demo import fill, playground
from image_prompt.demo.stand_ins import api_example
from image_prompt.devtools.comfyui import Server, ServerError, check_success

EMBEDS_FILE = "of a test.ipadpt"
FOLDERS_OF_PACKS = {
    "instantid": "demo-instantid_sdxl.safetensors",
    "pulid": "demo-pulid_sdxl.safetensors",
    "xlabs/ipadapters": "demo-xlabs.safetensors",
    "ipadapter-flux": "demo-instantx.safetensors",
}


@dataclass
class Run:
    """A finished workflow: the nodes that ran, those whose results were still there, and the pictures it saved."""

    executed: set[str] = field(default_factory=set)
    cached: set[str] = field(default_factory=set)
    pictures: list[np.ndarray] = field(default_factory=list)  # (H, W, 3) uint8


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    base = playground.prepare(tmp_path_factory.mktemp("comfyui"))
    fill.fill(base)
    other = base / "custom_nodes" / "ComfyUI_IPAdapter_plus.disabled"
    other.mkdir()
    (other / "IPAdapterPlus.py").write_text("")
    shutil.copy(Path(__file__).with_name("tiny_dits.py"), base / "custom_nodes")
    for folder, name in FOLDERS_OF_PACKS.items():
        (base / "models" / folder).mkdir(parents=True)
        os.link(*(base / "models" / each / name for each in ("ipadapter", folder)))
    site = tmp_path_factory.mktemp("site-packages")
    (site / "insightface.py").write_text("raise ImportError(f'needs numpy<2, in {__file__}')")
    other_frontend = os.environ.get("IMAGE_PROMPT_FRONTEND")  # `dev.py test --frontend`
    server = Server(
        Path(os.environ["COMFYUI_PATH"]),
        sys.executable,
        base,
        base / "comfyui.log",
        [
            *("--cpu", "--database-url", "sqlite:///:memory:"),
            *(("--front-end-root", other_frontend) if other_frontend else ()),
        ],
        {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(site)},
    )
    with server:
        server.wait_until_ready()
        yield server


@pytest.fixture(scope="session")
def embeds_file(server):
    """Features of a picture in a file as IPAdapter_plus saved them."""
    torch.save(torch.randn(1, 257, 64, generator=torch.Generator().manual_seed(3)), server.base / "input" / EMBEDS_FILE)


@pytest.fixture(scope="session")
def object_info(server, embeds_file):
    return server.get("/object_info")


@pytest.fixture
def run(server):
    """Queue a workflow and follow it on the websocket to its end; ServerError where ComfyUI refuses it or it fails."""

    def run(workflow: dict) -> Run:
        client = uuid.uuid4().hex
        socket = websocket.create_connection(
            f"{server.url.replace('http', 'ws')}/ws?clientId={client}", timeout=120, http_no_proxy=["127.0.0.1"]
        )
        try:
            prompt_id = server.queue(workflow, client)
            finished = Run()
            while True:
                message = socket.recv()
                if isinstance(message, bytes):  # previews
                    continue
                event = json.loads(message)
                kind, data = event["type"], event["data"]
                if data.get("prompt_id") != prompt_id:
                    continue
                if kind == "executing" and data["node"]:
                    finished.executed.add(data["node"])
                elif kind == "execution_cached":
                    finished.cached.update(data["nodes"])
                elif kind == "executed" and data["node"] not in finished.executed:  # the same as a node of this run
                    finished.cached.add(data["node"])
                elif kind == "execution_error":
                    raise ServerError(f"{data['node_type']}: {data['exception_message']}")
                elif kind == "execution_success":
                    break
        finally:
            socket.close()
        entry = server.wait(prompt_id)
        check_success(entry)
        finished.pictures = [decode(picture) for picture in server.pictures(entry)]
        return finished

    return run


def decode(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@pytest.fixture
def load_workflow():
    """An example workflow in API format with the small random models."""

    def load(name: str, **changes: int) -> dict:
        return api_example(name, **changes)

    return load


@pytest.fixture
def sd15(load_workflow):
    return load_workflow("One_reference_SD1.5", size=64, steps=3)


@pytest.fixture
def sdxl(load_workflow):
    return load_workflow("Two_references_SDXL", size=64, steps=2)
