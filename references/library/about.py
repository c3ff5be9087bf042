"""What a library says of itself in library.json: its format, and the space of its vectors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ...tensor_files import printable
from ...tensor_files.whole_files import write_whole
from ..space import Space

ABOUT = "library.json"
FORMAT = 1
LARGEST = 1 << 20  # bytes


@dataclass(frozen=True)
class About:
    """
    encoder_sha256: of the encoder's file, or of its folder; empty where it is not known
    encoder_path: where that folder was on this machine; empty for a file, which is found among the model files
    """

    space: Space
    encoder_sha256: str = ""
    encoder_path: str = ""


def read_about(folder: Path) -> About:
    """What the library in a folder says of itself.

    Raises:
        FileNotFoundError: there is no library.
        ValueError: it is damaged, of a newer version, or of another kind.
    """
    name, path = shown(folder), folder / ABOUT
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no library {name}. Make it with `embed FOLDER --encoder FILE --library {name}`, or look at "
            "`library list`."
        )
    try:
        data: Any = json.loads(path.read_bytes()[:LARGEST])
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f'The {ABOUT} of the library "{name}" is damaged ({error}). Restore it from a copy.'
        ) from error
    table = cast("dict[str, Any]", data) if isinstance(data, dict) else dict[str, Any]()
    if table.get("kind") is not None:
        raise ValueError(
            f'The library "{name}" is connected to a table elsewhere ({printable(str(table["kind"]), 40)}), which is '
            "read only here."
        )
    if table.get("format") != FORMAT:
        raise ValueError(
            f'The library "{name}" is of the format {printable(str(table.get("format")), 20)}, and this is {FORMAT}: '
            "update Image Prompt."
        )
    sha256, path = (_text(table.get(name)) for name in ("encoder_sha256", "encoder_path"))
    return About(Space.from_json(table.get("space")), sha256, path)


def write_about(folder: Path, about: About) -> None:
    data = {"format": FORMAT, "space": about.space.as_json(), "encoder_sha256": about.encoder_sha256}
    if about.encoder_path:
        data["encoder_path"] = about.encoder_path
    write_whole(folder / ABOUT, [json.dumps(data, indent=2).encode() + b"\n"])


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def shown(folder: Path) -> str:
    """The name of the library in a folder, for messages."""
    return printable(folder.name or str(folder), 200)
