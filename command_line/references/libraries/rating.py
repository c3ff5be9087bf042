"""Answer the command "rate": say of pictures of a library that they are good, bad, or neither."""

from __future__ import annotations

import argparse

from ....model_files.folders import Installation
from ....references.library import Library, Writer
from ...terminal import Answer, wrapped
from ..places import library_folder, paths_in

WORDS = {1: "good", 0: "not rated", -1: "bad"}


def answer(options: argparse.Namespace, where: Installation) -> Answer:
    folder = library_folder(where, options.name)
    with Library.open(folder) as library:
        paths = paths_in(library, options.paths)
    with Writer.open(folder) as writer:
        with writer.together():
            for path in paths:
                writer.rate(path, options.rating)
    data = {"library": options.name, "rating": options.rating, "paths": paths}
    return Answer(data, [line for path in paths for line in wrapped(f"{path}: {WORDS[options.rating]}")])
