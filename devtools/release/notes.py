"""Release notes from the log: what was changed for users, under the part of the pack that it was changed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .repository import Commit

HEADINGS = {  # the place of a shipped file: what users call it. The first that a commit touches is its place
    "nodes/compat": "Nodes of other packs",
    "nodes": "Nodes",
    "js": "In the browser",
    "locales": "In the browser",
    "subgraphs": "Templates and blueprints",
    "example_workflows": "Templates and blueprints",
    "ip_adapter": "Adapters",
    "clip_vision": "Image encoders",
    "faces": "Faces",
    "references": "Similarity, libraries and search",
    "service": "For programs",
    "model_files": "Model files",
    "tensor_files": "Model files",
    "migration": "Migration",
    "command_line": "Command line",
}
ELSE = "Everything else"

OfUsers = Callable[[set[str]], set[str]]


def release_notes(name: str, version: str, commits: Sequence[Commit], of_users: OfUsers) -> str:
    """The notes in Markdown. Commits that touch no file which `of_users` lets through are left out."""
    seen = of_users({file for commit in commits for file in commit.files})
    lines: dict[str, list[str]] = {heading: [] for heading in (*HEADINGS.values(), ELSE)}
    for commit in commits:
        if files := [file for file in commit.files if file in seen]:
            lines[heading(files)].append(f"- {commit.subject}")
    parts = [f"## {title}\n\n" + "\n".join(some) for title, some in lines.items() if some]
    return "\n\n".join([f"# {name} {version}", *(parts or ["Nothing has changed for users."])]) + "\n"


def heading(files: Sequence[str]) -> str:
    """Where a commit with these files is told."""
    for place, title in HEADINGS.items():
        if any(file.startswith(f"{place}/") for file in files):
            return title
    return ELSE
