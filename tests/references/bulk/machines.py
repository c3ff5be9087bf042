"""Let machines, as processes, race for one library, and kill them at times drawn from a seed and at each of their
steps. It imports no torch.

python machines.py ROOT FOLDER SEED KILLS   prints what came of it
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


def load(name: str, path: Path, **options):
    spec = importlib.util.spec_from_file_location(name, path, **options)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


load("image_prompt", root / "__init__.py", submodule_search_locations=[str(root)])
fakes = load("fakes", Path(__file__).parents[1] / "filling" / "fakes.py")

from image_prompt.references.bulk import Maker, Place, begin, collect, collecting, embed_share  # noqa: E402
from image_prompt.references.filling import fill, filler  # noqa: E402
from image_prompt.references.library import Library, check, part_writer, reader, writer  # noqa: E402
from image_prompt.references.library.rows import Rows  # noqa: E402

ROWS, BATCH, SHARD, MACHINES = 48, 4, 16, 3
TRIES = 100  # of one machine to finish, and of three to be killed once
DIED = 7  # the exit code of a machine that was stopped at a step
MAKER = Maker(fakes.SPACE, "f" * 64)
os.fsync = lambda file: None  # what a killed process has written stays: only a power cut asks for more
begin.__globals__["LOOK_AGAIN"] = 0.001
for module in (part_writer, reader, filler, collecting):
    module.ROWS = ROWS
connect = writer.connect_to_write


def connect_without_waiting(folder: Path):
    connection = connect(folder)
    connection.execute("PRAGMA synchronous=OFF")
    return connection


writer.connect_to_write = connect_without_waiting


def write_pictures(photos: Path) -> None:
    for number in range(160):
        fakes.write(photos, **{f"{number % 5}__{number:04}": f"picture {number} {'x' * (number % 9)}"})


def change_pictures(photos: Path) -> None:
    """A third is changed, so that the library is compacted; some are moved, touched, new, or cannot be read."""
    for number in [*range(0, 160, 5), *range(1, 160, 5)]:
        fakes.write(photos, **{f"{number % 5}__{number:04}": f"changed {number}"})
    for number in range(2, 160, 20):
        os.rename(photos / "2" / f"{number:04}.png", photos / f"moved {number}.png")
    for number in range(3, 160, 20):
        os.utime(photos / "3" / f"{number:04}.png", ns=(10**18, 10**18))
    for number in range(160, 200):
        fakes.write(photos, **{f"9__{number:04}": "bad" if number % 6 == 0 else f"new {number}"})


def plain(library: Path, photos: Path) -> None:
    fill(library, photos, fakes.FakeEncoder(), read=fakes.read, batch=BATCH, encoder_sha256=MAKER.sha256)


def machine(library: Path, photos: Path, share: tuple[int, int]) -> str:
    """What `embed --shard` does; whether the library is whole when it ends."""
    place = Place(photos, library.with_name(f"{library.name} bulk"), library)
    plan = begin(place, MAKER, shard=SHARD, batch=BATCH).plan
    if plan is None:
        return "collected"
    embed_share(place, plan, fakes.FakeEncoder(), share, read=fakes.read)
    return collect(place, plan).state


def started(function, *arguments) -> int:
    """The process that does it; its exit code is 1 after an error."""
    child = os.fork()
    if not child:
        try:
            function(*arguments)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return child


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def finish(library: Path, photos: Path) -> None:
    """Go on until the parts are collected. RuntimeError if that does not come."""
    for _ in range(TRIES):
        if (state := machine(library, photos, (1, 1))) == "collected":
            return
        time.sleep(0.001)
    raise RuntimeError(f"The parts are {state} after {TRIES} tries.")


def whole(library: Path) -> bool:
    if not (library / "library.json").exists():  # killed before there was one
        return True
    with Library.open(library) as opened:
        return check(library).clean and len(opened.vectors()) == opened.count


def race(library: Path, photos: Path, draw: random.Random, duration: float) -> dict:
    """All machines at once. Each may be killed, and then comes back with its share."""
    found = {"kills": 0, "errors": 0, "clean": True}
    running = {started(machine, library, photos, (i, MACHINES)): (i, MACHINES) for i in range(1, MACHINES + 1)}
    if duration:
        time.sleep(draw.uniform(0, duration))
        victims = draw.sample(sorted(running), draw.randint(1, MACHINES))
        for child in victims:
            os.kill(child, signal.SIGKILL)
            share = running.pop(child)
            found["kills"] += ended(child) == -signal.SIGKILL
            running[started(machine, library, photos, share)] = share
    for child in running:
        found["errors"] += ended(child) != 0
    found["clean"] &= whole(library)
    return found


def died(library: Path, photos: Path, step: int) -> bool:
    """Whether a machine ended before it did this step of those that change files, counted from 0."""

    def stepped() -> None:
        left = [step]

        def counted(function):
            def counting(*arguments):
                if function is not Rows.do or arguments[1] == "COMMIT":
                    left[0] -= 1
                    if left[0] < 0:
                        os._exit(DIED)
                return function(*arguments)

            return counting

        names = ("fsync", "replace", "unlink", "link", "mkdir", "rmdir")
        for owner, name, function in [(os, name, getattr(os, name)) for name in names] + [(Rows, "do", Rows.do)]:
            setattr(owner, name, lambda *arguments, counting=counted(function), **_: counting(*arguments))
        finish(library, photos)

    code = ended(started(stepped))
    if code not in (0, DIED):
        raise RuntimeError(f"A machine failed at its step {step}.")
    return code == DIED


def each_step(folder: Path) -> dict:
    """A small library, of which the half is changed, so that it is compacted."""
    photos, begun = folder / "photos", folder / "begun"
    for number in range(24):
        fakes.write(photos, **{f"{number:02}": f"picture {number}"})
    plain(begun, photos)
    for number in range(12):
        fakes.write(photos, **{f"{number:02}": f"changed {number}"})
    for number in range(30, 40):
        fakes.write(photos, **{f"{number:02}": "bad" if number == 31 else f"new {number}"})
    os.rename(photos / "20.png", photos / "moved.png")
    shutil.copytree(begun, folder / "whole")
    plain(folder / "whole", photos)
    expected, good, step = fakes.everything(folder / "whole"), True, 0
    while True:
        library = folder / f"library {step}"
        shutil.copytree(begun, library)
        has_died = died(library, photos, step)
        good &= whole(library)
        finish(library, photos)
        good &= fakes.everything(library) == expected and not (library / "bulk.txt").exists()
        good &= not library.with_name(f"{library.name} bulk").exists()
        if not has_died:
            return {"steps": step, "good": good}
        step += 1


def main() -> dict:
    photos, begun = folder / "photos", folder / "begun"
    write_pictures(photos)
    plain(begun, photos)
    change_pictures(photos)
    shutil.copytree(begun, folder / "whole")
    plain(folder / "whole", photos)
    plain(folder / "new", photos)
    expected = [fakes.everything(folder / "whole"), fakes.everything(folder / "new")]
    draw = random.Random(seed)
    found = {"kills": 0, "errors": 0, "clean": True, "same": True, "races": 0}
    duration = 0.0
    while found["kills"] < kills and found["races"] < kills * TRIES:
        library, is_new = folder / f"library {found['races']}", found["races"] % 2
        if not is_new:
            shutil.copytree(begun, library)
        began = time.monotonic()
        one = race(library, photos, draw, duration)
        duration = duration or time.monotonic() - began  # the first race is without kills, to see how long one is
        finish(library, photos)
        found["races"] += 1
        found["kills"] += one["kills"]
        found["errors"] += one["errors"]
        found["clean"] &= one["clean"] and whole(library)
        found["same"] &= fakes.everything(library) == expected[is_new]
        shutil.rmtree(library)
    return {**found, **each_step(folder / "steps"), "torch": "torch" in sys.modules}


print(json.dumps(main()))
