"""Beside a pack that has nodes of IPAdapter_plus, this pack registers none of them, and its own nodes take their wires.

ComfyUI's order within a folder is that of the disk, but it loads a second folder of packs after the first.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from image_prompt.demo import make_models
from image_prompt.demo.stand_ins import api_example
from image_prompt.devtools.comfyui import DEMO_NODES, PACK, Server, prepare_base
from image_prompt.devtools.stages import ROOT

from .conftest import decode
from .old_graphs import MORE_NODES as MORE
from .old_graphs import NODES as COMPAT
from .test_boot import NODES
from .test_workflows import find

THEIRS = ["IPAdapterModelLoader", "IPAdapterAdvanced"]
LOADER = """
import comfy.utils
import folder_paths


class Loader:
    RETURN_TYPES = ("IPADAPTER",)
    FUNCTION = "load"
    CATEGORY = "theirs"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"ipadapter_file": (folder_paths.get_filename_list("ipadapter"),)}}

    def load(self, ipadapter_file):
        raw = {"image_proj": {}, "ip_adapter": {}}
        for key, value in comfy.utils.load_torch_file(folder_paths.get_full_path("ipadapter", ipadapter_file)).items():
            part, _, name = key.partition(".")
            raw[part][name] = value
        return (raw,)


NODE_CLASS_MAPPINGS = dict.fromkeys(THEIRS, Loader)
""".replace("THEIRS", repr(THEIRS))


def put_pack(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(LOADER)
    for name, text in files.items():
        (folder / name.replace("_toml", ".toml")).write_text(text)


def known(base: Path) -> list[str]:
    put_pack(
        base / "custom_nodes" / "ComfyUI_IPAdapter_plus", pyproject_toml='[project]\nname = "comfyui_ipadapter_plus"\n'
    )
    return []


def later(base: Path) -> list[str]:
    """A pack with no sign of what it is, which comes after this one."""
    put_pack(base / "more" / "anything")
    paths = base / "paths.yaml"
    paths.write_text(json.dumps({"more": {"base_path": str(base), "custom_nodes": "more"}}))
    return ["--extra-model-paths-config", str(paths)]


@pytest.fixture(
    scope="module", params={"custom_nodes/ComfyUI_IPAdapter_plus": known, "custom_nodes.anything": later}.items()
)
def beside(request, tmp_path_factory):
    """The name of another pack, and a server with both packs."""
    name, put = request.param
    base = prepare_base(tmp_path_factory.mktemp("beside"), PACK | DEMO_NODES)
    make_models.main(base / "models")
    (base / "input" / "grace_hopper.jpg").write_bytes((ROOT / "demo" / "images" / "grace_hopper.jpg").read_bytes())
    arguments = ["--cpu", "--database-url", "sqlite:///:memory:", *put(base)]
    comfyui = Path(os.environ["COMFYUI_PATH"])
    with Server(comfyui, sys.executable, base, base / "comfyui.log", arguments, {"OMP_NUM_THREADS": "1"}) as server:
        server.wait_until_ready()
        yield name, server


def test_the_other_pack_has_its_nodes_alone(beside):
    _, server = beside
    info = server.get("/object_info")
    assert [id for id in COMPAT if id in info] == [id for id in COMPAT if id in THEIRS]
    assert {info[id]["category"] for id in THEIRS} == {"theirs"}
    assert info.keys() >= set(NODES)


def test_the_log_and_the_status_say_so(beside):
    name, server = beside
    log = server.log.read_text(errors="replace")
    assert log.count("registers no node of IPAdapter_plus") == log.count(f"because {name} has such nodes") == 1
    status = server.get("/image-prompt/status")
    assert status["compatibility"] == {"registered": 0, "yields to": name}
    others = {about["era"] for about in MORE.values()}
    assert {pack: each["yields to"] for pack, each in status["other packs"].items()} == dict.fromkeys(others, "")
    assert server.get("/object_info").keys() >= MORE.keys()


def test_our_nodes_take_what_its_loader_gives(beside):
    _, server = beside
    ours = api_example("One_reference_SD1.5", size=64, steps=2)
    theirs, loader = json.loads(json.dumps(ours)), find(ours, "ImagePromptLoadAdapter")
    file = ours[loader]["inputs"]["adapter_name"]
    theirs[loader] = {"class_type": "IPAdapterModelLoader", "inputs": {"ipadapter_file": file}}
    one, two = (decode(*server.pictures(server.wait(server.queue(each)))) for each in (ours, theirs))
    assert np.array_equal(one, two) and one.std() > 0
