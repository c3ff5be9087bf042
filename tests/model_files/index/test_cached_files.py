"""Files of the catalogue in the Hugging Face cache are found, after all others, and nothing else there is looked at."""

import json
import os
import subprocess
import sys

import pytest
from hub import COMMIT, OTHER, put_cached
from huggingface_hub import try_to_load_from_cache
from published import VIT_H, VIT_L, shapes, write

from image_prompt.devtools.published import encoder
from image_prompt.model_files.catalogue import Catalogue, place_in
from image_prompt.model_files.folders import ModelFolders, hugging_face
from image_prompt.model_files.index import CachedFiles, Index
from image_prompt.model_files.matching import Need, explain, resolve, table
from image_prompt.tensor_files import read_header

CATALOGUE = Catalogue.load()
H, L, B32 = shapes(VIT_H), shapes(VIT_L), encoder(768, 12, 3072, 512, 32)
ENCODER_H = Need("encoder", encoder="CLIP ViT-H/14")
IMAGE_ENCODER = "models/image_encoder/model.safetensors"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def open_index(tmp_path):
    made = []

    def open_index(usable=True, **options):
        folders = ModelFolders({type: tmp_path / "models" / type for type in ("ipadapter", "clip_vision", "loras")})
        made.append(Index(folders, cached=CachedFiles(CATALOGUE, usable), **options))
        return made[-1]

    yield open_index
    for index in made:
        index.close()


PRINT = """
import importlib, json, os, sys
from huggingface_hub import constants
for given in json.load(sys.stdin):
    os.environ.update(given)
    print(importlib.reload(constants).HF_HUB_CACHE)
    for name in given: del os.environ[name]
"""
ENVIRONMENTS = [
    {},
    {"XDG_CACHE_HOME": "/xdg"},
    {"HF_HOME": "~/hf", "XDG_CACHE_HOME": "/xdg"},
    {"HUGGINGFACE_HUB_CACHE": "$HOME/old", "HF_HOME": "/hf"},
    {"HF_HUB_CACHE": "/new/", "HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/hf"},
]


def test_the_cache_is_where_huggingface_hub_has_it(monkeypatch):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    done = subprocess.run(
        [sys.executable, "-c", PRINT], input=json.dumps(ENVIRONMENTS), capture_output=True, text=True, check=True
    )
    for given, theirs in zip(ENVIRONMENTS, done.stdout.splitlines(), strict=True):
        with monkeypatch.context() as patch:
            for name, value in given.items():
                patch.setenv(name, value)
            assert str(hugging_face.hub_folder()) == theirs.rstrip("/")


def test_a_file_is_found_where_huggingface_hub_finds_it(hub, open_index):
    put_cached(hub, "h94/IP-Adapter", IMAGE_ENCODER, H)
    theirs = try_to_load_from_cache("h94/IP-Adapter", IMAGE_ENCODER, cache_dir=hub)
    resolution = resolve(ENCODER_H, open_index(), CATALOGUE)
    assert str(resolution.found.file.path) == theirs
    assert explain(resolution) == (
        f"Needed: image encoder CLIP ViT-H/14. On this disk: Hugging Face cache/h94/IP-Adapter/{IMAGE_ENCODER}, "
        "the image encoder CLIP ViT-H/14."
    )


def test_every_adapter_and_encoder_of_the_catalogue_is_found_in_its_repository(hub):
    wanted = {
        entry.id: entry
        for entry in CATALOGUE.entries
        if entry.repository and entry.url and entry.folder in ("ipadapter", "clip_vision")
    }
    for entry in wanted.values():
        put_cached(hub, *place_in(entry.url), {})
    cached = CachedFiles(CATALOGUE)
    found = {(file.type, file.name) for type in ("ipadapter", "clip_vision") for file in cached.scan(type)}
    assert found == {(entry.folder, "/".join(place_in(entry.url))) for entry in wanted.values()} and len(found) > 40


def test_other_repositories_and_other_files_are_not_looked_at(hub, monkeypatch):
    for repository, path in (
        ("nobody/clip-vit-base-patch32", "pytorch_model.bin"),
        ("openai/clip-vit-base-patch32", "tf/pytorch_weights.bin"),
        ("openai/clip-vit-base-patch32", "config.json"),
        ("h94/IP-Adapter", "models/other.safetensors"),
        ("h94/IP-Adapter-FaceID", "ip-adapter-faceid_sd15_lora.safetensors"),  # a LoRA
    ):
        put_cached(hub, repository, path, {})
    walked, scandir = [], os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: walked.append(str(path)) or scandir(path))
    cached = CachedFiles(CATALOGUE)
    assert [file for type in ("ipadapter", "clip_vision", "loras") for file in cached.scan(type)] == []
    assert walked and not [path for path in walked if "nobody" in path]
    assert cached.directories("loras") == []


