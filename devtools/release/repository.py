"""What git knows: whether all is committed, the commits of a release, and the files that it ships."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from ..stages import StageError

IGNORED = ".comfyignore"  # what the registry does not get, in the words of a .gitignore
BOUNDARY = '^version = "'  # the line of pyproject.toml that begins a version


class Commit(NamedTuple):
    subject: str
    files: tuple[str, ...]


def git(folder: Path, *arguments: str | Path, given: str = "", fine: tuple[int, ...] = (0,)) -> str:
    """What git says. Raises StageError with its words if it ends with a code that is not fine."""
    if shutil.which("git") is None:
        raise StageError("release", "there is no git here, which knows the files and commits of a release.")
    command = ["git", "-c", "core.quotePath=false", "-C", str(folder), *map(str, arguments)]
    done = subprocess.run(command, input=given, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode not in fine:
        raise StageError("release", f"git {' '.join(map(str, arguments))}: {done.stderr.strip()}")
    return done.stdout


def require_committed(folder: Path) -> None:
    if changed := git(folder, "status", "--porcelain").splitlines():
        names = ", ".join(line[3:] for line in changed[:5]) + (", ..." if len(changed) > 5 else "")
        raise StageError(
            "release", f"not committed: {names}. A release is made of a commit: commit these, or undo them."
        )


def shipped(folder: Path) -> set[str]:
    """The files of the checkout that the registry gets: those in git that .comfyignore does not name."""
    return of_users(folder, _names(git(folder, "ls-files", "-z")))


def of_users(folder: Path, files: set[str]) -> set[str]:
    """Those of some files, be they there or gone, that the registry would get."""
    rules = ("-c", f"core.excludesFile={folder / IGNORED}")
    command = (*rules, "check-ignore", "--no-index", "--stdin", "-z")
    return files - _names(git(folder, *command, given="\0".join(files), fine=(0, 1)))


def commits_of_release(folder: Path) -> list[Commit]:
    """The commits since the version before this one was set, the oldest first, without those that set one."""
    boundaries = git(folder, "log", "--format=%H", f"-G{BOUNDARY}", "--", "pyproject.toml").split()
    since = [f"{boundaries[1]}..HEAD"] if len(boundaries) > 1 else ["HEAD"]
    options = ("--reverse", "--no-merges", "--invert-grep", "--grep=^Release [0-9]", "--name-only")
    log = git(folder, "log", *options, "--format=%x00%s", *since)
    parts = [part.strip().splitlines() for part in log.split("\0") if part.strip()]
    return [Commit(subject, tuple(name for name in names if name)) for subject, *names in parts]


def _names(said: str) -> set[str]:
    return {name for name in said.split("\0") if name}
