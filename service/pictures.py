"""Pictures as an encoder reads them, with a hash by which their features are found again.

Letters: H, W sides of a picture, S side of the square that an encoder reads.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from torch import Tensor

from ..clip_vision import VisionConfig, preprocess
from ..clip_vision.images import Picture, Pictures, to_rgb
from .feature_cache import digest

REMEMBERED = 20_000  # hashes
Rgb = tuple[float, float, float]
Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class HashedPicture:
    """A picture whose pixels were hashed once: it may be given to a service again and again.

    pixels: (1, 3, H, W) uint8, on the background that it was hashed with. They must not be changed
    """

    pixels: Tensor
    digest: bytes

    @classmethod
    def of(cls, image: Pictures, background: Rgb = (0.0, 0.0, 0.0)) -> HashedPicture:
        """Hash one picture of any kind that `clip_vision.encode` takes. ValueError if it is several."""
        found = list(_rows(image, background))
        if len(found) != 1:
            raise ValueError(f"One picture is hashed at a time, and {len(found)} were given: hash each of them.")
        return found[0]


@dataclass(frozen=True)
class SquareView:
    """A picture as an encoder reads it.

    digest: of its pixel values
    pixel_values: makes them, (3, S, S)
    """

    digest: bytes
    pixel_values: Callable[[], Tensor]


class Views:
    """Turns pictures into what an encoder reads, and remembers the hashes, so that known pictures are not made again.

    A file is known by its place, size and time, any other picture by a hash of its pixels. Any thread may use it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, bytes] = OrderedDict()

    def of(
        self,
        images: Pictures | HashedPicture | Sequence[Picture | HashedPicture],
        config: VisionConfig,
        crop: str,
        background: Rgb,
    ) -> list[SquareView]:
        """What an encoder of this configuration reads of pictures, in their order. Raises what `preprocess` does."""
        several = cast("Sequence[Picture | HashedPicture]", images if isinstance(images, (list, tuple)) else [images])
        if not several:
            raise ValueError("No pictures were given: the list is empty.")
        read = (config.image_size, config.mean, config.std, crop, background)

        def make(image: Picture | HashedPicture) -> Iterator[SquareView]:
            if isinstance(image, (str, os.PathLike)):
                yield from self._of_file(image, read)
                return
            rows = [image] if isinstance(image, HashedPicture) else _rows(image, background)
            yield from (self._of_row(row, read) for row in rows)

        return [view for image in several for view in make(image)]

    def _of_file(self, path: str | os.PathLike[str], read: tuple[int, Rgb, Rgb, str, Rgb]) -> Iterator[SquareView]:
        state = _file_state(path)
        known = self._find((state, read)) if state else None
        if known is None:
            (row,) = _rows(path, read[-1])
            made = self._of_row(row, read)
            if state == _file_state(path):
                self._remember((state, read), made.digest)
            yield made
            return

        def again() -> Tensor:
            (row,) = _rows(path, read[-1])
            made = self._of_row(row, read)
            if made.digest != known:
                raise ValueError(f"{os.fspath(path)} changed while it was read. Try again when it is complete.")
            return made.pixel_values()

        yield SquareView(known, again)

    def _of_row(self, picture: HashedPicture, read: tuple[int, Rgb, Rgb, str, Rgb]) -> SquareView:
        def make() -> Tensor:
            size, mean, std, crop, background = read
            return preprocess(picture.pixels, size, mean, std, crop, background)[0]

        known = self._find((picture.digest, read))
        if known is not None:
            return SquareView(known, make)
        made = make()
        known = digest(made)
        self._remember((picture.digest, read), known)
        return SquareView(known, lambda: made)

    def _find(self, key: Hashable) -> bytes | None:
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
            return self._known.get(key)

    def _remember(self, key: Hashable, value: bytes) -> None:
        with self._lock:
            self._known[key] = value
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)


def _rows(image: Pictures, background: Rgb) -> Iterator[HashedPicture]:
    for batch in to_rgb(image, background):
        for pixels in torch.split(batch, 1):
            yield HashedPicture(pixels, digest(pixels))


def _file_state(path: str | os.PathLike[str]) -> tuple[str, int, int, int] | None:
    """A value that differs once a file was replaced, changed or moved; None if it is not there."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return os.path.realpath(path), status.st_ino, status.st_mtime_ns, status.st_size
