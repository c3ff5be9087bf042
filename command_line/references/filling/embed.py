"""Answer the command "embed": make the vectors of pictures, and keep them in a library."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....model_files.folders import Installation
from ....references.digests import sha256_of
from ....references.library import Library
from ....tensor_files import printable
from ...terminal import Answer, ProgressLine, described, section, wrapped
from ..encoders import batch_of, check_max_pixels, find, folder_of, open_encoder
from ..places import new_library_folder
from ..searching.queries import PICTURES

if TYPE_CHECKING:
    from ....references.filling import Filled

SHOWN = 20  # paths; --json has all
TOGETHER = ("parts", "shard-size", "actors", "address")  # what only --shard and --ray know
FAILED = 3  # the exit code where some pictures could not be read


def answer(options: argparse.Namespace, where: Installation) -> Answer:
    if options.shard or options.ray:
        from .bulk import answer as answer_together

        return answer_together(options, where)
    if given := next((f"--{name}" for name in TOGETHER if getattr(options, name.replace("-", "_")) is not None), None):
        raise ValueError(f"{given} is for machines that share the work: give --shard 1/2 and --shard 2/2, or --ray.")
    folder = new_library_folder(where, options.name)
    filled = fill_from(options.source, folder, options.encoder, where, options.prune, options.max_pixels)
    with Library.open(folder) as library:
        count = library.count
    data = {"library": options.name, "pictures": count, **data_of(filled)}
    return Answer(data, lines_of(filled, options.name, count), FAILED if filled.failed else 0)


def fill_from(
    source: str,
    folder: Path,
    encoder: str | None,
    where: Installation,
    prune: bool = False,
    max_pixels: int | None = None,
) -> Filled:
    """Fill the library in a folder with the pictures of a folder or of a list, and show on stderr how far that is.

    encoder: as it was given; otherwise the library's own
    max_pixels: as `open_encoder` takes it

    Raises:
        ValueError: there is no such source or encoder, or the library is of another encoder.
    """
    from ....references.filling import fill

    check_source(source)
    library = known_library(folder)
    path = find(encoder, where, library)
    check_max_pixels(max_pixels, [path])
    line = ProgressLine()

    def progress(done: int, total: int) -> None:
        line.show(f"{done:,} of {total:,} pictures")

    try:
        with open_encoder(path, library, max_pixels) as embedder:
            return fill(
                folder,
                source,
                embedder,
                on_progress=progress,
                batch=batch_of(path),
                prune=prune,
                encoder_sha256="" if library else sha256_of(path),
                encoder_path=folder_of(path),
            )
    finally:
        line.clear()


def check_source(source: str) -> None:
    """ValueError if it is neither a folder nor a list."""
    if not os.path.exists(source):
        raise ValueError(f"There is no folder or list {printable(source)!r}.")
    if os.path.isfile(source) and source.lower().endswith(PICTURES):
        above = printable(os.path.dirname(os.path.abspath(source)))
        raise ValueError(f"{printable(source)!r} is one picture: give its folder, {above!r}, or a list of pictures.")


def known_library(folder: Path) -> Library | None:
    """The library in a folder, closed again; None if there is none yet."""
    try:
        with Library.open(folder) as library:
            return library
    except FileNotFoundError:
        return None


def failed_lines(failed: Sequence[tuple[object, str]]) -> list[str]:
    """Which files could not be read, and why."""
    more = [f"  and {len(failed) - SHOWN:,} more"] if len(failed) > SHOWN else []
    rows = described([(str(path), why) for path, why in failed[:SHOWN]])
    return section(f"Not read ({len(failed):,})", [*rows, *more])


def data_of(filled: Filled) -> dict[str, Any]:
    return {
        "added": filled.added,
        "replaced": filled.replaced,
        "unchanged": filled.unchanged,
        "moved": [{"from": str(old), "to": str(new)} for old, new in filled.moved],
        "gone": [str(path) for path in filled.gone],
        "pruned": filled.pruned,
        "failed": [{"path": str(path), "reason": why} for path, why in filled.failed],
    }


def lines_of(filled: Filled, name: str, count: int) -> list[str]:
    numbers = {
        "added": filled.added,
        "changed": filled.replaced,
        "unchanged": filled.unchanged,
        "moved": len(filled.moved),
        "removed": len(filled.gone) if filled.pruned else 0,
    }
    said = ", ".join(f"{number:,} {what}" for what, number in numbers.items() if number) or "nothing to do"
    lines = wrapped(f"The library {name} has {count:,} picture{'' if count == 1 else 's'}: {said}.")
    if filled.gone and not filled.pruned:
        lines += wrapped(
            f"The files of {len(filled.gone):,} more are not there any more: {_some(filled.gone)}. Their entries stay; "
            "with --prune they are removed, with their ratings."
        )
    return [*lines, *(["", *failed_lines(filled.failed)] if filled.failed else [])]


def _some(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - SHOWN:,} more" if len(paths) > SHOWN else ""
    return f"{', '.join(map(str, paths[:SHOWN]))}{more}"
