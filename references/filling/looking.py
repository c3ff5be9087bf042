"""Look at what is to be put into a library, and keep what needs no file to be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..library import Writer
from ..library.about import ABOUT
from ..library.rows import Key
from .filled import Filled
from .listing import Entries, Said, read_list
from .plan import Plan, make_plan
from .reading import is_features
from .walk import FEATURES, walk

NONE = "PNG, JPEG, WebP, AVIF, GIF, BMP and TIFF files are pictures, and names that begin with a dot are left out."


@dataclass(frozen=True)
class Looked:
    """What is to be done.

    roots: {number of a root: its folder}
    said: what a list says of its pictures
    """

    plan: Plan
    roots: dict[int, Path]
    said: dict[Key, Said]

    def whole(self, key: Key) -> Path:
        return self.roots[key[0]] / key[1]


def look(writer: Writer, source: Path, entries: Entries | None, should_stop: Callable[[], bool]) -> Looked:
    """Compare a folder, or the entries of a list, with the library. New roots are added to it.

    should_stop: as `make_plan` takes it
    """
    known = list(writer.roots.values())
    listed = None if entries is None else read_list(source.parent, entries, known)
    walked = listed.walked if listed else walk(source, known)
    with writer.together():
        for root in sorted(root for root, files in walked.files.items() if files):
            writer.rows.root(root)
    roots = writer.roots
    said = dict[Key, Said]()
    if listed:
        numbers = {root: number for number, root in roots.items()}
        said = {(numbers[root], path): what for (root, path), what in listed.order.items()}
    return Looked(make_plan(writer.rows, listed or walked, None if listed else source, should_stop), roots, said)


def keep_looked(writer: Writer, looked: Looked, prune: bool) -> Filled:
    """Keep what needs no file to be read: what was moved, what is gone, and which files nobody can read."""
    plan, rows = looked.plan, writer.rows
    filled = Filled(
        unchanged=plan.unchanged,
        moved=[(looked.whole(old), file.whole) for old, file in plan.moved],
        failed=[(root / path, why) for root, path, why in plan.refused],
        gone=sorted(map(looked.whole, plan.gone)),
        pruned=prune and bool(plan.gone),
    )
    with writer.together():
        for old, file in plan.moved:
            rows.move(old, file.key, file.mtime_ns)
        removed = sum(map(rows.remove, [*plan.past, *(plan.gone if filled.pruned else [])]))
        rows.changed(removed)
        for root, path, why in plan.refused:
            writer.fail(path, why, root)
    return filled


def check_any(library: Path, source: Path, entries: Entries | None = None) -> None:
    """Refuse to make a library of nothing. ValueError if there is none and the source has no picture."""
    if not (library / ABOUT).exists() and not (_has_files(source) if entries is None else entries):
        raise ValueError(f"No picture was found in {source}. {NONE}")


def _has_files(folder: Path) -> bool:
    """Whether a picture or saved features are below a folder, whether or not they can be read."""
    files = ((root / path) for root, entries in walk(folder, []).files.items() for path, _, _ in entries)
    return any(path.suffix.lower() != FEATURES or is_features(path) for path in files)
