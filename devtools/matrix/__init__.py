"""See what works on every supported ComfyUI, and older ones refuse the pack. Standard library only."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..comfy_names import Tree, missing, taken
from ..comfyui import ServerError
from ..sources import RELEASES, Release, released
from ..stages import StageError
from .demo_run import Pictures, Sample, Wrong, compare, refusal, start
from .node_tests import SHOWN, run_tests
from .table import Row, forget, keep, kept, markdown

Trial = Callable[[Release], object]


def run_matrix(python: Path, sample: Sample, releases: Sequence[Release] = RELEASES) -> int:
    """Print a line for each version, and keep what was found; return 1 if the pack fails on one of them."""
    expected: Pictures = {}

    def trial(release: Release) -> str:
        forget(release.comfyui)
        if release.supported and release is not RELEASES[0] and not expected:
            expected.update(pictures_of(python, RELEASES[0], sample))
        row = try_release(python, release, sample, expected)
        keep(row)
        return f"{row.demo}, {row.tests} node tests" if row.tests else f"says: {row.demo}"

    code = each_release(releases, trial)
    print(f"\n{markdown(kept())}")
    return code


def run_names(python: Path, releases: Sequence[Release] = RELEASES) -> int:
    """Look only whether every supported version has the names that the pack takes."""
    uses = taken()

    def trial(release: Release) -> str:
        check_names(released(python, release))
        return f"has the {len({use.name for use in uses if not use.optional})} names that the pack takes"

    return each_release([release for release in releases if release.supported], trial)


def each_release(releases: Sequence[Release], trial: Callable[[Release], str]) -> int:
    failed: list[str] = []
    for release in releases:
        start_time = time.monotonic()
        try:
            found = f"fine, {trial(release)}"
        except (Wrong, ServerError, StageError) as error:
            found = f"WRONG, {error}"
            failed.append(release.comfyui)
        print(f"ComfyUI {release.comfyui}: {found} ({time.monotonic() - start_time:.1f} s)", flush=True)
    print(f"Wrong: {', '.join(failed)}." if failed else f"All {len(releases)} versions are as they should be.")
    return int(bool(failed))


def try_release(python: Path, release: Release, sample: Sample, expected: Pictures) -> Row:
    """What works on a release; an error says what does not. The first pictures become `expected`."""
    comfyui = released(python, release)
    if release.supported:
        check_names(comfyui)
    with start(python, comfyui, release) as server:
        server.wait_until_ready()
        if not release.supported:
            return Row(release.comfyui, refusal(server))
        demo = compare(sample(server), expected)
    found = run_tests(python, comfyui, release)
    if found.failed:
        shown = ", ".join(found.failed[:SHOWN]) + (", ..." if len(found.failed) > SHOWN else "")
        raise Wrong(f"{demo}, and {len(found.failed)} of {found.ran} node tests fail: {shown}")
    return Row(release.comfyui, demo, found.ran)


def pictures_of(python: Path, release: Release, sample: Sample) -> Pictures:
    with start(python, released(python, release), release) as server:
        server.wait_until_ready()
        return sample(server)


def check_names(comfyui: Path) -> None:
    """Raises `Wrong` if a ComfyUI lacks a name that the pack takes."""
    if lost := missing(taken(), Tree(comfyui)):
        raise Wrong(f"lacks {len(lost)} names: {'; '.join(lost)}")
