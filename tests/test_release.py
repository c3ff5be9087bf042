"""A release is made of a commit: its version, what the registry gets, and the notes."""

import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from image_prompt.devtools.release import archive, notes, repository, version
from image_prompt.devtools.stages import ROOT, StageError

WRITTEN = '[build-system]\n\n[project]\nname = "image-prompt"\nversion = "1.9.3"\n\n[tool.comfy]\nrequires = "1.0.0"\n'


@pytest.mark.parametrize(
    "wish, expected", [("patch", "1.9.4"), ("minor", "1.10.0"), ("major", "2.0.0"), ("1.10.2", "1.10.2")]
)
def test_a_version_is_raised(wish, expected):
    assert version.raised(version.version_of(WRITTEN), wish) == expected
    assert version.version_of(version.with_version(WRITTEN, expected)) == expected
    assert version.with_version(WRITTEN, expected).count(expected) == 1


@pytest.mark.parametrize(
    "wish, reason",
    [("1.9.3", "1.9.3 is not newer than 1.9.3"), ("1.10", "'1.10' is no version"), ("big", "give major, minor, patch")],
)
def test_what_is_no_newer_version_is_refused(wish, reason):
    with pytest.raises(ValueError, match=reason):
        version.raised("1.9.3", wish)


def test_metadata_without_a_version_are_refused():
    with pytest.raises(ValueError, match="has no line `version"):
        version.version_of('version = "1.0"\n')


@pytest.fixture
def repo(tmp_path, monkeypatch) -> Path:
    """A repository with a version, a commit for users, one for developers, and another version."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "a")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@b")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    folder = tmp_path / "repo"
    folder.mkdir()
    subprocess.run(["git", "init", "-q", folder], check=True)
    commits: list[tuple[str, dict[str, str]]] = [
        ("Start", {"pyproject.toml": WRITTEN, ".comfyignore": "/tests/\n", "nodes/a.py": "", "tests/b.py": ""}),
        ("Add a node", {"nodes/ä b.py": ""}),
        ("Release 1.10.0", {"pyproject.toml": version.with_version(WRITTEN, "1.10.0")}),
        ("Test it", {"tests/c.py": ""}),
        ("Find faces", {"faces/d.py": "", "tests/c.py": "1"}),
        ("Mend a node of another pack", {"nodes/compat/e.py": "", "nodes/a.py": "1"}),
    ]
    for subject, files in commits:
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        repository.git(folder, "add", "--all")
        repository.git(folder, "commit", "-q", "-m", subject)
    return folder


def test_the_notes_tell_users_what_changed_since_the_version_before(repo):
    commits = repository.commits_of_release(repo)
    assert [commit.subject for commit in commits][0] == "Add a node"  # the version before begins with "Start"
    text = notes.release_notes("It", "1.10.0", commits, lambda files: repository.of_users(repo, files))
    assert text == (
        "# It 1.10.0\n\n## Nodes of other packs\n\n- Mend a node of another pack\n\n## Nodes\n\n- Add a node\n\n"
        "## Faces\n\n- Find faces\n"
    )


def test_what_is_not_committed_is_in_no_release(repo):
    repository.require_committed(repo)
    (repo / "nodes" / "a.py").write_text("2")
    with pytest.raises(StageError, match="not committed: nodes/a.py"):
        repository.require_committed(repo)


def test_the_registry_gets_what_is_in_git_and_not_left_out(repo):
    (repo / "nodes" / "stray.py").touch()
    files = {"pyproject.toml", ".comfyignore", "nodes/a.py", "nodes/ä b.py", "nodes/compat/e.py", "faces/d.py"}
    assert repository.shipped(repo) == files


def test_a_wrong_archive_is_told_file_by_file(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as made:
        for name in archive.NEEDED[1:]:
            made.writestr(name, "")
        made.writestr("nodes/a.pyc", "")
        made.writestr("js/large.js", bytes(archive.LARGEST_FILE + 1))
    expected = {*archive.NEEDED, "nodes/b.py", "js/large.js"}
    with pytest.raises(StageError) as refusal:
        archive.require_good(path, expected)
    assert refusal.value.reason.splitlines() == [
        "__init__.py is not in the archive.",
        "nodes/b.py is not in the archive.",
        "nodes/a.pyc is in the archive, and should not be.",
        f"js/large.js has {archive.LARGEST_FILE + 1:,} bytes, and a file should have {archive.LARGEST_FILE:,} at most.",
        "nodes/a.pyc is no kind of file that the pack has: leave it out, or add its ending to KINDS.",
    ]


def test_contributing_fits_a_screen_and_names_files_that_are_there():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 45
    named = set(re.findall(r"`([a-z_]+(?:/[\w.]+)+/?)`", text))
    assert len(named) > 20
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
