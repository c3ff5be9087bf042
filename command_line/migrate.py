"""Answer the command "migrate": rewrite a workflow or a prompt to our nodes, and write it beside the old file."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from ..migration import LARGEST, MIDDLE, STILL, Base, Change, Kept, Migration, migrate
from ..model_files.pictures import picture_format, read_text
from ..tensor_files import printable
from ..tensor_files.whole_files import NameTaken, new_file, not_written, replaced_file
from .terminal import Answer, described, section, size_text, wrapped

ENDING = ".image-prompt.json"
KEYS = ("workflow", "prompt")  # of the texts that ComfyUI writes into pictures


@dataclass(frozen=True)
class Wish:
    """What the user asks for.

    base: the model, where names in the file do not say it
    force: whether a file that is there may be overwritten
    """

    file: Path
    base: Base | None = None
    force: bool = False


def answer(wish: Wish) -> Answer:
    """Rewrite a file and say what became of its nodes; exit code 1, and no new file, if nothing could be rewritten.

    Raises:
        ValueError: the file cannot be read, or the new one is there already.
    """
    _check(wish.file)
    target = wish.file.with_name(wish.file.stem + ENDING)
    if not wish.force and os.path.lexists(target):
        raise _taken(target)
    done = _migrated(wish)
    if done.changes:
        write(target, done.text, wish.force)
    data = {
        "format": done.format,
        "file": str(target) if done.changes else None,
        "rewritten": [asdict(each) for each in done.changes],
        "stays": [asdict(each) for each in done.stays],
        "middle_block": MIDDLE if done.in_middle else None,
    }
    return Answer(data, _lines(done, target), 0 if done.changes else 1)


def _check(file: Path) -> None:
    """ValueError if there is no such file."""
    shown = printable(str(file))
    if os.path.isdir(file):
        raise ValueError(f"{shown!r} is a folder: give the JSON file of a workflow, or a picture that ComfyUI saved.")
    if not os.path.lexists(file):
        raise ValueError(
            f"There is no file {shown!r}. Give the JSON file of a workflow, or a picture that ComfyUI saved."
        )


def _migrated(wish: Wish) -> Migration:
    try:
        return migrate(_text(wish.file), wish.base)
    except ValueError as error:
        raise ValueError(f"{wish.file}: {error}") from error


def _text(file: Path) -> str:
    """The JSON of a file, or that in a picture."""
    if kind := picture_format(file):
        texts = (read_text(file, key) for key in KEYS) if kind == "PNG" else iter(())
        if text := next(filter(None, texts), None):
            return text
        raise ValueError(f"This {kind} picture holds no workflow. Only PNG pictures as ComfyUI saves them are read.")
    with open(file, "rb") as stream:
        content = stream.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"It has more than {size_text(LARGEST)}, which no workflow has. It was not read.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError("It is not text in UTF-8, as workflows are: save it again in ComfyUI.") from error


def write(path: Path, text: str, force: bool) -> None:
    """Write the text of a JSON file whole or not at all.

    Raises:
        ValueError: it is there already, and is not to be overwritten; or it cannot be written, and an old one is as it
            was.
    """
    # half of a character, which damaged titles have, is written as JSON writes it: \ud800
    content = text.encode("utf-8", "backslashreplace")
    try:
        with replaced_file(path) if force else new_file(path) as file:
            file.write(content)
    except NameTaken:
        raise _taken(path) from None
    except OSError as error:
        raise not_written(path, error) from error


def _taken(path: Path) -> ValueError:
    return ValueError(f"{path} is there already. Give --force to overwrite it, or move it away.")


def _lines(done: Migration, target: Path) -> list[str]:
    changes, stays = done.changes, done.stays
    lines = section(f"Rewritten ({len(changes)})", described([_change(each) for each in changes]))
    lines += section(f"Left as they are ({len(stays)})", described([(_name(each), each.why) for each in stays]))
    lines += wrapped(MIDDLE) + [""] if done.in_middle else []
    lines += wrapped(STILL) + [""] if stays else []
    return lines + wrapped(f"Written: {target}" if changes else "Nothing was written, because no node was rewritten.")


def _change(each: Change) -> tuple[str, str]:
    became = " + ".join(dict.fromkeys(each.became)) or "not needed any more: Encode Image Prompt crops"
    return _name(each), " ".join([f"{became}.", *each.notes])


def _name(each: Change | Kept) -> str:
    """How people find a node: by its number, kind, title and subgraph."""
    title = f" {printable(each.title, 40)!r}" if each.title else ""
    return f"{each.id} {each.type}{title}{f' in {each.where}' if each.where else ''}"
