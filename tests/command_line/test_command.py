"""The command line on synthetic installations: what it prints, on which stream, and with which exit code."""

import hashlib
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hub import put_cached
from published import VIT_H, shapes, write
from web_server import serving

from image_prompt.command_line import command, terminal
from image_prompt.devtools.stages import ROOT
from image_prompt.model_files.catalogue import Catalogue, catalogue_file
from image_prompt.model_files.environment import parts as environment
from image_prompt.model_files.folders import INDEX, Installation, model_folders
from image_prompt.model_files.folders.installation import CATALOGUE

CONTENT = random.Random(0).randbytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "test-adapter.safetensors"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in (*command.OFFLINE, "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def comfyui(tmp_path) -> Path:
    """A ComfyUI with an adapter and its encoder, an adapter in the wrong folder, and one that was cut short."""
    root = tmp_path / "ComfyUI"
    for name in ("user", "models/loras", "models/insightface"):
        (root / name).mkdir(parents=True)
    for name in ("main.py", "folder_paths.py"):
        (root / name).touch()
    write(root / "models/ipadapter/ip-adapter_sd15.safetensors", shapes("ip-adapter_sd15"))
    write(root / "models/clip_vision/clip_vision_h.safetensors", shapes(VIT_H))
    write(root / "models/loras/ip-adapter-plus_sd15.safetensors", shapes("ip-adapter-plus_sd15"))
    (root / "models/ipadapter/ip-adapter-full-face_sd15.safetensors").write_bytes(b"\x80\0\0\0\0\0\0\0{")
    return root


@pytest.fixture
def pack(comfyui) -> Path:
    """The pack among the custom nodes of that ComfyUI."""
    pack = comfyui / "custom_nodes" / "image-prompt"
    for name in ("command_line", "references", "model_files", "tensor_files", "clip_vision", "ip_adapter", "migration"):
        shutil.copytree(ROOT / name, pack / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "__main__.py", "pyproject.toml"):
        shutil.copy(ROOT / name, pack)
    return pack


def run(*arguments: object, pack: Path = ROOT, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(pack), *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        stdin=subprocess.DEVNULL,
        **options,
    )


def user_entry(title: str) -> str:
    """A catalogue file with one adapter."""
    words = {"id": title.split()[0], "title": title, "kind": "adapter", "family": "base", "base_model": "SD1.5"}
    entry = {**words, "encoder": "", "purposes": [], "folder": "ipadapter", "files": [f"{words['id']}.safetensors"]}
    return json.dumps({"entries": [entry]})


@pytest.fixture
def call(capsys):
    """Run the command in this process: (exit code, standard output, standard error)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        try:
            code = command.main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return call


# ----------------------------------------------------------------------------------------------------- paths, identify


def test_paths_tells_people_and_programs_what_is_there_and_what_is_not(comfyui, call):
    code, out, said = call("paths", "--comfyui", comfyui)
    assert (code, said) == (0, "")
    parts = [part.split("\n", 1) for part in out.split("\n\n") if "\n" in part]
    sections = {title.split(" (")[0]: text for title, text in parts}
    assert f"    {comfyui / 'models' / 'ipadapter'}\n" in sections["Folders"]
    assert "ip-adapter_sd15\n" in sections["Found"] and "clip_vision/clip_vision_h.saf" in sections["Found"]
    wrong = " ".join(sections["In the wrong folder"].split())
    assert wrong.endswith("loras/ip-adapter-plus_sd15.safetensors: Move it to models/ipadapter.")
    assert "cut short" in " ".join(sections["Not usable"].split())
    assert "ip-adapter_sdxl_vit-h\n    IP-Adapter for SDXL, 698.4 MB" in sections["Not found"]
    assert "1 in the wrong folder, 1 not usable" in out.splitlines()[-1]
    assert all(len(line) < 80 or len(line.split()) == 1 for line in out.splitlines())
    assert (comfyui / "user" / "__image_prompt" / INDEX).is_file()

    code, out, said = call("paths", "--json", "--comfyui", comfyui)
    told = json.loads(out)
    assert (code, said) == (0, "")
    rows = {row["entry"]["id"]: row for row in told["rows"]}
    assert rows["ip-adapter_sd15"]["status"] == "found"
    assert rows["ip-adapter-plus_sd15"]["status"] == "misplaced"
    assert rows["ip-adapter-full-face_sd15"]["status"] == "unusable" and rows["ip-adapter-full-face_sd15"]["why"]
    assert rows["ip-adapter_sdxl"]["status"] == "missing" and "https://" in rows["ip-adapter_sdxl"]["why"]
    assert told["absolute"]["ip-adapter_sd15"] == str(comfyui / "models/ipadapter/ip-adapter_sd15.safetensors")
    assert told["folders"]["loras"]["files"] == 1
    assert told["folders"]["ipadapter"]["paths"] == [{"path": str(comfyui / "models/ipadapter"), "exists": True}]


def test_saved_features_are_counted_and_are_not_taken_for_adapters(comfyui, call):
    for name in ("image_prompts/cats/cat_00001_.safetensors", "ipadapter/cat.safetensors"):
        write(comfyui / "models" / name, {"image_embeds": [1, 1024], "empty.penultimate": [1, 257, 1280]})
    (comfyui / "models/image_prompts/old.ipadpt").touch()
    told = json.loads(call("paths", "--json", "--comfyui", comfyui)[1])
    place = {"path": str(comfyui / "models/image_prompts"), "exists": True}
    assert told["folders"]["image_prompts"] == {"files": 2, "paths": [place]}
    (other,) = told["others"]
    assert other["problem"].startswith("This file is saved features of pictures, not a supported IP-Adapter. Put it in")


def test_a_plain_models_folder_and_an_extra_file_say_where(comfyui, call, tmp_path):
    write(tmp_path / "more" / "adapters" / "ip-adapter_sdxl.safetensors", shapes("ip-adapter_sdxl"))
    (tmp_path / "extra.yaml").write_text(f"more:\n  base_path: {tmp_path / 'more'}\n  ipadapter: adapters\n")
    extra = ("--extra-model-paths", tmp_path / "extra.yaml")
    code, out, _ = call("paths", "--json", "--models", comfyui / "models", *extra)
    status = {row["entry"]["id"]: row["status"] for row in json.loads(out)["rows"]}
    assert code == 0 and status["ip-adapter_sd15"] == "found" and status["ip-adapter_sdxl"] == "found"
    assert not (comfyui / "models" / "user").exists()


def test_paths_tells_what_is_in_the_hugging_face_cache(comfyui, call, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    link = put_cached(tmp_path / "hub", "h94/IP-Adapter", "models/image_encoder/model.safetensors", shapes(VIT_H))
    (comfyui / "models/clip_vision/clip_vision_h.safetensors").unlink()
    told = json.loads(call("paths", "--json", "--comfyui", comfyui)[1])
    assert told["absolute"]["CLIP-ViT-H-14-laion2B-s32B-b79K"] == str(link)
    assert told["cache"] == {"files": 1, "path": str(tmp_path / "hub"), "exists": True}
    assert told["folders"]["clip_vision"]["files"] == 0
    out = call("paths", "--comfyui", comfyui)[1]
    assert f"  Hugging Face cache: 1 file\n    {tmp_path / 'hub'}\n" in out
    assert "Hugging Face cache/h94/IP-Adapter/models/image_encoder/model.safetensors:" in out


def test_the_installation_that_contains_the_pack_is_taken(comfyui, pack, tmp_path):
    (comfyui / "user" / CATALOGUE).write_text(user_entry("of this installation"))
    done = run("catalogue", "--json", pack=pack, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)[-1]["title"] == "of this installation"


def test_identify_says_what_files_are(comfyui, call):
    code, out, said = call("identify", comfyui / "models/ipadapter/ip-adapter_sd15.safetensors")
    assert (code, said) == (0, "")
    assert "an IP-Adapter (base) for SD1.5 that reads CLIP ViT-H/14" in out
    assert "usable     yes" in out and "safetensors" in out


def test_identify_fails_if_one_file_is_not_usable_and_says_why(comfyui, call):
    good = comfyui / "models/ipadapter/ip-adapter_sd15.safetensors"
    bad = comfyui / "models/ipadapter/ip-adapter-full-face_sd15.safetensors"
    code, out, said = call("identify", good, bad, comfyui, comfyui / "nowhere.bin")
    assert (code, said) == (1, "")
    text = " ".join(out.split())
    assert "usable yes" in text and "cut short" in text and "is a folder" in text and "no such file" in text
    code, out, _ = call("identify", "--json", good, bad)
    assert code == 1
    assert [(row["usable"], row["identity"] and row["identity"]["kind"]) for row in json.loads(out)] == [
        (True, "adapter"),
        (False, None),
    ]


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
def test_names_cannot_move_the_cursor(comfyui, call, tmp_path):
    name = "ip-adapter\x1b[2J\nfound.safetensors"
    write(comfyui / "models" / "ipadapter" / name, shapes("ip-adapter_sd15"))
    for arguments in (("paths", "--comfyui", comfyui), ("identify", comfyui / "models" / "ipadapter" / name)):
        _, out, _ = call(*arguments)
        assert "\x1b" not in out and "\nfound" not in out and "[2J" in out


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such names")
def test_names_that_are_no_text_are_told_all_the_same(comfyui, monkeypatch):
    path = os.fsencode(comfyui / "models" / "ipadapter") + b"/\xff.safetensors"
    os.rename(comfyui / "models/ipadapter/ip-adapter_sd15.safetensors", path)
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "ascii"))
    assert command.main(["paths", "--comfyui", str(comfyui)]) == 0
    assert rb"\ufffd.safetensors" in printed.getvalue()


# ------------------------------------------------------------------------------------------------------------- status


def test_status_tells_versions_parts_and_folders(comfyui, call):
    code, out, said = call("status", "--json", "--comfyui", comfyui)
    told = json.loads(out)
    assert (code, said) == (0, "")
    assert told["versions"]["image-prompt"] in (ROOT / "pyproject.toml").read_text()
    assert told["versions"]["Python"] and told["versions"]["torch"] and told["versions"]["safetensors"]
    packages = ["onnxruntime", "insightface", "open_clip", "lancedb", "pyarrow", "transformers", "ray", "aiohttp"]
    assert [part["name"] for part in told["optional"]] == [*packages, "faiss", "CUDA"]
    assert all(part["detail"] for part in told["optional"])
    assert told["folders"]["ipadapter"] == {"files": 2, "paths": [str(comfyui / "models" / "ipadapter")]}
    assert told["index"] == {
        "file": str(comfyui / "user" / "__image_prompt" / INDEX),
        "files": 0,
        "state": "not made yet: the first look makes it",
    }


def test_status_tells_what_the_index_knows(comfyui, call):
    call("paths", "--comfyui", comfyui)
    assert "knows 4 files" in call("status", "--comfyui", comfyui)[1]
    done = without_torch("status", "--comfyui", comfyui)
    assert done.returncode == 0 and "knows 4 files" in done.stdout
    (comfyui / "user" / "__image_prompt" / INDEX).write_text("{")
    assert "the next look makes it anew" in " ".join(call("status", "--comfyui", comfyui)[1].split())


def test_the_index_of_an_earlier_version_is_taken_over(comfyui, call):
    call("paths", "--comfyui", comfyui)
    index = comfyui / "user" / "__image_prompt" / INDEX
    before = index.read_bytes()
    index.rename(comfyui / "user" / INDEX)
    index.parent.rmdir()
    call("paths", "--comfyui", comfyui)
    assert index.read_bytes() == before
    assert not (comfyui / "user" / INDEX).exists()


def test_an_optional_part_that_is_there_has_its_version(monkeypatch):
    here = environment.Package("pytest", "pytest", ("no-such-thing", "pytest"), "absent")
    nameless = environment.Package("json", "json", ("no-such-thing",), "absent")
    monkeypatch.setattr(environment, "OPTIONAL", (here, nameless))
    first, second, _ = environment.optional_parts()
    assert first == environment.OptionalPart("pytest", True, pytest.__version__)
    assert second == environment.OptionalPart("json", True, "of unknown version")


def test_a_broken_part_is_told_by_status_and_paths(comfyui, call, tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "image_prompt_part.py").write_text("raise ImportError('needs numpy<2')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    package = environment.Package("part", "image_prompt_part", ("no-such-thing",), "absent")
    monkeypatch.setattr(environment, "OPTIONAL", (package,))
    problem = "of unknown version, which cannot be imported: ImportError: needs numpy<2"
    told = json.loads(call("status", "--json", "--comfyui", comfyui)[1])
    assert told["optional"][0] == {"name": "part", "present": False, "detail": problem, "state": "broken"}
    assert told["index"]["state"] == "not made yet: the first look makes it"
    assert f"part broken: {problem} CUDA" in " ".join(call("status", "--comfyui", comfyui)[1].split())
    out = " ".join(call("paths", "--comfyui", comfyui)[1].split())
    assert f"Broken optional parts (1) part {problem}. `python -m pip check`" in out and "or uninstall part." in out
    assert json.loads(call("paths", "--json", "--comfyui", comfyui)[1])["broken_parts"]["part"].startswith(problem)


WITHOUT_TORCH = """
import importlib.util, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "safetensors", "numpy"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""
START = """
root, arguments = sys.argv[1], sys.argv[2:]
spec = importlib.util.spec_from_file_location("pack", root + "/__init__.py", submodule_search_locations=[root])
sys.modules["pack"] = pack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
from pack.model_files.catalogue import catalogue_file
from pack.command_line import command
catalogue_file.RULES = {**catalogue_file.RULES, "url": catalogue_file.Rule("a link", catalogue_file.text())}
sys.exit(command.main(arguments))
"""


def without_torch(*arguments: object, pack: Path = ROOT) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH + START, pack, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


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


def test_files_that_the_index_knows_are_told_without_torch(comfyui, pack, call):
    file = comfyui / "models/ipadapter/ip-adapter_sd15.safetensors"
    told = call("paths", "--json", "--comfyui", comfyui)[1], call("identify", "--json", file)[1]
    paths = without_torch("paths", "--json", "--comfyui", comfyui)
    identify = without_torch("identify", "--json", file, pack=pack)
    assert (paths.stdout, identify.stdout) == told
    assert (paths.returncode, paths.stderr, identify.returncode, identify.stderr) == (0, "", 0, "")

    index = comfyui / "user" / "__image_prompt" / INDEX
    before = index.read_bytes()
    os.utime(file, (1, 1))
    for done in (without_torch("paths", "--comfyui", comfyui), without_torch("identify", file, pack=pack)):
        assert (done.returncode, done.stdout) == (1, "") and "No module named 'torch'" in done.stderr
    assert index.read_bytes() == before


@pytest.mark.parametrize("place", ["--comfyui", "--models"])
def test_the_index_of_the_installation_that_is_named_knows_its_files(comfyui, call, place):
    """The pack that runs is in another place."""
    call("paths", "--comfyui", comfyui)
    root = comfyui if place == "--comfyui" else comfyui / "models"
    file = comfyui / "models/ipadapter/ip-adapter_sd15.safetensors"
    assert "IP-Adapter (base) for SD1.5" in without_torch("identify", file, place, root).stdout


def test_files_that_cannot_be_read_are_told_without_torch(comfyui):
    (comfyui / "page.safetensors").write_text("<!DOCTYPE html>")
    damaged = comfyui / "models/ipadapter/ip-adapter-full-face_sd15.safetensors"
    done = without_torch("identify", comfyui, comfyui / "nowhere", comfyui / "page.safetensors", damaged)
    assert (done.returncode, done.stderr) == (1, "")
    text = " ".join(done.stdout.split())
    assert all(words in text for words in ("is a folder", "no such file", "is a web page", "is cut short"))


# ------------------------------------------------------------------------------------------------ catalogue, arguments


def test_the_catalogue_tells_sizes_and_licences(comfyui, call):
    code, out, _ = call("catalogue", "--comfyui", comfyui)
    assert code == 0
    text = " ".join(out.split())
    assert "ip-adapter_sd15 IP-Adapter for SD1.5. 44.6 MB. Apache-2.0, commercial use is allowed" in text
    assert "NON-COMMERCIAL USE ONLY. Needs the face pack buffalo_l" in text
    assert all(len(line) < 80 or len(line.split()) == 1 for line in out.splitlines())


def test_the_catalogue_for_programs_is_the_catalogue(comfyui, call):
    told = json.loads(call("catalogue", "--json", "--comfyui", comfyui)[1])
    assert [entry["id"] for entry in told] == [entry.id for entry in Catalogue.load().entries]
    assert set(told[0]) == set(catalogue_file.RULES)


def test_entries_of_the_user_are_added(comfyui, call, tmp_path):
    private = comfyui / "user" / "__image_prompt"
    private.mkdir()
    (private / CATALOGUE).write_text(user_entry("mine"))
    (comfyui / "user" / CATALOGUE).write_text(user_entry("older"))  # where earlier versions looked
    (tmp_path / "more.json").write_text(user_entry("more"))
    told = json.loads(call("catalogue", "--json", "--comfyui", comfyui, "--catalogue", tmp_path / "more.json")[1])
    assert [entry["id"] for entry in told[-3:]] == ["older", "mine", "more"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("catalogue", "--comfyui", "ROOT", "--catalogue", "ROOT/main.py"),
        ("paths", "--comfyui", "ROOT/no\x1b\nwhere"),
        ("paths", "--models", ""),
        ("status", "--extra-model-paths", "ROOT/nowhere.yaml"),
        ("identify", "ROOT/main.py", "--comfyui", "ROOT/nowhere"),
        ("identify", "ROOT/main.py", "--models", "ROOT/nowhere"),
        ("identify", "ROOT/main.py", "--extra-model-paths", "ROOT/nowhere.yaml"),
        ("get", "nothing\nlike\x1bit", "--comfyui", "ROOT"),
    ],
    ids=lambda arguments: " ".join(arguments[:-1]),
)
def test_what_cannot_be_done_is_one_line_and_code_1(comfyui, call, arguments):
    code, out, said = call(*(argument.replace("ROOT", str(comfyui)) for argument in arguments))
    assert (code, out) == (1, "")
    assert said.endswith("\n") and said.count("\n") == 1 and "\x1b" not in said


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


