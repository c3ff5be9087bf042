"""Downloads from a server that misbehaves end with the right file, or with a part that the next call continues."""

import dataclasses
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from web_server import serving

from image_prompt.devtools.stages import ROOT
from image_prompt.model_files.catalogue import Entry
from image_prompt.model_files.download import Manner, download, fetch, file_name, transfer
from image_prompt.model_files.download import partial_download as part_module
from image_prompt.model_files.download import published_file as download_module
from image_prompt.model_files.download.addresses import CONTENT_HOSTS, DownloadError, check_address

CONTENT = random.Random(0).randbytes(3_000_000)
OTHER = random.Random(1).randbytes(3_000_000)
NAME = "ip-adapter_test.safetensors"
AT_ONCE = {"pause": 0, "tries": 3, "timeout": 20}


@pytest.fixture
def server():
    with serving(CONTENT) as server:
        yield server


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "models" / "ipadapter"


def make_entry(server=None, **fields) -> Entry:
    known = {
        "id": "test",
        "title": "Test",
        "kind": "adapter",
        "family": "base",
        "base_model": "SD1.5",
        "encoder": "",
        "purposes": (),
        "folder": "ipadapter",
        "files": (NAME,),
        "companion": "",
        "size": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
        "url": server.url if server else "https://example.org/model",
        "page": "https://example.org/page",
        "licence": "Apache-2.0",
        "commercial": True,
    }
    return Entry(**{**known, **fields})


def get(entry: Entry, folder: Path, notices: list | None = None, **options):
    manner = Manner(**AT_ONCE, notice=(notices if notices is not None else []).append)
    return download(entry, folder, manner=manner, **options)


def refused(entry: Entry, folder: Path, **options) -> str:
    with pytest.raises(DownloadError) as error:
        get(entry, folder, **options)
    assert not (folder / entry.files[0]).exists()
    return str(error.value)


def begin(server, folder: Path, count: int = 1_000_000, **fields) -> None:
    """Leave the part of an earlier run that fetched `count` bytes."""
    server.plan = [{"cut": count}, *[{"cut": 0}] * AT_ONCE["tries"]]
    refused(make_entry(server, **fields), folder)
    assert (folder / f"{NAME}.part").stat().st_size == count
    server.plan.clear()
    server.requests.clear()


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ------------------------------------------------------------------------------------------------------ the whole file


def test_the_file_arrives_whole_and_alone(server, folder):
    seen = []
    done = download(make_entry(server), folder, manner=Manner(progress=lambda *numbers: seen.append(numbers)))
    assert done.path == folder / NAME and done.path.read_bytes() == CONTENT
    assert (done.size, done.fetched, done.sha256) == (len(CONTENT), len(CONTENT), server.sha256)
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and seen == sorted(seen)
    assert left(folder) == [NAME]
    assert server.requests[0]["Accept-Encoding"] == "identity"


def test_a_catalogue_without_size_takes_the_size_of_the_server(server, folder):
    assert get(make_entry(server, size=None), folder).size == len(CONTENT)


def test_chunks_without_a_length_need_the_size_of_the_catalogue(server, folder):
    server.plan = [{"chunked": True}, {"chunked": True}]
    assert "how large test is" in refused(make_entry(server, size=None), folder)
    assert get(make_entry(server), folder).path.read_bytes() == CONTENT


def test_a_linked_folder_is_followed(server, tmp_path):
    (tmp_path / "disk").mkdir()
    try:
        (tmp_path / "ipadapter").symlink_to(tmp_path / "disk", target_is_directory=True)
    except OSError:
        pytest.skip("links are not allowed here")
    get(make_entry(server), tmp_path / "ipadapter")
    assert (tmp_path / "disk" / NAME).read_bytes() == CONTENT


# ------------------------------------------------------------------------------------------------- cut and taken up


def test_cut_connections_are_taken_up_where_they_broke(server, folder):
    server.plan = [{"cut": 1_000_000}, {"cut": 500_000}]
    notices = []
    done = get(make_entry(server), folder, notices)
    assert done.path.read_bytes() == CONTENT and done.fetched == len(CONTENT)
    asked = [request.get("Range") for request in server.requests]
    assert asked == [None, "bytes=1000000-", "bytes=1500000-"]
    assert server.requests[1]["If-Range"] == '"one"'
    assert len(notices) == 2 and "cut" in notices[0]


