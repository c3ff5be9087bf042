"""Answer the command "embed" where several machines, or a cluster of Ray, share the work."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ....model_files.folders import Installation
from ....references.library import Library, check_name
from ....tensor_files import printable
from ...terminal import Answer, ProgressLine, wrapped
from ..encoders import batch_of, check_max_pixels, find, folder_of, open_encoder
from ..places import bulk_folder, new_library_folder
from .embed import FAILED, check_source, data_of, known_library, lines_of

if TYPE_CHECKING:
    from ....references.bulk import Begun, Collected, Place, Plan
    from ....references.embedders import AnyEmbedder
    from ....references.filling import Filled
    from ....references.space import Space


def answer(options: argparse.Namespace, where: Installation) -> Answer:
    _check(options)
    place, line = _place(options, where), ProgressLine()
    try:
        begun, made = _embed(options, place, _encoder(options, where, place), line)
        collected = _collect(place, begun, line)
    finally:
        line.clear()
    return _answer(options.name, place, begun, made, collected)


def _check(options: argparse.Namespace) -> None:
    """ValueError for what does not go together."""
    check_source(options.source)
    if os.path.isfile(options.source):
        raise ValueError(
            f"{printable(options.source)!r} is a list, which one machine embeds: leave --shard and --ray out, or give "
            "a folder."
        )
    if options.prune:
        raise ValueError(
            "--prune is for one machine: when the parts are collected, the same without --shard and --ray removes what "
            "is gone, and embeds nothing again."
        )
    if not options.ray and (given := "actors" if options.actors else "address" if options.address else ""):
        raise ValueError(f"--{given} is for a cluster of Ray: give --ray as well.")


def _place(options: argparse.Namespace, where: Installation) -> Place:
    from ....references.bulk import Place

    source = Path(os.path.abspath(options.source))
    if options.parts is None:
        return Place(source, bulk_folder(where, options.name), new_library_folder(where, options.name))
    check_name(options.name)
    library = None if where.private is None else new_library_folder(where, options.name)
    return Place(source, Path(os.path.abspath(options.parts)), library)


@dataclass(frozen=True)
class _Made:
    """What a plan says of its encoder, as a library does."""

    name: str
    space: Space
    encoder_sha256: str
    encoder_path: str


@dataclass(frozen=True)
class _Encoder:
    """Which encoder computes, and how.

    made: in whose space it embeds; None if there is neither a plan nor a library
    max_pixels: as it was given, or else that of the plan
    """

    path: Path
    made: _Made | Library | None
    max_pixels: int | None


def _encoder(options: argparse.Namespace, where: Installation, place: Place) -> _Encoder:
    plan, library = place.read_plan(), known_library(place.library) if place.library else None
    made = library
    if plan:  # which does not know where a folder is on this machine
        is_same = library is not None and library.encoder_sha256 == plan.maker.sha256
        folder = library.encoder_path if library is not None and is_same else ""
        made = _Made(options.name, plan.maker.space, plan.maker.sha256, folder)
    path = find(options.encoder, where, made)
    check_max_pixels(options.max_pixels, [path])
    limit = plan.maker.max_pixels if plan and options.max_pixels is None else options.max_pixels
    return _Encoder(path, made, limit)


def _embed(options: argparse.Namespace, place: Place, encoder: _Encoder, line: ProgressLine) -> tuple[Begun, int]:
    """The plan, and how many parts were made here."""
    from ....references.bulk import embed_share, on_ray

    def progress(done: int, total: int) -> None:
        line.show(f"{done:,} of {total:,} pictures")

    if options.ray:
        on_ray.check_installed()
    line.show("Loading the encoder", now=True)
    with open_encoder(encoder.path, encoder.made, encoder.max_pixels, "cpu" if options.ray else "auto") as embedder:
        begun = _begun(options, place, encoder.path, embedder, line)
        if begun.plan is None:
            return begun, 0
        if not options.ray:
            with _Stopped(place, begun.plan):
                return begun, embed_share(place, begun.plan, embedder, options.shard, on_progress=progress)
    path, cluster = encoder.path, on_ray.Cluster(options.actors, options.address)
    with _Stopped(place, begun.plan):
        starting = "Starting Ray, which takes some seconds"
        on_start = lambda: line.show(starting, now=True)  # noqa: E731
        return begun, on_ray.embed_on_ray(place, begun.plan, path, cluster, on_progress=progress, on_start=on_start)


def _begun(options: argparse.Namespace, place: Place, path: Path, embedder: AnyEmbedder, line: ProgressLine) -> Begun:
    from ....references.bulk import Maker, begin

    waiting = "Waiting for another program that writes the library"
    return begin(
        place,
        Maker.of(embedder, path),
        shard=options.shard_size,
        batch=batch_of(path),
        encoder_path=folder_of(path),
        on_wait=lambda: line.show(waiting),
    )


class _Stopped:
    """Say how far it is when Ctrl-C ends it."""

    def __init__(self, place: Place, plan: Plan) -> None:
        self.place, self.plan = place, plan

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is KeyboardInterrupt:
            there = self.plan.shards - len(self.place.missing(self.plan))
            raise KeyboardInterrupt(
                f"{there:,} of {self.plan.shards:,} parts are there: the same command goes on from here."
            ) from None


def _collect(place: Place, begun: Begun, line: ProgressLine) -> Collected:
    from ....references.bulk import Collected, collect

    if begun.plan is None:
        return Collected("collected")
    return collect(place, begun.plan, lambda done, total: line.show(f"Collecting {done:,} of {total:,} pictures"))


def _answer(name: str, place: Place, begun: Begun, made: int, collected: Collected) -> Answer:
    filled = _together(begun, collected)
    shards = begun.plan.shards if begun.plan else 0
    library = known_library(place.library) if place.library and collected.state == "collected" else None
    count = None if library is None else library.count
    data = {
        "library": name,
        "pictures": count,
        "state": collected.state,
        "parts": {"all": shards, "made": made, "missing": collected.missing},
        **data_of(filled),
    }
    if count is None or (begun.plan and collected.filled is None):
        lines = wrapped(_said(name, place, shards, made, collected))
    else:
        lines = lines_of(filled, name, count)
    return Answer(data, lines, FAILED if filled.failed else 0)


def _together(begun: Begun, collected: Collected) -> Filled:
    """What was found for the plan, and what was collected."""
    from ....references.filling import Filled

    found, got = begun.filled or Filled(), collected.filled or Filled()
    return Filled(
        got.added,
        got.replaced,
        found.unchanged + got.unchanged,
        found.moved,
        found.failed + got.failed,
        found.gone,
    )


def _said(name: str, place: Place, shards: int, made: int, collected: Collected) -> str:
    """What was done, and what is left."""
    done = f"{made:,} of {shards:,} parts {'was' if made == 1 else 'were'} made here"
    left = collected.missing
    return {
        "collected": f"{done}. Another machine has collected all of them into the library {name}.",
        "missing": f"{done}, and {left:,} {'is' if left == 1 else 'are'} missing in {place.parts}. The machine that "
        f"makes the last one collects all; `--shard 1/1` makes those of machines that were stopped.",
        "elsewhere": f"{done}, and none is missing in {place.parts}. Run the same once more on the machine that has "
        f"the library {name}, and it collects them. If that library is gone, delete the folder of the parts and start "
        "again.",
        "busy": f"{done}, and none is missing. Another program writes the library {name}: if it does not collect them, "
        "run the same again.",
    }[collected.state]
