"""The index copes with files, folders and processes that misbehave."""

import errno
import logging
import os
from pathlib import Path

import pytest
from published import header_of

from image_prompt.model_files.catalogue import Catalogue
from image_prompt.model_files.folders import ModelFolders
from image_prompt.model_files.index import Identity, Index, index_cache
from image_prompt.model_files.matching import table
from image_prompt.tensor_files import read_header

HEADER = header_of({"a": (1,)})


@pytest.fixture
def folder(tmp_path):
    """A folder with two files of one type."""
    folder = tmp_path / "ipadapter"
    folder.mkdir()
    for name in ("bad", "good"):
        (folder / f"{name}.safetensors").write_text(name)
    return folder


@pytest.fixture
def open_index(folder):
    made = []

    def open_index(*cache, read=lambda path: HEADER, identify=lambda header, name, path: Identity("other", "known")):
        folders = ModelFolders({"ipadapter": [folder]})
        made.append(Index(folders, *cache, read=read, identify=identify, types=("ipadapter",)))
        return made[-1]

    yield open_index
    for index in made:
        index.close()


def listed(index):
    return {found.file.path.stem: found.problem for found in index.files("ipadapter")}


def fails_for_bad(error):
    def look(subject, name=None, path=None):
        if "bad" in str(name or subject):
            raise error
        return HEADER if name is None else Identity("other", "known")

    return look


@pytest.mark.parametrize("step", ["read", "identify"])
def test_an_unexpected_error_over_one_file_is_that_files_alone(open_index, step, caplog):
    with caplog.at_level(logging.ERROR):
        problems = listed(open_index(**{step: fails_for_bad(KeyError("a kind of file"))}))
    assert problems["good"] == ""
    assert problems["bad"].startswith("bad.safetensors could not be identified (KeyError: 'a kind of file'). Get the")
    assert "KeyError" in caplog.text


def test_a_file_that_cannot_be_read_now_is_listed_and_looked_at_again(open_index, folder, tmp_path):
    cache = tmp_path / "index.json"
    error = OSError(errno.EIO, "Input/output error")
    first = open_index(cache, read=fails_for_bad(error))
    assert listed(first) == {
        "bad": "bad.safetensors could not be read: Input/output error. Check the disk and its permissions.",
        "good": "",
    }
    first.close()
    assert [Path(path).stem for path in index_cache.load(cache)] == ["good"]
    assert listed(open_index(cache)) == {"bad": "", "good": ""}


def test_a_permission_that_is_given_is_noticed(open_index, folder, monkeypatch):
    real, denied = os.open, [folder / "bad.safetensors"]

    def guarded(path, *arguments):
        if Path(path) in denied:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *arguments)

    monkeypatch.setattr(os, "open", guarded)
    index = open_index(read=lambda path: (read_header(path), HEADER)[1] if path.stem == "bad" else HEADER)
    assert "permission denied" in listed(index)["bad"]
    denied.clear()
    index.rescan("ipadapter")
    assert "permission denied" not in listed(index)["bad"]


def test_an_update_of_the_pack_under_a_running_index_changes_no_rules(tmp_path, monkeypatch):
    cache = tmp_path / "index.json"
    known = {"a": index_cache.Known(1, 1, None, "as the code that runs sees it")}
    monkeypatch.setattr(Path, "read_bytes", lambda path: b"another version")
    index_cache.save(cache, known)
    monkeypatch.undo()
    assert index_cache.load(cache) == known


def test_other_code_that_decides_what_a_file_is_makes_other_rules(tmp_path):
    file = tmp_path / "rule.py"
    file.write_text("a")
    before = index_cache.digest([file])
    file.write_text("b")
    assert index_cache.digest([file]) != before
    assert {"identification.py", "family.py", "presets.py"} <= {path.name for path in index_cache.sources()}


def test_a_report_has_one_deadline_for_all_it_waits_for(open_index, monkeypatch):
    index, waits, now = open_index(), [], [0.0]
    monkeypatch.setattr("image_prompt.model_files.matching.report.time.monotonic", lambda: now[0])

    def wait(tickets, timeout=None, tick=None):
        waits.append(timeout)
        now[0] += 4.0

    monkeypatch.setattr(index._passes, "wait", wait)
    monkeypatch.setattr(index._passes, "request", lambda urgent, later: dict.fromkeys(urgent, 1))  # nothing is read
    table(index, Catalogue(()), timeout=5.0)
    assert waits == [5.0, 1.0]
    table(index, Catalogue(()))
    assert waits[2:] == [None, None]
