"""The tests of the nodes, run on one ComfyUI, without those of what it does not have. Standard library only."""

from __future__ import annotations

import xml.etree.ElementTree as xml
from dataclasses import dataclass
from pathlib import Path

from ..sources import Release, numbers
from ..stages import DEV, StageError, log_file, run

TESTS = ("tests/nodes", "tests/server/test_boot.py")
TOGETHER = ("-n", "2", "--dist", "loadgroup", "--no-loadscope-reorder")
SHOWN = 5  # of the tests that fail


@dataclass(frozen=True)
class NotThere:
    """What ComfyUI has only from a version on.

    since: the oldest version that has it
    what: as a sentence of the table of the README
    tests: files, or the beginnings of names of tests, that need it
    """

    since: str
    what: str
    tests: tuple[str, ...]


NEWER = (
    NotThere("0.30.0", "clips of JoyImage", ("tests/nodes/test_embed_vlm.py::test_a_clip_of_joyimage_is_refused",)),
    NotThere(
        "0.27.0",
        "*Embed by Vision-Language Model*, and Qwen3-VL over HTTP",
        (
            "tests/nodes/test_embed_vlm.py",
            "tests/nodes/test_serving_models.py",
            "tests/nodes/test_bad_inputs.py::test_a_bad_input_is_refused_in_words[EmbedByVisionLanguageModel-",
            "tests/nodes/test_bad_inputs.py::test_a_value_of_a_wrong_type_is_refused_in_words_or_works[EmbedByVisionLanguageModel]",
        ),
    ),
)


@dataclass(frozen=True)
class Counts:
    """How many tests ran, and the names of those that failed."""

    ran: int
    failed: tuple[str, ...] = ()


def lacking(comfyui: str) -> list[NotThere]:
    """What a version does not have yet."""
    return [each for each in NEWER if numbers(comfyui) < numbers(each.since)]


def run_tests(python: Path, comfyui: Path, release: Release) -> Counts:
    """Run the tests that apply. StageError if they do not run to their end."""
    report = DEV / "matrix" / f"{release.comfyui}.xml"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    tests = [test for each in lacking(release.comfyui) for test in each.tests]
    left_out = [f"--deselect={test}" if "::" in test else f"--ignore={test}" for test in tests]  # some do not import
    options = ["-q", "-p", "no:cacheprovider", "--tb=short", f"--junitxml={report}", *TOGETHER, *left_out]
    environment = {"COMFYUI_PATH": str(comfyui), "OMP_NUM_THREADS": "1"}
    stage = f"node tests on ComfyUI {release.comfyui}"
    try:
        run(stage, [python, "-m", "pytest", *options, *TESTS], environment=environment)
    except StageError:
        if not report.is_file():
            raise
    found = counts(report.read_text(encoding="utf-8"))
    if not found.ran:
        raise StageError(stage, "no test ran", log_file(stage))
    return found


def counts(junit: str) -> Counts:
    """What a report of pytest says."""
    cases = list(xml.fromstring(junit).iter("testcase"))
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    return Counts(len(cases), tuple(f"{case.get('classname')}::{case.get('name')}" for case in bad))
