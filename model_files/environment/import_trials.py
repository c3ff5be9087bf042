"""Try in other processes whether modules can be imported: a broken one may crash, hang, or take much memory."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ...tensor_files import printable, without_folders
from ..index.index_cache import ImportTrial, load_imports, save_import

TIME_LIMIT = 60.0  # seconds
LONGEST = 300  # characters of an error
FAILURE_SECONDS = 24 * 3600.0  # a failure is tried again then: system libraries and slow disks are not in the state
DISTRIBUTIONS = (".dist-info", ".egg-info", ".egg-link", ".pth")  # what installing a package leaves beside its modules
LIBRARIES = "/etc/ld.so.cache"  # is written anew when Linux gets or loses a library
NO_WINDOW = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # on Windows

# The child ends itself as well, in case this process is gone by then. What the module prints is not the answer.
CHILD = """
import faulthandler, os, sys
faulthandler.dump_traceback_later(float(sys.argv[1]), exit=True, file=2)
answer = os.dup(1)
os.dup2(2, 1)
sys.path[:] = sys.argv[2:]
del sys.argv[1:]
try:
{code}
    said = "+" + said
except BaseException as error:
    said = "-" + type(error).__name__
    try:
        text = str(error)[:10_000]
        said += text and ": " + text
    except BaseException:
        pass
os.write(answer, said.encode("utf-8", "replace"))
os._exit(0)
"""
IMPORT = """
import {module}
spec = getattr({module}, "__spec__", None)
if spec and spec.origin is None and getattr({module}, "__file__", None) is None:
    raise ImportError("only empty folders of it are left")
said = ""
"""


class ChildFailed(Exception):
    """The code in the child failed; the text says how, in one line."""


class _Trial:
    """A trial that a thread waits for; `problem` is None if it could not be made."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.problem: str | None = None


_lock = threading.Lock()
_known: dict[str, ImportTrial] = {}  # module -> what this process has found out
_running: dict[tuple[str, str], _Trial] = {}  # by module and state


def import_problems(
    modules: Sequence[str], cache_file: Path | None = None, patience: float | None = None
) -> dict[str, str | None]:
    """Why each installed module cannot be imported; "" if it can; None if that is not known yet.

    cache_file: the index file, in which the results are kept
    patience: seconds to wait at most; what is not known by then is found out in the background
    """
    end = None if patience is None else time.monotonic() + patience
    kept = load_imports(cache_file) if cache_file else {}
    found: dict[str, str | None] = {}
    trials: dict[str, _Trial] = {}
    found.update({module: "" for module in modules if sys.modules.get(module)})
    asked = [module for module in modules if module not in found]
    distributions = _distributions() if asked else []
    for module in asked:
        state = _state(module, distributions)
        known = next((each for each in (_known.get(module), kept.get(module)) if each and _holds(each, state)), None)
        if known:
            found[module] = known.problem
        else:
            trials[module] = _begin(module, state, cache_file)
    for module, trial in trials.items():
        trial.ended.wait(None if end is None else max(0.0, end - time.monotonic()))
        found[module] = trial.problem
    return found


def ask_child(code: str, limit: float | None = None) -> str:
    """Run code in a new Python that has our `sys.path`, and return what it leaves in the variable `said`.

    limit: seconds; by default `TIME_LIMIT`

    Raises:
        ChildFailed: the code raised an error, or ended, crashed or hung Python.
        OSError: Python could not be started.
    """
    limit = TIME_LIMIT if limit is None else limit
    text = CHILD.format(code=textwrap.indent(code, "    "))
    command = [sys.executable, "-c", text, str(limit + 10), *map(str, sys.path)]
    with tempfile.TemporaryFile() as answer:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=answer,
            stderr=subprocess.DEVNULL,
            creationflags=NO_WINDOW,
            start_new_session=True,  # a signal from the terminal is not the module's failure
        ) as child:
            try:
                code_of_exit = child.wait(limit)
            except subprocess.TimeoutExpired:
                raise ChildFailed(f"it does not end within {limit:g} seconds") from None
            finally:
                child.kill()
        answer.seek(0)
        said = answer.read().decode("utf-8", "replace")
    if not said:
        raise ChildFailed(_how_it_ended(code_of_exit))
    if said[0] != "+":
        raise ChildFailed(printable(without_folders(" ".join(said[1:].split())), LONGEST))
    return said[1:]


def _begin(module: str, state: str, cache_file: Path | None) -> _Trial:
    """The trial of a module that runs already, or a new one."""
    with _lock:
        trial = _running.get((module, state))
        if trial is None:
            trial = _running[module, state] = _Trial()
            threading.Thread(target=_try, args=(trial, module, state, cache_file), daemon=True).start()
        return trial


def _try(trial: _Trial, module: str, state: str, cache_file: Path | None) -> None:
    try:
        trial.problem = _problem(module)
        if trial.problem is not None:
            _known[module] = result = ImportTrial(state, trial.problem, time.time())
            if cache_file:
                save_import(cache_file, module, result)
    finally:
        trial.ended.set()
        with _lock:
            _running.pop((module, state), None)


def _problem(module: str) -> str | None:
    try:
        return ask_child(IMPORT.format(module=module))
    except ChildFailed as error:
        return str(error)
    except OSError:  # no process can be started here, or there is no room for its answer
        return None


def _how_it_ended(code: int) -> str:
    if code >= 0:
        return f"Python ends (exit code {code})" if code < 2**31 else f"Python crashes (0x{code:X})"  # Windows
    try:
        return f"Python crashes ({signal.Signals(-code).name})"
    except ValueError:
        return f"Python crashes (signal {-code})"


def _holds(trial: ImportTrial, state: str) -> bool:
    return trial.state == state and (not trial.problem or 0 <= time.time() - trial.time < FAILURE_SECONDS)


def _state(module: str, distributions: object) -> str:
    """A hash that changes with Python, with the module's own file, and with any package that is installed."""
    spec = importlib.util.find_spec(module)
    origin = spec.origin if spec and spec.origin else ""
    state = (sys.version, sys.prefix, origin, _time(origin), _time(LIBRARIES), distributions)
    return hashlib.sha256(repr(state).encode("utf-8", "surrogateescape")).hexdigest()


def _distributions() -> list[tuple[str, int]]:
    """The names and times of all installed distributions."""
    found: list[tuple[str, int]] = []
    for folder in dict.fromkeys(map(str, sys.path)):
        with suppress(OSError), os.scandir(folder or ".") as entries:
            found += [(each.name, each.stat().st_mtime_ns) for each in entries if each.name.endswith(DISTRIBUTIONS)]
    return sorted(found)


def _time(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
