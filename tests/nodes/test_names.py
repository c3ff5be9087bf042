"""The names of model files are those that ComfyUI gives them, and are found however links lead."""

import multiprocessing
import os

import folder_paths
import pytest

from image_prompt.nodes.folders import model_names
from image_prompt.nodes.loading.load import LoadImageEncoder, LoadImagePromptAdapter

LONG = 60  # seconds that no listing takes


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Register two folders of the type ipadapter, and one that does not exist: folder({...extensions})."""

    def folder(extensions=frozenset(folder_paths.supported_pt_extensions)):
        paths = [tmp_path / name for name in ("one", "two", "absent")]
        for path in paths[:2]:
            path.mkdir(exist_ok=True)
        known = (list(map(str, paths)), set(extensions))
        monkeypatch.setitem(folder_paths.folder_names_and_paths, "ipadapter", known)
        folder_paths.filename_list_cache.pop("ipadapter", None)
        return paths

    yield folder
    folder_paths.filename_list_cache.pop("ipadapter", None)


def put(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


@pytest.mark.parametrize("extensions", [folder_paths.supported_pt_extensions, ()])
def test_names_are_those_of_comfyui(folder, tmp_path, extensions):
    one, two, _ = folder(extensions)
    names = ("b.safetensors", "A.SAFETENSORS", "._b.bin", "readme.txt", "noext", "é 模型.pt", "a.b/c d/e.sft")
    put(*(one / name for name in names), one / ".git" / "x.bin", one / ".cache" / "y.bin", two / "b.safetensors")
    put(two / "z.ckpt", tmp_path / "elsewhere" / "deep" / "w.bin")
    (one / "linked").symlink_to(tmp_path / "elsewhere")
    (one / "again").symlink_to(tmp_path / "elsewhere")
    (two / "across").symlink_to(one / "a.b")
    (two / "gone.bin").symlink_to(tmp_path / "nothing")
    (two / "file.bin").symlink_to(one / "b.safetensors")
    os.mkfifo(two / "pipe.bin")
    expected = folder_paths.get_filename_list("ipadapter")
    assert model_names("ipadapter") == expected
    assert {os.path.join("linked", "deep", "w.bin"), os.path.join("again", "deep", "w.bin")} <= set(expected)
    put(one / "a.b" / "c d" / "new.bin")
    assert model_names("ipadapter") == folder_paths.get_filename_list("ipadapter") != expected


def test_a_folder_that_goes_and_one_that_comes_are_noticed(folder):
    one, two, absent = folder()
    put(one / "a.bin")
    assert model_names("ipadapter") == ["a.bin"]
    one.rename(one.with_name("unplugged"))
    assert model_names("ipadapter") == []
    put(absent / "b.bin")
    assert model_names("ipadapter") == ["b.bin"]


def circles(one, two):
    """Two folders that each hold two links to the other, which makes 2^40 paths."""
    for here, there in ((one / "a", one / "b"), (one / "b", one / "a")):
        put(here / f"{here.name}.bin")
        for link in ("left", "right"):
            (here / link).symlink_to(there)


def everywhere(one, two):
    """Twelve folders, each of which holds links to all others."""
    folders = [two / f"folder {number}" for number in range(12)]
    put(*(folder / "x.bin" for folder in folders))
    for folder in folders:
        for other in folders:
            (folder / f"to {other.name}").symlink_to(other)


@pytest.mark.parametrize("build", [circles, everywhere])
def test_links_in_a_circle_do_not_hang_the_start(folder, build):
    build(*folder()[:2])
    process = multiprocessing.get_context("fork").Process(target=LoadImagePromptAdapter.define_schema)
    process.start()
    process.join(LONG)
    ended = process.exitcode == 0
    process.kill()
    assert ended


def test_a_file_within_a_circle_has_its_names(folder):
    one, two, _ = folder()
    circles(one, two)
    names = {name.replace(os.sep, "/") for name in model_names("ipadapter")}
    assert names == {
        "a/a.bin",
        "b/b.bin",
        *(f"{a}/{side}/{b}.bin" for a, b in ("ab", "ba") for side in ("left", "right")),
    }


def test_the_loaders_offer_these_names(folder):
    one, *_ = folder()
    put(one / "sub" / "a.bin")
    offered = LoadImagePromptAdapter.define_schema().inputs[0].options
    assert offered == [os.path.join("sub", "a.bin")]
    assert LoadImageEncoder.define_schema().inputs[0].options == folder_paths.get_filename_list("clip_vision")
