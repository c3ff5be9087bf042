"""The verdicts of a soak on made-up records: each fault is found and named, and a server that holds is let pass."""

import json
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from image_prompt.demo.soak import bad, command, plan, process, running, soak
from image_prompt.demo.soak.plan import KINDS, drawing, turns
from image_prompt.demo.soak.process import Use
from image_prompt.demo.soak.prompts import Fate, Prompt
from image_prompt.demo.soak.report import Setting, report
from image_prompt.demo.soak.running import Outcome
from image_prompt.demo.soak.verdicts import Mark, Record, Repeat, judge
from image_prompt.demo.stand_ins import PHOTOGRAPHS
from image_prompt.devtools import stages

TOTAL = 1000
STEADY = Use(resident=1000.0, peak=1200.0, files=10, threads=8)
FINE = Outcome(Prompt("one reference", {}), Fate.SUCCESS)
SAME = Repeat("one reference", [b"picture"], [b"picture"], cached=0)


def record(use_at: Callable[[int], Use] = lambda _: STEADY, **given: Sequence[object]) -> Record:
    marks = [Mark(number, use_at(number)) for number in range(2, TOTAL, 2)]
    return Record(marks, **{"outcomes": [FINE] * TOTAL, "repeats": [SAME], **given})


def failures(of: Record) -> dict[str, str]:
    return {verdict.criterion: verdict.says for verdict in judge(of) if not verdict.holds}


def leaking(**each: float) -> Callable[[int], Use]:
    """A server that uses so much more with each prompt."""
    return lambda number: replace(STEADY, **{name: getattr(STEADY, name) + each[name] * number for name in each})


def test_a_steady_server_holds():
    assert failures(record()) == {}


def test_what_is_used_in_the_warm_up_does_not_count():
    assert failures(record(lambda number: STEADY if number > 100 else replace(STEADY, resident=500.0, threads=3))) == {}


@pytest.mark.parametrize("kib, leaks", [(11, False), (14, True), (-14, True)])
def test_one_percent_of_memory_is_a_leak(kib, leaks):
    found = failures(record(leaking(resident=kib / 1024)))
    assert found.keys() == ({"resident memory"} if leaks else set())


def test_a_leak_is_told_in_numbers():
    found = failures(record(leaking(resident=0.1)))
    assert found == {
        "resident memory": "1015.1 MiB early, 1094.9 MiB at the end: +7.86%; less than 1% is allowed",
    }


@pytest.mark.parametrize("name, criterion", [("files", "open files"), ("threads", "threads")])
def test_one_more_is_found(name, criterion):
    before = getattr(STEADY, name)
    late = {name: before + 1}
    found = failures(record(lambda number: replace(STEADY, **late) if number > 850 else STEADY))
    assert found == {criterion: f"{before} early, {before + 1} at the end"}


@pytest.mark.parametrize(
    "repeat, says",
    [
        (replace(SAME, again=[b"another"]), "one reference: other pictures"),
        (replace(SAME, again=[]), "one reference: other pictures"),
        (replace(SAME, cached=3), "one reference: 3 nodes did not run anew"),
        (replace(SAME, first=[], again=[]), "one reference: shows no picture"),
    ],
)
def test_other_bits_are_found(repeat, says):
    assert failures(record(repeats=[SAME, repeat])) == {"the same bits": says}


def test_nothing_repeated_shows_nothing():
    assert failures(record(repeats=[])) == {"the same bits": "no prompt was repeated"}


@pytest.mark.parametrize(
    "outcome, says",
    [
        (replace(FINE, fate=Fate.LOST, said="nowhere"), "expected success, lost: nowhere"),
        (replace(FINE, fate=Fate.FAILED, said="broken"), "expected success, failed: broken"),
        (Outcome(Prompt("one reference", {}, Fate.CANCELLED), Fate.SUCCESS), "expected cancelled, success: "),
        (
            Outcome(Prompt("one reference", {}, Fate.FAILED, "too wide"), Fate.FAILED, "list index out of range"),
            "expected failed with 'too wide', failed: list index out of range",
        ),
    ],
)
def test_a_lost_prompt_is_found(outcome, says):
    found = failures(record(outcomes=[*[FINE] * (TOTAL - 1), outcome]))
    assert found == {"no prompt is lost": f"1 of {TOTAL}: one reference: {says}"}


def test_too_few_marks_cannot_be_judged():
    with pytest.raises(ValueError, match="3 prompts are too few to compare"):
        judge(Record([Mark(3, STEADY)], [FINE] * 3, [SAME]))


def test_the_report_names_what_fails():
    found = record(leaking(files=1))
    found.seconds["one reference"] = 12.5
    text = report(found, judge(found), Setting("0.30.0", ["--cpu"], ["OMP_NUM_THREADS=1"], seed=3, seconds=50.0))
    assert "| open files | **FAILS** | 162 early, 960 at the end |" in text
    assert "| resident memory | holds | 1000.0 MiB early, 1000.0 MiB at the end: +0.00%; less than 1%" in text
    assert "| one reference | 1000 | 12.5 | 1000 success |" in text
    assert "- 1000 prompts, seed 3, in 50 s (0.05 s each)" in text