def test_wrong_arguments_are_code_2(call):
    for arguments in ((), ("nothing",), ("get",), ("paths", "--comfyui", "a", "--models", "b"), ("paths", "--nothing")):
        code, out, said = call(*arguments)
        assert (code, out) == (2, "") and "usage:" in said


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


# ---------------------------------------------------------------------------------------------------------------- get


@pytest.fixture
def server(monkeypatch):
    """A web server on this machine, and a catalogue that may link to it, which only tests allow."""
    monkeypatch.setattr(
        catalogue_file, "RULES", {**catalogue_file.RULES, "url": catalogue_file.Rule("a link", catalogue_file.text())}
    )
    with serving(CONTENT) as server:
        yield server


@pytest.fixture
def offer(comfyui, server):
    """Put an entry for the server's file into the user's catalogue."""

    def offer(**fields) -> Path:
        entry = {
            "id": "test-adapter",
            "title": "Adapter for tests",
            "kind": "adapter",
            "family": "base",
            "base_model": "SD1.5",
            "encoder": "CLIP ViT-bigG/14",
            "purposes": [],
            "folder": "ipadapter",
            "files": [NAME],
            "companion": "ip-adapter-faceid_sd15_lora",
            "size": len(CONTENT),
            "sha256": SHA256,
            "url": server.url,
            "page": "https://example.org/page",
            "licence": "CC-BY-NC-4.0",
            "commercial": False,
        }
        (comfyui / "user" / CATALOGUE).write_text(json.dumps({"entries": [{**entry, **fields}]}))
        return comfyui / "models" / "ipadapter" / NAME

    return offer


