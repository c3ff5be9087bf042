"""Embed the shards of one machine, one after the other."""

from __future__ import annotations

from collections.abc import Callable

from ..filling.groups import Embeds, Read
from ..filling.reading import read_file
from .place import Place
from .plan import Plan
from .shard import embed_shard

OnProgress = Callable[[int, int], object]


def embed_share(
    place: Place,
    plan: Plan,
    embedder: Embeds,
    share: tuple[int, int] = (1, 1),
    *,
    on_progress: OnProgress = lambda done, total: None,
    read: Read = read_file,
) -> int:
    """Make the parts of a share that are not there yet, and return how many were made.

    share: (i, n): every n-th shard, from the i-th on, counted from 1; the same on all machines, whatever is there
    on_progress: called with how many files of the share are done, and how many it has
    read: what reads a file, for tests

    Raises:
        NotWritten: a part could not be written; those that are there stay.
        ValueError: there is no such share.
    """
    numbers = shards_of(plan, share)
    missing = set(place.missing(plan))
    total = sum(len(plan.of(number)) for number in numbers)
    done, made = total - sum(len(plan.of(number)) for number in numbers if number in missing), 0
    on_progress(done, total)

    def count(files: int) -> None:
        nonlocal done
        done += files
        on_progress(done, total)

    for number in numbers:
        if number not in missing:
            continue
        if not place.has_plan:
            break  # all was there, and is collected
        if place.part(plan, number).exists():  # another machine was faster
            count(len(plan.of(number)))
            continue
        place.write_part(plan, number, embed_shard(plan, number, place.source, embedder, read=read, on_files=count))
        made += 1
    return made


def shards_of(plan: Plan, share: tuple[int, int]) -> range:
    """The numbers of the shards of a share. ValueError if it is none."""
    i, n = share
    if not 1 <= i <= n:
        raise ValueError(f"{i}/{n} is no share of the work: write 1/3, 2/3 and 3/3 for three machines.")
    return range(i - 1, plan.shards, n)
