"""Whether optional packages can be imported is found out in child processes, and kept in the index file."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from image_prompt.devtools.stages import ROOT
from image_prompt.model_files.environment import import_trials
from image_prompt.model_files.environment import parts as environment
from image_prompt.model_files.index import index_cache

LONG = 60.0  # seconds that no trial of these modules takes
NAME = "image_prompt_part"  # of a package that no installation has


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Make a package in a temporary folder: package(its code, its version). It is the only optional one."""
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(import_trials, "_known", {})
    monkeypatch.setattr(environment, "OPTIONAL", (environment.Package("part", NAME, (NAME,), "not installed"),))

    def package(code: str = "", version: str = "1.0") -> None:
        for old in site.glob("*.dist-info"):
            (old / "METADATA").unlink()
            old.rmdir()
        (site / NAME).mkdir(exist_ok=True)
        (site / NAME / "__init__.py").write_text(code)
        os.utime(site / NAME / "__init__.py", (1, 1))  # so that only the distribution tells that it has changed
        info = site / f"{NAME}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {version}\n")

    yield package
    assert NAME not in sys.modules


@pytest.fixture
def children(monkeypatch):
    """The commands with which child processes are started."""
    started, start = [], subprocess.Popen

    def popen(command, **options):
        started.append(command)
        return start(command, **options)

    monkeypatch.setattr(import_trials.subprocess, "Popen", popen)
    return started


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "user" / "__image_prompt" / "index.json"


def part(cache_file=None, patience=None) -> environment.OptionalPart:
    return environment.optional_parts(cache_file, patience)[0]


DEATHS = {
    "an error": ("raise ImportError('needs numpy<2,\\n  but has 2.1')", "ImportError: needs numpy<2, but has 2.1"),
    "no text": ("raise KeyError", "KeyError"),
    "no printable text": ("raise OSError('\\x1b[2J')", "OSError: \N{REPLACEMENT CHARACTER}[2J"),
    "an end": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "an end at once": ("import os; os._exit(0)", "Python ends (exit code 0)"),
    "what it prints": ("import os; os.write(1, b'+'); print('+'); os._exit(4)", "Python ends (exit code 4)"),
    "a hidden path": (
        "raise OSError(f'{__file__} and /home/me/x/liba.so: bad')",
        f"OSError: {NAME}/__init__.py and liba.so: bad",
    ),
    "an error without a text": (
        "class Bad(Exception):\n  def __str__(self): raise RuntimeError\nraise Bad",
        "Bad",
    ),
}


@pytest.mark.parametrize("death", DEATHS)
def test_a_package_that_fails_at_import_is_broken_and_the_text_says_how(package, death):
    code, problem = DEATHS[death]
    package(code)
    detail = f"1.0, which cannot be imported: {problem}"
    assert part() == environment.OptionalPart("part", False, detail, "broken")


@pytest.mark.skipif(os.name == "nt", reason="a crash is no signal there")
def test_one_that_crashes_is_broken(package):
    package("import os; os.abort()")
    assert part().detail == "1.0, which cannot be imported: Python crashes (SIGABRT)"


def test_what_is_typed_into_the_terminal_is_not_for_the_package(package):
    package("input()")
    terminal, typed = os.pipe()
    ours = os.dup(0)
    try:
        os.dup2(terminal, 0)
        os.write(typed, b"yes\n")
        assert part().detail.endswith("EOFError: EOF when reading a line")
    finally:
        os.dup2(ours, 0)
        for opened in (ours, terminal, typed):
            os.close(opened)


def test_the_text_is_cut(package):
    package("raise ImportError('x' * 100_000)")
    assert len(part().detail) < 400 and part().detail.endswith("x...")


def test_one_that_hangs_is_broken(package, monkeypatch):
    monkeypatch.setattr(import_trials, "TIME_LIMIT", 1.0)
    package("import time\nwhile True: time.sleep(1)")
    assert part().detail == "1.0, which cannot be imported: it does not end within 1 seconds"


def test_one_that_works_is_present_and_not_imported_here(package):
    package("print('hello')")
    assert part() == environment.OptionalPart("part", True, "1.0", "present")


def test_empty_folders_that_an_uninstalled_package_left_are_not_the_package(package, tmp_path):
    package()
    (tmp_path / "site-packages" / NAME / "__init__.py").unlink()
    assert "only empty folders of it are left" in part().detail


def test_packages_for_embeddings_that_are_absent_are_told_with_their_pip_line(monkeypatch):
    monkeypatch.setattr(environment, "_is_installed", lambda module: False)
    absent = {part.name: part.detail for part in environment.optional_parts() if part.state == "absent"}
    assert all(f"pip install {name}, " in absent[name] for name in ("lancedb", "pyarrow", "transformers", "aiohttp"))
    assert "pip install 'ray[data]', for `embed --ray`" in absent["ray"]
    assert "not needed" in absent["faiss"]


def test_an_absent_package_and_one_that_is_imported_already_start_no_child(package, children, monkeypatch):
    assert part() == environment.OptionalPart("part", False, "not installed", "absent")
    monkeypatch.setattr(environment, "OPTIONAL", (environment.Package("pytest", "pytest", ("pytest",), "absent"),))
    assert part().state == "present"
    assert children == []