def get(call, comfyui: Path, *more: str) -> tuple[int, str, str]:
    return call("get", "test-adapter", "--comfyui", comfyui, *more)


@pytest.mark.parametrize(
    "name",
    [
        "clip-vit-base-patch32",
        "openai/clip-vit-base-patch32",
        "https://huggingface.co/openai/CLIP-vit-base-patch32/tree/main",
        "https://huggingface.co/openai/clip-vit-base-patch32/resolve/main/pytorch_model.bin?download=true",
        "https://huggingface.co/openai/clip-vit-base-patch32/blob/main/model.safetensors",
    ],
)
def test_a_repository_or_an_address_stands_for_its_entry(comfyui, call, name):
    code, _, said = call("get", name, "--comfyui", comfyui, "--offline")
    assert code == 1 and "(clip-vit-base-patch32)" in said
    assert "get it from https://huggingface.co/openai/clip-vit-base-patch32/resolve/main/pytorch_model.bin" in said


def test_a_repository_of_several_entries_names_them_and_another_is_not_guessed(comfyui, call):
    code, _, said = call("get", "ostris/ip-composition-adapter", "--comfyui", comfyui, "--offline")
    assert code == 1
    assert said.endswith("Name one: ip_plus_composition_sd15, ip_plus_composition_sdxl.\n")
    name = "https://huggingface.co/nobody/nothing/resolve/main/ip_plus_composition_sd15.safetensors"
    code, _, said = call("get", name, "--comfyui", comfyui, "--offline")
    assert code == 1 and said.startswith(f"The catalogue has no '{name}'.")


