"""Make the plan, or take up the one that somebody else has made."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...tensor_files import printable
from ..filling.filled import Filled
from ..filling.groups import BATCH
from ..filling.looking import Looked, check_any, keep_looked, look
from ..library import WORTH_COMPACTING, Writer
from ..library.about import shown
from ..library.writer_lock import BeingWritten
from .maker import Maker
from .place import Place
from .plan import SHARD, Entry, Plan
from .shard import as_planned

PATIENCE = 600.0  # seconds to wait for another machine that makes the plan
LOOK_AGAIN = 0.5  # seconds
LOOKED_AT = 64  # files, to see whether a plan is of this folder


@dataclass(frozen=True)
class Begun:
    """
    plan: None if there is nothing to embed
    filled: what the library knew of the folder, and what was moved or is gone; None if somebody else made the plan
    """

    plan: Plan | None
    filled: Filled | None


def begin(
    place: Place,
    maker: Maker,
    *,
    shard: int | None = None,
    batch: int = BATCH,
    encoder_path: str = "",
    on_wait: Callable[[], object] = lambda: None,
) -> Begun:
    """The plan of a folder. The first machine makes it, of what its library lacks; the others take it up.

    shard: how many files a shard has, by default SHARD; only of use to who makes the plan
    batch: how many pictures are embedded at once; the same
    encoder_path: as `library.about.About` has it, kept when the library is made
    on_wait: called while another process makes the plan

    Raises:
        NotWritten: the plan or the library cannot be written.
        ValueError: the plan that is there is of another encoder, or of other pictures; or there is no picture.
    """
    waited_from = time.monotonic()
    while True:
        if plan := place.read_plan():
            _check(place, plan, maker, shard)
            return Begun(plan, None)
        try:
            if begun := _made(place, maker, shard or SHARD, batch, encoder_path):
                return begun
        except BeingWritten:  # perhaps by another machine, which makes the plan
            if time.monotonic() - waited_from > PATIENCE:
                raise
            on_wait()
            time.sleep(LOOK_AGAIN)


def _made(place: Place, maker: Maker, shard: int, batch: int, encoder_path: str) -> Begun | None:
    """None if somebody else was first."""
    if place.library is None:
        raise ValueError(
            f"There is no plan in {place.parts}, and no library on this machine to make one for. Start first on the "
            "machine that has the library, or give the folder of its ComfyUI with --comfyui PATH."
        )
    check_any(place.library, place.source)
    with Writer.open(place.library, maker.space, maker.sha256, encoder_path) as writer:
        if place.has_plan:
            return None
        looked = look(writer, place.source, None, lambda: False)
        filled = keep_looked(writer, looked, prune=False)
        if not looked.plan.todo:
            if writer.dead > WORTH_COMPACTING:
                writer.compact()
            place.sweep()
            return Begun(None, filled)
        plan = Plan(maker, max(1, batch), shard, *_listed(writer, looked, place.source))
        place.mark(plan)
        if not place.write_plan(plan):
            place.unmark()
            return None
        place.remove_others(plan)
    return Begun(plan, filled)


def _listed(writer: Writer, looked: Looked, source: Path) -> tuple[dict[int, str], list[Entry]]:
    """The roots and the entries of a plan."""
    entries = [
        Entry(
            file.root,
            file.path,
            file.size,
            file.mtime_ns,
            file.known,
            writer.rows.sha256(file.key) if file.known else "",
        )
        for file in looked.plan.todo
    ]
    numbers = sorted({entry.root for entry in entries})
    return {number: Path(os.path.relpath(looked.roots[number], source)).as_posix() for number in numbers}, entries


def _check(place: Place, plan: Plan, maker: Maker, shard: int | None) -> None:
    """Refuse a plan of another encoder, or of other pictures. ValueError says what differs."""
    why = plan.maker.difference(maker)
    if not why and shard is not None and shard != plan.shard:
        why = f"it has {plan.shard:,} pictures a shard, and {shard:,} are asked for"
    if why := why or _other_pictures(plan, place.source):
        raise ValueError(
            f"There is another plan in {place.parts}: {why}. Do the same as for that plan until its parts are "
            "collected, or delete that folder to drop the plan and its parts."
        )


def _other_pictures(plan: Plan, source: Path) -> str:
    """How the pictures of a plan and those in a folder differ; an empty text if most of them are as the plan says."""
    some = plan.entries[:: -(-len(plan.entries) // LOOKED_AT)]
    other = [entry for entry in some if not _is_there(plan, entry, source)]
    if len(other) * 2 <= len(some):
        return ""
    return (
        f"{len(other):,} of {len(some):,} of its pictures that were looked for are not in {shown(source)} as they were "
        f"then, such as {printable(other[0].path)}"
    )


def _is_there(plan: Plan, entry: Entry, source: Path) -> bool:
    file = plan.file(entry, source)
    try:
        return bool(as_planned(file, os.stat(file.whole)))
    except (OSError, ValueError):
        return False
