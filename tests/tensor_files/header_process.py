"""Run `read_header` in a process of its own, so that a file that hangs, crashes or takes all memory does no harm."""

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path

DEADLINE = 60  # seconds; every file takes less than one on an idle machine
CHILD = """
import importlib.machinery, importlib.util, json, sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20))
except ImportError:
    pass
root = sys.argv[1]
spec = importlib.machinery.ModuleSpec("image_prompt", None, is_package=True)
spec.submodule_search_locations = [root]
sys.modules["image_prompt"] = importlib.util.module_from_spec(spec)
from image_prompt.tensor_files import read_header
print(json.dumps(sorted({module.split(".")[0] for module in sys.modules} & {"torch", "numpy", "comfy"})), flush=True)
for line in sys.stdin:
    try:
        header = read_header(json.loads(line))
        answer = [header.container, sorted(header.tensors)]
    except Exception as error:
        answer = [type(error).__name__, str(error)]
    print(json.dumps(answer), flush=True)
"""


class HeaderProcess:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.process: subprocess.Popen[str] | None = None

    def read(self, path: Path) -> list[object]:
        """Read one header: [container, names] or [type of the error, its text]."""
        if self.process is None:
            self._start()
        assert self.process and self.process.stdin
        self.process.stdin.write(json.dumps(os.fspath(path)) + "\n")
        self.process.stdin.flush()
        return json.loads(self._answer())

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def _start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, self.root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, args=(self.process, self.lines), daemon=True).start()
        assert json.loads(self._answer()) == [], "reading headers needs neither torch nor ComfyUI"

    @staticmethod
    def _listen(process: "subprocess.Popen[str]", lines: "queue.Queue[str]") -> None:
        assert process.stdout
        for line in process.stdout:
            lines.put(line)
        lines.put("")

    def _answer(self) -> str:
        try:
            line = self.lines.get(timeout=DEADLINE)
        except queue.Empty:
            self.stop()
            raise AssertionError(f"no answer within {DEADLINE} s") from None
        if not line:
            code = self.process and self.process.wait()
            self.stop()
            raise AssertionError(f"the process ended with {code}")
        return line