def test_a_plan_has_every_kind_from_the_start_and_comes_from_its_seed():
    dealt, again, other = ([*turns(KINDS, drawing(seed, ["a.png", "b.png"]), TOTAL)] for seed in (5, 5, 6))
    assert dealt == again != other and sum(map(len, dealt)) == TOTAL
    prompts = [prompt for turn in dealt for prompt in turn]
    names = {kind.name for kind in KINDS}
    early = 100 - sum(kind.repeated for kind in KINDS)  # before the memory is compared
    assert {each.kind for each in prompts[:early]} == names
    assert all({each.kind for each in prompts[start : start + 250]} == names for start in range(0, 750, 250))
    assert {each.fate for each in prompts} == set(Fate) - {Fate.LOST}


def test_a_library_is_given_few_different_pictures():
    (kind,) = (each for each in KINDS if each.name == "library: added")
    draw = drawing(0, ["a.png", "b.png"])
    given = [prompt.workflow for _ in range(60) for prompt in kind.make(kind.name, draw)]
    assert len({json.dumps(each) for each in given}) == plan.ADDED


def test_pictures_to_draw_from_are_few_and_lie_wide_apart(tmp_path):
    folder = tmp_path / "input" / "drawings"
    folder.mkdir(parents=True)
    for number in range(60):
        (folder / f"{number:02}.png").touch()
    names = [f"drawings/{number:02}.png" for number in range(0, 60, 10)]
    assert soak.pictures_of(tmp_path) == [*PHOTOGRAPHS, *names]


def test_bad_prompts_are_bad_in_every_way_of_the_tables():
    draw = drawing(0, ["a.png"])
    made = [prompt for _ in range(60) for prompt in (*bad.refused("r", draw), *bad.failing("f", draw))]
    assert {prompt.says for prompt in made} == {each.says for each in (*bad.REFUSED, *bad.FAILING)}


# ------------------------------------------------------------------------------------------------------------ watching


class Answers:
    """A server that says the same whenever it is asked."""

    def __init__(self, queue: Sequence[str] = (), history: Sequence[tuple[str, dict]] = (), completed: bool = True):
        status = {"messages": [list(each) for each in history], "completed": completed}
        self.known = {
            "/queue": {"queue_running": [], "queue_pending": [[0, id] for id in queue]},
            "/history/it": {"it": {"status": status, "outputs": {}}} if history else {},
        }

    def check_alive(self) -> None:
        pass

    def get(self, path: str) -> object:
        return self.known[path]


DONE = [("execution_cached", {"nodes": ["a", "b"]}), ("execution_success", {})]


@pytest.mark.parametrize(
    "server, fate, cached",
    [
        (Answers(history=DONE), Fate.SUCCESS, 2),
        (Answers(history=DONE, completed=False), Fate.LOST, 0),
        (Answers(history=[("execution_start", {})]), Fate.LOST, 0),
        (Answers(history=[*DONE[:1], ("execution_interrupted", {})]), Fate.CANCELLED, 0),
        (Answers(history=[*DONE[:1], ("execution_error", {"exception_message": "broken"})]), Fate.FAILED, 0),
        (Answers(), Fate.LOST, 0),
        (Answers(queue=["it"]), Fate.LOST, 0),
    ],
)
def test_what_became_of_a_prompt(monkeypatch, server, fate, cached):
    monkeypatch.setattr(running, "LONGEST", 0.01)
    found = running.follow(server, FINE.prompt, "it")
    assert (found.fate, found.cached) == (fate, cached) and found.as_expected == (fate is Fate.SUCCESS)


def test_a_deleted_prompt_is_nowhere():
    deleted = Prompt("deleted", {}, Fate.DELETED)
    assert running.follow(Answers(), deleted, "it").as_expected
    assert not running.follow(Answers(history=DONE), deleted, "it").as_expected


def test_an_open_file_and_a_thread_are_counted(tmp_path):
    end, before = threading.Event(), process.use_of(os.getpid())
    thread = threading.Thread(target=end.wait)
    thread.start()
    with open(tmp_path / "file", "w"):
        during = process.use_of(os.getpid())
    end.set()
    thread.join()
    assert (during.files, during.threads) == (before.files + 1, before.threads + 1)
    assert 0 < during.resident <= during.peak


def test_another_system_is_refused_in_words(monkeypatch, tmp_path):
    monkeypatch.setattr(process, "PROC", tmp_path)
    with pytest.raises(stages.StageError, match="/proc, which only Linux has"):
        command.check(1000)


def test_too_short_a_soak_is_refused_in_words():
    with pytest.raises(stages.StageError, match="--prompts 99: at least 100"):
        command.check(99)
