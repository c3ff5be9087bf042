"""The matrix says what works on which ComfyUI, and what does not."""

import contextlib
import io
import struct
import sys
from pathlib import Path

import pytest

from image_prompt.devtools import matrix, stages
from image_prompt.devtools.matrix import demo_run, node_tests, table
from image_prompt.devtools.matrix.node_tests import Counts
from image_prompt.devtools.sources import RELEASES, chosen
from image_prompt.devtools.stages import ROOT

from .fake_servers import ANSWERING_SERVER, FAILING_SERVER


@pytest.fixture
def run_matrix(monkeypatch, tmp_path):
    """Run the matrix with scripts in place of ComfyUI's releases: its exit code and lines."""

    def run(codes: dict[str, str], pictures: dict[str, bytes], tests=None, releases=RELEASES) -> tuple[int, list[str]]:
        for version, code in codes.items():
            (tmp_path / "ComfyUI" / version).mkdir(parents=True, exist_ok=True)
            (tmp_path / "ComfyUI" / version / "main.py").write_text(code)
        counted = dict.fromkeys(codes, Counts(3)) | (tests or {})
        monkeypatch.setattr(matrix, "released", lambda _, release: tmp_path / "ComfyUI" / release.comfyui)
        monkeypatch.setattr(matrix, "check_names", lambda comfyui: None)
        monkeypatch.setattr(matrix, "run_tests", lambda python, comfyui, release: counted[release.comfyui])
        monkeypatch.setattr(table, "KEPT", tmp_path / "results.json")
        monkeypatch.setattr(table, "README", tmp_path / "README.md")
        monkeypatch.setattr(demo_run, "DEV", tmp_path)
        monkeypatch.setattr(demo_run, "log_file", lambda name: tmp_path / f"{name}.log")
        with contextlib.redirect_stdout(io.StringIO()) as said:
            code = matrix.run_matrix(
                Path(sys.executable), lambda server: {"a.png": pictures[server.base.name]}, releases
            )
        return code, said.getvalue().splitlines()

    (tmp_path / "README.md").write_text(f"Before\n{table.BEGIN}\nold\n{table.END}\nAfter\n")
    return run


SUPPORTED = [release.comfyui for release in RELEASES if release.supported]
OLD = [release.comfyui for release in RELEASES if not release.supported]
REFUSAL = "Image Prompt needs ComfyUI 0.24.0 or newer, and this is 0.18.2. Update ComfyUI."
REFUSING_SERVER = f"print({REFUSAL!r}, flush=True)\n{ANSWERING_SERVER}"
FINE = {**dict.fromkeys(SUPPORTED, ANSWERING_SERVER), **dict.fromkeys(OLD, REFUSING_SERVER)}


def test_the_matrix_compares_versions_and_wants_the_old_ones_to_refuse(run_matrix, tmp_path):
    code, lines = run_matrix(FINE, dict.fromkeys(SUPPORTED, b"the same"))
    assert code == 0 and f"All {len(RELEASES)} versions are as they should be." in lines
    assert lines[0].startswith("ComfyUI 0.30.0: fine, 1 pictures, 3 node tests (")
    assert lines[1].startswith("ComfyUI 0.27.0: fine, the same 1 pictures, 3 node tests (")
    assert lines[len(SUPPORTED)].startswith(f"ComfyUI 0.18.2: fine, says: {REFUSAL} (")
    assert f"| 0.18.2 | {REFUSAL} |  |  |" in lines
    shown = (tmp_path / "README.md").read_text()
    assert shown == f"Before\n{table.BEGIN}\n{table.markdown(table.kept())}\n{table.END}\nAfter\n"


def test_the_matrix_looks_at_pixels_alone():
    def png(text: bytes, pixels: bytes) -> bytes:
        chunks = ((b"tEXt", text), (b"IDAT", pixels), (b"IEND", b""))
        return demo_run.PNG + b"".join(struct.pack(">I", len(data)) + kind + data + b"crc." for kind, data in chunks)

    expected = {"a.png": png(b"0.30.0", b"the same")}
    assert demo_run.compare({"a.png": png(b"0.24.0", b"the same")}, expected) == "the same 1 pictures"
    with pytest.raises(demo_run.Wrong, match=r"other pictures than ComfyUI 0\.30\.0: a\.png"):
        demo_run.compare({"a.png": png(b"0.24.0", b"others")}, expected)


