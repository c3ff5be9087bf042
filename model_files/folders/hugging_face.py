"""Find repositories in the Hugging Face cache, which other programs fill. Nothing is downloaded into it.

HUB/models--ORG--NAME/refs/main                 the commit that `main` was when a file was last asked for
HUB/models--ORG--NAME/snapshots/COMMIT/FILE     a link to ../../blobs/HASH, or the file itself where links are refused
"""

from __future__ import annotations

import os
from pathlib import Path

from .scan import entries, modified

HUB = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")  # the first that is set counts, as in huggingface_hub
LONGEST = 200  # characters in the name of a commit


def hub_folder() -> Path:
    """The folder of the cache, by the environment variables that set it for every program; it need not exist."""
    given = next(filter(None, map(os.environ.get, HUB)), None)
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    home = os.environ.get("HF_HOME") or os.path.join(cache, "huggingface")
    return Path(os.path.abspath(os.path.expandvars(os.path.expanduser(given or os.path.join(home, "hub")))))


def repository_folder(hub: Path, repository: str) -> Path:
    return hub / "--".join(("models", *repository.split("/")))


def snapshots(hub: Path, repository: str) -> list[Path]:
    """The snapshots of a repository: that of `main` first, then the others, the newest first.

    A file may be in another than that of `main`, such as one that was converted for a pull request.
    """
    folder = repository_folder(hub, repository)
    main = _main(folder)
    found = [Path(entry.path) for entry in entries(str(folder / "snapshots")) if os.path.isdir(entry.path)]
    return sorted(found, key=lambda path: (path.name != main, -modified(str(path))))


def _main(folder: Path) -> str:
    try:
        with open(folder / "refs" / "main", encoding="ascii") as file:
            return file.read(LONGEST).strip()
    except (OSError, ValueError):
        return ""
