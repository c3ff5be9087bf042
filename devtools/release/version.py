"""The version of the pack, which pyproject.toml alone says."""

from __future__ import annotations

import re

LINE = re.compile(r'(?m)^version = "(?P<version>\d+\.\d+\.\d+)"$')
PARTS = ("major", "minor", "patch")


def version_of(metadata: str) -> str:
    """The version in the text of a pyproject.toml. Raises ValueError if there is none of three numbers."""
    if found := LINE.search(metadata):
        return found["version"]
    raise ValueError('pyproject.toml has no line `version = "X.Y.Z"`: write one, of three numbers.')


def raised(version: str, wish: str) -> str:
    """The version after `version`: a part of it that is raised, or a newer one as it is.

    Raises ValueError if `wish` is neither a part nor a version, or no newer one.
    """
    numbers = [int(number) for number in version.split(".")]
    if wish in PARTS:
        place = PARTS.index(wish)
        return ".".join(map(str, [*numbers[:place], numbers[place] + 1, *[0] * (2 - place)]))
    if not re.fullmatch(r"\d+\.\d+\.\d+", wish):
        raise ValueError(f"{wish!r} is no version: give {', '.join(PARTS)}, or three numbers such as 1.2.0.")
    if [int(number) for number in wish.split(".")] <= numbers:
        raise ValueError(f"{wish} is not newer than {version}: give a newer version.")
    return wish


def with_version(metadata: str, version: str) -> str:
    """The text of a pyproject.toml with another version."""
    return LINE.sub(f'version = "{version}"', metadata, count=1)
