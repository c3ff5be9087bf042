"""Libraries of a folder that are searched again and again. One that is open is kept until it changes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from ..library import library_names
from ..library.about import ABOUT
from .opening import open_library
from .searchable import Searchable

KEPT = 2  # libraries that stay open: a million pictures take 2 GB


class KeptLibraries:
    """Any thread may use it.

    folder: gives the folder of the libraries, which need not exist
    """

    def __init__(self, folder: Callable[[], Path]) -> None:
        self._folder = folder
        self._one_at_a_time = threading.Lock()
        self._open: dict[str, tuple[object, Searchable]] = {}  # by name, each with its state, the last used last

    def names(self) -> list[str]:
        return library_names(self._folder())

    def open(self, name: str) -> Searchable:
        """The library of this name, which is there, as it is now, with the vectors that an earlier search has read.

        Raises:
            ValueError, OSError: it cannot be read.
        """
        with self._one_at_a_time:
            state, found = self.look(name)
            kept = self._open.pop(name, None)
            self._open[name] = kept if kept is not None and kept[0] == state else (state, found)
            for old in [*self._open][:-KEPT]:
                del self._open[old]
            return self._open[name][1]

    def look(self, name: str) -> tuple[object, Searchable]:
        """A library that is there, and its state, which differs once it was written to or made anew. It is not kept.

        Raises:
            ValueError, OSError: it cannot be read.
        """
        folder = self._folder() / name
        status = os.stat(folder / ABOUT)
        made = os.path.realpath(folder / ABOUT), status.st_mtime_ns, status.st_size
        library = open_library(folder)
        return (made, library.space, library.generation, library.count), library
