"""`embed --ray` starts processes that import the pack from its folder, and leaves none."""

import json
import os
import subprocess
import sys

import pytest
from squares import COLOURS, draw

from image_prompt.devtools.stages import ROOT
from image_prompt.references.library import libraries_folder

sys.path.append(str(ROOT / "tests" / "references" / "filling"))

from fakes import everything  # noqa: E402


def processes_of_ray() -> set[int]:
    """Also those that have given themselves another name."""
    found = set()
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read()
            with open(f"/proc/{pid}/stat") as file:
                is_there = file.read().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            continue
        if is_there and (command.startswith(b"ray::") or b"/ray/" in command):
            found.add(int(pid))
    return found


@pytest.mark.parametrize(
    "address, why",
    [
        ("127.0.0.1:1", "refused"),
        ("127.0.0.1:65537", "a port is a number up to 65535"),
        (f"127.0.0.1:{'9' * 30}", "a port is a number up to 65535"),
        ("nowhere", "Invalid address"),
    ],
)
def test_where_no_cluster_answers_it_is_said_at_once(call, drawn, address, why):
    code, _, said = call("embed", drawn, "--library", "squares", "--ray", "--address", address)
    said = " ".join(said.split())
    assert code == 1 and f"No cluster of Ray answers at '{address}' (" in said and why in said
    assert "`ray start --head` starts one" in said


def test_ray_makes_the_library_of_one_machine_and_says_nothing(comfyui, tmp_path, encoders):
    for number in range(10):
        draw(tmp_path / "many" / f"{number:02}.png", COLOURS[number % 6], size=40 + number)
    (tmp_path / "many" / "broken.png").write_text("no picture")
    before = processes_of_ray()

    def embed(name, *how):
        command = [sys.executable, ROOT, "embed", tmp_path / "many", "--library", name, "--comfyui", comfyui, *how]
        command += ["--shard-size", "4", "--encoder", encoders / "tiny.safetensors", "--json"]
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=300)
        assert (done.returncode, done.stderr) == (3, "")
        return json.loads(done.stdout)

    plain, ray = embed("plain", "--shard", "1/1"), embed("squares", "--ray")
    assert ray["parts"] == plain["parts"] == {"all": 3, "made": 3, "missing": 0}
    assert processes_of_ray() <= before
    folder = libraries_folder(comfyui / "user")
    assert everything(folder / "squares") == everything(folder / "plain")