def test_the_terms_are_told_and_nothing_is_fetched_unless_somebody_agrees(call, comfyui, offer, server, monkeypatch):
    target = offer()
    monkeypatch.setattr(sys, "stdin", open(os.devnull))
    code, out, said = get(call, comfyui)
    assert (code, out) == (1, "") and server.requests == [] and not target.exists()
    text = " ".join(said.split())
    for words in (
        "Adapter for tests",
        server.url,
        str(target),
        "3.0 MB",
        SHA256,
        "https://example.org/page",
        "CC-BY-NC-4.0, NON-COMMERCIAL USE ONLY",
        "--yes",
    ):
        assert words in text


def test_with_yes_the_file_is_fetched_and_what_belongs_to_it_told(call, comfyui, offer):
    target = offer()
    code, out, _ = get(call, comfyui, "--yes")
    assert code == 0 and target.read_bytes() == CONTENT
    text = " ".join(out.split())
    assert f"Downloaded: {target}" in text
    assert "bigG" in text and "lora" not in text  # which is in the adapter's file


def test_the_controlnet_of_an_adapter_is_told(call, comfyui, offer):
    offer(companion="instantid-controlnet", encoder="")
    assert "get instantid-controlnet" in " ".join(get(call, comfyui, "--yes")[1].split())


