"""The package stands alone: it imports nothing of ComfyUI, of transformers, or of the rest of the pack."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import importlib.util, sys, types
pack = types.ModuleType("image_prompt")
pack.__path__ = [sys.argv[1]]
sys.modules["image_prompt"] = pack
import image_prompt.clip_vision
roots = {name.partition(".")[0] for name in sys.modules}
foreign = {"comfy", "comfy_api", "folder_paths", "nodes", "server", "transformers", "torchvision", "diffusers"}
print(sorted(roots & foreign))
print(sorted(name for name in sys.modules if name.startswith("image_prompt.") and ".clip_vision" not in name))
"""


def test_importing_the_encoders_imports_no_host():
    run = subprocess.run([sys.executable, "-c", SCRIPT, str(ROOT)], capture_output=True, text=True, check=False)
    assert run.stdout.split("\n")[:2] == ["[]", "[]"], run.stderr
