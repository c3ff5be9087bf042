"""Needs -> files: over all folders, by content first; and if there is none, why.

    index, catalogue = Index(ModelFolders.from_root("/opt/ComfyUI")), Catalogue.load()
    resolution = resolve(Need("adapter", purpose="plus face", base_model="SDXL"), index, catalogue)
    resolution.found.file.path if resolution.found else explain(resolution)
"""

from __future__ import annotations

from collections.abc import Sequence

from .catalogue import Catalogue
from .explain import explain
from .index import Index
from .judge import Choice, Judge, is_ours
from .need import HOMES, Need, Resolution
from .report import Report, Row, table

__all__ = ["HOMES", "Need", "Report", "Resolution", "Row", "explain", "resolve", "table"]

PATIENCE = 10.0  # seconds that a file which is missing may take to be found elsewhere


def resolve(need: Need, index: Index, catalogue: Catalogue, patience: float = PATIENCE) -> Resolution:
    """The file that is needed, or what there is instead.

    Waits for the folders in which it belongs. Only where it is missing are the others asked, for `patience` seconds at
    most: the first look into thousands of files takes longer, and goes on in the background.
    """
    wanted = need.wanted(catalogue)
    homes = list(dict.fromkeys([entry.folder for entry in wanted] or [HOMES[need.kind]]))
    judge = Judge(need, wanted, catalogue)
    good, rejected = _choose(judge, index, homes)
    everything = [] if good else index.files(timeout=patience)
    misplaced, _ = judge.choose([file for file in everything if file.file.type not in homes and is_ours(file)])
    return Resolution(need, good[0] if good else None, rejected, misplaced, wanted, homes,
                      [path for type in homes for path in index.paths(type)],
                      [] if good else [type for type in index.types if index.has_no_view(type)])


def _choose(judge: Judge, index: Index, homes: Sequence[str]) -> Choice:
    """Nothing is called missing, and nothing found, by what the folders held some time ago."""
    for _ in range(3):
        good, rejected = judge.choose([file for type in homes for file in index.files(type)])
        if index.is_current(good[0]) if good else not any(map(index.is_old, homes)):
            return good, rejected
        index.rescan(*homes)
    return judge.choose([file for type in homes for file in index.files(type)])