def test_the_face_pack_of_an_adapter_is_told_unless_it_is_here(call, comfyui, offer):
    offer(face_pack="antelopev2", companion="", encoder="")
    assert "get antelopev2" in get(call, comfyui, "--yes")[1]
    pack = comfyui / "models" / "insightface" / "models" / "antelopev2" / "antelopev2"
    pack.mkdir(parents=True)
    (pack / "glintr100.onnx").write_bytes(b"x")
    assert "It needs" not in get(call, comfyui, "--yes")[1]


def test_an_adapter_goes_into_the_folder_of_its_pack(call, comfyui):
    said = " ".join(call("get", "instantid-ip-adapter", "--comfyui", comfyui, "--offline")[2].split())
    assert f"{comfyui}/models/instantid/instantid-ip-adapter.bin" in said.replace(" /", "/")


def test_what_is_here_already_is_not_asked_for(call, comfyui, offer, server):
    target = offer(encoder="CLIP ViT-H/14", companion="")
    target.write_bytes(CONTENT)
    code, out, _ = get(call, comfyui)
    assert code == 0 and server.requests == []
    assert f"Here already: {target}" in " ".join(out.split()) and "It needs" not in out


def test_the_name_of_the_file_will_do_and_so_does_another_case(call, comfyui, offer):
    target = offer()
    target.write_bytes(CONTENT)
    for name in (NAME, "TEST-adapter", "test-adapter.bin"):
        assert call("get", name, "--comfyui", comfyui)[0] == 0


