"""Three machines race for one library, and are killed at any time: what comes of it is what one machine makes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from image_prompt.devtools.stages import ROOT

MACHINES = Path(__file__).with_name("machines.py")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fork")
def test_machines_that_race_and_are_killed_change_no_byte_of_the_end(tmp_path):
    """Of libraries that are made, and of those that are added to, changed and compacted."""
    command = [sys.executable, str(MACHINES), str(ROOT), str(tmp_path), "18", "30"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] >= 30 and found["races"] > 5
    assert (found["errors"], found["clean"], found["same"], found["torch"]) == (0, True, True, False), done.stderr
    assert found["steps"] > 30 and found["good"]
