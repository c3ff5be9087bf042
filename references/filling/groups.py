"""Read files, and embed them in groups. Letters: n pictures, D numbers of a vector."""

from __future__ import annotations

import hashlib
import os
import re
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ...tensor_files import printable, without_folders
from ..space import Space
from .plan import File
from .reading import Content, read_file
from .walk import LATEST

BATCH = 32  # pictures that are embedded at once
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")  # of an object in memory; another one in each run
READERS = min(4, os.cpu_count() or 1)  # threads that open pictures; a fast encoder waits for one
AHEAD = 32 << 20  # bytes of files that are read before they are needed
LARGEST = 1 << 30  # bytes of a file, which is read into memory
FULL = "There was not enough memory to embed it: close other programs that need it, or give a smaller picture."
PIXELS = 100_000_000  # of the pictures that are embedded at once; opened, they take three or four bytes each

Vector = npt.NDArray[np.float32]  # (D,)
Read = Callable[[Path, bytes, Space], Content]
Found = tuple[File, str, Content]  # a file as it is now, its SHA-256, what is in it
Outcome = tuple[File, str, Content | str | None]  # or why it cannot be read; None if the library knows it as it is


class Embeds(Protocol):
    """`references.embedder.Embedder`, or what else has a space and gives vectors (n, D) of length 1 for pictures."""

    @property
    def space(self) -> Space: ...
    def embed_images(self, images: Any) -> Any: ...


@dataclass
class Group:
    """Files that are embedded at once, and what came of reading them."""

    files: list[File] = field(default_factory=list[File])
    contents: list[Found] = field(default_factory=list[Found])
    touched: list[File] = field(default_factory=list[File])
    failed: list[tuple[File, str]] = field(default_factory=list[tuple[File, str]])

    def fail(self, file: File, why: str) -> None:
        self.failed.append((file, printable(without_folders(ADDRESS.sub("", why)), 500)))

    def embedded(self, embedder: Embeds | None) -> list[tuple[Found, Vector]]:
        """Its contents with their vectors, without those that the encoder refuses, which are failed then."""
        pictures = [each for each in self.contents if each[2].vector is None]
        vectors = dict(zip((file.key for file, _, _ in pictures), self._vectors(pictures, embedder), strict=True))
        given = [(each, vectors.get(each[0].key, each[2].vector)) for each in self.contents]
        return [(each, vector) for each, vector in given if vector is not None]

    def _vectors(self, pictures: Sequence[Found], embedder: Embeds | None) -> list[Vector | None]:
        """Of each picture; None for one that the encoder refuses, or for which there is not enough memory."""
        if not pictures or not embedder:
            return [None] * len(pictures)
        try:
            found = embedder.embed_images([content.picture for _, _, content in pictures])
            return list(np.asarray(found.vectors, np.float32))
        except (ValueError, MemoryError, RuntimeError) as error:
            is_full = _is_full(error)
            if isinstance(error, RuntimeError) and not is_full:
                raise
            why = FULL if is_full else str(error)
        # outside of the handler, which would keep the tensors of the failed attempt
        if len(pictures) == 1:
            self.fail(pictures[0][0], why)
            return [None]
        step = (len(pictures) + 1) // 2 if is_full else 1
        parts = (pictures[start : start + step] for start in range(0, len(pictures), step))
        return [vector for part in parts for vector in self._vectors(part, embedder)]


def as_it_is(file: File, status: os.stat_result) -> File:
    """The file with the size and the time that it has now."""
    return replace(file, size=status.st_size, mtime_ns=min(status.st_mtime_ns, LATEST))


@dataclass(frozen=True)
class Groups:
    """How files are read and grouped.

    space: of the vectors of saved features
    known: gives the SHA-256 that the library has of a file which it knows
    batch: how many pictures are embedded at once
    read: what reads a file
    now: gives what a file is now, by what the system says of it; ValueError if it is not to be read so
    """

    space: Space
    known: Callable[[File], str]
    batch: int = BATCH
    read: Read = read_file
    now: Callable[[File, os.stat_result], File] = as_it_is

    def of(self, todo: Sequence[File], should_stop: Callable[[], bool] = lambda: False) -> Generator[Group]:
        """Files that are embedded at once, until it should stop.

        Where a group ends depends on the files from its begin on, so that it is the same for a run that goes on there.
        """
        group, pixels = Group(), 0
        with closing(self._read_ahead(todo)) as outcomes:
            for file, sha256, outcome in outcomes:
                if should_stop():
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
                    group, pixels = Group(), 0
        if group.files:
            yield group

    def _read_ahead(self, todo: Sequence[File]) -> Generator[Outcome]:
        """What comes of reading each file, in their order. The next ones are read while pictures are embedded."""
        ahead, size = deque[tuple[int, Future[Outcome]]](), 0
        following = iter(todo)
        pool = ThreadPoolExecutor(READERS)
        try:
            while True:
                while len(ahead) < self.batch and size < AHEAD and (file := next(following, None)):
                    ahead.append((file.size, pool.submit(self._read, file, self.known(file) if file.known else "")))
                    size += file.size
                if not ahead:
                    return
                read, future = ahead.popleft()
                size -= read
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _read(self, file: File, known: str) -> Outcome:
        """known: the SHA-256 that the library has of it"""
        try:
            with open(file.whole, "rb") as opened:
                status = os.fstat(opened.fileno())
                if status.st_size > LARGEST:
                    raise ValueError(f"It has {status.st_size:,} bytes, and pictures of {LARGEST:,} at most are read.")
                now = self.now(file, status)
                data = opened.read()
            sha256 = hashlib.sha256(data).hexdigest()
            return now, sha256, None if sha256 == known else self.read(file.whole, data, self.space)
        except OSError as error:
            return file, "", f"It could not be read: {error.strerror or error}."
        except MemoryError:
            return file, "", FULL
        except ValueError as error:
            return file, "", str(error)


def _is_full(error: Exception) -> bool:
    """Whether memory is full, of the machine or of a device."""
    from ...tensor_files.placement import is_out_of_memory

    return isinstance(error, MemoryError) or is_out_of_memory(error)
