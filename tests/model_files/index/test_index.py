"""The index reads each file once, notices changes, keeps what it knows, and never hangs."""

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from published import VIT_H, header_of, shapes, write

from image_prompt.devtools.stages import ROOT
from image_prompt.model_files.folders import ModelFolders
from image_prompt.model_files.index import Identity, Index, Progress, identify, index_cache
from image_prompt.model_files.index import index as index_module
from image_prompt.model_files.index.background_passes import Passes
from image_prompt.tensor_files import UnusableFile, read_header

HEADER = header_of({"a": (1,)})
LONG = 30  # seconds; nothing here takes as long, even on a busy machine


class Reader:
    """A stand-in for `read_header` that counts its reads, and waits where a test tells it to."""

    def __init__(self):
        self.paths, self.gate, self.entered = Counter(), threading.Event(), threading.Event()
        self.gate.set()

    def __call__(self, path):
        self.paths[Path(path).name] += 1
        self.entered.set()
        assert self.gate.wait(LONG)
        text = Path(path).read_text()
        if text == "broken":
            raise UnusableFile(f"{Path(path).name} is broken. Get it again.")
        return replace(HEADER, metadata={"is": text})

    @property
    def total(self):
        return self.paths.total()


def named(header, name, path):
    return Identity("other", header.metadata["is"])


