"""Load the pack under the name `image_prompt` and put ComfyUI on the path, for every test."""

import gc
import importlib
import importlib.util
import os
import pkgutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

gc.disable()  # until everything is imported and collected
ROOT = Path(__file__).resolve().parents[1]
COMFYUI = Path(os.environ.get("COMFYUI_PATH") or ROOT / ".dev" / "comfyui").resolve()


def put_comfyui_on_the_path() -> None:
    """Put ComfyUI first on the path and the repository nowhere, because both have a module called `nodes`."""
    if not (COMFYUI / "main.py").is_file():
        raise pytest.UsageError(f"No ComfyUI at {COMFYUI}: run `python dev.py test`, or set COMFYUI_PATH.")
    sys.path[:] = [str(COMFYUI), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT)]

    import comfy.options

    comfy.options.enable_args_parsing(False)  # sys.argv belongs to pytest
    from comfy.cli_args import args

    args.cpu = True  # read once, when comfy.model_management is imported
    args.use_pytorch_cross_attention = True  # as on a GPU; the ComfyUI of tests/server takes what it takes on a CPU


def load_pack(name: str = "image_prompt") -> None:
    """Load the pack as ComfyUI loads a custom node folder, but under a name that can be imported."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec and spec.loader
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def share_devtools() -> None:
    """Let dev.py and demo/demo.py import the `devtools` of the pack, not a second copy of it."""
    for name in ("", *(f".{module.name}" for module in pkgutil.iter_modules([str(ROOT / "devtools")]))):
        sys.modules[f"devtools{name}"] = importlib.import_module(f"image_prompt.devtools{name}")


def choose_examples() -> None:
    """Let hypothesis try the same few examples every time, as quick as machines are."""
    from hypothesis import settings

    settings.register_profile(
        "pack", derandomize=True, database=None, deadline=None, max_examples=60, stateful_step_count=25
    )
    settings.load_profile("pack")


if "IMAGE_PROMPT_INSTALLED" not in os.environ:  # with it, test_packaging.py tests an installed wheel, without ComfyUI
    put_comfyui_on_the_path()
    load_pack()
    share_devtools()
    choose_examples()
os.environ["COMFYUI_PATH"] = str(COMFYUI)  # for tests that start a process
os.environ["HF_HUB_CACHE"] = str(ROOT / ".dev" / "no hugging face cache")  # what a developer has there changes no test
torch.set_num_threads(1)  # tiny tensors: a second OpenMP thread only waits


SLOW = (  # not in `dev.py test --fast`
    "demo/test_meaning.py",
    "demo/test_measure.py",
    "demo/test_old_graphs.py",
    "demo/test_similarity.py",
    "demo/test_train.py",
    "command_line/references/test_embed_on_ray.py",
    "command_line/test_verify.py",
    "nodes/test_diffusers.py",
    "nodes/test_faceid.py",
    "server/test_demo.py",
    "server/test_files_used.py",
    "server/test_old_graphs.py",
    "server/test_soak.py",
    "server/browser/test_old_graphs.py",
    "server/test_workflows.py",
    "server/test_yielding.py",
    "test_dev.py",
    "test_packaging.py",
)
LONG = (  # groups that start first
    "browser",
    "server",
    "demo/test_meaning.py",
    "demo/test_train.py",
    "test_packaging.py",
    "command_line/references/test_embed_on_ray.py",
    "nodes/test_diffusers.py",
    "nodes/compat/test_layers.py",
    "nodes/test_family_formulas.py",
    "nodes/test_company.py",
    "nodes/test_properties.py",
    "nodes/test_apply.py",
)


def process_group(file: str) -> str:
    """The group of tests that share a process: those that share one ComfyUI, or those of one file."""
    if file.startswith("server/"):
        return "browser" if file.startswith("server/browser/") else "server"
    return file


def file_of(nodeid: str) -> str:
    """The file of a test, below tests/."""
    return nodeid.split("::")[0].removeprefix("tests/")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a group in one process. With pytest 9.2 marks of pytest-xdist 3.8 do not, and say nothing."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return process_group(file_of(nodeid))

    return ByGroup(config, log) if config.getoption("dist") == "loadgroup" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if file_of(item.nodeid) in SLOW:
            item.add_marker(pytest.mark.slow)
    groups = {item: process_group(file_of(item.nodeid)) for item in items}
    items.sort(key=lambda item: LONG.index(groups[item]) if groups[item] in LONG else len(LONG))


def pytest_collection_finish() -> None:
    """Spare collections of garbage what was imported and what was collected of tests: to look at it takes a second."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.default_generator.manual_seed(0)  # torch.manual_seed also notes its stack for devices that are not there
