"""Ray's driver and its actors are killed at any time: nothing is done twice, and the end is that of the plain loop."""

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from image_prompt.devtools.stages import ROOT
from image_prompt.references.library import libraries_folder

from ..filling.fakes import everything

PICTURES, SHARD = 2400, 32
GONE = 150  # seconds; two helpers of Ray look for their parent now and then

pytestmark = [pytest.mark.nightly, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A ComfyUI with an encoder, pictures of which some are broken, and the library that the plain loop makes."""
    spec = importlib.util.spec_from_file_location("squares", ROOT / "tests/command_line/references/squares.py")
    squares = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(squares)
    root = tmp_path_factory.mktemp("world")
    for name in ("user", "models/clip_vision"):
        (root / "ComfyUI" / name).mkdir(parents=True)
    for name in ("main.py", "folder_paths.py"):
        (root / "ComfyUI" / name).touch()
    squares.save(squares.tiny_clip(), root / "ComfyUI/models/clip_vision/tiny.safetensors")
    draw = random.Random(0)
    for number in range(PICTURES):
        path = root / "pictures" / f"{number % 9}" / f"{number:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (draw.randint(40, 300), draw.randint(40, 300)), tuple(draw.choices(range(256), k=3))).save(
            path
        )
        if number % 300 == 7:
            path.write_bytes(path.read_bytes()[:50])
    assert ended(started(root, "plain", "--shard", "1/1"))["added"] == PICTURES - 8
    return root


def started(root: Path, name: str, *how: str) -> subprocess.Popen:
    command = [sys.executable, ROOT, "embed", root / "pictures", "--library", name, "--comfyui", root / "ComfyUI", *how]
    command += ["--shard-size", SHARD, "--json"]
    return subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen, code: int = 3) -> dict:
    out, said = process.communicate(timeout=500)
    assert process.returncode == code, said
    return json.loads(out)


def parts(root: Path, name: str) -> dict[str, int]:
    """{name: when it was written} of those that are there."""
    folder = root / "ComfyUI/user/image-prompt/bulk" / name
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*.safetensors")}


def wait_for(root: Path, name: str, count: int, process: subprocess.Popen) -> None:
    while len(parts(root, name)) < count and process.poll() is None:
        time.sleep(0.01)
    assert process.poll() is None, process.communicate()


def processes_of_ray() -> dict[int, str]:
    found = {}
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            command = Path("/proc", pid, "cmdline").read_bytes()
            state = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z" and (command.startswith(b"ray::") or b"/ray/" in command):
            found[int(pid)] = command.decode(errors="replace")
    return found


def check_that_none_is_left(before: dict[int, str], seconds: float) -> None:
    end = time.monotonic() + seconds
    while left := processes_of_ray().keys() - before.keys():
        assert time.monotonic() < end, left
        time.sleep(0.5)


def check_result(root: Path, name: str) -> None:
    folder = libraries_folder(root / "ComfyUI/user")
    assert everything(folder / name) == everything(folder / "plain")
    assert not parts(root, name)


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_driver_leaves_whole_parts_that_are_not_made_again(world, seed):
    draw, name, before = random.Random(seed), f"driver {seed}", processes_of_ray()
    known = {}
    for _ in range(2):
        process = started(world, name, "--ray")
        wait_for(world, name, len(known) + draw.randint(0, 25), process)
        time.sleep(draw.uniform(0, 0.3))
        process.kill()
        process.communicate()
        check_that_none_is_left(before, GONE)
        now = parts(world, name)
        assert now.items() >= known.items()
        known = now
    done = ended(started(world, name, "--ray"))
    assert done["parts"]["made"] == done["parts"]["all"] - len(known)
    check_that_none_is_left(before, 0)
    check_result(world, name)


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_actor_is_started_again(world, seed):
    draw, name, before = random.Random(100 + seed), f"actor {seed}", processes_of_ray()
    process, killed = started(world, name, "--ray"), 0
    for _ in range(2):
        wait_for(world, name, len(parts(world, name)) + draw.randint(1, 20), process)
        actors = [pid for pid, command in processes_of_ray().items() if "MapWorker" in command and pid not in before]
        for pid in actors:
            os.kill(pid, signal.SIGKILL)
            killed += 1
    done = ended(process)
    assert killed >= 1 and done["added"] == PICTURES - 8
    check_that_none_is_left(before, 0)
    check_result(world, name)


def test_ctrl_c_ends_all_processes_and_says_how_far_it_is(world):
    before = processes_of_ray()
    process = started(world, "stopped", "--ray")
    wait_for(world, "stopped", 5, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    check_that_none_is_left(before, 0)
    count = len(parts(world, "stopped"))
    assert process.returncode == 130 and f"Stopped. {count} of 75 parts are there: the same command" in said
    ended(started(world, "stopped", "--shard", "1/1"))
    check_result(world, "stopped")
