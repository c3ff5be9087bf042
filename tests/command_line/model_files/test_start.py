"""How the commands are started, and how they end: exit codes, help, errors that no command expects."""

import json
import sqlite3
import subprocess
import sys

import pytest

from image_prompt.command_line import command
from image_prompt.devtools.stages import ROOT
from image_prompt.model_files.environment import parts as environment
from image_prompt.model_files.folders import model_folders

from .processes import run, without_torch


def test_without_torch_the_rest_works_and_what_needs_it_says_so(comfyui):
    assert "usage:" in without_torch("--help").stdout
    assert "ip-adapter_sd15" in without_torch("catalogue", "--comfyui", comfyui).stdout
    assert "with --yes you agree" in without_torch("get", "ip-adapter_sdxl", "--comfyui", comfyui).stderr
    assert "put it here" in without_torch("get", "ip-adapter_sdxl", "--offline", "--comfyui", comfyui).stderr
    done = without_torch("status", "--comfyui", comfyui)
    assert done.returncode == 0 and "absent: torch cannot be imported" in done.stdout
    done = without_torch("paths", "--comfyui", comfyui)
    assert done.returncode == 1 and done.stdout == ""
    assert "torch" in done.stderr and "the Python of your ComfyUI" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("paths", "--comfyui", "ROOT/no\x1b\nwhere"),
        ("get", "ip-adapter_sdxl", "--offline", "--comfyui", "ROOT"),
        ("identify", "ROOT/main.py", "--picture", "x.png"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_programs_get_an_error_as_json_beside_its_text(comfyui, call, arguments):
    arguments = [argument.replace("ROOT", str(comfyui)) for argument in arguments]
    code, out, said = call(*arguments, "--json")
    assert code == 1 and json.loads(out) == {"error": said.splitlines()[-1]}
    assert call(*arguments) == (1, "", said)


def test_a_found_comfyui_whose_extra_paths_are_broken_is_not_taken_for_none(comfyui, call, monkeypatch):
    monkeypatch.setattr(model_folders, "usual_places", lambda: [str(comfyui)])
    (comfyui / "extra_model_paths.yaml").write_text("a:\n\tb")
    code, out, said = call("catalogue")
    assert (code, out) == (1, "") and "extra_model_paths.yaml is not valid YAML" in said
    assert call("identify", comfyui / "models/ipadapter/ip-adapter_sd15.safetensors")[0] == 0  # told by its header


def test_every_command_has_help(call):
    for name in ("paths", "identify", "status", "catalogue", "get"):
        code, out, _ = call(name, "--help")
        assert code == 0 and "--json" in out


def test_the_version_is_that_of_the_pack(call):
    assert call("--version") == (0, f"image-prompt {environment.pack_version()}\n", "")


def test_exit_codes_are_in_the_help(call):
    assert "exit codes: 0" in call("--help")[1]


def test_a_reader_that_goes_away_is_no_error(comfyui):
    process = subprocess.Popen(
        [sys.executable, ROOT, "catalogue", "--json", "--comfyui", comfyui],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(60)


def test_the_folder_can_be_started_as_a_module(comfyui, tmp_path):
    folder = "image-prompt"  # a name that no statement can import
    try:
        (tmp_path / folder).symlink_to(ROOT, target_is_directory=True)
    except OSError:
        pytest.skip("links are not allowed here")
    done = subprocess.run(
        [sys.executable, "-m", folder, "catalogue", "--json", "--comfyui", comfyui],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and done.stderr == "" and json.loads(done.stdout)
    done = subprocess.run([sys.executable, "-m", folder], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert f"usage: python -m {folder} " in done.stderr


def test_started_by_its_path_the_pack_hides_no_module_of_others(tmp_path):
    """Python puts the folder of the pack first on sys.path, and that folder has a `nodes` and a `tests`."""
    done = run(cwd=tmp_path)
    assert done.returncode == 2 and f"usage: python {ROOT} " in " ".join(done.stderr.split())
    code = "import runpy, sys; sys.argv = sys.argv[1:]\ntry: runpy.run_path(sys.argv[0], run_name='__main__')\n"
    code += "finally: print([entry for entry in sys.path if entry == sys.argv[0]])"
    done = subprocess.run(
        [sys.executable, "-c", code, ROOT, "--help"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    "error, said",
    [
        (MemoryError(), "There is not enough memory."),
        (RuntimeError("CUDA out of memory. Tried to allocate 20 MiB"), "There is not enough memory."),
        (RuntimeError("two\nlines"), "RuntimeError: two lines. Do the same again"),
        (KeyError('There is no picture a.png in the library "x".'), 'There is no picture a.png in the library "x". It'),
        (KeyError("rows"), "KeyError: rows. Do the same again"),
        (sqlite3.OperationalError("database is locked"), "A database could not be used (database is locked)."),
    ],
)
def test_what_no_command_expects_is_said_in_words(error, said, comfyui, monkeypatch, capsys):
    def fail(*_):
        raise error

    monkeypatch.setattr("image_prompt.command_line.status.answer", fail)
    assert command.main(["status", "--json", "--comfyui", str(comfyui)]) == 1
    out, err = capsys.readouterr()
    assert err.startswith(said) and err.count("\n") == 1
    assert json.loads(out)["error"] == err.strip()
