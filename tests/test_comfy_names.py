"""Names that the pack takes from ComfyUI are found by reading its source, and so is their absence."""

import os
from pathlib import Path

import pytest

from image_prompt.devtools.comfy_names import Tree, missing, taken, uses_of

FILES = {  # a small ComfyUI
    "folder_paths.py": "def get_full_path(name): ...\nif True:\n    models_dir = ''\n",
    "comfy/sd.py": "from .utils import load\nfrom torch import nn\n\nclass CLIP:\n    def __init__(self):\n"
    "        self.patcher = 1\n\n    class Inner:\n        x = 1\n\nclass Module(nn.Module): ...\n",
    "comfy/utils.py": "def load(): ...\ndef start():\n    global hook\n    hook = 1\n",
    "comfy_api/latest/__init__.py": "from . import _io_public as io\n",
    "comfy_api/latest/_io_public.py": "from ._io import *\n",
    "comfy_api/latest/_io.py": "__all__ = ['Image']\nclass Base:\n    class Input: ...\n\nclass Image(Base): ...\n"
    "class Hidden: ...\n",
    "server.py": "class PromptServer:\n    def __init__(self):\n        PromptServer.instance = self\n",
}
THERE = (
    "from comfy import sd, utils",
    "import comfy.sd\ncomfy.sd.CLIP.Inner.x",
    "import comfy.sd as s\ns.load",
    "import comfy.utils\ncomfy.utils.hook",
    "from comfy.sd import Module\nModule.anything",
    "from comfy_api.latest import io\nio.Image.Input",
    "import folder_paths\nfolder_paths.models_dir.anything",
    "from server import PromptServer\nPromptServer.instance.anything",
    "from comfy.sd import CLIP\ndef f(clip: CLIP | None): clip.patcher",
    "import comfy.sd\ndef f(comfy): comfy.anything",
    "import torch\ntorch.anything",
    "from .comfy import anything",
)
MISSING = {
    "from comfy.sd import invented": "comfy.sd.invented",
    "import comfy.invented": "comfy.invented",
    "import latent_preview": "latent_preview",
    "import comfy.sd\ncomfy.sd.invented(1)": "comfy.sd.invented",
    "import comfy.sd as s\ndef f():\n    return [s.invented for _ in ()]": "comfy.sd.invented",
    "import comfy.sd\ncomfy.sd.CLIP.Inner.y": "comfy.sd.CLIP.Inner.y",
    "from comfy_api.latest import io\nio.Hidden": "comfy_api.latest.io.Hidden",
    "from comfy_api.latest import io\nio.Image.Output": "comfy_api.latest.io.Image.Output",
    "def f():\n    import folder_paths\n    folder_paths.invented()": "folder_paths.invented",
    "import folder_paths\ngetattr(folder_paths, 'invented')": "folder_paths.invented",
    "from comfy.sd import CLIP\ndef f(clip: CLIP): clip.invented": "comfy.sd.CLIP.invented",
    "try:\n    import comfy.sd\nexcept ValueError:\n    pass\ncomfy.sd.invented": "comfy.sd.invented",
}
OPTIONAL = (
    "try:\n    from comfy.sd import invented\nexcept ImportError:\n    invented = None\ninvented.more",
    "try:\n    import comfy.invented\nexcept (KeyError, ModuleNotFoundError):\n    pass",
    "import comfy.sd\ngetattr(comfy.sd, 'invented', None)",
    "import comfy.sd\nif hasattr(comfy.sd, 'invented'):\n    comfy.sd.invented.more()",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from comfy.invented import kind",
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ComfyUI")
    for name, code in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(code)
    return Tree(folder)


@pytest.mark.parametrize("code", THERE)
def test_a_name_that_is_there_is_found(tree, code):
    assert missing(uses_of(code, "a.py"), tree) == []


@pytest.mark.parametrize("code, name", MISSING.items())
def test_a_missing_name_is_said_with_its_place(tree, code, name):
    (line,) = missing(uses_of(code, "a.py"), tree)
    assert line.startswith(f"{name}, taken by a.py:")


@pytest.mark.parametrize("code", OPTIONAL)
def test_a_name_that_the_code_does_without_may_be_missing(tree, code):
    assert missing(uses_of(code, "a.py"), tree) == []


def test_comfyui_has_every_name_that_the_pack_takes():
    comfyui = Tree(Path(os.environ["COMFYUI_PATH"]))
    assert missing(taken(), comfyui) == []
    assert {"comfy.model_patcher.ModelPatcher.clone", "comfy_api.latest.io.Schema"} <= {use.name for use in taken()}
    invented = uses_of("from comfy.samplers import get_area_and_mult, invented", "a.py")
    assert missing(invented, comfyui) == ["comfy.samplers.invented, taken by a.py:1"]
