"""Build a release from the last commit, and try it: nothing is sent anywhere."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..stages import DEV, ROOT, Progress, StageError
from . import archive, repository, trial
from .notes import release_notes
from .version import raised, version_of, with_version

FOLDER = DEV / "release"
METADATA = ROOT / "pyproject.toml"


def raise_version(wish: str) -> str:
    """Commit another version, and return it. Raises StageError if it is none, or if something is not committed."""
    repository.require_committed(ROOT)
    written = METADATA.read_text(encoding="utf-8")
    try:
        version = raised(version_of(written), wish)
    except ValueError as error:
        raise StageError("version", str(error)) from error
    METADATA.write_text(with_version(written, version), encoding="utf-8")
    repository.git(ROOT, "commit", "--quiet", "--message", f"Release {version}", "--", METADATA.name)
    print(f"version: {version}, in a commit of its own", flush=True)
    return version


def release(python: Path, comfyui: Path, sample: trial.Sample) -> None:
    """Build the archive, the wheel and the notes of the last commit in `FOLDER`, and try them."""
    repository.require_committed(ROOT)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    source = FOLDER / "source"
    repository.git(ROOT, "clone", "--quiet", "--no-hardlinks", ROOT, source)
    version = version_of((source / METADATA.name).read_text(encoding="utf-8"))

    target = FOLDER / f"{trial.NAME}-{version}.zip"
    progress = Progress("the archive")
    archive.validate(python, source)
    archive.pack(python, source, target)
    expected = repository.shipped(source)
    archive.require_good(target, expected)
    progress.done(f"{len(expected)} files, {target.stat().st_size:,} bytes, nothing to say against it")

    unpacked = archive.unpack(target, FOLDER / "unpacked")
    progress = Progress("in a clean ComfyUI")
    progress.done(trial.try_in_comfyui(python, comfyui, unpacked, sample))
    trial.run_tests(python, comfyui, unpacked, source)

    wheel = trial.build_wheel(python, source, FOLDER)
    trial.try_wheel(python, wheel, version)

    notes = FOLDER / "notes.md"
    commits = repository.commits_of_release(source)
    text = release_notes("Image Prompt", version, commits, lambda files: repository.of_users(source, files))
    notes.write_text(text, encoding="utf-8")
    lines = sum(line.startswith("- ") for line in text.splitlines())
    print(f"\nImage Prompt {version}, of {len(commits)} commits:")
    print(f"{target}\n{wheel}\n{notes} ({lines} changes for users)", flush=True)