def test_a_name_that_is_nearly_right_is_answered_with_those_it_may_be(call, comfyui, offer):
    offer()
    code, _, said = call("get", "test-adaptor", "--comfyui", comfyui)
    assert code == 1 and "you mean test-adapter" in said


def test_for_programs_only_json_is_printed(call, comfyui, offer):
    target = offer()
    _, out, _ = get(call, comfyui, "--yes", "--json")
    assert json.loads(out) == {
        "id": "test-adapter",
        "path": str(target),
        "size": len(CONTENT),
        "sha256": SHA256,
        "fetched": len(CONTENT),
        "verified": True,
        "licence": "CC-BY-NC-4.0",
        "commercial": False,
    }


def test_without_a_hash_it_has_to_be_allowed(call, comfyui, offer, server):
    target = offer(sha256="")
    code, _, said = get(call, comfyui, "--yes")
    assert code == 1 and "--allow-unverified" in said and "NONE: its SHA-256 is not known" in said
    code, out, _ = get(call, comfyui, "--yes", "--allow-unverified")
    assert code == 0 and target.exists() and SHA256 in out and "compared with nothing" in " ".join(out.split())


def test_a_file_of_the_same_size_is_named(call, comfyui, offer):
    offer()
    (comfyui / "models/ipadapter/other.safetensors").write_bytes(b"x" * len(CONTENT))
    _, _, said = get(call, comfyui, "--yes")
    assert "other.safetensors has the same size" in " ".join(said.split())


