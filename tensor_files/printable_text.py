"""Make any text fit for one line: names of files and of tensors may hold any character, errors the path of a user."""

import os
import re
import sys

SEPARATORS = r"[\\/]+"
FOLDERS = re.compile(rf"(?<![\w:/\\.~])(?:[A-Za-z]:)?{SEPARATORS}(?:[^\s\\/'\"()<>:]+{SEPARATORS})+")


def printable(text: str, longest: int | None = None) -> str:
    """The text without characters that move the cursor or begin a line, cut after `longest` characters."""
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:longest])
    return shown if len(shown) == len(text) else f"{shown}..."


def without_folders(text: str) -> str:
    """The text with absolute paths cut to their last part, because their folders tell who the user is.

    Of a path below a folder of Python's modules, all that is below that folder stays.
    """
    folders = map(str, (*sys.path, os.path.expanduser("~")))
    known = {folder.rstrip("\\/") for folder in folders if os.path.isabs(folder)}
    for folder in sorted(known - {""}, key=len, reverse=True):
        parts = map(re.escape, re.split(SEPARATORS, folder))
        text = re.sub(rf"{SEPARATORS.join(parts)}({SEPARATORS}|(?!\w))", "", text)
    return FOLDERS.sub("", text)
