"""What the fuzzer found stays mended, and where it begins is as it should be, by the same judgement."""

import re
from pathlib import Path

import pytest
from judging import Finding, judge
from target import Target
from targets import TARGETS

FOUND = Path(__file__).with_name("found")
KEPT = sorted(path for path in FOUND.glob("*/*") if path.is_file())
FEW = 20  # seeds of a reader that are read here; the others are like these


def folder_of(name: str) -> str:
    return name.replace(" ", "-")


BY_FOLDER = {folder_of(name): target for name, target in TARGETS.items()}


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.relative_to(FOUND).as_posix())
def test_what_was_found_is_refused_or_read(path, tmp_path):
    target = BY_FOLDER[path.parent.name]
    next(iter(target.seeds()))  # what is made once is not made while it is watched
    judge(target, path.read_bytes(), tmp_path.resolve())


@pytest.mark.parametrize("name", TARGETS)
def test_the_fuzzer_begins_with_what_is_no_finding(name, tmp_path):
    seeds = [data[: TARGETS[name].longest] for data in TARGETS[name].seeds()]
    assert seeds
    for data in seeds[:: -(-len(seeds) // FEW)]:
        judge(TARGETS[name], data, tmp_path.resolve())


def raw(data: bytes, folder: Path) -> object:
    return int(data)


def loud(data: bytes, folder: Path) -> object:
    raise ValueError(data.decode())


def unpickled(data: bytes, folder: Path) -> object:
    import pickle

    return pickle.loads(data)


def written(data: bytes, folder: Path) -> object:
    return (folder.parent / "outside").write_bytes(data)


def endless(data: bytes, folder: Path) -> object:
    while True:
        re.fullmatch(r"(\d+\d*)+x", data.decode())


@pytest.mark.parametrize(
    ("read", "data", "why"),
    [
        (raw, b"x", "comes from Python"),
        (loud, b"\x1b[2J", "moves the cursor"),
        (loud, b" ", "says nothing"),
        (unpickled, b"cos\nsystem\n(S'exit'\ntR.", "what no file may make it do: pickle.find_class"),
        (endless, b"9" * 500, "what no file may make it do: take more than"),
        (written, b"x", "what no file may make it do: open"),
    ],
)
def test_the_judge_sees(read, data, why, tmp_path, monkeypatch):
    monkeypatch.setattr("judging.SECONDS", 0.2)
    folder = tmp_path / "inside"
    folder.mkdir()
    with pytest.raises(Exception, match=re.escape(why)) as raised:
        judge(Target(read, lambda: [data]), data, folder.resolve())
    assert isinstance(raised.value, Finding)
