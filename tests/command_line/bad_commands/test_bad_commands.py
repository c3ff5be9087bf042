"""Every bad command of the tables ends in one sentence, changes no file, and no input of a command has none."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from image_prompt.command_line import command
from image_prompt.references.library import libraries_folder

from .libraries import LIBRARIES, SERVER
from .places import MODEL_FILES
from .rows import check_cover, inputs_of, of_every_command

PARSER = command._parser("image-prompt")
BAD_COMMANDS = (*of_every_command(PARSER), *MODEL_FILES, *LIBRARIES, *SERVER)
FILES = {
    "text.txt": b"no model",
    "page.safetensors": b"<html>Sign in</html>",
    "latin.json": b'{"a": "\xff"}',
    "object.json": b'{"entries": 3}',
    "nameless.json": b'[{"text": "a"}]',
    "nul.json": b'["a\\u0000b.png"]',
    "deep.json": b"[" * 100_000,
    "none.json": b"[]",
    "bad.yaml": b"a:\n\tb",
    "there.json": b"{}",
    "there.image-prompt.json": b"{}",
}
EXCEPTIONS = {}


@pytest.fixture(scope="module")
def places(tmp_path_factory, encoders, drawn, made_library) -> dict[str, Path]:
    """A ComfyUI with an encoder and the libraries squares and broken, and files that are wrong."""
    base = tmp_path_factory.mktemp("bad commands")
    comfyui, files = base / "ComfyUI", base / "files"
    for name in ("user", "models/clip_vision", "models/ipadapter"):
        (comfyui / name).mkdir(parents=True)
    for name in ("main.py", "folder_paths.py"):
        (comfyui / name).touch()
    shutil.copy(encoders / "tiny.safetensors", comfyui / "models/clip_vision")
    libraries = libraries_folder(comfyui / "user")
    shutil.copytree(made_library, libraries / "squares")
    (libraries / "broken").mkdir()
    (libraries / "broken" / "library.json").write_text("{")
    (files / "empty").mkdir(parents=True)
    for name, data in FILES.items():
        (files / name).write_bytes(data)
    (files / "cut.png").write_bytes((drawn / "red.png").read_bytes()[:60])
    return {"comfyui": comfyui, "files": files, "pictures": drawn, "encoders": encoders}


def state(places: dict[str, Path]) -> set[tuple[str, int]]:
    """All files there, but for the index, and what SQLite keeps beside a database that is open."""
    found = (path for name in ("comfyui", "files", "pictures") for path in places[name].rglob("*"))
    return {
        (str(path), path.stat().st_size) for path in found if not re.search("__image_prompt|-shm$|-wal$", str(path))
    }


@pytest.mark.parametrize("row", BAD_COMMANDS, ids=lambda row: f"{row.command} {row.of}")
def test_a_bad_command_ends_in_one_sentence(places, capsys, monkeypatch, row):
    monkeypatch.chdir(places["files"])
    monkeypatch.setattr("sys.stdin", open(os.devnull))
    before = state(places)
    capsys.readouterr()
    try:
        code = command.main(row.words(places))
    except SystemExit as end:
        code = end.code
    out, said = capsys.readouterr()
    text = " ".join((said + out).split())
    assert code == row.code and re.search(row.message, text), text
    assert "Traceback" not in text and "Errno" not in text and "PosixPath" not in text and "\x1b" not in said
    if code == 2:
        assert out == "" and "usage:" in said
    elif row.command not in ("identify", "get"):  # which tell of each file, and the terms
        assert out == "" and said.count("\n") == 1
    assert state(places) == before


def test_programs_get_the_sentence_as_json(places, capsys):
    words = ["search", "nothing", "--text", "red", "--comfyui", str(places["comfyui"]), "--json"]
    capsys.readouterr()
    assert command.main(words) == 1
    out, said = capsys.readouterr()
    assert json.loads(out) == {"error": said.strip()}


def test_every_input_of_every_command_has_a_bad_command():
    check_cover(BAD_COMMANDS, inputs_of(PARSER), EXCEPTIONS)
