"""A private headless ComfyUI: start it, queue a workflow, fetch the picture, stop it. Standard library only."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .stages import ROOT, StageError

PACK = {"image-prompt": ROOT}
DEMO_NODES = {"image-prompt-demo": ROOT / "demo" / "nodes"}
WORLD = ROOT / "demo" / "models"
POLL_SECONDS = 0.2
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy cannot reach our loopback

Waiting = Callable[[], None]


class ServerError(RuntimeError):
    """ComfyUI did not start, refused a workflow or failed in it; the message says which."""


def prepare_base(base: Path, packs: Mapping[str, Path]) -> Path:
    """Make a base directory for ComfyUI, with `packs` linked into its custom_nodes.

    Earlier links into this repository are removed. Other packs there are the user's, and stay.
    """
    for folder in ("input", "output", "temp", "user", "models/checkpoints", "models/clip_vision", "models/ipadapter"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    custom_nodes = base / "custom_nodes"
    custom_nodes.mkdir(exist_ok=True)
    for entry in custom_nodes.iterdir():
        if is_link(entry) and Path(os.path.realpath(entry)).is_relative_to(ROOT):
            unlink(entry)
    for name, folder in packs.items():
        link(custom_nodes / name, folder)
    return base


def add_world(base: Path) -> None:
    """Copy the demo world's encoder and adapters to where the pack's own nodes look for such files."""
    for folder in ("clip_vision", "ipadapter"):
        if not (WORLD / folder).is_dir():
            raise StageError("demo world", f"there is no {WORLD / folder}: is the repository complete?")
        shutil.copytree(WORLD / folder, base / "models" / folder, dirs_exist_ok=True)


def is_link(place: Path) -> bool:
    """Whether this is a symbolic link or a junction."""
    return os.path.realpath(place) != os.path.join(os.path.realpath(place.parent), place.name)


def link(place: Path, target: Path) -> None:
    """Make a symbolic link, or on Windows a junction, which needs no special rights."""
    if os.path.lexists(place):
        if not is_link(place):
            raise StageError("link the pack", f"{place} is not our link to {target}: move it away.")
        unlink(place)
    if os.name == "nt":
        import _winapi

        _winapi.CreateJunction(str(target), str(place))
    else:
        place.symlink_to(target, target_is_directory=True)


def unlink(place: Path) -> None:
    """Remove a link, never what it points at."""
    if place.is_symlink():
        place.unlink()
    else:  # a junction
        os.rmdir(place)


class Server:
    """ComfyUI as a child process on a loopback port, by default a free one; a context manager that always stops it."""

    def __init__(
        self,
        comfyui: Path,
        python: str | Path,
        base: Path,
        log: Path,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        port: int | None = None,
    ):
        self.base = base
        self.log = log
        port = port or free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.command = [
            str(python),
            "main.py",
            "--listen",
            "127.0.0.1",
            "--port",
            str(port),
            "--base-directory",
            str(base),
            "--disable-auto-launch",
            *arguments,
        ]
        self.comfyui = comfyui
        self.environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Server:
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.comfyui,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches only this process, which then ends ComfyUI in order
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def wait_until_ready(self, waiting: Waiting = lambda: None, timeout: float = 300) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.check_alive()
            try:
                self.get("/system_stats")
                return
            except (OSError, http.client.HTTPException):  # not listening yet
                pause(waiting)
        raise ServerError(f"ComfyUI did not answer within {timeout:.0f} s.")

    def check_alive(self) -> None:
        code = self.process.poll() if self.process else None
        if code is not None:
            raise ServerError(f"ComfyUI ended with exit code {code}.")

    def get(self, path: str):
        return json.loads(self.fetch(path))

    def fetch(self, path: str) -> bytes:
        with DIRECT.open(self.url + path, timeout=30) as answer:
            return answer.read()

    def queue(self, workflow: Mapping[str, object], client_id: str = "") -> str:
        """Queue a workflow in API format; its id is returned. ServerError carries what ComfyUI says about each node."""
        body = json.dumps({"prompt": workflow, "client_id": client_id}).encode()
        request = urllib.request.Request(self.url + "/prompt", body, {"Content-Type": "application/json"})
        try:
            with DIRECT.open(request, timeout=30) as answer:
                return json.load(answer)["prompt_id"]
        except urllib.error.HTTPError as error:
            raise ServerError(f"ComfyUI refused the workflow: {error.read().decode(errors='replace')}") from error

    def wait(self, prompt_id: str, waiting: Waiting = lambda: None, timeout: float = 900) -> dict:
        """The history entry of a queued workflow, once it has run. ServerError says which node failed, and why."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.check_alive()
            try:
                entry = self.get(f"/history/{prompt_id}").get(prompt_id)
            except (OSError, http.client.HTTPException) as error:
                self.check_alive()
                raise ServerError(f"ComfyUI stopped answering: {error}") from error
            if entry:
                check_success(entry)
                return entry
            pause(waiting)
        raise ServerError(f"The workflow did not finish within {timeout:.0f} s.")

    def pictures(self, entry: Mapping[str, dict]) -> list[bytes]:
        """The saved pictures of a finished workflow, as files."""
        found = [image for output in entry["outputs"].values() for image in output.get("images", [])]
        return [self.fetch(f"/view?{urllib.parse.urlencode(image)}") for image in found if image["type"] == "output"]


def check_success(entry: Mapping[str, dict]) -> None:
    for kind, details in entry["status"]["messages"]:
        if kind == "execution_error":
            raise ServerError(f"{details['node_type']} (node {details['node_id']}): {details['exception_message']}")
    if not entry["status"]["completed"]:
        raise ServerError("The workflow was interrupted.")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def is_taken(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as caller:
        caller.settimeout(1)
        return caller.connect_ex(("127.0.0.1", port)) == 0


def pause(waiting: Waiting) -> None:
    waiting()
    time.sleep(POLL_SECONDS)
