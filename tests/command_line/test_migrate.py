"""The command that rewrites workflows of another pack: what it says, what it writes, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from image_prompt.command_line import command
from image_prompt.devtools.stages import ROOT

LOADED = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "model.safetensors"}},
    "2": {"class_type": "IPAdapterUnifiedLoader", "inputs": {"model": ["1", 0], "preset": "PLUS (high strength)"}},
    "3": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
}
WIRED = {"model": ["2", 0], "ipadapter": ["2", 1], "image": ["3", 0]}
APPLIED = {**LOADED, "4": {"class_type": "IPAdapter", "inputs": WIRED, "_meta": {"title": "Portrait"}}}
TILED = {"5": {"class_type": "IPAdapterTiled", "inputs": WIRED}}


@pytest.fixture
def graph(tmp_path) -> Path:
    file = tmp_path / "graph.json"
    file.write_text(json.dumps({**APPLIED, **TILED}))
    return file


@pytest.fixture
def written(graph) -> Path:
    return graph.with_name("graph.image-prompt.json")


@pytest.fixture
def call(capsys):
    """Run the command in this process: (exit code, standard output with its lines joined, standard error)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        code = command.main(["migrate", *map(str, arguments)])
        out, said = capsys.readouterr()
        return code, " ".join(out.split()), " ".join(said.split())

    return call


def test_it_says_what_became_of_each_node_and_where_the_new_file_is(graph, written, call):
    before = graph.read_text()
    code, out, said = call(graph)
    assert (code, said) == (0, "")
    assert "Rewritten (1) 4 IPAdapter 'Portrait' ImagePromptApply + ImagePromptEncode." in out
    assert "Left as they are (2) 2 IPAdapterUnifiedLoader It is read by nodes that stay: 5 (IPAdapterTiled)." in out
    assert "5 IPAdapterTiled It lets every tile" in out
    assert (
        "also act in the middle block" in out
        and "from a black one" in " ".join(out.split())
        and "The nodes that stay run as before" in out
    )
    assert out.endswith(f"Written: {written}")
    assert json.loads(written.read_text())["4"]["class_type"] == "ImagePromptApply"
    assert graph.read_text() == before


def test_half_of_a_character_in_a_title_is_kept(graph, written, call):
    node = {**APPLIED["4"], "_meta": {"title": "a \ud800"}}
    graph.write_text(json.dumps({**APPLIED, "4": node}))
    assert call(graph)[0] == 0
    assert json.loads(written.read_text("utf-8"))["4"]["_meta"]["title"] == "a \ud800"


def test_it_tells_programs_the_same(graph, written, call):
    code, out, _ = call(graph, "--json")
    told = json.loads(out)
    assert code == 0 and told["file"] == str(written) and told["format"] == "prompt"
    (change,) = told["rewritten"]
    assert (change["id"], change["became"]) == ("4", ["ImagePromptApply", "ImagePromptEncode"])
    assert [each["id"] for each in told["stays"]] == ["2", "5"]
    assert "middle block" in told["middle_block"]


def test_nothing_is_overwritten_without_force(graph, written, call):
    written.write_text("mine")
    code, _, said = call(graph)
    assert code == 1 and said == f"{written} is there already. Give --force to overwrite it, or move it away."
    assert written.read_text() == "mine"
    assert call(graph, "--force")[0] == 0
    assert json.loads(written.read_text())


def test_nothing_is_written_if_no_node_is_rewritten(tmp_path, call):
    file = tmp_path / "graph.json"
    file.write_text(json.dumps({**LOADED, **TILED}))
    code, out, _ = call(file)
    assert code == 1 and out.endswith("Nothing was written, because no node was rewritten.")
    assert os.listdir(tmp_path) == ["graph.json"]


def test_a_file_is_written_whole_or_not_at_all(graph, call, monkeypatch):
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, said = call(graph)
    assert code == 1 and "No space left" in said
    assert os.listdir(graph.parent) == ["graph.json"]


@pytest.mark.parametrize("base", ["SD1.5", "SDXL"])
def test_the_base_model_may_be_given(graph, written, base, call):
    nodes = {**APPLIED, "4": {"class_type": "IPAdapter", "inputs": {**WIRED, "weight_type": "style transfer"}}}
    graph.write_text(json.dumps(nodes))
    assert "--base SD1.5 or --base SDXL" in call(graph)[1]
    assert call(graph, "--base", base)[0] == 0
    became = json.loads(written.read_text())["4"]["class_type"]
    assert became == {"SD1.5": "ImagePromptApplyReferences", "SDXL": "ImagePromptApply"}[base]


@pytest.mark.parametrize("keyword", ["workflow", "prompt"])
def test_the_workflow_in_a_picture_is_read(tmp_path, call, keyword):
    text = PngInfo()
    text.add_text(keyword, json.dumps(APPLIED))
    Image.new("RGB", (4, 4)).save(tmp_path / "picture.png", pnginfo=text)
    assert call(tmp_path / "picture.png")[0] == 0
    assert (tmp_path / "picture.image-prompt.json").is_file()


def test_a_picture_of_another_kind_holds_no_workflow(tmp_path, call):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    code, out, said = call(tmp_path / "a.jpg")
    assert (code, out) == (1, "") and "This JPEG picture holds no workflow" in said
    assert os.listdir(tmp_path) == ["a.jpg"]


def test_a_file_that_is_too_large_is_not_read(graph, call, monkeypatch):
    monkeypatch.setattr("image_prompt.command_line.migrate.LARGEST", 100)
    assert "more than 100 bytes" in call(graph)[2]


def test_a_mark_at_the_beginning_of_a_file_is_no_part_of_it(graph, call):
    graph.write_bytes(b"\xef\xbb\xbf" + graph.read_bytes())
    assert call(graph)[0] == 0


def test_it_runs_as_a_program_and_needs_no_torch(graph, written):
    code = "import runpy, sys; sys.modules.update(dict.fromkeys(('torch', 'numpy', 'PIL'))); del sys.argv[0]\n"
    code += "runpy.run_path(sys.argv[0], run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code, ROOT, "migrate", graph], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert written.is_file()
