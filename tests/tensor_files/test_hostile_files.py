"""Every hostile file is refused with a reason, without running code and without taking long or much memory."""

import contextlib
import copyreg
import io
import os
import pickle
import random
import re
import threading
from pathlib import Path

import pytest
import safetensors
from header_process import DEADLINE, HeaderProcess
from hostile import HOSTILE, legacy
from hostile_archives import TORCH
from hostile_pickles import BOMBS, EXTENSION, state_dict
from hostile_safetensors import BROKEN, GOOD, STRICTER

from image_prompt.model_files import UnusableFile, read_header

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def process():
    started = HeaderProcess(ROOT)
    yield started
    started.stop()


@pytest.mark.parametrize("kind", dict.fromkeys(name.split(": ")[0] for name in HOSTILE))
def test_each_gets_its_reason(process, tmp_path, kind):
    marker = tmp_path / "marker"
    for name, hostile in HOSTILE.items():
        if name.startswith(f"{kind}: "):
            folder = tmp_path / f"folder of {name.replace('/', '')}"
            folder.mkdir()
            path = hostile.make(folder, marker)
            error, said = process.read(path)
            assert error == "UnusableFile" and said.startswith(f"{path.name} "), (name, said)
            assert re.search(hostile.reason, said), (name, said)
            assert folder.name not in said and len(said) < 400 and "\n" not in said, (name, said)
            assert not marker.exists(), name


class Anything(pickle.Unpickler):
    def persistent_load(self, pid):
        return pid


def test_each_bomb_would_go_off(tmp_path):
    """Every bomb goes off in Python's own unpickler, so refusing it matters."""
    copyreg.add_extension("builtins", "open", EXTENSION)
    try:
        for number, (name, (bomb, _)) in enumerate(BOMBS.items()):
            marker = tmp_path / str(number)
            with contextlib.suppress(Exception):  # what a bomb leaves behind need not be a value
                Anything(io.BytesIO(bomb(marker))).load()
            assert marker.exists(), name
    finally:
        copyreg.remove_extension("builtins", "open", EXTENSION)


def library_reads(path):
    try:
        with safetensors.safe_open(path, "pt") as file:
            return {key: file.get_slice(key).get_shape() for key in file.keys()}
    except Exception:
        return None


def test_the_safetensors_library_refuses_what_is_broken(tmp_path):
    for name in BROKEN | STRICTER:
        path = HOSTILE[f"safetensors: {name}"].make(tmp_path, tmp_path / "marker")
        assert (library_reads(path) is None) == (name in BROKEN), name


def headers_of(path):
    """The headers that `read_header` returns in time. It may raise nothing but UnusableFile."""
    found = []

    def read():
        try:
            found.append(read_header(path))
        except UnusableFile as error:
            found.append(str(error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(DEADLINE)
    assert found, "neither a header nor a reason"
    return found[0]


@pytest.mark.parametrize("kind", ["safetensors", "archive", "legacy"])
def test_random_damage(tmp_path, kind):
    good = {"safetensors": GOOD, "archive": TORCH, "legacy": legacy(state_dict())}[kind]
    path, chance = tmp_path / "x", random.Random(0)
    for _ in range(200):
        data = bytearray(good)
        for _ in range(chance.choice([1, 1, 2, 8])):
            data[chance.randrange(len(data))] = chance.choice([0, 1, 0x2E, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        path.write_bytes(data[: chance.choice([len(data), len(data), chance.randrange(len(data))])])
        found = headers_of(path)
        if kind == "safetensors":
            shapes = None if isinstance(found, str) else {key: list(one.shape) for key, one in found.tensors.items()}
            assert shapes == library_reads(path), bytes(data)


def test_a_file_that_is_gone(tmp_path):
    for path in (tmp_path / "x.safetensors", tmp_path / "no folder" / "x.safetensors"):
        with pytest.raises(FileNotFoundError):
            read_header(path)


def test_a_file_that_goes_meanwhile(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(GOOD)
    stat = os.stat

    def last_look(path, **options):
        status = stat(path, **options)
        Path(path).unlink()
        return status

    monkeypatch.setattr(os, "stat", last_look)
    with pytest.raises(FileNotFoundError):
        read_header(tmp_path / "x")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes among its files")
def test_a_pipe_that_takes_the_place_of_the_file_meanwhile(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(GOOD)
    os.mkfifo(tmp_path / "x")
    file, stat = os.stat(tmp_path / "file"), os.stat
    monkeypatch.setattr(os, "stat", lambda path, **options: file if path == tmp_path / "x" else stat(path, **options))
    assert "x is a pipe, not a file" in headers_of(tmp_path / "x")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no pipes among its files")
def test_a_listed_file_is_not_asked_for_before_it_is_opened_and_refused_if_it_has_become_a_pipe(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(GOOD)
    os.mkfifo(tmp_path / "pipe")
    with monkeypatch.context() as patch:
        patch.delattr(os, "stat")
        assert read_header(str(tmp_path / "x"), listed=True).tensors.keys() == {"a"}
    with pytest.raises(UnusableFile, match="pipe is a pipe, not a file"):
        read_header(tmp_path / "pipe", listed=True)


@pytest.mark.parametrize("function", ["open", "stat"])
def test_a_file_that_may_not_be_read(tmp_path, monkeypatch, function):
    """The error is raised by hand, because permissions do not keep a superuser out."""
    (tmp_path / "x.safetensors").write_bytes(GOOD)

    def denied(path, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, function, denied)
    with pytest.raises(UnusableFile, match="^x.safetensors may not be read by this user: permission denied") as error:
        read_header(tmp_path / "x.safetensors")
    monkeypatch.undo()
    assert str(tmp_path) not in str(error.value)


def test_a_disk_that_fails(tmp_path, monkeypatch):
    (tmp_path / "x.safetensors").write_bytes(GOOD)

    def failing(*arguments, **options):
        raise OSError(5, "Input/output error", str(tmp_path))

    monkeypatch.setattr(os, "open", failing)
    with pytest.raises(UnusableFile, match="^x.safetensors could not be read: Input/output error. Check the disk"):
        read_header(tmp_path / "x.safetensors")


@pytest.mark.parametrize("path", ["a\0b", "a" * 5000])
def test_a_path_that_can_be_none(tmp_path, path):
    with pytest.raises(UnusableFile):
        read_header(tmp_path / path)


def test_an_archive_of_a_file_that_is_no_memory(tmp_path, monkeypatch):
    """Any error of the archive's reader becomes a reason."""
    (tmp_path / "x.bin").write_bytes(TORCH)
    for error in (MemoryError, RecursionError, NotImplementedError("method 9"), EOFError, UnicodeError("x\ny")):
        monkeypatch.setattr("zipfile.is_zipfile", lambda file, error=error: (_ for _ in ()).throw(error))
        with pytest.raises(UnusableFile, match="could not be read as a model file: .+ It is damaged"):
            read_header(tmp_path / "x.bin")
