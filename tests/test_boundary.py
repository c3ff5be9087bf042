"""Check who imports whom: no package knows ComfyUI, the two torch packages are apart, and nodes need no server."""

import ast
import importlib
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from image_prompt.devtools.stages import ROOT
from image_prompt.nodes import NODES

PACKAGES = (
    "tensor_files",
    "clip_vision",
    "faces",
    "ip_adapter",
    "migration",
    "model_files",
    "service",
    "references",
    "command_line",
)
ALLOWED = {*sys.stdlib_module_names, "torch", "safetensors"}
READERS = (  # what opens files, or writes them, by `tensor_files`, or takes its words for devices and dtypes
    "model_files/",
    "clip_vision/features.py",
    "clip_vision/files/from_file.py",
    "clip_vision/saving/old_embeds.py",
    "clip_vision/saving/saved.py",
    "clip_vision/text/from_file.py",
    "clip_vision/text/siglip_tokenizers.py",
    "ip_adapter/from_file.py",
)
BELOW = {  # these join the others
    "references": ("tensor_files", "clip_vision", "model_files"),
    "service": ("tensor_files", "clip_vision", "ip_adapter", "model_files", "references"),
    "command_line": ("tensor_files", "clip_vision", "ip_adapter", "migration", "model_files", "references", "service"),
}
MORE = {  # five files ask the cores what a file is, what it is called and whether it is applied; one reads
    # ComfyUI's configuration; two open given pictures; one reads tokenizers; the others hold numbers of numpy
    "model_files/catalogue/works_on.py": {"...ip_adapter"},
    "model_files/index/encoders.py": {"...clip_vision", "...ip_adapter"},
    "model_files/index/identification.py": {"...clip_vision", "...ip_adapter"},
    "model_files/matching/support.py": {"...ip_adapter"},
    "model_files/matching/wording.py": {"...ip_adapter"},
    "model_files/folders/extra_paths.py": {"yaml"},
    "clip_vision/pictures/images.py": {"PIL"},
    "clip_vision/text/siglip_tokenizers.py": {"sentencepiece", "tokenizers"},
    **{f"faces/{name}.py": {"PIL", "numpy"} for name in ("alignment", "drawing")},
    **{f"faces/{name}.py": {"numpy"} for name in ("analyser", "detection", "face", "recognition", "sampling")},
    "references/filling/reading.py": {"PIL", "numpy"},
    **{f"references/bulk/{name}.py": {"numpy"} for name in ("collecting", "part", "shard")},
    **{f"references/filling/{name}.py": {"numpy"} for name in ("filler", "groups")},
    "references/filling/filler.py": {"numpy"},
    "references/vision_language/pictures.py": {"PIL"},
    **{f"references/library/{name}.py": {"numpy"} for name in ("checking", "part_writer", "parts", "reader", "writer")},
    **{f"references/{name}.py": {"numpy"} for name in ("exports/arrays", "lance/team_library")},
    "tensor_files/weights.py": {"numpy"},
    "service/http/pictures.py": {"PIL"},
    **{f"service/http/{name}.py": {"aiohttp"} for name in ("handlers", "server")},
    "service/http/handlers.py": {"aiohttp"},
}


def imports(path: Path) -> list[tuple[int, str]]:
    """(level, module) of every import statement in a file that runs, also inside functions; level 0 is absolute."""
    found, nodes = [], [ast.parse(path.read_text())]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found += [(0, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or ""))
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_torch_and_themselves(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        depth = len(path.relative_to(ROOT / package).parents)  # how many dots stay inside the package
        for level, module in imports(path):
            name, file = "." * level + module.split(".")[0], path.relative_to(ROOT).as_posix()
            inside = level <= depth if level else name in ALLOWED
            other = (module or "").split(".")[0] if level == depth + 1 else ""
            below = other == "tensor_files" and file.startswith(READERS) or other in BELOW.get(package, ())
            assert inside or below or name in MORE.get(file, ()), f"{file} imports {name}"


@pytest.mark.parametrize("package", ["clip_vision", "ip_adapter"])
def test_what_a_core_exports_can_be_imported_and_is_called_like_none_of_its_modules(package):
    """A module takes the place of a function of its name as soon as something imports it."""
    core = importlib.import_module(f"image_prompt.{package}")
    exported = [name for names in core.EXPORTS.values() for name in names]
    assert sorted(exported) == sorted(core.__all__)
    assert set(exported) <= set(dir(core))
    for module, names in core.EXPORTS.items():
        home = importlib.import_module(f"{core.__name__}.{module}")
        assert all(getattr(core, name) is getattr(home, name) for name in names)
    assert set(exported).isdisjoint(module.name for module in pkgutil.iter_modules(core.__path__))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        core.nothing


LOAD = """
import importlib.util, sys
sys.path[:] = [r"{comfyui}", *(entry for entry in sys.path if entry)]
spec = importlib.util.spec_from_file_location("pack", r"{root}/__init__.py", submodule_search_locations=[r"{root}"])
sys.modules["pack"] = pack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
"""
IMPORT_PACKAGES = """
import pkgutil
import pack.tensor_files, pack.clip_vision, pack.ip_adapter, pack.model_files
for module in pkgutil.walk_packages(pack.model_files.__path__, "pack.model_files."):
    importlib.import_module(module.name)
absent = {"comfy", "comfy_api", "folder_paths", "nodes", "PIL"}
print(sorted(name for name in sys.modules if name.split(".")[0] in absent))
"""
LOAD_MODELS = """
import torch
from pack.clip_vision import load
from pack.devtools.published import shapes
from pack.devtools.stages import ROOT
from pack.ip_adapter import load_adapter
load(ROOT / "demo" / "models" / "clip_vision" / "demo_world.safetensors", "cpu")
load_adapter({key: torch.empty(shape, device="meta") for key, shape in shapes("diffusers-plus_sd15").items()})
print("torch._dynamo" in sys.modules)
"""
READ_TABLES = """
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "numpy"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from pack.clip_vision import PRESETS, VisionConfig
from pack.ip_adapter import APPLIED_TO, BASE_MODELS, ENCODERS, FAMILIES, LAYER_SETS, Strength, match_layers, purposes
from pack.ip_adapter.families.foreign import FOREIGN, REMEDIES
print(len(APPLIED_TO) > 3, "torch" in sys.modules)
"""
IMPORT_NODES = """
import asyncio, comfy.options
comfy.options.enable_args_parsing(False)
from comfy.cli_args import args
args.cpu = True
nodes = asyncio.run(pack.comfy_entrypoint().get_node_list())
print(len(nodes), "server" in sys.modules, "nodes" in sys.modules)
"""


def run(code: str, tmp_path: Path) -> str:
    code = LOAD.format(comfyui=os.environ["COMFYUI_PATH"], root=ROOT) + code
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_packages_need_neither_comfyui_nor_pil_nor_torchs_compiler(tmp_path):
    """The first two could be imported there, but are not. The compiler takes a second to import, and torch imports it
    for some operations on tensors without values.
    """
    assert run(IMPORT_PACKAGES + LOAD_MODELS, tmp_path).splitlines() == ["[]", "False"]


def test_the_tables_of_the_cores_need_no_torch(tmp_path):
    assert run(READ_TABLES, tmp_path) == "True False"


def test_the_nodes_import_without_a_server_and_without_a_gpu(tmp_path):
    assert run(IMPORT_NODES, tmp_path) == f"{len(NODES)} False False"
