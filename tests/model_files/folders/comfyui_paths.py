"""Get ComfyUI's own lists of folders, as they are after its start, to compare ours with them."""

import json
import os
import subprocess
import sys
from pathlib import Path

# only `apply_custom_paths` of main.py runs, because main.py as a whole would start the server
STARTS = """
import ast, itertools, json, logging, os, sys
sys.path.insert(0, os.environ["COMFYUI_PATH"])
import comfy.options
comfy.options.enable_args_parsing()
with open(os.path.join(os.environ["COMFYUI_PATH"], "main.py"), encoding="utf-8") as file:
    functions = [node for node in ast.parse(file.read()).body if isinstance(node, ast.FunctionDef)]
start = ast.Module([node for node in functions if node.name == "apply_custom_paths"], [])
found = []
for sys.argv[1:] in json.loads(sys.argv[1]):
    for module in ("comfy.cli_args", "folder_paths", "utils.extra_config"):  # they read the arguments, and keep lists
        sys.modules.pop(module, None)
    from comfy.cli_args import args
    import folder_paths, utils.extra_config
    known = folder_paths.folder_names_and_paths
    built_in = {name: list(row[0]) for name, row in known.items()}
    space = {**globals(), "__file__": os.path.join(args.base_directory, "main.py")}
    exec(compile(start, "main.py", "exec"), space)
    space["apply_custom_paths"]()
    as_named = ("ipadapter", "insightface", "image_prompts", "instantid", "pulid", "ipadapter-flux")
    for name, below in {**{name: name for name in as_named}, "xlabs_ipadapters": "xlabs/ipadapters"}.items():
        folder_paths.add_model_folder_path(name, os.path.join(folder_paths.models_dir, below))  # as node packs do
    found.append([built_in, {name: row[0] for name, row in known.items()}])
print(json.dumps(found))
"""


def comfyui_paths(base: Path, *configs: Path) -> dict[str, list[str]]:
    """{type: folders} of a ComfyUI started in a folder, with --extra-model-paths-config; links resolved, no duplicates.

    For types that only ComfyUI has, the folders that it has from the beginning are left out.
    """
    return paths_of_starts([base], *configs)[0]


def paths_of_starts(bases: list[Path], *configs: Path) -> list[dict[str, list[str]]]:
    """The result of `comfyui_paths` for one start in each folder, one after another in one process."""
    more = [f"--extra-model-paths-config={config}" for config in configs]
    starts = json.dumps([[f"--base-directory={base}", *more] for base in bases])
    done = subprocess.run([sys.executable, "-c", STARTS, starts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [_lists(*found) for found in json.loads(done.stdout)]


def _lists(built_in: dict[str, list[str]], lists: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: unique(paths) for name, paths in lists.items()} | {
        name: unique(path for path in lists[name] if path not in built_in[name]) for name in built_in.keys() - OURS
    }


OURS = frozenset(
    (
        "checkpoints",
        "clip_vision",
        "controlnet",
        "diffusion_models",
        "embeddings",
        "loras",
        "model_patches",
        "photomaker",
        "style_models",
        "text_encoders",
        "vae",
    )
)


def unique(paths) -> list[str]:
    return list(dict.fromkeys(map(os.path.realpath, paths)))
