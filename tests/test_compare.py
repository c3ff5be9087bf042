"""`dev.py bench --compare` measures two commits side by side and says which is slower."""

import contextlib
import importlib
import random
import subprocess
import sys

import folder_paths
import pytest
import torch

from image_prompt.devtools import published
from image_prompt.devtools.stages import ROOT
from image_prompt.model_files.index import Index


@pytest.fixture(scope="module", autouse=True)
def benchmarks():
    """Put the folder of the benchmarks first on the path, as Python does for a script in it."""
    known, path = set(sys.modules), list(sys.path)
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if name.startswith(("_", "parts")) or name == "topologies":
            sys.modules.pop(name)


@pytest.fixture
def comparison():
    return importlib.import_module("_compare")


# ------------------------------------------------------------------------------------------------------------ verdict


def rounds(comparison, *, slower=1.0, noise=0.0, processes=(1.0, 1.0, 1.0)):
    """Three rounds of twelve turns. processes: how slow the commit's second process is in each."""
    draw = random.Random(0)

    def seconds(factor):
        return 0.1 * factor * (1 + draw.uniform(-noise, noise))

    return [[comparison.Turn(seconds(1), seconds(slower), seconds(each)) for _ in range(12)] for each in processes]


@pytest.mark.parametrize(
    "case, verdict",
    [
        ({"slower": 1.05, "noise": 0.02}, "slower beyond noise"),
        ({"slower": 0.95, "noise": 0.02}, "faster beyond noise"),
        ({"slower": 1.0, "noise": 0.02}, "as fast"),
        ({"slower": 1.03, "noise": 0.3}, "as fast"),
        ({"slower": 1.03, "processes": (1.0, 1.05, 0.97)}, "as fast"),  # quiet turns, but no two processes are alike
    ],
)
def test_slower_is_what_lies_beyond_the_commit_against_itself(comparison, case, verdict):
    found = comparison.result(rounds(comparison, **case))
    assert found.verdict == verdict
    assert found.itself[0] <= found.itself[1]


def test_the_ratio_is_that_of_neighbours_in_time(comparison):
    """A machine that slows down steadily must not make the commit look slower."""
    turns = [comparison.Turn(1.0 * drift, 1.5 * 1.1 * drift, 2.0 * drift) for drift in (1.0, 3.0, 9.0)]
    assert comparison.result([turns]).ratio == pytest.approx(1.1)


# ----------------------------------------------------------------------------------------------------------- processes


class FakeWorker:
    def __init__(self, name, log, error):
        self.name, self.log, self.error = name, log, error

    def prepare(self, row):
        if row.get("broken") and self.name == "tree":
            raise self.error("no such input")

    def turn(self):
        self.log.append(self.name)
        return 1.1 if self.name == "tree" else 1.0


def test_the_sides_take_turns_in_fresh_processes_and_a_row_that_fails_leaves_the_others(comparison):
    log = []

    @contextlib.contextmanager
    def start():
        log.append("start")
        yield [FakeWorker(name, log, comparison.WorkerError) for name in ("commit", "tree", "again")]

    rows = {"broken": {"broken": True}, "whole": {}}
    found, failed = comparison.compare(rows, start, 2, 2, lambda _: None)
    assert log == ["start", *["commit", "tree", "again"] * 2] * 2
    assert failed == {"broken": "no such input"}
    assert found.keys() == {"whole"} and found["whole"].ratio == pytest.approx(1.1)


def test_a_process_that_ends_is_reported_with_its_log(comparison, tmp_path):
    worker = comparison.Worker([sys.executable, "-c", "raise SystemExit('no such device')"], tmp_path / "log")
    with pytest.raises(comparison.WorkerError, match="exit code 1:\n  no such device"):
        worker.prepare({})
    worker.close()


# ----------------------------------------------------------------------------------------------------------- checkout


@pytest.fixture
def repository(tmp_path):
    def git(*arguments):
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        done = subprocess.run(["git", "-C", folder, *identity, *arguments], capture_output=True, text=True, check=True)
        return done.stdout

    folder = tmp_path / "repository"
    folder.mkdir()
    git("init", "-q")
    for content in ("old", "new"):
        (folder / "a.py").write_text(content)
        git("add", "a.py")
        git("commit", "-qm", content)
    (folder / "a.py").write_text("not committed")
    return folder, git


def test_a_commit_is_checked_out_beside_the_repository(comparison, repository, tmp_path):
    folder, git = repository
    name = comparison.check_out("HEAD~1", tmp_path / "tree", folder)
    assert (tmp_path / "tree" / "a.py").read_text() == "old"
    assert git("rev-parse", "HEAD~1").startswith(name)
    assert (folder / "a.py").read_text() == "not committed" and len(git("worktree", "list").splitlines()) == 1


def test_a_commit_that_is_not_there_is_refused(comparison, repository, tmp_path):
    with pytest.raises(SystemExit, match="there is no commit nowhere"):
        comparison.check_out("nowhere", tmp_path / "tree", repository[0])


def test_what_a_killed_run_left_goes_and_nothing_stays(comparison, tmp_path):
    (tmp_path / "compare" / "tree").mkdir(parents=True)
    with comparison.emptied(tmp_path / "compare") as folder:
        assert not list(folder.iterdir())
    assert not folder.exists()


# ---------------------------------------------------------------------------------------------------------- workloads


def test_a_workload_drives_the_nodes_and_sees_that_the_adapter_acts(monkeypatch, tmp_path):
    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path))
    folders = ([str(tmp_path / "ipadapter")], folder_paths.supported_pt_extensions)
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "ipadapter", folders)
    workloads = importlib.import_module("parts.workloads")
    row = {"base": "SD1.5", "adapter": "ip-adapter_sd15", "dtype": "fp32", "size": 8, "steps": 1}
    with torch.inference_mode():
        assert isinstance(workloads.prepare("sampling", **row)(), float)
        latent = torch.zeros(1)
        with pytest.raises(RuntimeError, match="changes nothing"):
            workloads.check_effect(latent, latent)


def test_the_workload_of_the_index_reads_every_file_anew(monkeypatch, tmp_path):
    monkeypatch.setattr(folder_paths, "base_path", str(tmp_path))
    workloads, folders = (importlib.import_module(name) for name in ("parts.workloads", "parts.model_folders"))
    monkeypatch.setattr(
        folders, "fill", lambda root, count: published.write_header(root / "loras" / "a.safetensors", {})
    )
    seen = []
    monkeypatch.setattr(folders, "Index", lambda *args: seen.append(Index(*args)) or seen[-1])
    work = workloads.prepare("index", what="all", files=1, delay=0.001)
    assert all(work() > 0 for _ in range(2))
    assert [each.stats()["headers_read"] for each in seen] == [1, 1]