@pytest.mark.parametrize("name", command.OFFLINE)
def test_offline_says_how_to_do_it_by_hand(call, comfyui, offer, server, monkeypatch, name):
    target = offer()
    assert get(call, comfyui, "--offline", "--yes")[0] == 1
    monkeypatch.setenv(name, "1")
    code, _, said = get(call, comfyui, "--yes")
    assert code == 1 and server.requests == [] and not target.exists()
    assert f"get it from {server.url} and put it here: {target}" in said
    monkeypatch.setenv(name, "0")
    assert get(call, comfyui, "--yes")[0] == 0


def test_a_download_that_fails_is_one_line(call, comfyui, offer, server):
    offer()
    server.plan = [{"status": 403}]
    code, out, said = get(call, comfyui, "--yes")
    assert (code, out) == (1, "") and "Accept the licence on https://example.org/page" in said.splitlines()[-1]


def test_an_archive_has_to_be_unpacked(call, comfyui, offer):
    offer(files=["pack.zip"], kind="face pack", folder="insightface", companion="", encoder="")
    assert "unpack its files into the folder models/pack" in " ".join(get(call, comfyui, "--yes")[1].split())


def test_the_first_folder_that_is_there_gets_the_file(call, comfyui, offer, tmp_path):
    offer()
    (tmp_path / "disk").mkdir()
    (tmp_path / "extra.yaml").write_text(
        f"gone:\n  ipadapter: {tmp_path / 'gone'}\n  is_default: true\n"
        f"here:\n  ipadapter: {tmp_path / 'disk'}\n  is_default: true\n"
    )
    assert get(call, comfyui, "--yes", "--extra-model-paths", str(tmp_path / "extra.yaml"))[0] == 0
    assert (tmp_path / "disk" / NAME).exists() and not (tmp_path / "gone").exists()