def test_the_snapshot_of_main_counts_and_then_the_newest(hub):
    name, commits = "model.safetensors", [letter * 40 for letter in "abef"]
    for number, commit in enumerate([*commits, COMMIT]):
        link = put_cached(hub, "openai/clip-vit-base-patch32", name, B32, commit)
        os.utime(link.parent, (number, number))
    pulled = put_cached(hub, "openai/clip-vit-base-patch32", "pytorch_model.bin", B32, OTHER)
    os.utime(pulled.parent, (1, 1))

    def found():
        return {file.path.name: file.path.parent.name for file in CachedFiles(CATALOGUE).scan("clip_vision")}

    assert found() == {name: COMMIT, "pytorch_model.bin": OTHER}
    main = link.parents[2] / "refs" / "main"
    main.write_text(f"{commits[0]}\n")
    assert found()[name] == commits[0]
    for wrong in ("../" * 3, "e" * 500, "é"):
        main.write_text(wrong)
        assert found()[name] == COMMIT
    main.unlink()
    link.unlink()
    link.symlink_to("../../blobs/gone")
    assert found()[name] == commits[-1]


def test_ones_own_files_come_first_whatever_their_names(hub, open_index, tmp_path):
    put_cached(hub, "h94/IP-Adapter", IMAGE_ENCODER, H)
    write(tmp_path / "models" / "clip_vision" / "zzz.safetensors", H)
    index = open_index()
    assert resolve(ENCODER_H, index, CATALOGUE).found.file.name == "zzz.safetensors"
    report = table(index, CATALOGUE)
    rows = {row.entry.id: row for row in report.rows}
    assert rows[VIT_H].file.file.name == "zzz.safetensors" and rows[VIT_H].why == ""
    assert report.others == []  # the cached one is another of them


def test_the_report_says_where_they_are(hub, open_index):
    put_cached(hub, "h94/IP-Adapter", "models/ip-adapter_sd15.bin", shapes("ip-adapter_sd15"))
    put_cached(hub, "openai/clip-vit-large-patch14", "model.safetensors", L)
    report = table(open_index(), CATALOGUE)
    rows = {row.entry.id: row for row in report.rows}
    assert report.counts()["found"] == 2
    assert rows["ip-adapter_sd15"].why == "ComfyUI's nodes need it in models/ipadapter: copy or link it there."
    assert "- clip-vit-large-patch14: Hugging Face cache/openai/clip-vit-large-patch14/model.safet" in str(report)
    assert rows["ip-adapter_sd15"].file.file.cached and str(hub) not in json.dumps(report.to_dict())


def test_a_host_that_does_not_list_them_names_them_and_what_to_do(hub, open_index):
    put_cached(hub, "h94/IP-Adapter", IMAGE_ENCODER, H)
    index = open_index(usable=False)
    resolution = resolve(ENCODER_H, index, CATALOGUE)
    assert resolution.found is None and resolution.rejected == []
    assert explain(resolution).splitlines()[1] == (
        f"On this disk: Hugging Face cache/h94/IP-Adapter/{IMAGE_ENCODER}, the image encoder CLIP ViT-H/14. "
        "Copy or link it to models/clip_vision."
    )
    rows = {row.entry.id: row for row in table(index, CATALOGUE).rows}
    assert (rows[VIT_H].status, rows[VIT_H].why) == ("misplaced", "Copy or link it to models/clip_vision.")


def test_one_that_comes_is_found_and_read_once(hub, open_index, tmp_path):
    read = []
    options = {"cache_file": tmp_path / "index.json", "read": lambda path: read.append(path) or read_header(path)}
    index = open_index(**options)
    assert resolve(ENCODER_H, index, CATALOGUE).found is None
    link = put_cached(hub, "h94/IP-Adapter", IMAGE_ENCODER, H)
    put_cached(hub, "nobody/nothing", "model.safetensors", H)
    assert [file.file.path for file in index.files("clip_vision")] == [link]
    index.close()
    assert resolve(ENCODER_H, open_index(**options), CATALOGUE).found.file.path == link
    assert read == [link]
