"""The scripts for the browser are checked by TypeScript, and what they compute is tested by node, without a browser."""

import json
import subprocess

import pytest

from image_prompt.devtools import browser
from image_prompt.devtools.stages import ROOT

FOLDER = ROOT / "tests" / "scripts"
TYPES = "@comfyorg/comfyui-frontend-types"


def said(*command: object) -> str:
    """What a program of node prints when it finds something wrong; nothing when it does not."""
    done = subprocess.run([browser.node(), *map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr) if done.returncode else ""


@pytest.fixture(scope="module", autouse=True)
def packages():
    with browser.one_at_a_time():
        browser.node()
        return browser.packages()


@pytest.mark.parametrize("file", sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.test.mjs")))
def test_the_tests_of_a_script_pass(file):
    assert said("--test", "--test-reporter=spec", FOLDER / file) == ""


def test_the_types_of_the_scripts_are_right(packages, tmp_path):
    """The packages may lie elsewhere than tsconfig.json says."""
    paths = {TYPES: [str(packages / TYPES)]}
    config = {"extends": str(ROOT / "tsconfig.json"), "compilerOptions": {"paths": paths}}
    (tmp_path / "tsconfig.json").write_text(json.dumps(config))
    assert said(packages / "typescript" / "bin" / "tsc", "-p", tmp_path) == ""
