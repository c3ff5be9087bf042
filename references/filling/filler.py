"""Fill a library. Letters: n pictures, D numbers of a vector."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

import numpy as np

from ..library import WORTH_COMPACTING, NewPicture, Writer
from ..library.about import ABOUT
from ..library.parts import ROWS
from ..library.picture import Failure
from ..space import Space
from .filled import Filled
from .groups import BATCH, Embeds, Found, Group, Groups, Read, Vector
from .listing import Entries, Said, list_entries
from .looking import Looked, check_any, keep_looked, look
from .plan import File
from .reading import is_features, read_file
from .walk import FEATURES, walk

EVERY = 10.0  # seconds between two transactions; the result does not depend on it

OnProgress = Callable[[int, int], object]


def fill(
    library: str | os.PathLike[str],
    source: str | os.PathLike[str],
    embedder: Embeds | None,
    *,
    on_progress: OnProgress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    batch: int = BATCH,
    prune: bool = False,
    encoder_sha256: str = "",
    encoder_path: str = "",
    read: Read = read_file,
) -> Filled:
    """Put the pictures and the saved features of a folder, or of a list, into a library. It is made if there is none.

    Files of which the library knows the size and the time are not read again. What is new is added in the order of the
    paths, or of the list. A file that cannot be read becomes an error of the library, and is tried again in the next
    run, after all others. Wherever the process is stopped or killed, the next run goes on from there, and ends with the
    same bytes as one run would have.

    library: its folder
    source: a folder, or a JSON file as `listing` describes
    embedder: None if there are only saved features
    on_progress: called with how many files are done, and how many are to be read
    should_stop: asked between pictures
    batch: how many pictures are embedded at once
    prune: whether pictures whose files are gone are removed from the library; ratings go with them
    encoder_sha256, encoder_path: as `library.about.About` has them, kept when the library is made
    read: what reads a file, for tests

    Raises:
        NotWritten: the library cannot be written, or somebody else is writing it.
        ValueError: the source cannot be read, the library is of another space, or it would be made of no picture.
    """
    folder, source = Path(library).absolute(), Path(os.path.abspath(source))
    entries = None if source.is_dir() else list_entries(source)
    check_any(folder, source, entries)
    space = embedder.space if embedder else _space_of_features(folder, source)
    with Writer.open(folder, space, encoder_sha256, encoder_path) as writer:
        filling = _Filling(writer, source, entries, embedder, on_progress, should_stop, max(1, batch), read)
        return filling.run(prune)


class _Filling:
    def __init__(
        self,
        writer: Writer,
        source: Path,
        entries: Entries | None,
        embedder: Embeds | None,
        on_progress: OnProgress | None,
        should_stop: Callable[[], bool],
        batch: int,
        read: Read,
    ) -> None:
        self.writer, self.source, self.entries, self.embedder = writer, source, entries, embedder
        self.on_progress, self.should_stop = on_progress, should_stop
        self.reading = Groups(writer.space, lambda file: writer.rows.sha256(file.key), batch, read)
        self.added: list[tuple[NewPicture, Vector]] = []  # these wait for the next transaction
        self.touched: list[File] = []
        self.failures: list[Failure] = []

    def run(self, prune: bool) -> Filled:
        self.looked = look(self.writer, self.source, self.entries, self.should_stop)
        self._check(self.looked, prune)
        self.filled = keep_looked(self.writer, self.looked, prune and not self.should_stop())
        try:
            self._embed(self.looked.plan.todo)
        finally:
            self._keep()
        if not self.filled.stopped:
            self._describe()
            if self.writer.dead > WORTH_COMPACTING:
                self.writer.compact()
        return self.filled

    def _check(self, looked: Looked, prune: bool) -> None:
        plan = looked.plan
        if prune and plan.gone and not plan.found:
            raise ValueError(
                f"None of the {len(plan.gone):,} pictures that the library knows in {self.source} is there any more. "
                "If they are on a drive that is not connected, connect it. Nothing was removed."
            )
        if not self.embedder and any(file.whole.suffix.lower() != FEATURES for file in plan.todo):
            raise ValueError(f"There are pictures in {self.source}: give an image encoder to embed them with.")

    # --------------------------------------------------------------------------------------------------------- files

    def _embed(self, todo: Sequence[File]) -> None:
        done, kept = 0, time.monotonic()
        with closing(self.reading.of(todo, self.should_stop)) as groups:
            for group in groups:
                self._embed_group(group)
                done += len(group.files)
                if time.monotonic() - kept >= EVERY or len(self.added) >= ROWS:
                    self._keep()
                    kept = time.monotonic()
                if self.on_progress:
                    self.on_progress(done, len(todo))
        self.filled.stopped = done < len(todo)

    def _embed_group(self, group: Group) -> None:
        for found, vector in group.embedded(self.embedder):
            self.added.append((self._new(found), vector))
            self.filled.replaced += found[0].known
            self.filled.added += not found[0].known
        self.touched += group.touched
        self.filled.unchanged += len(group.touched)
        self.failures += [Failure(*file.key, why, file.size, file.mtime_ns) for file, why in group.failed]
        self.filled.failed += [(file.whole, why) for file, why in group.failed]

    def _new(self, found: Found) -> NewPicture:
        file, sha256, content = found
        said = self.looked.said.get(file.key, Said())
        return NewPicture(
            self.looked.roots[file.root],
            file.path,
            file.size,
            file.mtime_ns,
            sha256,
            content.width,
            content.height,
            content.hash64,
            content.kind,
            said.text,
            {**content.metadata, **said.metadata},
        )

    # -------------------------------------------------------------------------------------------------------- writing

    def _keep(self) -> None:
        """Write what has been read since the last time."""
        with self.writer.together():
            self.writer.add([new for new, _ in self.added], np.array([vector for _, vector in self.added], np.float32))
            for file in self.touched:
                self.writer.rows.touch(file.key, file.size, file.mtime_ns)
            for failure in self.failures:
                self.writer.rows.fail(failure)
        self.added, self.touched, self.failures = [], [], []

    def _describe(self) -> None:
        """Keep what a list says of pictures that were known before."""
        if not self.looked.said:
            return
        known = self.writer.rows.details()
        with self.writer.together():
            for key, said in self.looked.said.items():
                if key not in known:
                    continue
                id, text, metadata = known[key]
                told = (said.text or text, {**metadata, **said.metadata})
                if told != (text, metadata):
                    self.writer.rows.put_details(id, *told)
                    self.writer.rows.changed()


def _space_of_features(library: Path, source: Path) -> Space | None:
    """That of the first file of saved features; None if the library is there and says it."""
    from ...clip_vision.saving.saved import load_features

    if (library / ABOUT).exists() or source.is_file():
        return None
    files = [root / path for root, entries in walk(source, []).files.items() for path, _, _ in sorted(entries)]
    for path in (file for file in files if file.suffix.lower() == FEATURES and is_features(file)):
        with suppress(ValueError):
            features = load_features(path).features
            if features.image_embeds is not None and features.encoder:
                return Space(features.encoder, features.image_embeds.shape[1])
    raise ValueError(f"There are no saved features in {source}: give an image encoder to embed pictures with.")
