"""A process that fills a library is killed at any time, and a disk is full at any write: nothing is lost."""

import errno
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from image_prompt.devtools.stages import ROOT
from image_prompt.references.filling import fill, filler
from image_prompt.references.library import NotWritten, check, part_writer
from image_prompt.tensor_files import whole_files

from .fakes import FakeEncoder, everything, read, write

KILLED = Path(__file__).with_name("killed.py")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fork")
def test_fifty_kills_leave_a_whole_library_and_change_no_byte_of_the_end(tmp_path):
    """Of libraries of several parts that are added to, changed, pruned and compacted."""
    command = [sys.executable, str(KILLED), str(ROOT), str(tmp_path), "17", "50"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] >= 50 and found["left over"] and found["finished"]
    assert (found["clean"], found["same"], found["torch"]) == (True, True, False)
    assert min(found["parts"]) > 2
    assert found["steps"] > 30 and found["good"]


class FullDisk:
    """The write of this number, counted from 0, finds no room and writes half; then there is room again."""

    def __init__(self, number: int) -> None:
        self.left = number

    def check(self) -> None:
        self.left -= 1
        if self.left == -1:
            raise OSError(errno.ENOSPC, "No space left on device")

    def wrap(self, function):
        def checked(*arguments):
            self.check()
            return function(*arguments)

        return checked

    def open(self, path, mode):
        class File(io.FileIO):
            def write(file, piece):
                try:
                    self.check()
                except OSError:
                    super().write(memoryview(piece).cast("B")[: len(piece) // 2])
                    raise
                return super().write(piece)

            def flush(file):
                self.check()

        return File(path, mode)


def test_a_full_disk_at_any_write_loses_nothing(tmp_path, monkeypatch):
    photos = tmp_path / "photos"
    write(photos, **{f"a__{number:02}": f"{'bad' if number % 5 == 0 else 'p'}{number}" for number in range(7)})
    monkeypatch.setattr(filler, "EVERY", 0.0)
    monkeypatch.setattr(part_writer, "ROWS", 4)

    def run(library):
        return fill(library, photos, FakeEncoder(), read=read, batch=3)

    run(tmp_path / "whole")
    expected = everything(tmp_path / "whole")
    for number in range(100):
        library, disk = tmp_path / f"library {number}", FullDisk(number)
        with monkeypatch.context() as patched:
            patched.setattr(whole_files, "open", disk.open, raising=False)
            patched.setattr(whole_files.os, "fsync", disk.wrap(lambda _: None))
            patched.setattr(whole_files.os, "replace", disk.wrap(os.replace))
            try:
                run(library)
            except NotWritten as error:
                assert "could not be written: No space left on device. What it held before is kept." in str(error)
            else:
                break
        if (library / "library.json").exists():
            assert check(library).clean
        run(library)
        assert everything(library) == expected
    assert number > 20


def test_a_full_disk_in_the_database_loses_nothing(tmp_path):
    """SQLite says so when its file may not grow."""
    photos, library = tmp_path / "photos", tmp_path / "library"
    write(photos, a="a")
    fill(library, photos, FakeEncoder(), read=read)
    before = everything(library)
    shutil.copytree(library, tmp_path / "whole")
    write(photos, **{f"b{number:02}": "x" * 2000 + str(number) for number in range(60)})
    connect = part_writer.Rows.__init__

    def small(rows, connection):
        connection.execute("PRAGMA max_page_count = 14")
        connect(rows, connection)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(part_writer.Rows, "__init__", small)
        with pytest.raises(NotWritten, match="could not be written: database or disk is full"):
            fill(library, photos, FakeEncoder(), read=read)
    assert check(library).clean and everything(library)[0] == before[0]
    fill(library, photos, FakeEncoder(), read=read)
    fill(tmp_path / "whole", photos, FakeEncoder(), read=read)
    assert everything(library) == everything(tmp_path / "whole")
