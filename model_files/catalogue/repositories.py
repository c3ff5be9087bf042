"""Read the name of a repository on huggingface.co, and of a file in it, from an address or from the name alone."""

from __future__ import annotations

import re
from urllib.parse import unquote

NAME = r"(?!(?:datasets|spaces|docs|api|models)/)(?P<repository>[\w.-]+/[\w.-]+)"
FILE = r"(?:/(?:resolve|blob|raw)/[^/]+/(?P<path>[^?#]+)|/tree/[^?#]+)?"
LINK = re.compile(rf"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/{NAME}{FILE}/?(?:[?#].*)?", re.ASCII)
BARE = re.compile(NAME, re.ASCII)


def place_in(link: str) -> tuple[str, str]:
    """(the repository of models, the path of a file in it) that an address names; "" for what it does not name."""
    found = LINK.fullmatch(link.strip())
    return (found["repository"], unquote(found["path"] or "")) if found else ("", "")


def place_named(text: str) -> tuple[str, str]:
    """What `place_in` gives, also for "openai/clip-vit-large-patch14" without a host."""
    bare = BARE.fullmatch(text.strip())
    return (bare["repository"], "") if bare else place_in(text)