def test_tries_that_bring_nothing_come_to_an_end(server, folder):
    server.plan = [{"cut": 1000}, *[{"cut": 0}] * 9]
    text = refused(make_entry(server), folder)
    assert "3 times in a row" in text and "1,000 bytes are kept" in text
    assert len(server.requests) == 3


def test_tries_that_bring_much_are_not_counted(server, folder, monkeypatch):
    monkeypatch.setattr(fetch, "PROGRESS", 300_000)
    server.plan = [{"cut": 400_000}] * 7
    assert get(make_entry(server), folder).path.read_bytes() == CONTENT


def test_a_later_run_goes_on_with_the_part(server, folder):
    begin(server, folder)
    notices = []
    done = get(make_entry(server), folder, notices)
    assert done.path.read_bytes() == CONTENT and done.fetched == len(CONTENT) - 1_000_000
    assert server.requests[0]["Range"] == "bytes=1000000-"
    assert "1,000,000 bytes are here" in notices[0]
    assert left(folder) == [NAME]


def test_a_part_that_is_complete_is_not_asked_for(server, folder):
    longer = {"content": CONTENT + b"x"}
    server.plan = [{**longer, "cut": len(CONTENT)}, *[{**longer, "cut": 0}] * 3]
    refused(make_entry(server, size=None), folder)
    server.requests.clear()
    assert get(make_entry(server), folder).fetched == 0
    assert server.requests == []


def test_a_part_that_is_complete_without_anybody_knowing_is_told_by_the_server(server, folder):
    server.plan = [{"length": str(len(CONTENT) + 10)}]
    notices = []
    assert get(make_entry(server, size=None), folder, notices).path.read_bytes() == CONTENT  # after a 416
    assert len(server.requests) == 2


def test_a_part_that_is_longer_than_the_file_is_fetched_anew(server, folder):
    begin(server, folder, size=None)
    server.content = CONTENT[:900_000]
    entry = make_entry(server, size=None, sha256=server.sha256)
    assert get(entry, folder).path.read_bytes() == CONTENT[:900_000]  # after a 416


def test_a_server_that_ignores_ranges_is_read_from_the_beginning(server, folder):
    begin(server, folder)
    server.plan = [{"honour_range": False}]
    done = get(make_entry(server), folder)
    assert done.path.read_bytes() == CONTENT and done.fetched == len(CONTENT)


def test_a_file_that_changed_meanwhile_is_not_glued(server, folder):
    begin(server, folder)
    server.plan = [{"etag": '"two"', "content": OTHER}]
    entry = make_entry(server, sha256=hashlib.sha256(OTHER).hexdigest())
    assert get(entry, folder).path.read_bytes() == OTHER
    assert server.requests[0]["If-Range"] == '"one"'


def test_a_server_that_ignores_if_range_is_asked_again(server, folder):
    begin(server, folder)
    server.plan = [{"etag": '"two"', "content": OTHER, "honour_if_range": False}, {"etag": '"two"', "content": OTHER}]
    entry = make_entry(server, sha256="")
    assert get(entry, folder, allow_unverified=True).path.read_bytes() == OTHER
    assert [request.get("Range") for request in server.requests] == ["bytes=1000000-", None]


def test_a_rest_that_begins_elsewhere_is_not_glued(server, folder):
    begin(server, folder)
    server.plan = [{"headers": {"Content-Range": f"bytes 999999-{len(CONTENT) - 1}/{len(CONTENT)}"}}]
    assert get(make_entry(server), folder).path.read_bytes() == CONTENT
    assert [request.get("Range") for request in server.requests] == ["bytes=1000000-", None]


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"ETag": None, "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, "Mon, 01 Jan 2024 00:00:00 GMT"),
        ({"ETag": 'W/"one"', "Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, "Mon, 01 Jan 2024 00:00:00 GMT"),
        ({"ETag": None}, None),
        ({"ETag": 'W/"one"'}, None),
    ],
    ids=["date", "weak tag and date", "nothing", "weak tag"],
)
def test_what_can_be_told_of_the_version_is_said_when_going_on(server, folder, headers, validator):
    server.plan = [{"cut": 1_000_000, "headers": headers}, {"headers": headers, "honour_if_range": False}]
    assert get(make_entry(server), folder).path.read_bytes() == CONTENT
    assert server.requests[1]["Range"] == "bytes=1000000-"
    assert server.requests[1].get("If-Range") == validator


