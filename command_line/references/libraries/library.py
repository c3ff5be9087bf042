"""Answer the command "library": list, describe, check, compact, export and connect libraries, and remove entries."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....model_files.folders import Installation
from ....references.library import Library, Writer, check, library_names
from ....tensor_files import printable
from ...terminal import Answer, described, section, wrapped
from ..filling.embed import failed_lines
from ..places import all_libraries, library_folder, opened, paths_in

if TYPE_CHECKING:
    from ....references.lance import Pointer


def answer(options: argparse.Namespace, where: Installation) -> Answer:
    return ACTIONS[options.action](options, where)


def _list(options: argparse.Namespace, where: Installation) -> Answer:
    folder = all_libraries(where)
    rows = [_row(folder / name) for name in library_names(folder)]
    lines = described([(row["name"], row.get("problem") or _in_words(row)) for row in rows], "")
    none = wrapped("There are no libraries yet: `embed FOLDER --library NAME` makes one.")
    return Answer({"folder": str(folder), "libraries": rows}, lines or none)


def _row(folder: Path) -> dict[str, Any]:
    try:
        with Library.open(folder) as library:
            return {"name": folder.name, "pictures": library.count, "space": library.space.as_json()}
    except (ValueError, OSError) as error:
        if table := _table(folder):
            space = table.space and table.space.as_json()
            return {"name": folder.name, "uri": table.uri, "table": table.table, "space": space}
        return {"name": folder.name, "problem": printable(" ".join(str(error).split()))}


def _table(folder: Path) -> Pointer | None:
    """To which LanceDB table a library is connected; None if it is none of that kind, or damaged."""
    from ....references.lance.pointer import read_pointer

    try:
        return read_pointer(folder)
    except (ValueError, OSError):
        return None


def _in_words(row: Mapping[str, Any]) -> str:
    what = _pictures(row["pictures"]) if "pictures" in row else f"the table {row['table']} in {row['uri']}"
    space: dict[str, Any] = row["space"] or {}
    return f"{what}, {space.get('encoder') or 'an unknown encoder'}"


def _pictures(count: int) -> str:
    return f"{count:,} picture{'' if count == 1 else 's'}"


def _info(options: argparse.Namespace, where: Installation) -> Answer:
    folder = library_folder(where, options.name)
    try:
        library = Library.open(folder)
    except ValueError:
        if table := _table(folder):
            return _table_info(table, options, where)
        raise
    with library:
        ratings = library.column("rating")
        errors = library.errors()
        roots = {str(path): _exists(path) for path in library.roots.values()}
        data = {
            "name": library.name,
            "folder": str(folder),
            "pictures": library.count,
            "rated": {"good": ratings.count(1), "bad": ratings.count(-1)},
            "space": library.space.as_json(),
            "encoder_sha256": library.encoder_sha256,
            "generation": library.generation,
            "roots": [{"path": path, "exists": exists} for path, exists in roots.items()],
            "failed": [{"path": each.path, "reason": each.reason} for each in errors],
        }
        encoder = library.space.title
    facts = [
        ("pictures", f"{library.count:,}, of which {ratings.count(1)} are rated good and {ratings.count(-1)} bad"),
        ("encoder", encoder),
        ("folder", str(folder)),
        *(("of", f"{path}{'' if exists else ' (does not exist)'}") for path, exists in roots.items()),
    ]
    failed = failed_lines([(each.path, each.reason) for each in errors])
    return Answer(data, [*described(facts, ""), "", *failed])


def _table_info(table: Pointer, options: argparse.Namespace, where: Installation) -> Answer:
    """What is known of the library of a team, which is asked for it."""
    library = opened(where, options.name)
    data = {
        "name": library.name,
        "uri": table.uri,
        "table": table.table,
        "storage_options": dict(table.storage_options),
        "pictures": library.count,
        "space": library.space.as_json(),
        "generation": library.generation,
        "roots": [{"number": number, "path": str(path)} for number, path in table.roots.items()],
    }
    facts = [
        ("pictures", f"{library.count:,}"),
        ("encoder", library.space.title),
        ("table", f"{table.table} in {table.uri}, which is only read"),
        *(("of", f"{path} (root {number})") for number, path in table.roots.items()),
    ]
    return Answer(data, described(facts, ""))


def _exists(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _check(options: argparse.Namespace, where: Installation) -> Answer:
    report = check(library_folder(where, options.name), repair=options.repair)
    facts = [_pictures(report.pictures)]
    if report.waiting:
        facts.append(f"{report.waiting:,} more wait for the next `embed`")
    if report.dead:
        facts.append(f"{report.dead:.0%} of the vectors are of removed pictures")
    state = "is whole" if report.clean else "is damaged"
    lines = [
        *wrapped(f"The library {options.name} {state}: {', '.join(facts)}."),
        *section("Mended", [line for each in report.mended for line in wrapped(each.what, "  ")]),
        *section("Wrong", [line for each in report.problems for line in wrapped(each.what, "  ")]),
        *([] if report.clean else wrapped(f"`library check {options.name} --repair` mends what can be mended.")),
    ]
    return Answer({"library": options.name, "clean": report.clean, **asdict(report)}, lines, int(not report.clean))


def _compact(options: argparse.Namespace, where: Installation) -> Answer:
    with Writer.open(library_folder(where, options.name)) as writer:
        gone = writer.compact()
    data = {"library": options.name, "vectors_removed": gone}
    return Answer(data, wrapped(f"{gone:,} vectors of removed pictures are gone." if gone else "Nothing to do."))


def _remove(options: argparse.Namespace, where: Installation) -> Answer:
    folder = library_folder(where, options.name)
    with Library.open(folder) as library:
        paths = paths_in(library, options.paths, failed=True)
    with Writer.open(folder) as writer:
        removed = writer.remove(paths)
    said = f"{removed} removed from the library {options.name}. The files of the pictures are where they were."
    return Answer({"library": options.name, "removed": removed, "paths": paths}, wrapped(said))


def _export(options: argparse.Namespace, where: Installation) -> Answer:
    from .exporting import answer

    return answer(options, where)


def _connect(options: argparse.Namespace, where: Installation) -> Answer:
    from .connecting import answer

    return answer(options, where)


ACTIONS: Mapping[str, Callable[[argparse.Namespace, Installation], Answer]] = {
    "list": _list,
    "info": _info,
    "check": _check,
    "compact": _compact,
    "export": _export,
    "connect": _connect,
    "remove": _remove,
}
