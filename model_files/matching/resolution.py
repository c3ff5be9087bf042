"""Find the file for a need over all folders, by content first, or say why there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..catalogue import Catalogue, Entry
from ..index import Index, IndexedFile, Progress
from .checks import Choice, Matcher, is_ours
from .requirement import HOMES, Need, Resolution, homes_of

OnProgress = Callable[[Progress], None] | None

PATIENCE = 10.0  # seconds to look for a missing file in other folders


def resolve(
    need: Need, index: Index, catalogue: Catalogue, patience: float = PATIENCE, on_progress: OnProgress = None
) -> Resolution:
    """The file that is needed, or what there is instead.

    It waits until the folders in which the file belongs are read. Only if the file is missing there does it look into
    the others, for at most `patience` seconds: the first pass over thousands of files takes longer, and continues in
    the background.

    on_progress: is called while waiting, and may raise an error to stop it
    """
    wanted = need.wanted(catalogue)
    homes = _homes(need, wanted)
    matcher = Matcher(need, wanted, catalogue)
    good, rejected = _choose(matcher, index, homes, on_progress)
    everything = [] if good else index.files(timeout=patience, on_progress=on_progress)
    elsewhere = [file for file in everything if file.file.type not in homes or not index.can_use(file)]
    misplaced, _ = matcher.choose([file for file in elsewhere if is_ours(file)])
    return Resolution(
        need,
        good[0] if good else None,
        rejected,
        misplaced,
        wanted,
        homes,
        [path for model_type in homes for path in index.paths(model_type)],
        list(
            dict.fromkeys(
                purpose
                for entry in catalogue.find(kind=need.kind, base_model=need.base_model or None)
                for purpose in entry.purposes
            )
        ),
        [] if good else [model_type for model_type in index.types if index.has_no_view(model_type)],
    )


def glance(need: Need, index: Index, catalogue: Catalogue, patience: float) -> Resolution:
    """What `resolve` would find, as far as is known now, without looking into other folders.

    If the folders in which the file belongs have changed, it waits for at most `patience` seconds until they are read.
    """
    wanted = need.wanted(catalogue)
    homes = _homes(need, wanted)
    matcher = Matcher(need, wanted, catalogue)
    good, rejected = matcher.choose(_files(index, homes, timeout=patience))
    if good and not index.is_current(good[0]):
        index.rescan(*homes, timeout=patience)
        good, rejected = matcher.choose(_files(index, homes, timeout=0.0))
    return Resolution(need, good[0] if good else None, rejected, [], wanted, homes, [])


def _homes(need: Need, wanted: Sequence[Entry]) -> list[str]:
    return list(dict.fromkeys(home for entry in wanted for home in homes_of(entry))) or [HOMES[need.kind]]


def _files(
    index: Index, homes: Sequence[str], timeout: float | None = None, on_progress: OnProgress = None
) -> list[IndexedFile]:
    files = (index.files(model_type, timeout=timeout, on_progress=on_progress) for model_type in homes)
    return [file for each in files for file in each if index.can_use(file)]


def _choose(matcher: Matcher, index: Index, homes: Sequence[str], on_progress: OnProgress) -> Choice:
    """Choose among files as they are now: folders are read again before a file is called found or missing."""
    for _ in range(3):
        good, rejected = matcher.choose(_files(index, homes, on_progress=on_progress))
        if index.is_current(good[0]) if good else not any(map(index.is_old, homes)):
            return good, rejected
        index.rescan(*homes, on_progress=on_progress)
    return matcher.choose(_files(index, homes))