def test_without_hash_and_version_a_later_run_begins_anew(server, folder):
    headers = {"ETag": None}
    server.plan = [{"cut": 1_000_000, "headers": headers}, *[{"cut": 0, "headers": headers}] * 3]
    entry = make_entry(server, sha256="")
    refused(entry, folder, allow_unverified=True)
    server.requests.clear()
    assert get(entry, folder, allow_unverified=True).path.read_bytes() == CONTENT
    assert "Range" not in server.requests[0]


def test_the_part_of_another_link_is_not_taken_up(server, folder):
    begin(server, folder)
    get(make_entry(server, url=server.url + "?other"), folder)
    assert "Range" not in server.requests[0]


def test_a_part_of_somebody_else_stays(server, folder):
    folder.mkdir(parents=True)
    (folder / f"{NAME}.part").write_bytes(b"theirs")
    assert "is not known to be part of this download" in refused(make_entry(server), folder)
    assert (folder / f"{NAME}.part").read_bytes() == b"theirs" and left(folder) == [f"{NAME}.part"]


@pytest.mark.skipif(os.name == "nt", reason="there are no FIFOs")
def test_a_fifo_in_the_place_of_the_part_is_not_opened(server, folder):
    folder.mkdir(parents=True)
    os.mkfifo(folder / f"{NAME}.part")
    assert "is not a regular file" in refused(make_entry(server), folder)


def test_a_silent_server_is_given_up(server, folder):
    server.plan = [{"hold": 1000}] * 3
    with pytest.raises(DownloadError, match="stopped answering, 2 times in a row"):
        download(make_entry(server), folder, manner=Manner(timeout=0.2, tries=2, pause=0))
    assert (folder / f"{NAME}.part").stat().st_size >= 1000


def test_nobody_listening_is_said(server, folder):
    server.server_close()
    assert "connection was lost" in refused(make_entry(server), folder)
    assert left(folder) == []


# -------------------------------------------------------------------------------------------------------- wrong files


def test_a_wrong_hash_removes_what_arrived(server, folder):
    entry = make_entry(server, sha256="0" * 64)
    text = refused(entry, folder)
    assert "0" * 64 in text and server.sha256 in text and entry.page in text
    assert left(folder) == []


def test_a_damaged_part_is_noticed_and_removed(server, folder):
    begin(server, folder)
    with open(folder / f"{NAME}.part", "r+b") as part:
        part.write(b"damage")
    assert "same command again" in refused(make_entry(server), folder)
    assert left(folder) == []
    assert get(make_entry(server), folder).path.read_bytes() == CONTENT


def test_another_size_than_the_catalogue_s_is_refused_before_a_byte_is_read(server, folder):
    text = refused(make_entry(server, size=5), folder)
    assert "3,000,000" in text and "Nothing was fetched" in text
    assert left(folder) == []


def test_more_than_announced_is_refused(server, folder):
    server.plan = [{"chunked": True}]
    assert "sends more than the 5 bytes" in refused(make_entry(server, size=5), folder)
    assert left(folder) == []


@pytest.mark.parametrize("length", ["-5", "1" * 30, None])
def test_a_length_that_is_no_number_is_no_length(server, folder, length):
    server.plan = [{"length": length}]
    assert get(make_entry(server), folder).path.read_bytes() == CONTENT


def test_a_length_that_is_too_short_ends_in_another_hash(server, folder):
    server.plan = [{"length": "1000"}]
    assert "SHA-256" in refused(make_entry(server, size=None), folder)
    assert left(folder) == []


