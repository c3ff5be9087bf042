"""Do something in a child process that meets a fault: it is killed, or its disk is full, or it may not write."""

import contextlib
import ctypes
import errno
import fcntl
import itertools
import json
import logging
import os
import resource
import signal
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

STEPS = {  # module: functions that change files
    os: ("fsync", "link", "replace", "rename", "unlink", "mkdir", "rmdir", "truncate", "ftruncate"),
    fcntl: ("flock",),
}
struck: list[str] = []  # in a child
NEEDS_ROOM = {"fsync", "link", "replace", "rename", "mkdir"}


@dataclass(frozen=True)
class Fault:
    """killed: whether the process is killed there; otherwise the disk is full
    byte: no file grows beyond so many; the kernel sees to it
    step: it happens instead of this one call of those that change files, counted from 0
    """

    killed: bool = False
    byte: int | None = None
    step: int | None = None

    def arm(self) -> None:
        if self.byte is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL if self.killed else signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.byte, resource.RLIM_INFINITY))
        elif self.step is not None:
            self._arm_steps(itertools.count())

    def _arm_steps(self, before: Iterator[int]) -> None:
        def stepped(name: str, function: Callable) -> Callable:
            def call(*given, **named):
                counts = self.killed or name in NEEDS_ROOM
                if counts and next(before) == self.step:
                    if self.killed:
                        os.kill(os.getpid(), signal.SIGKILL)
                    struck.append(name)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return function(*given, **named)

            return call

        for module, names in STEPS.items():
            for name in names:
                setattr(module, name, stepped(name, getattr(module, name)))


@dataclass
class Ended:
    """killed: by a signal
    error: the name of the type of the error; "" if there was none
    said: its text, or what the log said
    struck: the step that the fault came instead of, if it did
    """

    killed: bool = False
    error: str = ""
    said: list[str] = field(default_factory=list)
    struck: list[str] = field(default_factory=list)


def apart(act: Callable[[], object], prepare: Callable[[], None] = lambda: None) -> Ended:
    """Do it in a child process."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        os.write(writer, json.dumps(asdict(attempt(act, prepare))).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answers:
        answer = answers.read()
    status = os.waitpid(child, 0)[1]
    return Ended(killed=True) if os.WIFSIGNALED(status) else Ended(**json.loads(answer))


def attempt(act: Callable[[], object], prepare: Callable[[], None] = lambda: None) -> Ended:
    """Do it here."""
    ended = Ended(struck=struck)
    heard = logging.Handler()
    heard.emit = lambda record: ended.said.append(record.getMessage())
    logging.getLogger().addHandler(heard)
    try:
        prepare()
        act()
    except Exception as error:
        ended.error = "ValueError" if isinstance(error, ValueError) else type(error).__name__  # a sentence for people
        ended.said.append(str(error))
    finally:
        logging.getLogger().removeHandler(heard)
    return ended


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody may write into the folder and what is in it, but root; see `without_rights`."""
    everything = [folder, *folder.rglob("*")]
    before = {path: stat.S_IMODE(path.stat().st_mode) for path in everything}
    for path in reversed(everything):
        path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        yield
    finally:
        for path in everything:
            path.chmod(before[path])


def without_rights() -> None:
    """Take from root the right to write where others may not."""
    if os.geteuid():
        return
    version_and_process = (ctypes.c_uint32 * 2)(0x20080522, 0)
    none = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(version_and_process, none):
        raise OSError(ctypes.get_errno(), "The rights of root could not be given up")
