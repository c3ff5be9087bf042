"""`identify`: what files are, also without torch."""

import json
import os

import pytest

from image_prompt.model_files.folders import INDEX

from .processes import without_torch


def test_identify_says_what_files_are(comfyui, call):
    code, out, said = call("identify", comfyui / "models/ipadapter/ip-adapter_sd15.safetensors")
    assert (code, said) == (0, "")
    assert "an IP-Adapter (base) for SD1.5 that reads CLIP ViT-H/14" in out
    assert "usable     yes" in out and "safetensors" in out


def test_identify_fails_if_one_file_is_not_usable_and_says_why(comfyui, call):
    good = comfyui / "models/ipadapter/ip-adapter_sd15.safetensors"
    bad = comfyui / "models/ipadapter/ip-adapter-full-face_sd15.safetensors"
    code, out, said = call("identify", good, bad, comfyui, comfyui / "nowhere.bin")
    assert (code, said) == (1, "")
    text = " ".join(out.split())
    assert "usable yes" in text and "cut short" in text and "is a folder" in text and "no such file" in text
    code, out, _ = call("identify", "--json", good, bad)
    assert code == 1
    assert [(row["usable"], row["identity"] and row["identity"]["kind"]) for row in json.loads(out)] == [
        (True, "adapter"),
        (False, None),
    ]


def test_files_that_the_index_knows_are_told_without_torch(comfyui, pack, call):
    file = comfyui / "models/ipadapter/ip-adapter_sd15.safetensors"
    told = call("paths", "--json", "--comfyui", comfyui)[1], call("identify", "--json", file)[1]
    paths = without_torch("paths", "--json", "--comfyui", comfyui)
    identify = without_torch("identify", "--json", file, pack=pack)
    assert (paths.stdout, identify.stdout) == told
    assert (paths.returncode, paths.stderr, identify.returncode, identify.stderr) == (0, "", 0, "")

    index = comfyui / "user" / "__image_prompt" / INDEX
    before = index.read_bytes()
    os.utime(file, (1, 1))
    for done in (without_torch("paths", "--comfyui", comfyui), without_torch("identify", file, pack=pack)):
        assert (done.returncode, done.stdout) == (1, "") and "No module named 'torch'" in done.stderr
    assert index.read_bytes() == before


@pytest.mark.parametrize("place", ["--comfyui", "--models"])
def test_the_index_of_the_installation_that_is_named_knows_its_files(comfyui, call, place):
    """The pack that runs is in another place."""
    call("paths", "--comfyui", comfyui)
    root = comfyui if place == "--comfyui" else comfyui / "models"
    file = comfyui / "models/ipadapter/ip-adapter_sd15.safetensors"
    assert "IP-Adapter (base) for SD1.5" in without_torch("identify", file, place, root).stdout


def test_files_that_cannot_be_read_are_told_without_torch(comfyui):
    (comfyui / "page.safetensors").write_text("<!DOCTYPE html>")
    damaged = comfyui / "models/ipadapter/ip-adapter-full-face_sd15.safetensors"
    done = without_torch("identify", comfyui, comfyui / "nowhere", comfyui / "page.safetensors", damaged)
    assert (done.returncode, done.stderr) == (1, "")
    text = " ".join(done.stdout.split())
    assert all(words in text for words in ("is a folder", "no such file", "is a web page", "is cut short"))