@pytest.mark.skipif(os.name == "nt", reason="there are no such terminals")
@pytest.mark.parametrize(("typed", "code"), [("YES\n", 0), ("\n", 1), ("\x04", 1)])
def test_at_a_terminal_it_asks(comfyui, offer, typed, code):
    import pty

    target = offer()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "import importlib.util, sys" + START, ROOT, "get", "test-adapter", "--comfyui", comfyui],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.write(ours, typed.encode())
    out, said = process.communicate(timeout=120)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == code, said
    assert "Download it? [y/N]" in said and "Download it?" not in out
    assert target.exists() == (code == 0)


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C goes to the whole console there")
def test_ctrl_c_ends_in_code_130_and_the_same_command_goes_on(call, comfyui, offer, server):
    target = offer()
    server.plan = [{"hold": 1_000_000}]
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import importlib.util, sys" + START,
            ROOT,
            "get",
            "test-adapter",
            "--yes",
            "--comfyui",
            comfyui,
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    part = target.with_name(f"{NAME}.part")
    while process.poll() is None and not (part.exists() and part.stat().st_size == 1_000_000):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Stopped." in said and "Traceback" not in said
    code, _, said = get(call, comfyui, "--yes")
    assert code == 0 and "1,000,000 bytes are here already" in said and target.read_bytes() == CONTENT


# --------------------------------------------------------------------------------------------------------------- text


class Terminal(list):
    def isatty(self) -> bool:
        return True

    write = list.append

    def flush(self) -> None:
        pass


def test_a_progress_line_leaves_nothing_behind(monkeypatch):
    monkeypatch.setattr(terminal, "REDRAW_SECONDS", -1)
    written = Terminal()
    line = terminal.ProgressLine(written)
    line.show("a long line")
    line.show("short")
    line.clear()
    line.clear()
    assert written == ["\ra long line", "\rshort      ", "\r     \r"]


def test_a_progress_line_is_for_terminals(capsys):
    terminal.ProgressLine().show("50%")
    assert capsys.readouterr() == ("", "")


def test_long_names_stay_in_one_piece_and_are_not_mixed_with_their_text():
    link = "https://example.org/" + "a-b/" * 40
    assert terminal.wrapped(f"get {link} now") == ["get", link, "now"]
    assert terminal.described([("short", "text"), ("x" * 30, "text")]) == [
        "  short",
        "    text",
        "  " + "x" * 30,
        "    text",
    ]
    assert terminal.described([("a", "one"), ("bc", "")]) == ["  a   one", "  bc"]


def test_the_user_folder_of_desktop_has_no_main_py_beside_it(tmp_path):
    for folder in ("models/loras", "custom_nodes", "user"):
        (tmp_path / folder).mkdir(parents=True)
    assert Installation.find(str(tmp_path)).index_file == tmp_path / "user" / "__image_prompt" / INDEX
    (tmp_path / "custom_nodes").rmdir()
    assert Installation.find(str(tmp_path)).index_file is None


def test_an_installation_knows_the_root_that_was_given(comfyui):
    where = Installation.find(comfyui)
    assert where.root == comfyui and where == Installation.of(where.folders)
    assert Installation.find(comfyui / "models").root == comfyui / "models"


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
