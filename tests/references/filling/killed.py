"""Kill a process that fills a library, again and again, at times drawn from a seed and at each of its steps. It imports
no torch.

python killed.py ROOT FOLDER SEED KILLS   prints what came of it
"""

import importlib.util
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

root, folder, seed, kills = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
spec = importlib.util.spec_from_file_location(
    "image_prompt", root / "__init__.py", submodule_search_locations=[str(root)]
)
sys.modules["image_prompt"] = pack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)

from image_prompt.references.filling import fill, filler  # noqa: E402
from image_prompt.references.library import Library, check, part_writer, reader  # noqa: E402
from image_prompt.references.library.rows import Rows  # noqa: E402

spec = importlib.util.spec_from_file_location("fakes", Path(__file__).with_name("fakes.py"))
fakes = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fakes)

ROWS = 48  # in a part, so that some hundred pictures have several
filler.EVERY = 0.0
for module in (part_writer, reader, filler):
    module.ROWS = ROWS


def write_pictures(photos: Path) -> None:
    for number in range(160):
        fakes.write(photos, **{f"{number % 5}__{number:04}": f"picture {number} {'x' * (number % 9)}"})


def change_pictures(photos: Path) -> None:
    """A third is changed or gone, so that the library is compacted; some are moved, new, or cannot be read."""
    for number in range(0, 160, 5):
        fakes.write(photos, **{f"0__{number:04}": f"changed {number}"})
    for number in range(1, 160, 10):
        os.unlink(photos / "1" / f"{number:04}.png")
    for number in range(2, 160, 20):
        os.rename(photos / "2" / f"{number:04}.png", photos / f"moved {number}.png")
    for number in range(160, 200):
        fakes.write(photos, **{f"9__{number:04}": "bad" if number % 6 == 0 else f"new {number}"})


def run(library: Path, photos: Path) -> None:
    fill(library, photos, fakes.FakeEncoder(), read=fakes.read, batch=16, prune=True)


def killed(library: Path, photos: Path, after: float) -> bool:
    """Whether a run was killed before it was done."""
    child = os.fork()
    if not child:
        try:
            run(library, photos)
        finally:
            os._exit(0)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def died(library: Path, photos: Path, step: int) -> bool:
    """Whether a run ended before it did this step of those that change files, counted from 0."""
    child = os.fork()
    if not child:
        left = [step]

        def counted(function):
            def stepped(*arguments):
                if function is not Rows.do or arguments[1] == "COMMIT":
                    left[0] -= 1
                    if left[0] < 0:
                        os._exit(1)
                return function(*arguments)

            return stepped

        names = ("fsync", "replace", "unlink")
        for owner, name, function in [(os, name, getattr(os, name)) for name in names] + [(Rows, "do", Rows.do)]:
            setattr(owner, name, lambda *arguments, stepped=counted(function): stepped(*arguments))
        run(library, photos)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def each_step(folder: Path) -> dict:
    """A small library, of which the half is gone and a third changed."""
    photos, begun = folder / "photos", folder / "begun"
    for number in range(6):
        fakes.write(photos, **{f"{number}": f"picture {number}"})
    run(begun, photos)
    for number in range(3):
        os.unlink(photos / f"{number}.png")
    fakes.write(photos, **{"3": "changed", "7": "new"})
    shutil.copytree(begun, folder / "whole")
    run(folder / "whole", photos)
    expected, good, step = fakes.everything(folder / "whole"), True, 0
    while True:
        library = folder / f"library {step}"
        shutil.copytree(begun, library)
        if not died(library, photos, step):
            return {"steps": step, "good": good}
        good &= check(library).clean
        with Library.open(library) as opened:
            good &= len(opened.vectors()) == opened.count
        run(library, photos)
        good &= fakes.everything(library) == expected
        step += 1


def main() -> dict:
    photos, begun, whole = folder / "photos", folder / "begun", folder / "whole"
    write_pictures(photos)
    run(begun, photos)
    change_pictures(photos)
    shutil.copytree(begun, whole)
    started = time.monotonic()
    run(whole, photos)
    duration = time.monotonic() - started
    run(folder / "new", photos)
    expected = [fakes.everything(whole), fakes.everything(folder / "new")]
    draw = random.Random(seed)
    found = {"kills": 0, "left over": 0, "finished": 0, "same": True, "clean": True}
    while found["kills"] < kills:
        library, is_new = folder / f"library {found['kills']}", found["finished"] % 2
        if not is_new:
            shutil.copytree(begun, library)
        while killed(library, photos, draw.uniform(0, duration)):
            found["kills"] += 1
            if not (library / "library.json").exists():  # killed before there was one
                continue
            report = check(library)
            found["left over"] += bool(report.left_over)
            found["clean"] &= report.clean
            with Library.open(library) as opened:
                found["clean"] &= len(opened.vectors()) == opened.count
        run(library, photos)
        found["finished"] += 1
        found["clean"] &= check(library).clean and not check(library).left_over
        found["same"] &= fakes.everything(library) == expected[is_new]
        shutil.rmtree(library)
    found |= each_step(folder / "steps")
    return {**found, "torch": "torch" in sys.modules, "parts": [len(parts) for _, parts in expected]}


print(json.dumps(main()))
