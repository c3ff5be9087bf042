"""Let everything that writes files meet every fault, in children of this process.

python child.py ROOT FOLDER URL   prints {writer: {fault: what came of it}} as JSON; URL is that of a server of CONTENT
"""

import importlib.util
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

root, folder, url = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
spec = importlib.util.spec_from_file_location(
    "image_prompt", root / "__init__.py", submodule_search_locations=[str(root)]
)
sys.modules["image_prompt"] = pack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
sys.path += [str(root / "tests" / "references" / "filling"), str(Path(__file__).parent)]

import writers  # noqa: E402
from injection import Ended, Fault, apart, attempt, read_only, without_rights  # noqa: E402

from image_prompt.references.library.writer_lock import BeingWritten  # noqa: E402

MOST_STEPS = 200
AT_ONCE, EACH = 3, 12  # processes that write one thing at the same time, and how often


def names(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())


class Trial:
    """One writer. `wrong` says what was wrong after which fault."""

    def __init__(self, name: str, writing: writers.Writing) -> None:
        self.writing, self.place, self.wrong = writing, folder / name, list[str]()
        self.begun, clean = self.place / "begun", self.place / "clean"
        self.begun.mkdir(parents=True)
        writing.begin(self.begun)
        shutil.copytree(self.begun, clean)
        ended = attempt(lambda: writing.write(clean))
        assert not ended.error, ended
        self.before, self.after = writing.found(self.begun), writing.found(clean)
        self.names = {"begun": names(self.begun), "clean": names(clean)}
        self.largest = max(path.stat().st_size for path in clean.rglob("*") if path.is_file())

    def meet(self, fault: Fault) -> Ended:
        return self._meet(repr(fault), fault.arm)

    def meet_read_only(self) -> Ended:
        return self._meet("read only", without_rights, may_write=False)

    def _meet(self, fault: str, prepare, may_write: bool = True) -> Ended:
        here = self.place / "here"
        shutil.copytree(self.begun, here)
        if may_write:
            ended = apart(lambda: self.writing.write(here), prepare)
        else:
            with read_only(here):
                ended = apart(lambda: self.writing.write(here), prepare)
        self._check(fault, here, ended)
        again = attempt(lambda: self.writing.write(here))
        found = self.writing.found(here)
        if again.error or found != self.after or names(here) != self.names["clean"]:
            self.wrong.append(f"{fault}, then the next start: {again} {found} {names(here)}")
        shutil.rmtree(here)
        return ended

    def _check(self, fault: str, here: Path, ended: Ended) -> None:
        try:
            found = self.writing.found(here)
        except Exception as error:
            self.wrong.append(f"{fault}: {type(error).__name__}: {error}")
            return
        away = ended.killed and self.writing.may_be_away and not found
        if found not in (self.before, self.after) and not away:
            self.wrong.append(f"{fault}: {found}")
        if ended.error not in ("", "ValueError"):
            self.wrong.append(f"{fault}: {ended}")
        if not ended.killed:
            known = {*self.names["begun"], *self.names["clean"]}
            more = [name for name in names(here) if name not in known]
            allowed = [name for pattern in self.writing.stays for name in more if re.fullmatch(pattern, name)]
            self.wrong += [f"{fault}: it left {name}" for name in more if name not in allowed]

    def bytes(self, killed: bool) -> Iterator[Ended]:
        for share in (0.0, 0.001, 0.3, 0.999):
            yield self.meet(Fault(killed, byte=int(share * self.largest)))

    def steps(self, killed: bool) -> Iterator[Ended]:
        for step in range(MOST_STEPS):
            ended = self.meet(Fault(killed, step=step))
            if not ended.killed and not ended.struck:
                return
            yield ended
        raise AssertionError("There is no end of steps.")


def tried(name: str, writing: writers.Writing) -> dict:
    found = {}
    for fault in ("killed", "full", "read only"):
        trial = Trial(f"{name} {fault}", writing)
        killed = fault == "killed"
        ended = [trial.meet_read_only()] if fault == "read only" else [*trial.bytes(killed), *trial.steps(killed)]
        met = [each for each in ended if each.killed or each.said]
        said = sorted({line for each in met for line in each.said})
        found[fault] = {"met": len(met), "killed": sum(each.killed for each in met), "said": said, "wrong": trial.wrong}
    return found


# ------------------------------------------------------------------------------------------------- several processes


def at_once(act) -> list[Ended]:
    """`act(worker)` in several processes."""
    children = []
    for worker in range(AT_ONCE):
        child = os.fork()
        if not child:
            try:
                act(worker)
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
                os._exit(1)
            os._exit(0)
        children.append(child)
    return [os.waitpid(child, 0)[1] for child in children]


def several() -> dict:
    """What is there after all have written, and what should be."""
    place = folder / "at once"
    place.mkdir()
    numbers = range(AT_ONCE * EACH)

    def own(worker: int) -> range:
        return range(worker, AT_ONCE * EACH, AT_ONCE)

    def write_index(worker: int) -> None:
        mine = {}
        for number in own(worker):
            mine |= writers.known(str(number))
            assert writers.index_cache.save(place / "index.json", mine, {str(number)})

    def write_features(worker: int) -> None:
        for number in own(worker):
            writers.save_numbered(place, number)

    def write_library(worker: int) -> None:
        for number in own(worker):
            while True:
                try:
                    writers.add(place, number)
                except BeingWritten:
                    continue
                break

    ended = {act.__name__: at_once(act) for act in (write_index, write_features, write_library)}
    left_over = [name for name in names(place) if name.endswith(".unfinished")]
    return {
        "ended": ended,
        "left over": left_over,
        "index": [writers.index_files(place), sorted(map(str, numbers))],
        "features": [writers.features_files(place), [f"cat_{number + 1:05}_.safetensors" for number in numbers]],
        "library": [writers.library_pictures(place), sorted(f"{number}.png" for number in numbers)],
    }


found = {name: tried(name, writing) for name, writing in writers.writings(url).items()}
print(json.dumps({"faults": found, "several": several()}))