def test_it_is_tried_once_and_again_when_a_distribution_changes(package, children, cache, tmp_path, monkeypatch):
    package("raise ImportError('too old')")
    broken = part(cache)
    assert (broken.state, len(children)) == ("broken", 1)
    monkeypatch.setattr(import_trials, "_known", {})  # as in another process
    assert (part(cache), len(children)) == (broken, 1)
    package(version="1.1")
    assert (part(cache), len(children)) == (environment.OptionalPart("part", True, "1.1", "present"), 2)
    assert (part(cache), len(children)) == (environment.OptionalPart("part", True, "1.1", "present"), 2)
    (tmp_path / "site-packages" / "numpy-9.9.dist-info").mkdir()  # which may be too new for it
    assert (part(cache).state, len(children)) == ("present", 3)
    monkeypatch.setattr(import_trials.sys, "version", "9.9")
    assert (part(cache).state, len(children)) == ("present", 4)


@pytest.mark.parametrize(("code", "tries"), [("raise ImportError", 2), ("", 1)])
def test_a_failure_is_tried_again_after_a_day(package, children, cache, monkeypatch, code, tries):
    package(code)
    part(cache)
    tomorrow = time.time() + 25 * 3600
    monkeypatch.setattr(import_trials.time, "time", lambda: tomorrow)
    part(cache)
    assert len(children) == tries


def test_without_an_index_file_a_process_tries_once(package, children):
    package("raise ImportError")
    assert part() == part() and len(children) == 1


def test_what_is_not_known_in_time_is_found_out_in_the_background_once(package, children, cache):
    package("import time; time.sleep(1); raise ImportError('at last')")
    begin = time.monotonic()
    first, second = part(cache, patience=0.1), part(cache, patience=0.1)
    assert time.monotonic() - begin < 0.9
    assert (
        first
        == second
        == environment.OptionalPart("part", True, "1.0, not known yet whether it can be imported", "untried")
    )
    threads = [threading.Thread(target=part, args=(cache,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert part(cache).detail.endswith("at last")
    for thread in threads:
        thread.join(LONG)
    assert len(children) == 1


def test_where_no_process_can_be_started_a_part_is_untried(package, monkeypatch):
    package("raise ImportError")
    monkeypatch.setattr(import_trials.sys, "executable", "/nowhere/python")
    assert (part().present, part().state) == (True, "untried")


def test_the_index_keeps_both_files_and_trials(package, cache):
    package("raise ImportError('no')")
    known = {"a": index_cache.Known(1, 1, None, "x")}
    index_cache.save(cache, known)
    part(cache)
    assert index_cache.load(cache) == known and index_cache.count(cache) == 1
    index_cache.save(cache, {**known, "b": index_cache.Known(2, 2, None, "y")})
    assert index_cache.load_imports(cache)[NAME].problem == "ImportError: no"
    assert index_cache.count(cache) == 2


def test_trials_do_not_hide_the_index_of_an_earlier_version(package, cache):
    package("raise ImportError('no')")
    old = cache.parent.parent / cache.name
    known = {"a": index_cache.Known(1, 1, None, "x")}
    index_cache.save(old, known)
    part(cache)
    assert index_cache.load(cache) == known and not old.exists()


@pytest.mark.parametrize("row", [[1, "", 1.0], ["", None, 1.0], ["", "", "now"], [], "text", None])
def test_damaged_trials_are_made_again(package, children, cache, row):
    package()
    cache.parent.mkdir(parents=True)
    cache.write_text(json.dumps({"rules": index_cache.RULES, "files": {}, "imports": {NAME: row}}))
    assert (part(cache).state, len(children)) == ("present", 1)
    assert index_cache.load_imports(cache)[NAME].problem == ""


# --------------------------------------------------------------------------------------------------------------- torch

FIND_TORCH = """
import importlib.util, sys
torch, root = sys.argv[1:]
sys.path.insert(0, torch)
spec = importlib.util.spec_from_file_location("pack", root + "/__init__.py", submodule_search_locations=[root])
sys.modules["pack"] = pack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
from pack.model_files.environment import parts as environment
print(environment.optional_parts()[-1])
assert "torch" not in sys.modules
"""
CUDA = "class cuda:\n  device_count = staticmethod(lambda: {count})\n  get_device_name = 'card {{}}'.format\n"
TORCHES = {
    "CPU": ("None", "raise SystemExit('imported')", "absent: torch 9.9+cpu is built without it"),
    "no device": ("'13.0'", CUDA.format(count=0), "absent: no device, or no driver, was found"),
    "two devices": ("'13.0'", CUDA.format(count=2), "card 0, card 1"),
    "broken": (
        "'13.0'",
        "raise OSError('libcudart.so.13 is missing')",
        "broken: torch cannot be imported: OSError: libcudart.so.13 is missing",
    ),
}


@pytest.mark.parametrize("torch", TORCHES)
def test_devices_are_known_without_importing_torch_here(torch, tmp_path):
    cuda, code, told = TORCHES[torch]
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(code)
    text = f"__version__ = '9.9+cpu'\ndebug = False\ncuda: Optional[str] = {cuda}\nhip: Optional[str] = None\n"
    (tmp_path / "torch" / "version.py").write_text(text)
    command = [sys.executable, "-c", FIND_TORCH, tmp_path, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.stdout, done.stderr) == (f"{told}\n", "")