def test_a_part_outlives_an_answer_that_is_another_file(server, folder):
    begin(server, folder)
    server.plan = [{"etag": '"two"', "content": b"something else"}]
    assert "14 bytes" in refused(make_entry(server), folder)
    assert (folder / f"{NAME}.part").read_bytes() == CONTENT[:1_000_000]
    assert get(make_entry(server), folder).fetched == len(CONTENT) - 1_000_000


@pytest.mark.parametrize("kind", ["TEXT/HTML; charset=utf-8", "application/xhtml+xml"])
def test_a_web_page_is_refused(server, folder, kind):
    server.plan = [{"headers": {"Content-Type": kind}}]
    text = refused(make_entry(server), folder)
    assert "web page" in text and str(folder / NAME) in text
    assert left(folder) == []


def test_a_packed_file_is_refused(server, folder):
    server.plan = [{"headers": {"Content-Encoding": "gzip"}}]
    assert "compressed as 'gzip'" in refused(make_entry(server), folder)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, "Accept the licence on https://example.org/page"),
        (404, "not there any more"),
        (400, "look at https://example.org/page"),
        (204, "which is not a file"),
        (206, "which is not a file"),
    ],
)
def test_refusals_say_what_to_do_and_are_not_repeated(server, folder, status, words):
    server.plan = [{"status": status}]
    text = refused(make_entry(server), folder)
    assert words in text and str(status) in text
    assert len(server.requests) == 1 and left(folder) == []


@pytest.mark.parametrize("status", [429, 500])
def test_a_busy_server_is_asked_again(server, folder, status):
    server.plan = [{"status": status}] * 2
    assert get(make_entry(server), folder).path.read_bytes() == CONTENT


def test_a_server_that_stays_busy_is_given_up_and_the_part_kept(server, folder):
    begin(server, folder)
    server.plan = [{"status": 503}] * 9
    text = refused(make_entry(server), folder)
    assert "503" in text and "1,000,000 bytes are kept" in text


def test_the_pause_a_server_asks_for_is_kept(server, folder, monkeypatch):
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    server.plan = [{"status": 429, "headers": {"Retry-After": "7"}}, {"status": 429}]
    get(make_entry(server), folder)
    assert pauses[0] == 7


def test_a_pause_that_is_too_long_is_left_to_the_user(server, folder):
    server.plan = [{"status": 429, "headers": {"Retry-After": "3600"}}]
    assert "wait 3600 seconds" in refused(make_entry(server), folder)


def test_pauses_grow_and_end(server, folder, monkeypatch):
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    server.plan = [{"status": 500}] * 9
    with pytest.raises(DownloadError):
        download(make_entry(server), folder, manner=Manner(pause=10, tries=5))
    assert pauses == [10, 20, 30, 30]


# -------------------------------------------------------------------------------------------------------- addresses


def test_known_hosts_are_followed():
    for url, origin in (
        ("https://cas-bridge.xethub.hf.co/a", "https://huggingface.co/b"),
        ("https://cdn-lfs-us-1.huggingface.co/a", "https://huggingface.co/b"),
        ("https://HuggingFace.co:443/a", "https://huggingface.co/b"),
        ("https://release-assets.githubusercontent.com/a", "https://github.com/b"),
        ("http://127.0.0.1:80/a", "http://127.0.0.1:90/b"),
    ):
        check_address(url, origin)


@pytest.mark.parametrize(
    ("url", "origin", "words"),
    [
        ("https://hf.co.evil.example/a", "https://huggingface.co/b", "hf.co.evil.example"),
        ("https://evilhf.co/a", "https://huggingface.co/b", "evilhf.co"),
        ("https://cas-bridge.xethub.hf.co/a", "https://github.com/b", "another host"),
        ("http://huggingface.co/a", "https://huggingface.co/b", "not encrypted"),
        ("http://127.0.0.1/a", "https://huggingface.co/b", "another host"),
        ("file:///etc/passwd", "https://huggingface.co/b", "not the address"),
        ("https://huggingface.co@evil.example/a", "https://huggingface.co/b", "not the address"),
        ("https://[huggingface.co/a", "https://huggingface.co/b", "not the address"),
        ("https://huggingface.co:port/a", "https://huggingface.co/b", "not the address"),
        ("https://huggingface.co/a\r\nHost: evil.example", "https://huggingface.co/b", "not the address"),
        ("", "https://huggingface.co/b", "not the address"),
    ],
)
def test_other_addresses_are_not(url, origin, words):
    with pytest.raises(DownloadError, match=words):
        check_address(url, origin)


