"""Pictures as an encoder reads them, with a hash by which their features are found again.

Letters: B pictures, H, W sides of a picture, S side of the square that an encoder reads.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
from torch import Tensor

from ..clip_vision import VisionConfig, preprocess
from ..clip_vision.config import Rgb
from ..clip_vision.pictures.boxes import Crop, check_crop
from ..clip_vision.pictures.images import Picture, Pictures, check_background, to_rgb
from ..clip_vision.pictures.preprocessing import BLACK
from .feature_cache import digest

REMEMBERED = 20_000  # hashes
SETTLED = 2.0  # seconds since a file was written, after which its time tells whether it is written again


@dataclass(frozen=True, eq=False)
class HashedPicture:
    """A picture whose pixels were hashed once: it may be given to a service again and again.

    pixels: (1, 3, H, W) uint8, on the background that it was hashed with. They must not be changed
    """

    pixels: Tensor
    digest: bytes

    @classmethod
    def of(cls, image: Pictures, background: Rgb = BLACK) -> HashedPicture:
        """Hash one picture of any kind that `clip_vision.encode` takes. ValueError if it is several."""
        found = list(_rows(image, background))
        if len(found) != 1:
            raise ValueError(f"One picture is hashed at a time, and {len(found)} were given: hash each of them.")
        return cls(found[0].clone(), digest(found[0]))  # the caller may write into what was given


@dataclass(frozen=True)
class SquareView:
    """A picture as an encoder reads it.

    digest: of its pixel values
    pixel_values: makes them, (3, S, S)
    """

    digest: bytes
    pixel_values: Callable[[], Tensor]


@dataclass(frozen=True)
class Reading:
    """How an encoder reads pictures: the arguments of `preprocess`."""

    size: int
    mean: Rgb
    std: Rgb
    crop: Crop
    background: Rgb

    def pixel_values(self, picture: Tensor) -> Tensor:
        """One picture (1, 3, H, W) -> (3, S, S)."""
        whole = picture.movedim(1, -1)  # channels last is what a picture 1 to 4 wide is taken for
        return preprocess(whole, self.size, self.mean, self.std, self.crop, self.background)[0]


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
        crop: Crop,
        background: Rgb,
    ) -> list[SquareView]:
        """What an encoder of this configuration reads of pictures, in their order. Raises what `preprocess` does."""
        several = cast("Sequence[Picture | HashedPicture]", images if isinstance(images, (list, tuple)) else [images])
        if not several:
            raise ValueError("No pictures were given: the list is empty.")
        crop = check_crop(crop)
        check_background(background)
        red, green, blue = background
        reading = Reading(config.image_size, config.mean, config.std, crop, (red, green, blue))
        return [view for image in several for view in self._views(image, reading)]

    def _views(self, image: Picture | HashedPicture, reading: Reading) -> Iterator[SquareView]:
        if isinstance(image, HashedPicture):
            yield self._view(image.digest, lambda: image.pixels, reading)
        elif isinstance(image, (str, os.PathLike)):
            yield self._of_file(image, reading)
        else:
            again = _Again(image, reading.background)
            for number, pixels in enumerate(_rows(image, reading.background)):
                yield self._view(digest(pixels), partial(again.row, number), reading, pixels)

    def _of_file(self, path: str | os.PathLike[str], reading: Reading) -> SquareView:
        state = _file_state(path)
        known = self._find((state, reading)) if state else None
        if known is None:
            pixels = _row(path, reading.background, 0)
            made = self._view(digest(pixels), partial(_row, path, reading.background, 0), reading, pixels)
            if state and state == _file_state(path) and time.time() - state[-1] / 1e9 > SETTLED:
                self._remember((state, reading), made.digest)
            return made

        def again() -> Tensor:
            made = reading.pixel_values(_row(path, reading.background, 0))
            if digest(made) != known:
                raise ValueError(f"{os.fspath(path)} changed while it was read. Try again when it is complete.")
            return made

        return SquareView(known, again)

    def _view(
        self, picture: bytes, pixels: Callable[[], Tensor], reading: Reading, at_hand: Tensor | None = None
    ) -> SquareView:
        """The view of a picture with this hash. `pixels` gives it, (1, 3, H, W), and so does `at_hand`, now."""
        known = self._find((picture, reading))
        if known is not None:
            return SquareView(known, lambda: reading.pixel_values(pixels()))
        made = reading.pixel_values(pixels() if at_hand is None else at_hand)
        known = digest(made)
        self._remember((picture, reading), known)
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


class _Again:
    """The pictures of a batch, made of what the caller holds anyway, and only if one of them is needed."""

    def __init__(self, images: Pictures, background: Rgb) -> None:
        self._images, self._background = images, background
        self._made: list[Tensor] | None = None

    def row(self, number: int) -> Tensor:
        if self._made is None:
            self._made = list(_rows(self._images, self._background))
        return self._made[number]


def _rows(image: Pictures, background: Rgb) -> Iterator[Tensor]:
    """Each picture alone, (1, 3, H, W)."""
    for batch in to_rgb(image, background):
        yield from torch.split(batch, 1)


def _row(image: Pictures, background: Rgb, number: int) -> Tensor:
    return list(_rows(image, background))[number]


def _file_state(path: str | os.PathLike[str]) -> tuple[str, int, int, int] | None:
    """A value that differs once a file was replaced, changed or moved; its time comes last. None if it is not there."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return os.path.realpath(path), status.st_ino, status.st_size, status.st_mtime_ns