@pytest.fixture
def models(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def put(models):
    """Write files: put("loras/a.safetensors", "what it is")."""

    def put(name, content="a model"):
        path = models / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    return put


@pytest.fixture
def reader():
    return Reader()


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "user" / "index.json"


@pytest.fixture
def open_index(models, reader):
    """Open indexes over ipadapter, clip_vision and loras below models/."""
    made = []

    def open_index(**options):
        folders = ModelFolders({type: [models / type] for type in ("ipadapter", "clip_vision", "loras")})
        made.append(
            Index(
                folders,
                **{"read": reader, "identify": named, "types": ("ipadapter", "clip_vision", "loras"), **options},
            )
        )
        return made[-1]

    yield open_index
    reader.gate.set()
    for index in made:
        index.close()


def families(index, type="ipadapter", **options):
    return {found.file.name: found.identity and found.identity.family for found in index.files(type, **options)}


def eventually(true):
    end = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def idle(index):
    eventually(lambda: not index.stats()["building"])


def test_nothing_happens_before_the_first_request(put, open_index, reader):
    put("ipadapter/a.safetensors")
    index = open_index()
    assert not index.stats()["building"]
    assert reader.total == 0


def test_the_first_request_waits_for_its_type_and_has_the_others_read_in_the_background(put, open_index, reader):
    put("ipadapter/a.safetensors", "an adapter")
    put("clip_vision/b.safetensors", "an encoder")
    put("loras/c.safetensors", "a LoRA")
    index = open_index()
    assert families(index) == {"a.safetensors": "an adapter"}
    idle(index)
    assert reader.total == 3
    assert [found.file.type for found in index.files()] == ["ipadapter", "clip_vision", "loras"]
    assert reader.total == 3


def test_without_waiting_the_answer_is_what_is_known_so_far(put, open_index, reader):
    put("ipadapter/a.safetensors")
    reader.gate.clear()
    index = open_index()
    assert index.files("ipadapter", wait=False) == []
    reader.gate.set()
    eventually(lambda: index.files("ipadapter", wait=False))


def test_a_wait_ends_with_its_time(put, open_index, reader):
    put("ipadapter/a.safetensors")
    reader.gate.clear()
    index = open_index()
    assert index.files("ipadapter", timeout=0.05) == []


def test_an_unusable_file_stays_with_its_reason(put, open_index):
    put("ipadapter/a.safetensors", "broken")
    (found,) = open_index().files("ipadapter")
    assert (found.identity, found.problem) == (None, "a.safetensors is broken. Get it again.")


def test_a_file_that_this_pack_cannot_use_has_the_reason_of_its_identity(put, open_index):
    put("ipadapter/a.safetensors")
    (found,) = open_index(identify=lambda header, name, path: Identity("other", "a VAE", problem="a VAE.")).files(
        "ipadapter"
    )
    assert (found.identity.family, found.problem) == ("a VAE", "a VAE.")


def test_a_name_is_passed_on_as_a_hint(put, open_index):
    put("clip_vision/SD1.5/model.safetensors")
    index = open_index(identify=lambda header, name, path: Identity("other", name))
    assert families(index, "clip_vision") == {"SD1.5/model.safetensors": "SD1.5/model.safetensors"}


def test_many_threads_during_the_build_read_each_file_once(put, open_index, reader):
    for number in range(40):
        put(f"{('ipadapter', 'clip_vision', 'loras')[number % 3]}/{number}.safetensors", str(number))
    index, answers = open_index(), []
    types = [None, "ipadapter", "clip_vision", "loras"] * 8
    threads = [
        threading.Thread(target=lambda type=type: answers.append((type, families(index, type)))) for type in types
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert len(answers) == len(types)
    assert {type: len(found) for type, found in answers} == {None: 40, "ipadapter": 14, "clip_vision": 13, "loras": 13}
    idle(index)
    assert set(reader.paths.values()) == {1}


def test_those_who_wait_for_the_first_pass_wait_for_one(put, open_index, reader, monkeypatch):
    put("ipadapter/a.safetensors")
    reader.gate.clear()
    index, scan = open_index(), ModelFolders.scan
    scans = Counter()
    monkeypatch.setattr(index.folders, "scan", lambda type: scans.update([type]) or scan(index.folders, type))
    threads = [threading.Thread(target=index.files, args=("ipadapter",)) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert reader.entered.wait(LONG)
    for _ in range(3):
        index.files("ipadapter", wait=False)
    eventually(lambda: index.stats()["lookups"] == 8)  # all threads have asked
    reader.gate.set()
    for thread in threads:
        thread.join(LONG)
    idle(index)
    assert scans == {"ipadapter": 1, "clip_vision": 1, "loras": 1}


def test_what_somebody_waits_for_is_read_first(put, open_index, reader):
    for name in ("ipadapter/a", "ipadapter/b", "clip_vision/c", "loras/d"):
        put(f"{name}.safetensors")
    reader.gate.clear()
    index = open_index()
    index.files(wait=False)
    assert reader.entered.wait(LONG)
    thread = threading.Thread(target=index.files, args=("loras",))
    thread.start()
    eventually(lambda: index._passes.must_yield)
    reader.gate.set()
    thread.join(LONG)
    idle(index)
    assert [name[0] for name in reader.paths] == ["a", "d", "b", "c"]


def test_a_lookup_does_not_wait_for_a_large_folder_that_is_being_read(put, open_index, reader):
    for number in range(20):
        put(f"loras/{number}.safetensors")
    index = open_index()
    index.files("ipadapter"), index.files("clip_vision")
    idle(index)
    for number in range(20):
        put(f"loras/{number}.safetensors", "another")
    reader.gate.clear(), reader.entered.clear()
    index._passes.request((), ["loras"])
    assert reader.entered.wait(LONG)
    put("ipadapter/new.safetensors", "an adapter")
    answer = []
    thread = threading.Thread(target=lambda: answer.append(families(index)))
    thread.start()
    eventually(lambda: index._passes.must_yield)
    reader.gate.set()
    thread.join(LONG)
    assert answer == [{"new.safetensors": "an adapter"}]
    idle(index)
    assert set(families(index, "loras").values()) == {"another"}
    assert max(reader.paths.values()) == 2  # as it was, and as it is


def test_a_new_file_is_seen_at_once(put, open_index, reader):
    put("ipadapter/a.safetensors")
    index = open_index()
    assert len(index.files("ipadapter")) == 1
    put("ipadapter/b.safetensors")
    assert len(index.files("ipadapter")) == 2
    assert reader.paths == {"a.safetensors": 1, "b.safetensors": 1}


def test_a_new_file_in_a_sub_folder_is_seen_at_once(put, open_index):
    put("ipadapter/sd15/a.safetensors")
    index = open_index()
    assert len(index.files("ipadapter")) == 1
    put("ipadapter/sd15/b.safetensors")
    assert len(index.files("ipadapter")) == 2


def test_a_removed_file_is_gone_at_once(put, open_index):
    path = put("ipadapter/a.safetensors")
    put("ipadapter/b.safetensors")
    index = open_index()
    assert len(index.files("ipadapter")) == 2
    path.unlink()
    assert list(families(index)) == ["b.safetensors"]


def test_a_folder_that_disappears_and_comes_back(put, models, open_index, reader):
    put("ipadapter/a.safetensors", "an adapter")
    index = open_index()
    assert families(index) == {"a.safetensors": "an adapter"}
    (models / "ipadapter").rename(models / "elsewhere")
    assert families(index) == {}
    (models / "elsewhere").rename(models / "ipadapter")
    assert families(index) == {"a.safetensors": "an adapter"}
    assert reader.total == 1


def test_a_folder_that_appears(put, open_index):
    index = open_index()
    assert families(index) == {}
    put("ipadapter/a.safetensors", "an adapter")
    assert families(index) == {"a.safetensors": "an adapter"}


def test_a_folder_that_goes_away_during_the_pass_leaves_out_what_cannot_be_read(put, models, open_index):
    put("ipadapter/a.safetensors")
    put("ipadapter/b.safetensors")

    def read(path):
        shutil.rmtree(models / "ipadapter", ignore_errors=True)
        return read_header(path)

    assert open_index(read=read).files("ipadapter") == []


def test_a_file_overwritten_in_place_is_found_in_the_background(put, open_index, monkeypatch):
    path = put("ipadapter/a.safetensors", "an adapter")
    index = open_index()
    index.files("ipadapter")
    idle(index)
    before = os.stat(path.parent)
    path.write_text("another adapter")
    os.utime(path.parent, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert families(index) == {"a.safetensors": "an adapter"}  # no directory tells
    monkeypatch.setattr(index_module, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(index_module, "REST", 0)
    eventually(lambda: families(index) == {"a.safetensors": "another adapter"})


def test_a_file_is_current_while_it_is_as_it_was_read(put, open_index, reader):
    path = put("ipadapter/a.safetensors", "an adapter")
    index = open_index()
    (found,) = index.files("ipadapter")
    assert index.is_current(found)
    idle(index)
    before = os.stat(path.parent)
    path.write_text("something else")
    os.utime(path.parent, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not index.is_current(found)
    index.rescan("ipadapter")
    assert [found.identity.family for found in index.files("ipadapter")] == ["something else"]
    assert reader.total == 2


def test_a_warm_lookup_looks_at_a_few_directories_and_no_file(put, open_index, reader, monkeypatch):
    for number in range(60):
        put(f"ipadapter/{number}/a.safetensors")
    index = open_index()
    index.files()
    idle(index)
    asked, stat = [], os.stat
    monkeypatch.setattr(os, "stat", lambda path, **options: asked.append(str(path)) or stat(path, **options))
    monkeypatch.setattr(index.folders, "scan", lambda type: pytest.fail("scanned"))
    assert len(index.files("ipadapter")) == 60
    assert len(asked) <= index_module.DIRECTORIES
    assert not [path for path in asked if path.endswith(".safetensors")]
    del asked[:]
    assert len(index.files()) == 60
    assert len(asked) <= index_module.DIRECTORIES


def test_a_pass_that_took_long_is_followed_by_a_long_rest():
    view = index_module.View((), {}, ended=time.monotonic() - 20, seconds=3.0)
    assert not view.is_old
    assert replace(view, seconds=1.0).is_old
    assert not replace(view, ended=time.monotonic() - 4, seconds=0.0).is_old


def test_links_and_sub_folders_are_found(put, models, open_index, reader):
    put("elsewhere/a.safetensors", "an adapter")
    put("ipadapter/deep/er/b.safetensors", "another")
    (models / "ipadapter" / "linked").symlink_to(models / "elsewhere")
    (models / "ipadapter" / "loop").symlink_to(models / "ipadapter")
    (models / "ipadapter" / "c.safetensors").symlink_to(models / "elsewhere" / "a.safetensors")
    assert families(open_index()) == {
        "deep/er/b.safetensors": "another",
        "linked/a.safetensors": "an adapter",
        "c.safetensors": "an adapter",
    }


def test_one_folder_of_two_types_is_read_once(put, models, reader):
    put("shared/a.safetensors")
    index = Index(
        ModelFolders({type: [models / "shared"] for type in ("ipadapter", "clip_vision")}),
        read=reader,
        identify=named,
        types=("ipadapter", "clip_vision"),
    )
    assert [found.file.type for found in index.files()] == ["ipadapter", "clip_vision"]
    assert reader.total == 1
    index.close()


def test_types_that_nobody_knows_are_empty(open_index):
    index = open_index(types=("ipadapter", "instantid"))
    assert index.files("instantid") == []
    assert index.paths("instantid") == []


def test_every_default_type_can_be_asked_for(tmp_path):
    index = Index(ModelFolders({}))
    assert index.files(timeout=LONG) == []
    index.close()


def test_onnx_models_are_known_by_their_names(put, models):
    put("insightface/models/buffalo_l/det_10g.onnx")
    index = Index(ModelFolders({"insightface": [models / "insightface"]}))
    (found,) = index.files("insightface")
    assert (found.identity.kind, found.file.name) == ("face pack", "models/buffalo_l/det_10g.onnx")
    index.close()


def test_progress_is_told_meanwhile_and_may_stop_the_wait(put, open_index, reader):
    for number in range(3):
        put(f"ipadapter/{number}.safetensors")
    reader.gate.clear()
    index, seen = open_index(), []

    def stop(progress):
        seen.append(progress)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        index.files("ipadapter", on_progress=stop)
    assert seen == [Progress("ipadapter", 0, 3)]
    reader.gate.set()
    assert len(index.files("ipadapter")) == 3
    idle(index)


def test_an_error_in_a_pass_is_logged_and_nobody_waits_for_ever(put, open_index, caplog, monkeypatch):
    put("ipadapter/a.safetensors")
    index = open_index()
    monkeypatch.setattr(index.folders, "scan", lambda type: 1 / 0 if type == "ipadapter" else [])
    with caplog.at_level(logging.ERROR):
        assert index.files("ipadapter", timeout=LONG) == []
    assert caplog.text.count("The pass over ipadapter failed.") == 1  # those over the other types follow
    assert "ZeroDivisionError" in caplog.text


def test_an_error_while_saving_ends_nothing(put, open_index, cache, monkeypatch, caplog):
    monkeypatch.setattr(index_module, "save", lambda *_: 1 / 0)
    put("ipadapter/a.safetensors")
    index = open_index(cache_file=cache)
    assert len(index.files("ipadapter", timeout=LONG)) == 1
    idle(index)
    put("ipadapter/b.safetensors")
    assert len(index.files("ipadapter", timeout=LONG)) == 2
    assert "ZeroDivisionError" in caplog.text


def test_closing_lets_go_of_those_who_wait(put, open_index, reader):
    for number in range(5):
        put(f"ipadapter/{number}.safetensors")
    reader.gate.clear()
    index, answers = open_index(), []
    thread = threading.Thread(target=lambda: answers.append(index.files("ipadapter")))
    thread.start()
    assert reader.entered.wait(LONG)
    closer = threading.Thread(target=index.close)
    closer.start()
    thread.join(LONG)
    assert answers == [[]]
    reader.gate.set()
    closer.join(LONG)
    assert reader.total == 1
    assert index.files("ipadapter") == []
    assert not index.stats()["building"]


def test_a_thread_that_reads_does_not_keep_the_process():
    passes = Passes(lambda name: True, lambda: None)
    threads = []
    passes._idle = lambda: threads.append(threading.current_thread())
    passes.wait(passes.request(["a"], []), LONG)
    eventually(lambda: threads)
    assert threads[0].daemon


ENDS = """
import sys, time, torch
from image_prompt.model_files.index import Identity, Index
from image_prompt.model_files import ModelFolders

def identify(header, name, path):
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        torch.empty(2, device="meta")
    with open("identified", "a") as file:
        file.write(".")
    return Identity("other", name)

index = Index(ModelFolders({"ipadapter": sys.argv[1]}), identify=identify)
index.files("ipadapter", timeout=0.1)
print(index.stats()["building"])
"""


def test_a_program_may_end_while_files_are_identified(tmp_path):
    """Without care, the interpreter ends the thread inside torch, and that aborts the process."""
    for number in range(20):
        write(tmp_path / "models" / f"{number}.safetensors", {"a": (1,)})
    (tmp_path / "image_prompt").symlink_to(ROOT)
    done = subprocess.run(
        [sys.executable, "-c", ENDS, "models"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    identified = tmp_path / "identified"
    assert not identified.exists() or len(identified.read_text()) < 20  # it does not wait for all files


def test_what_fails_after_closing_says_nothing_about_a_file(put, open_index, cache):
    """When a program ends, imports fail too."""
    closing = threading.Event()

    def read(path):
        assert closing.wait(LONG)
        raise RuntimeError("can't register atexit after shutdown")

    put("ipadapter/a.safetensors")
    index = open_index(cache_file=cache, read=read)
    index.files("ipadapter", wait=False)
    closer = threading.Thread(target=index.close)
    closer.start()
    eventually(lambda: index._passes.is_closed)
    closing.set()
    closer.join(LONG)
    assert not cache.exists()


def test_stats_are_plain_data(put, open_index):
    put("ipadapter/a.safetensors")
    put("ipadapter/b.safetensors", "broken")
    index = open_index()
    index.files("ipadapter")
    idle(index)
    index.files("ipadapter")
    stats = json.loads(json.dumps(index.stats()))
    assert stats["types"]["ipadapter"]["files"] == 2
    assert stats["types"]["ipadapter"]["unusable"] == 1
    assert (stats["files"], stats["headers_read"], stats["lookups"]) == (2, 2, 2)
    assert stats["slowest_warm_lookup_ms"] > 0


# the file in which it is kept


def test_what_was_read_is_kept_from_one_start_to_the_next(put, open_index, cache, reader):
    put("ipadapter/a.safetensors", "an adapter")
    put("ipadapter/b.safetensors", "broken")
    first = open_index(cache_file=cache)
    expected = first.files("ipadapter")
    idle(first)
    again = open_index(cache_file=cache)
    assert again.files("ipadapter") == expected
    assert reader.total == 2
    put("ipadapter/a.safetensors", "another adapter")
    assert families(open_index(cache_file=cache))["a.safetensors"] == "another adapter"
    assert reader.total == 3


def test_identities_survive_as_they_are(tmp_path, cache):
    encoder = {
        key: tuple({1280: 64, 5120: 128, 1024: 32}.get(size, size) for size in shape)
        for key, shape in shapes(VIT_H).items()
        if "layers." not in key or "layers.0." in key
    }
    write(tmp_path / "clip_vision" / "tiny.safetensors", encoder, vision_config='{"heads": 4}')
    write(tmp_path / "clip_vision" / "h.safetensors", shapes(VIT_H))
    write(tmp_path / "clip_vision" / "a.safetensors", shapes("ip-adapter-faceid_sd15"))
    write(tmp_path / "clip_vision" / "b.safetensors", shapes("infiniteyou-image_proj_model"))
    folders = ModelFolders({"clip_vision": [tmp_path / "clip_vision"]})
    first = Index(folders, cache)
    expected = first.files("clip_vision")
    assert {found.identity.kind for found in expected} == {"encoder", "adapter", "face adapter"}
    first.close()
    again = Index(folders, cache, read=lambda path: pytest.fail("read again"))
    assert again.files("clip_vision") == expected
    again.close()


def damaged(change):
    def apply(path):
        table = json.loads(path.read_text())
        change(table)
        path.write_text(json.dumps(table))

    return apply


def row(table):
    return next(iter(table["files"].values()))


DAMAGES = {
    "empty": lambda path: path.write_text(""),
    "binary": lambda path: path.write_bytes(b"\xff\x00" * 50),
    "deep": lambda path: path.write_text("[" * 200_000),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "other rules": damaged(lambda table: table.update(rules="of another version")),
    "no files": damaged(lambda table: table.pop("files")),
    "short row": damaged(lambda table: row(table).pop()),
    "size as text": damaged(lambda table: row(table).__setitem__(0, "1")),
    "problem as number": damaged(lambda table: row(table).__setitem__(3, 5)),
    "identity as text": damaged(lambda table: row(table).__setitem__(2, "an adapter")),
    "family as number": damaged(lambda table: row(table)[2].__setitem__(1, 7)),
    "projection as text": damaged(lambda table: row(table)[2].__setitem__(4, "yes")),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_foreign_file_is_rebuilt(put, open_index, cache, reader, damage, caplog):
    put("ipadapter/a.safetensors", "an adapter")
    first = open_index(cache_file=cache)
    first.files("ipadapter")
    idle(first)
    DAMAGES[damage](cache)
    again = open_index(cache_file=cache)
    assert families(again) == {"a.safetensors": "an adapter"}
    assert reader.total == 2
    idle(again)
    told = [record.getMessage() for record in caplog.records]
    if cache.is_dir():
        [said] = told
        assert "could not be kept" in said and said.endswith(
            "Check that the folder may be written to and that the disk has room."
        )
    else:
        assert not told
        assert families(open_index(cache_file=cache)) == {"a.safetensors": "an adapter"}
        assert reader.total == 2


def test_a_cache_that_cannot_be_written_is_no_error(put, open_index, tmp_path):
    (tmp_path / "file").write_text("")
    put("ipadapter/a.safetensors", "an adapter")
    index = open_index(cache_file=tmp_path / "file" / "index.json")
    assert families(index) == {"a.safetensors": "an adapter"}
    idle(index)


def test_two_that_write_one_file_leave_a_whole_one(put, open_index, cache, reader):
    for number in range(30):
        put(f"ipadapter/{number}.safetensors", str(number))
    known = {str(number): index_cache.Known(number, number, None, "x" * 1000) for number in range(200)}
    writers = [threading.Thread(target=lambda: [index_cache.save(cache, known) for _ in range(20)]) for _ in range(4)]
    for writer in writers:
        writer.start()
    seen = [index_cache.load(cache) for _ in range(50)]
    for writer in writers:
        writer.join(LONG)
    assert all(each in ({}, known) for each in seen)
    assert index_cache.load(cache) == known
    assert [path.name for path in cache.parent.iterdir()] == ["index.json"]


def test_a_long_first_pass_is_saved_on_the_way(put, open_index, cache, reader, monkeypatch):
    monkeypatch.setattr(index_module, "SAVE_SECONDS", -1.0)
    for number in range(3):
        put(f"ipadapter/{number}.safetensors")
    saved = []
    monkeypatch.setattr(index_module, "save", lambda path, known, *_: saved.append(len(known)) is None)
    index = open_index(cache_file=cache)
    index.files("ipadapter")
    idle(index)
    assert saved == [1, 2, 3]


def test_files_that_have_gone_are_forgotten_when_they_are_many(put, models, open_index, cache):
    gone = {
        str(models / "ipadapter" / f"{number}.safetensors"): index_cache.Known(1, 1, None, "x")
        for number in range(2000)
    }
    index_cache.save(cache, gone)
    put("ipadapter/a.safetensors")
    index = open_index(cache_file=cache)
    index.files()
    idle(index)
    put("ipadapter/b.safetensors")
    index.files()
    idle(index)
    assert [Path(path).name for path in index_cache.load(cache)] == ["a.safetensors", "b.safetensors"]


def test_real_files_are_read_and_identified(tmp_path):
    write(tmp_path / "ipadapter" / "sub" / "mine.safetensors", shapes("ip-adapter-plus_sd15"))
    (tmp_path / "ipadapter" / "empty.bin").touch()
    index = Index(ModelFolders({"ipadapter": [tmp_path / "ipadapter"]}))
    found = {each.file.name: each for each in index.files("ipadapter")}
    index.close()
    assert found["sub/mine.safetensors"].identity == identify(header_of(shapes("ip-adapter-plus_sd15")))
    assert found["empty.bin"].problem.startswith("empty.bin is empty")


@pytest.mark.parametrize("error", [ImportError("No module named 'torch'"), OSError("no libtorch_cpu.so")], ids=type)
def test_without_torch_a_new_file_is_an_error_for_who_asks_and_not_a_broken_file(
    models, open_index, cache, monkeypatch, error
):
    class Absent:
        def find_spec(self, name, path=None, target=None):
            if name.endswith(".identification"):
                raise error

    monkeypatch.delitem(sys.modules, "image_prompt.model_files.index.identification", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    write(models / "ipadapter" / "a.safetensors", {"a": (1,)})
    index = open_index(cache_file=cache, read=read_header, identify=identify)
    for ask in (index.files, index.rescan):
        with pytest.raises(ImportError, match="torch"):
            ask("ipadapter")
    index.close()
    assert not cache.exists()