def test_the_matrix_says_what_is_wrong_with_each_version(run_matrix, tmp_path):
    codes = {**FINE, "0.27.0": FAILING_SERVER, "0.18.2": ANSWERING_SERVER}
    codes["0.3.75"] = f"print('RuntimeError: {REFUSAL}', flush=True)\n{ANSWERING_SERVER}"
    pictures = {**dict.fromkeys(SUPPORTED, b"one"), "0.24.0": b"another"}
    code, lines = run_matrix(codes, pictures, {"0.26.0": Counts(9, ("test_a.py::test_b",))})
    assert code == 1 and "Wrong: 0.27.0, 0.26.0, 0.24.0, 0.18.2, 0.3.75." in lines
    said = {line.split()[1].rstrip(":"): line.partition(": ")[2] for line in lines if line.startswith("ComfyUI ")}
    assert said["0.27.0"].startswith("WRONG, ComfyUI ended with exit code 1.")
    assert said["0.26.0"].startswith("WRONG, the same 1 pictures, and 1 of 9 node tests fail: test_a.py::test_b (")
    assert said["0.24.0"].startswith("WRONG, other pictures than ComfyUI 0.30.0: a.png")
    assert said["0.18.2"].startswith("WRONG, does not say that it is too old")
    assert said["0.3.75"].startswith("WRONG, logs a traceback")
    assert [row.comfyui for row in table.kept()] == ["0.30.0", "0.24.1"]
    assert (tmp_path / "README.md").read_text().count("\n| 0.") == 2


def test_a_version_is_tried_alone_beside_the_newest(run_matrix):
    run_matrix(FINE, dict.fromkeys(SUPPORTED, b"the same"))
    codes = {version: FINE[version] for version in ("0.30.0", "0.26.0")}
    code, _ = run_matrix(codes, {"0.30.0": b"one", "0.26.0": b"another"}, releases=chosen(["0.26.0"]))
    assert code == 1 and [row.comfyui for row in table.kept()] == [each for each in FINE if each != "0.26.0"]


def test_the_matrix_knows_which_tests_failed():
    cases = '<testcase classname="tests.nodes.test_a" name="test_b">{}</testcase>'
    body = cases.format("") + cases.format("<failure/>") + cases.format("<error/>")
    assert node_tests.counts(f"<testsuites><testsuite>{body}</testsuite></testsuites>") == Counts(
        3, ("tests.nodes.test_a::test_b",) * 2
    )


@pytest.fixture
def pytest_run(monkeypatch, tmp_path):
    """Run the tests of a version with a pytest that leaves this report and fails: what was found, and its command."""

    def run(version: str, report: str) -> tuple[Counts, list[str]]:
        commands = []

        def fail(stage, command, *, environment):
            commands.extend(map(str, command))
            if report:
                (tmp_path / "matrix" / f"{version}.xml").write_text(report)
            raise stages.StageError(stage, "exit code 1")

        monkeypatch.setattr(node_tests, "run", fail)
        monkeypatch.setattr(node_tests, "DEV", tmp_path)
        monkeypatch.setattr(node_tests, "log_file", lambda name: tmp_path / f"{name}.log")
        return node_tests.run_tests(Path("python"), tmp_path, chosen([version])[0]), commands

    return run


def test_what_a_version_does_not_have_is_not_tested_there(pytest_run):
    report = '<testsuite><testcase classname="a" name="b"><failure/></testcase></testsuite>'
    found, command = pytest_run("0.24.0", report)
    assert found == Counts(1, ("a::b",)) and "--ignore=tests/nodes/test_embed_vlm.py" in command
    joyimage = "tests/nodes/test_embed_vlm.py::test_a_clip_of_joyimage_is_refused"
    for version, left_out in {"0.27.0": [f"--deselect={joyimage}"], "0.30.0": []}.items():
        words = pytest_run(version, report)[1]
        assert [word for word in words if word.startswith(("--deselect", "--ignore"))] == left_out


@pytest.mark.parametrize("report, said", [("", "exit code 1"), ("<testsuite/>", "no test ran")])
def test_tests_that_do_not_run_are_not_taken_for_tests_that_pass(pytest_run, report, said):
    with pytest.raises(stages.StageError, match=said):
        pytest_run("0.24.0", report)


def test_every_test_that_is_left_out_is_there():
    for each in node_tests.NEWER:
        for test in each.tests:
            file, _, name = test.partition("::")
            assert (ROOT / file).is_file() and name.partition("[")[0] in (ROOT / file).read_text()


def test_the_readme_shows_what_was_found():
    rows = table.kept()
    assert [row.comfyui for row in rows] == [release.comfyui for release in RELEASES]
    assert table.with_table(table.README.read_text(), rows) == table.README.read_text()


def test_a_version_that_the_matrix_does_not_know_is_refused():
    with pytest.raises(stages.StageError, match=r"no ComfyUI 0\.25\.0\. There are: 0\.30\.0, 0\.27\.0"):
        chosen(["0.24.0", "0.25.0"])
    assert [release.comfyui for release in chosen(["0.24.0", "0.27.0"])] == ["0.27.0", "0.24.0"]