def test_no_known_host_holds_everything():
    assert all(pattern.rpartition("*")[2].count(".") >= 2 for row in CONTENT_HOSTS.values() for pattern in row)


def test_a_redirect_to_a_foreign_host_is_named_and_not_followed(server, folder):
    with serving(OTHER) as foreign:
        server.plan = [{"to": foreign.url.replace("127.0.0.1", "localhost")}]
        text = refused(make_entry(server), folder)
        assert "localhost" in text and "another host" in text
        assert foreign.requests == [] and left(folder) == []


def test_a_redirect_to_http_is_not_followed(server, folder):
    server.plan = [{"to": "http://huggingface.co/model"}]
    assert "http://huggingface.co/model is not encrypted" in refused(make_entry(server), folder)


def test_a_redirect_within_the_host_is_followed_with_the_range(server, folder):
    begin(server, folder)
    server.plan = [{"to": "/elsewhere"}]
    assert get(make_entry(server), folder).fetched == len(CONTENT) - 1_000_000
    assert server.requests[1]["Range"] == "bytes=1000000-" and server.requests[1]["If-Range"] == '"one"'


@pytest.mark.parametrize("to", ["/model.safetensors", "http://[bad", "ftp://127.0.0.1/model"])
def test_redirects_that_lead_nowhere_end(server, folder, to):
    server.plan = [{"to": to}] * 30
    assert refused(make_entry(server), folder)
    assert left(folder) == []


def test_an_entry_without_https_is_refused(folder):
    assert refused(make_entry(url="http://example.org/model"), folder)
    assert not folder.exists()


def test_the_proxy_is_not_asked_for_this_machine(server, folder, monkeypatch):
    for name in ("http_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert get(make_entry(server), folder).size == len(CONTENT)


# ------------------------------------------------------------------------------------------------------------- disk


def test_a_disk_that_is_too_small_is_said_beforehand(server, folder, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))
    text = refused(make_entry(server), folder)
    assert "1,000 bytes free, 3,000,000 are needed: 2,999,000 too few" in text
    assert left(folder) == []


def test_only_the_rest_needs_room(server, folder, monkeypatch):
    begin(server, folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 0, 2_000_000))
    assert get(make_entry(server), folder).size == len(CONTENT)


class FullDisk:
    """A file on a disk that has room for `room` more bytes."""

    def __init__(self, file, room: int) -> None:
        self.file, self.room = file, room

    def __getattr__(self, name: str):
        return getattr(self.file, name)

    def write(self, data) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = self.file.write(data[: self.room])
        self.room -= count
        return count


