"""ComfyUI's own lists of folders, as its start makes them: the witness for ours."""

import json
import os
import subprocess
import sys
from pathlib import Path

# `apply_custom_paths` is taken out of main.py, which as a whole would start the server
START = """
import ast, itertools, json, logging, os, sys
sys.path.insert(0, os.environ["COMFYUI_PATH"])
import comfy.options
comfy.options.enable_args_parsing()
from comfy.cli_args import args
import folder_paths, utils.extra_config
known = folder_paths.folder_names_and_paths
built_in = {name: list(row[0]) for name, row in known.items()}
with open(os.path.join(os.environ["COMFYUI_PATH"], "main.py"), encoding="utf-8") as file:
    functions = [node for node in ast.parse(file.read()).body if isinstance(node, ast.FunctionDef)]
start = ast.Module([node for node in functions if node.name == "apply_custom_paths"], [])
space = {**globals(), "__file__": os.path.join(args.base_directory, "main.py")}
exec(compile(start, "main.py", "exec"), space)
space["apply_custom_paths"]()
for name in ("ipadapter", "insightface"):  # as node packs do
    folder_paths.add_model_folder_path(name, os.path.join(folder_paths.models_dir, name))
print(json.dumps([built_in, {name: row[0] for name, row in known.items()}]))
"""


def comfyui_paths(base: Path, *configs: Path) -> dict[str, list[str]]:
    """Type -> folders of a ComfyUI started in a folder, with --extra-model-paths-config; links resolved, no doubles.

    Of types that only ComfyUI has, without the folders that it has from the beginning.
    """
    options = [f"--base-directory={base}", *(f"--extra-model-paths-config={config}" for config in configs)]
    done = subprocess.run([sys.executable, "-c", START, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built_in, lists = json.loads(done.stdout)
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
