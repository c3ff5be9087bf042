"""Whatever writes a file is killed at many points, finds no room there, or may not write: nothing half, nothing lost,
the next write completes it and leaves nothing else, and a sentence says what happened.
"""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from image_prompt.devtools.stages import ROOT

from ..model_files.download.web_server import serving

CONTENT = random.Random(0).randbytes(200_000)  # as writers.py has it
CHILD = Path(__file__).with_name("child.py")
ADVICE = r"Check that (its|the) folder (is there and )?may be written to.* (and )?that the disk has room"
SENTENCES = {  # of each writer: all that it says
    "index": rf"What is known of the model files could not be kept in \S.*index\.json: .*\. They are .*{ADVICE}\.",
    "features": rf"cat_00001_\.safetensors could not be written: .*\. {ADVICE}\.",
    "download": rf"\S.*ip-adapter_test\.safetensors cannot be written: .*\. {ADVICE}, then run the same .*|"
    r"The disk is full .*\d of 200,000 bytes are here.* kept as .*\.part: make room, then run the same command again.*",
    "new library": rf'The library "cats" could not be written: .*\. What it held before is kept\. {ADVICE}, then do .*',
    "library": rf'The library "cats" could not be written: .*\. What it held before is kept\. {ADVICE}, then do .*',
    "filling": rf'The library "cats" could not be written: .*\. What it held before is kept\. {ADVICE}, then do .*',
    "bulk": r'(\S.*(bulk|cats)|The library "cats") could not be written: .*\. What (is in|it held).*disk has room,.*',
    "export": rf"The export \S.*export could not be written: .*\. What was there before is kept\. {ADVICE}\.|"
    r"The folder \S.*export cannot be made: .*\. Give another one, in a folder that may be written to\.",
    "workflow": rf"graph\.json could not be written: .*\. {ADVICE}\.",
}

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no fork")


@pytest.fixture(scope="module")
def came(tmp_path_factory):
    """What came of all of it, in one process that forks for each fault."""
    with serving(CONTENT) as server:
        command = [sys.executable, str(CHILD), str(ROOT), str(tmp_path_factory.mktemp("faults")), server.url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("writer", SENTENCES)
def test_killed(came, writer):
    found = came["faults"][writer]["killed"]
    assert found["wrong"] == []
    assert found["killed"] == found["met"] > 6


@pytest.mark.parametrize("writer", SENTENCES)
def test_full_disk(came, writer):
    found = came["faults"][writer]["full"]
    assert found["wrong"] == []
    assert found["killed"] == 0 and found["met"] > 5
    assert_told(writer, found["said"], "No space left on device|disk is full")


@pytest.mark.parametrize("writer", SENTENCES)
def test_read_only_folder(came, writer):
    found = came["faults"][writer]["read only"]
    assert found["wrong"] == []
    assert found["met"] == 1
    assert_told(writer, found["said"], "Permission denied")


@pytest.mark.parametrize("what", ["index", "features", "library"])
def test_several_processes_write_at_once(came, what):
    found, expected = came["several"][what]
    assert found == expected


def test_several_processes_end_well_and_leave_nothing_else(came):
    several = came["several"]
    assert several["left over"] == [] and not any(map(any, several["ended"].values()))


def assert_told(writer: str, said: list[str], reason: str) -> None:
    assert [line for line in said if not re.fullmatch(SENTENCES[writer], line)] == []
    assert any(re.search(reason, line) for line in said), said