def test_a_disk_that_fills_up_leaves_a_part_that_can_be_taken_up(server, folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(part_module, "_open_plain", lambda path: FullDisk(open(path, "a+b", buffering=0), 1_234_567))
        text = refused(make_entry(server), folder)
    assert "1,234,567 of 3,000,000 bytes are here, 1,765,433 are missing" in text
    assert (folder / f"{NAME}.part").read_bytes() == CONTENT[:1_234_567]
    assert get(make_entry(server), folder).path.read_bytes() == CONTENT
    assert server.requests[-1]["Range"] == "bytes=1234567-"


class SlowDisk(FullDisk):
    """A file that writes only a little of what it is given at once."""

    def write(self, data) -> int:
        return self.file.write(data[:1000])


def test_what_a_disk_does_not_take_at_once_follows(server, folder, monkeypatch):
    monkeypatch.setattr(part_module, "_open_plain", lambda path: SlowDisk(open(path, "a+b", buffering=0), 0))
    assert get(make_entry(server), folder).path.read_bytes() == CONTENT


def test_a_disk_that_fills_up_at_the_very_end_keeps_the_part(server, folder, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert "The disk is full" in refused(make_entry(server), folder)
    assert get(make_entry(server), folder).fetched == 0


def test_a_folder_that_cannot_be_made_is_said(server, tmp_path):
    (tmp_path / "ipadapter").write_text("a file")
    with pytest.raises(DownloadError, match="cannot be written"):
        get(make_entry(server), tmp_path / "ipadapter")


def test_the_file_is_safe_on_the_disk_before_it_has_its_name_and_then_the_name(server, folder, monkeypatch):
    steps = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: (steps.append("fsync"), fsync(number)))
    monkeypatch.setattr(os, "replace", lambda *paths: (steps.append("replace"), replace(*paths)))
    get(make_entry(server), folder)
    assert steps == ["fsync", "replace", "fsync"]


# --------------------------------------------------------------------------------------------------- what is there


def test_the_same_file_is_not_fetched_again(server, folder):
    get(make_entry(server), folder)
    server.requests.clear()
    assert get(make_entry(server), folder, offline=True).fetched == 0
    assert server.requests == []


@pytest.mark.parametrize("sha256", [hashlib.sha256(CONTENT).hexdigest(), ""])
def test_another_file_stays_as_it_is(server, folder, sha256):
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(b"theirs")
    with pytest.raises(DownloadError, match="is there already and is kept"):
        get(make_entry(server, sha256=sha256), folder, allow_unverified=True)
    assert (folder / NAME).read_bytes() == b"theirs" and server.requests == []


def test_a_file_that_another_process_has_just_finished_is_not_fetched(server, folder, monkeypatch):
    def finish(*_):
        folder.mkdir(parents=True)
        (folder / NAME).write_bytes(CONTENT)

    monkeypatch.setattr(download_module, "check_request", finish)
    assert get(make_entry(server), folder).fetched == 0
    assert server.requests == [] and left(folder) == [NAME]


def test_a_folder_or_a_dead_link_with_that_name_stays(server, folder):
    (folder / NAME).mkdir(parents=True)
    with pytest.raises(DownloadError, match="not a regular file"):
        get(make_entry(server), folder)
    if os.name != "nt":
        (folder / "dead.safetensors").symlink_to(folder / "nowhere")
        with pytest.raises(DownloadError, match="not a regular file"):
            get(make_entry(server, files=("dead.safetensors",)), folder)
    assert not (folder / "nowhere").exists()


def test_a_file_that_appears_meanwhile_stays(server, folder):
    def appear(*_):
        (folder / NAME).write_bytes(b"theirs")

    with pytest.raises(DownloadError, match="appeared in the meantime"):
        download(make_entry(server), folder, manner=Manner(progress=appear))
    assert (folder / NAME).read_bytes() == b"theirs"


def test_offline_says_what_to_do_by_hand(server, folder):
    text = refused(make_entry(server), folder, offline=True)
    assert server.url in text and str(folder / NAME) in text
    assert server.requests == [] and not folder.exists()


def test_without_a_hash_nothing_is_fetched_unless_allowed(server, folder):
    entry = make_entry(server, sha256="")
    assert "--allow-unverified" in refused(entry, folder)
    assert server.requests == [] and not folder.exists()
    assert get(entry, folder, allow_unverified=True).sha256 == server.sha256


def test_a_hash_in_capitals_is_the_same_hash(server, folder):
    entry = make_entry(server, sha256=server.sha256.upper())
    get(entry, folder)
    assert get(entry, folder).fetched == 0


def test_an_entry_without_a_link_says_where_to_look(folder):
    assert "https://example.org/page" in refused(make_entry(url=""), folder)


BAD_NAMES = [
    "../x.safetensors",
    "a\\b.safetensors",
    "..",
    "",
    " ",
    "C:x",
    "con",
    "NUL.bin",
    "com1.safetensors",
    "lpt0.bin",
]
BAD_NAMES += ["x.", "x ", " x", "a\0b", "a\nb", "x?", "é" * 300, ".hidden"]


def test_a_name_that_is_no_plain_name_is_refused(tmp_path):
    for name in BAD_NAMES:
        with pytest.raises(DownloadError, match="not a plain file name"):
            download(make_entry(files=(name,)), tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []


def test_a_plain_name_is_taken():
    for name in (NAME, "ip adapter (v2).safetensors", "模型.bin", "console.bin", "a..b.pth"):
        assert file_name(make_entry(files=(name,))) == name


def test_an_entry_without_a_name_is_refused(tmp_path):
    with pytest.raises(DownloadError, match="not a plain file name"):
        download(make_entry(files=()), tmp_path)


# ------------------------------------------------------------------------------------------------- several processes

CHILD = """
import importlib.util, json, sys
root, entry, folder = sys.argv[1:]
spec = importlib.util.spec_from_file_location("pack", root + "/__init__.py", submodule_search_locations=[root])
sys.modules["pack"] = pack = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
from pack.model_files.catalogue import Entry
from pack.model_files.download import download
from pack.model_files.download.addresses import DownloadError
fields = json.loads(entry)
try:
    print(download(Entry(**{**fields, "files": tuple(fields["files"])}), folder).fetched)
except DownloadError as error:
    raise SystemExit(str(error))
"""


def child(entry: Entry, folder: Path) -> subprocess.Popen:
    arguments = [str(ROOT), json.dumps(dataclasses.asdict(entry)), str(folder)]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_second_of_two_processes_says_that_the_first_is_at_it(server, folder):
    server.plan = [{"hold": 1_000_000}]
    first = child(make_entry(server), folder)
    assert server.holding.wait(60)
    second = child(make_entry(server), folder)
    assert "Another process is downloading" in second.communicate(timeout=60)[1] and second.returncode == 1
    server.release.set()
    assert first.communicate(timeout=60) == (f"{len(CONTENT)}\n", "")
    assert (folder / NAME).read_bytes() == CONTENT and left(folder) == [NAME] and len(server.requests) == 1


def test_of_many_processes_at_once_none_spoils_the_file(server, folder):
    children = [child(make_entry(server), folder) for _ in range(3)]
    said = [process.communicate(timeout=120) for process in children]
    fetched = [int(out) for out, _ in said if out]
    assert sorted(fetched)[-1] == len(CONTENT) and set(fetched) <= {0, len(CONTENT)}
    assert all("Another process is downloading" in error for out, error in said if not out)
    assert (folder / NAME).read_bytes() == CONTENT and left(folder) == [NAME] and len(server.requests) == 1


def test_the_lock_of_a_dead_process_is_taken_over(server, folder):
    server.plan = [{"hold": 1_000_000}]
    first = child(make_entry(server), folder)
    assert server.holding.wait(60)
    while not (part := folder / f"{NAME}.part").exists() or not part.stat().st_size:
        time.sleep(0.01)
    first.kill()
    first.communicate(timeout=60)
    done = get(make_entry(server), folder)
    assert done.path.read_bytes() == CONTENT and done.fetched < len(CONTENT)


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C goes to the whole console there")
def test_ctrl_c_leaves_a_part_that_can_be_taken_up(server, folder):
    server.plan = [{"hold": 1_000_000}]
    first = child(make_entry(server), folder)
    assert server.holding.wait(60)
    while not (part := folder / f"{NAME}.part").exists() or part.stat().st_size < 1_000_000:
        time.sleep(0.01)
    first.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in first.communicate(timeout=60)[1]
    assert get(make_entry(server), folder).fetched == len(CONTENT) - 1_000_000
    assert (folder / NAME).read_bytes() == CONTENT


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be removed there")
def test_a_lock_on_a_file_that_was_removed_meanwhile_is_none(tmp_path, monkeypatch):
    path, lock, removed = tmp_path / "info", part_module._lock, []

    def lock_late(file):
        lock(file)
        if not removed:  # by its last owner
            removed.append(path.unlink())

    monkeypatch.setattr(part_module, "_lock", lock_late)
    with part_module._open_locked(path), pytest.raises(part_module.BusyError):
        part_module._open_locked(path)


@pytest.mark.skipif(os.name == "nt", reason="flock is not of Windows")
def test_a_drive_without_locks_still_takes_a_file(server, folder, monkeypatch):
    import fcntl

    def none(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", none)
    assert get(make_entry(server), folder).path.read_bytes() == CONTENT


def test_the_words_of_every_refusal_can_be_filled_in():
    for words in transfer.STATUS.values():
        said = words.format(page="PAGE", target="TARGET")
        assert "PAGE" in said and "TARGET" in said
