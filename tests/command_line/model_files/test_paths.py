"""`paths`: what it shows of an installation, to people and to programs."""

import io
import json
import os
import sys

import pytest
from hub import put_cached
from published import VIT_H, shapes, write

from image_prompt.command_line import command
from image_prompt.model_files.folders import INDEX, Installation


def test_paths_tells_people_and_programs_what_is_there_and_what_is_not(comfyui, call):
    code, out, said = call("paths", "--comfyui", comfyui)
    assert (code, said) == (0, "")
    parts = [part.split("\n", 1) for part in out.split("\n\n") if "\n" in part]
    sections = {title.split(" (")[0]: text for title, text in parts}
    assert f"    {comfyui / 'models' / 'ipadapter'}\n" in sections["Folders"]
    assert "ip-adapter_sd15\n" in sections["Found"] and "clip_vision/clip_vision_h.saf" in sections["Found"]
    wrong = " ".join(sections["In the wrong folder"].split())
    assert wrong.endswith("loras/ip-adapter-plus_sd15.safetensors: Move it to models/ipadapter.")
    assert "cut short" in " ".join(sections["Not usable"].split())
    assert "ip-adapter_sdxl_vit-h\n    IP-Adapter for SDXL, 698.4 MB" in sections["Not found"]
    assert "1 in the wrong folder, 1 not usable" in out.splitlines()[-1]
    assert all(len(line) < 80 or len(line.split()) == 1 for line in out.splitlines())
    assert (comfyui / "user" / "__image_prompt" / INDEX).is_file()

    code, out, said = call("paths", "--json", "--comfyui", comfyui)
    told = json.loads(out)
    assert (code, said) == (0, "")
    rows = {row["entry"]["id"]: row for row in told["rows"]}
    assert rows["ip-adapter_sd15"]["status"] == "found"
    assert rows["ip-adapter-plus_sd15"]["status"] == "misplaced"
    assert rows["ip-adapter-full-face_sd15"]["status"] == "unusable" and rows["ip-adapter-full-face_sd15"]["why"]
    assert rows["ip-adapter_sdxl"]["status"] == "missing" and "https://" in rows["ip-adapter_sdxl"]["why"]
    assert told["absolute"]["ip-adapter_sd15"] == str(comfyui / "models/ipadapter/ip-adapter_sd15.safetensors")
    assert told["folders"]["loras"]["files"] == 1
    assert told["folders"]["ipadapter"]["paths"] == [{"path": str(comfyui / "models/ipadapter"), "exists": True}]


def test_saved_features_are_counted_and_are_not_taken_for_adapters(comfyui, call):
    for name in ("image_prompts/cats/cat_00001_.safetensors", "ipadapter/cat.safetensors"):
        write(comfyui / "models" / name, {"image_embeds": [1, 1024], "empty.penultimate": [1, 257, 1280]})
    (comfyui / "models/image_prompts/old.ipadpt").touch()
    told = json.loads(call("paths", "--json", "--comfyui", comfyui)[1])
    place = {"path": str(comfyui / "models/image_prompts"), "exists": True}
    assert told["folders"]["image_prompts"] == {"files": 2, "paths": [place]}
    (other,) = told["others"]
    assert other["problem"].startswith("This file is saved features of pictures, not a supported IP-Adapter. Put it in")


def test_a_plain_models_folder_and_an_extra_file_say_where(comfyui, call, tmp_path):
    write(tmp_path / "more" / "adapters" / "ip-adapter_sdxl.safetensors", shapes("ip-adapter_sdxl"))
    (tmp_path / "extra.yaml").write_text(f"more:\n  base_path: {tmp_path / 'more'}\n  ipadapter: adapters\n")
    extra = ("--extra-model-paths", tmp_path / "extra.yaml")
    code, out, _ = call("paths", "--json", "--models", comfyui / "models", *extra)
    status = {row["entry"]["id"]: row["status"] for row in json.loads(out)["rows"]}
    assert code == 0 and status["ip-adapter_sd15"] == "found" and status["ip-adapter_sdxl"] == "found"
    assert not (comfyui / "models" / "user").exists()


def test_paths_tells_what_is_in_the_hugging_face_cache(comfyui, call, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    link = put_cached(tmp_path / "hub", "h94/IP-Adapter", "models/image_encoder/model.safetensors", shapes(VIT_H))
    (comfyui / "models/clip_vision/clip_vision_h.safetensors").unlink()
    told = json.loads(call("paths", "--json", "--comfyui", comfyui)[1])
    assert told["absolute"]["CLIP-ViT-H-14-laion2B-s32B-b79K"] == str(link)
    assert told["cache"] == {"files": 1, "path": str(tmp_path / "hub"), "exists": True}
    assert told["folders"]["clip_vision"]["files"] == 0
    out = call("paths", "--comfyui", comfyui)[1]
    assert f"  Hugging Face cache: 1 file\n    {tmp_path / 'hub'}\n" in out
    assert "Hugging Face cache/h94/IP-Adapter/models/image_encoder/model.safetensors:" in out


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
def test_names_cannot_move_the_cursor(comfyui, call, tmp_path):
    name = "ip-adapter\x1b[2J\nfound.safetensors"
    write(comfyui / "models" / "ipadapter" / name, shapes("ip-adapter_sd15"))
    for arguments in (("paths", "--comfyui", comfyui), ("identify", comfyui / "models" / "ipadapter" / name)):
        _, out, _ = call(*arguments)
        assert "\x1b" not in out and "\nfound" not in out and "[2J" in out


@pytest.mark.skipif(sys.platform != "linux", reason="other systems take no such names")
def test_names_that_are_no_text_are_told_all_the_same(comfyui, monkeypatch):
    path = os.fsencode(comfyui / "models" / "ipadapter") + b"/\xff.safetensors"
    os.rename(comfyui / "models/ipadapter/ip-adapter_sd15.safetensors", path)
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "ascii"))
    assert command.main(["paths", "--comfyui", str(comfyui)]) == 0
    assert rb"\ufffd.safetensors" in printed.getvalue()


def test_the_index_of_an_earlier_version_is_taken_over(comfyui, call):
    call("paths", "--comfyui", comfyui)
    index = comfyui / "user" / "__image_prompt" / INDEX
    before = index.read_bytes()
    index.rename(comfyui / "user" / INDEX)
    index.parent.rmdir()
    call("paths", "--comfyui", comfyui)
    assert index.read_bytes() == before
    assert not (comfyui / "user" / INDEX).exists()


def test_the_user_folder_of_desktop_has_no_main_py_beside_it(tmp_path):
    for folder in ("models/loras", "custom_nodes", "user"):
        (tmp_path / folder).mkdir(parents=True)
    assert Installation.find(str(tmp_path)).index_file == tmp_path / "user" / "__image_prompt" / INDEX
    (tmp_path / "custom_nodes").rmdir()
    assert Installation.find(str(tmp_path)).index_file is None


def test_an_installation_knows_the_root_that_was_given(comfyui):
    where = Installation.find(comfyui)
    assert where.root == comfyui and where == Installation.of(where.folders)
    assert Installation.find(comfyui / "models").root == comfyui / "models"
