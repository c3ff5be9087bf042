"""Fill a library. Letters: n pictures, D numbers of a vector."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ...tensor_files import printable, without_folders
from ..library import WORTH_COMPACTING, NewPicture, Writer
from ..library.about import ABOUT
from ..library.parts import ROWS
from ..library.picture import Failure
from ..library.rows import Key
from ..space import Space
from .listing import Entries, Said, list_entries, read_list
from .plan import File, Plan, make_plan
from .reading import Content, is_features, read_file
from .walk import FEATURES, LATEST, walk

EVERY = 10.0  # seconds between two transactions; the result does not depend on it
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")  # of an object in memory; another one in each run
READERS = min(4, os.cpu_count() or 1)  # threads that open pictures; a fast encoder waits for one
AHEAD = 32 << 20  # bytes of files that are read before they are needed
LARGEST = 1 << 30  # bytes of a file, which is read into memory
NONE = "PNG, JPEG, WebP, AVIF, GIF, BMP and TIFF files are pictures, and names that begin with a dot are left out."
FULL = "There was not enough memory to embed it: close other programs that need it, or give a smaller picture."
PIXELS = 100_000_000  # of the pictures that are embedded at once; opened, they take three or four bytes each

Read = Callable[[Path, bytes, Space], Content]
OnProgress = Callable[[int, int], object]


class Embeds(Protocol):
    """`references.embedder.Embedder`, or what else has a space and gives vectors (n, D) of length 1 for pictures."""

    @property
    def space(self) -> Space: ...
    def embed_images(self, images: Any) -> Any: ...


@dataclass
class Filled:
    """What a run did; paths are whole.

    added, replaced: pictures that were embedded, new ones and changed ones
    unchanged: files that the library knew as they are
    moved: (where the file was, where it is)
    failed: (path, why)
    gone: pictures whose files are not there any more; they are still in the library, unless they were pruned
    pruned: whether they were removed from it
    stopped: whether it ended before all was done; the next run goes on
    """

    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    moved: list[tuple[Path, Path]] = field(default_factory=list[tuple[Path, Path]])
    failed: list[tuple[Path, str]] = field(default_factory=list[tuple[Path, str]])
    gone: list[Path] = field(default_factory=list[Path])
    pruned: bool = False
    stopped: bool = False


def fill(
    library: str | os.PathLike[str],
    source: str | os.PathLike[str],
    embedder: Embeds | None,
    *,
    on_progress: OnProgress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    batch: int = 32,
    prune: bool = False,
    encoder_sha256: str = "",
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
    encoder_sha256: of the encoder's file, kept when the library is made
    read: what reads a file, for tests

    Raises:
        NotWritten: the library cannot be written, or somebody else is writing it.
        ValueError: the source cannot be read, the library is of another space, or it would be made of no picture.
    """
    folder, source = Path(library).absolute(), Path(os.path.abspath(source))
    entries = None if source.is_dir() else list_entries(source)
    if not (folder / ABOUT).exists() and not (_has_files(source) if entries is None else entries):
        raise ValueError(f"No picture was found in {source}. {NONE}")
    space = embedder.space if embedder else _space_of_features(folder, source)
    with Writer.open(folder, space, encoder_sha256) as writer:
        filling = _Filling(writer, source, entries, embedder, on_progress, should_stop, batch, read)
        return filling.run(prune)


_Found = tuple[File, str, Content]  # a file as it is now, its SHA-256, what is in it
_Outcome = tuple[File, str, Content | str | None]  # or why it cannot be read; None if the library knows it as it is


