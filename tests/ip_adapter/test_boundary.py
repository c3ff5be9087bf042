"""The package stands on torch alone."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOSTS = ("comfy", "comfy_api", "folder_paths", "nodes", "server", "image_prompt.clip_vision", "image_prompt.nodes")
SCRIPT = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("image_prompt", sys.argv[1], submodule_search_locations=[sys.argv[2]])
sys.modules["image_prompt"] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
import image_prompt.ip_adapter
print(*(name for name in sys.modules))
"""


def test_importing_the_package_imports_no_host(tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(ROOT / "__init__.py"), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    loaded = set(done.stdout.split())
    assert "image_prompt.ip_adapter.checkpoint" in loaded
    assert not loaded.intersection(HOSTS)