@dataclass
class _Group:
    """Files that are embedded at once, and what came of reading them."""

    files: list[File] = field(default_factory=list[File])
    contents: list[_Found] = field(default_factory=list[_Found])
    touched: list[File] = field(default_factory=list[File])
    failed: list[tuple[File, str]] = field(default_factory=list[tuple[File, str]])

    def fail(self, file: File, why: str) -> None:
        self.failed.append((file, printable(without_folders(ADDRESS.sub("", why)), 500)))


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
        self.on_progress, self.should_stop, self.batch, self.read = on_progress, should_stop, max(1, batch), read
        self.filled = Filled()
        self.added: list[tuple[NewPicture, npt.NDArray[np.float32]]] = []  # these wait for the next transaction
        self.touched: list[File] = []
        self.failures: list[Failure] = []

    def run(self, prune: bool) -> Filled:
        plan = self._plan()
        if prune and plan.gone and not plan.found:
            raise ValueError(
                f"None of the {len(plan.gone):,} pictures that the library knows in {self.source} is there any more. "
                "If they are on a drive that is not connected, connect it. Nothing was removed."
            )
        if not self.embedder and any(file.whole.suffix.lower() != FEATURES for file in plan.todo):
            raise ValueError(f"There are pictures in {self.source}: give an image encoder to embed them with.")
        self._begin(plan, prune)
        try:
            self._embed(plan.todo)
        finally:
            self._keep()
        if not self.filled.stopped:
            self._describe()
            if self.writer.dead > WORTH_COMPACTING:
                self.writer.compact()
        return self.filled

    # ---------------------------------------------------------------------------------------------------------- plan

    def _plan(self) -> Plan:
        roots = list(self.writer.roots.values())
        listed = None if self.entries is None else read_list(self.source.parent, self.entries, roots)
        walked = listed.walked if listed else walk(self.source, roots)
        with self.writer.together():
            for root in sorted(root for root, files in walked.files.items() if files):
                self.writer.rows.root(root)
        self.roots = self.writer.roots
        self.said: dict[Key, Said] = {}
        if listed:
            numbers = {root: number for number, root in self.roots.items()}
            self.said = {(numbers[root], path): said for (root, path), said in listed.order.items()}
        return make_plan(self.writer.rows, listed or walked, None if listed else self.source, self.should_stop)

    def _begin(self, plan: Plan, prune: bool) -> None:
        """Keep what needs no picture to be read."""
        filled, rows = self.filled, self.writer.rows
        filled.unchanged = plan.unchanged
        filled.moved = [(self._whole(old), file.whole) for old, file in plan.moved]
        filled.gone = sorted(map(self._whole, plan.gone))
        filled.failed += [(root / path, why) for root, path, why in plan.refused]
        filled.pruned = prune and bool(plan.gone) and not self.should_stop()
        with self.writer.together():
            for old, file in plan.moved:
                rows.move(old, file.key, file.mtime_ns)
            removed = sum(map(rows.remove, [*plan.past, *(plan.gone if filled.pruned else [])]))
            rows.changed(removed)
            for root, path, why in plan.refused:
                self.writer.fail(path, why, root)

    def _whole(self, key: Key) -> Path:
        return self.roots[key[0]] / key[1]

    # --------------------------------------------------------------------------------------------------------- files

    def _embed(self, todo: Sequence[File]) -> None:
        done, kept = 0, time.monotonic()
        with closing(self._groups(todo)) as groups:
            for group in groups:
                self._embed_group(group)
                done += len(group.files)
                if time.monotonic() - kept >= EVERY or len(self.added) >= ROWS:
                    self._keep()
                    kept = time.monotonic()
                if self.on_progress:
                    self.on_progress(done, len(todo))
        self.filled.stopped = done < len(todo)

    def _groups(self, todo: Sequence[File]) -> Generator[_Group]:
        """Files that are embedded at once, until it should stop.

        Where a group ends depends on the files from its begin on, so that it is the same for a run that goes on there.
        """
        group, pixels = _Group(), 0
        with closing(self._read_ahead(todo)) as outcomes:
            for file, sha256, outcome in outcomes:
                if self.should_stop():
                    return  # what was read of an unfinished group is read again by the next run
                group.files.append(file)
                if isinstance(outcome, str):
                    group.fail(file, outcome)
                elif outcome is None:
                    group.touched.append(file)
                else:
                    group.contents.append((file, sha256, outcome))
                    pixels += outcome.width * outcome.height
                if len(group.files) == self.batch or pixels >= PIXELS:
                    yield group
                    group, pixels = _Group(), 0
        if group.files:
            yield group

    def _read_ahead(self, todo: Sequence[File]) -> Generator[_Outcome]:
        """What comes of reading each file, in their order. The next ones are read while pictures are embedded."""
        ahead, size = deque[tuple[int, Future[_Outcome]]](), 0
        following = iter(todo)
        pool = ThreadPoolExecutor(READERS)
        try:
            while True:
                while len(ahead) < self.batch and size < AHEAD and (file := next(following, None)):
                    known = self.writer.rows.sha256(file.key) if file.known else ""
                    ahead.append((file.size, pool.submit(self._read, file, known)))
                    size += file.size
                if not ahead:
                    return
                read, future = ahead.popleft()
                size -= read
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _read(self, file: File, known: str) -> _Outcome:
        """known: the SHA-256 that the library has of it"""
        try:
            with open(file.whole, "rb") as opened:
                status = os.fstat(opened.fileno())
                if status.st_size > LARGEST:
                    raise ValueError(f"It has {status.st_size:,} bytes, and pictures of {LARGEST:,} at most are read.")
                data = opened.read()
            now = replace(file, size=status.st_size, mtime_ns=min(status.st_mtime_ns, LATEST))
            sha256 = hashlib.sha256(data).hexdigest()
            return now, sha256, None if sha256 == known else self.read(file.whole, data, self.writer.space)
        except OSError as error:
            return file, "", f"It could not be read: {error.strerror or error}."
        except MemoryError:
            return file, "", FULL
        except ValueError as error:
            return file, "", str(error)

    def _embed_group(self, group: _Group) -> None:
        pictures = [each for each in group.contents if each[2].vector is None]
        vectors = dict(zip((file.key for file, _, _ in pictures), self._vectors(pictures, group), strict=True))
        for file, sha256, content in group.contents:
            vector = vectors.get(file.key) if content.vector is None else content.vector
            if vector is not None:
                self.added.append((self._new(file, sha256, content), vector))
                self.filled.replaced += file.known
                self.filled.added += not file.known
        self.touched += group.touched
        self.filled.unchanged += len(group.touched)
        self.failures += [Failure(*file.key, why, file.size, file.mtime_ns) for file, why in group.failed]
        self.filled.failed += [(file.whole, why) for file, why in group.failed]

    def _vectors(self, pictures: Sequence[_Found], group: _Group) -> list[npt.NDArray[np.float32] | None]:
        """Of each picture; None for one that the encoder refuses, or for which there is not enough memory."""
        if not pictures or not self.embedder:
            return [None] * len(pictures)
        try:
            found = self.embedder.embed_images([content.picture for _, _, content in pictures])
            return list(np.asarray(found.vectors, np.float32))
        except (ValueError, MemoryError, RuntimeError) as error:
            is_full = _is_full(error)
            if isinstance(error, RuntimeError) and not is_full:
                raise
            why = FULL if is_full else str(error)
        # outside of the handler, which would keep the tensors of the failed attempt
        if len(pictures) == 1:
            group.fail(pictures[0][0], why)
            return [None]
        step = (len(pictures) + 1) // 2 if is_full else 1
        parts = (pictures[start : start + step] for start in range(0, len(pictures), step))
        return [vector for part in parts for vector in self._vectors(part, group)]

    def _new(self, file: File, sha256: str, content: Content) -> NewPicture:
        said = self.said.get(file.key, Said())
        return NewPicture(
            self.roots[file.root],
            file.path,
            file.size,
            file.mtime_ns,
            sha256,
            content.width,
            content.height,
            content.hash64,
            "features" if content.picture is None else "image",
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
        if not self.said:
            return
        known = self.writer.rows.details()
        with self.writer.together():
            for key, said in self.said.items():
                if key not in known:
                    continue
                id, text, metadata = known[key]
                told = (said.text or text, {**metadata, **said.metadata})
                if told != (text, metadata):
                    self.writer.rows.put_details(id, *told)
                    self.writer.rows.changed()


def _has_files(folder: Path) -> bool:
    """Whether a picture or saved features are below a folder, whether or not they can be read."""
    files = ((root / path) for root, entries in walk(folder, []).files.items() for path, _, _ in entries)
    return any(path.suffix.lower() != FEATURES or is_features(path) for path in files)


def _is_full(error: Exception) -> bool:
    """Whether memory is full, of the machine or, as torch says it, of a device."""
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower() or "can't allocate" in str(error)


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
