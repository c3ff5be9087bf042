"""`embed --shard` on machines with one ComfyUI, and on machines with one folder for the parts."""

import json
import os
import shutil
import sys
from contextlib import closing

import pytest
from squares import COLOURS, draw

from image_prompt.command_line import command
from image_prompt.references.bulk import share
from image_prompt.references.library import Library, libraries_folder

SQUARES = 40


@pytest.fixture
def folder(comfyui):
    """Where the libraries will be."""
    return libraries_folder(comfyui / "user")


@pytest.fixture
def many(tmp_path):
    """More pictures than are embedded at once; one is broken."""
    for number in range(SQUARES):
        draw(tmp_path / "many" / f"{number:02}.png", COLOURS[number % 6], size=40 + number)
    (tmp_path / "many" / "broken.png").write_bytes((tmp_path / "many" / "00.png").read_bytes()[:60])
    return tmp_path / "many"


def contents(library):
    """All that a library holds."""
    with closing(Library.open(library)) as opened:
        columns = [opened.column(name) for name in ("path", "sha256", "hash64", "metadata", "width", "mtime_ns")]
        return columns, opened.vectors().tobytes(), opened.errors(), opened.encoder_sha256, opened.generation


def test_machines_make_the_library_of_one_machine(told, call, many, folder):
    told("embed", many, "--library", "plain", code=3)
    first = told("embed", many, "--library", "squares", "--shard", "2/2", "--shard-size", 32)
    assert first["parts"] == {"all": 2, "made": 1, "missing": 1}
    assert (first["state"], first["pictures"], first["failed"]) == ("missing", None, [])
    code, out, _ = call("embed", many, "--library", "squares", "--shard", "2/2")
    assert code == 0 and "0 of 2 parts were made here, and 1 is missing in" in " ".join(out.split())
    code, out, _ = call("embed", many, "--library", "squares", "--shard", "1/2")
    assert code == 3 and f"The library squares has {SQUARES} pictures: {SQUARES} added." in out
    assert "Not read (1)" in out and "broken.png" in out
    assert contents(folder / "squares") == contents(folder / "plain")
    assert sorted(os.listdir(folder.parent)) == ["bulk", "libraries"] and os.listdir(folder.parent / "bulk") == []
    done = told("embed", many, "--library", "squares", "--shard", "1/2", code=3)
    assert (done["unchanged"], done["added"], done["state"]) == (SQUARES, 0, "collected")


def test_a_machine_without_the_library_finds_the_encoder_of_the_plan(told, many, folder, tmp_path, encoders, capsys):
    parts, models = tmp_path / "parts", tmp_path / "models"
    shutil.copytree(encoders, models / "clip_vision")
    told("embed", many, "--library", "squares", "--parts", parts, "--shard", "2/2", "--shard-size", 32)

    def elsewhere(*options):
        given = ["embed", many, "--library", "squares", "--parts", parts, "--models", models, "--json", *options]
        return command.main([*map(str, given)]), capsys.readouterr()

    code, (out, said) = elsewhere("--shard", "1/2")
    assert code == 0, said
    done = json.loads(out)
    assert (done["state"], done["parts"]["made"], done["pictures"]) == ("elsewhere", 1, None)
    done = told("embed", many, "--library", "squares", "--parts", parts, "--shard", "2/2", code=3)
    assert (done["state"], done["pictures"], done["parts"]["made"]) == ("collected", SQUARES, 0)
    code, (_, said) = elsewhere("--shard", "1/2")
    assert code == 1 and "There is no plan in" in said and "--comfyui PATH" in said


def test_where_no_picture_can_be_read_the_library_has_none(told, call, tmp_path):
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "broken.png").write_text("no picture")
    done = told("embed", tmp_path / "some", "--library", "squares", "--shard", "1/1", code=3)
    assert (done["state"], done["pictures"], len(done["failed"])) == ("collected", 0, 1)
    assert "Not read (1)" in call("embed", tmp_path / "some", "--library", "squares", "--shard", "1/1")[1]


def test_a_list_is_for_one_machine(call, many, folder, tmp_path):
    (tmp_path / "list.json").write_text(json.dumps(["many/00.png"]))
    for how in (["--shard", "1/2"], ["--ray"]):
        code, _, said = call("embed", tmp_path / "list.json", "--library", "squares", *how)
        assert code == 1 and "is a list, which one machine embeds: leave --shard and --ray out" in said
    assert not folder.exists()


def test_another_encoder_and_another_folder_are_refused(call, told, many, encoders, pictures):
    told("embed", many, "--library", "squares", "--shard", "1/2", "--shard-size", 32)
    code, _, said = call(
        "embed", many, "--library", "squares", "--shard", "2/2", "--encoder", encoders / "other.safetensors"
    )
    assert code == 1 and "There is another plan in" in said and "it was made with another file of" in said
    code, _, said = call("embed", pictures, "--library", "squares", "--shard", "2/2")
    assert code == 1 and "are not in pictures as they were then" in said
    assert told("embed", many, "--library", "squares", "--shard", "2/2", code=3)["added"] == SQUARES


def test_ctrl_c_says_how_far_it_is_and_the_same_command_goes_on(call, told, many, folder, monkeypatch):
    embed_shard = share.embed_shard

    def stopped(plan, number, *rest, **options):
        if number == 1:
            raise KeyboardInterrupt
        return embed_shard(plan, number, *rest, **options)

    with monkeypatch.context() as patched:
        patched.setattr(share, "embed_shard", stopped)
        code, out, said = call("embed", many, "--library", "squares", "--shard", "1/1", "--shard-size", 32)
    assert (code, out) == (130, "") and "Stopped. 1 of 2 parts are there: the same command goes on from here." in said
    assert told("embed", many, "--library", "squares", "--shard", "1/1", code=3)["parts"]["made"] == 1


def test_machines_make_the_library_of_one_with_a_vision_language_model_too(told, call, folder, qwen3_vl, tmp_path):
    """Also where none of them is told where the model is again, nor how large the pictures are."""
    for number in range(8):
        draw(tmp_path / "some" / f"{number}.png", COLOURS[number % 6], size=200 + number)
    asked, limit = ("embed", tmp_path / "some", "--library"), ("--max-pixels", 4096)
    told(*asked, "plain", "--encoder", qwen3_vl, *limit)
    told(*asked, "large", "--encoder", qwen3_vl)
    first = told(*asked, "squares", "--encoder", qwen3_vl, *limit, "--shard", "1/2", "--shard-size", 4)
    assert first["parts"] == {"all": 2, "made": 1, "missing": 1}
    code, _, said = call(*asked, "squares", "--shard", "2/2", "--max-pixels", 8192)
    assert code == 1 and "its pictures have 4096 pixels at most, and 8192 are asked for" in " ".join(said.split())
    assert told(*asked, "squares", "--shard", "2/2")["added"] == 8
    assert contents(folder / "squares") == contents(folder / "plain") != contents(folder / "large")
    abouts = [(folder / name / "library.json").read_bytes() for name in ("squares", "plain")]
    assert abouts[0] == abouts[1] and json.loads(abouts[0])["encoder_path"] == str(qwen3_vl)


@pytest.mark.parametrize("how", [[], ["--shard", "1/1"], ["--ray"]])
def test_a_limit_of_pixels_is_for_vision_language_models(call, many, folder, qwen3_vl, encoders, how):
    clip = encoders / "tiny.safetensors"
    code, _, said = call("embed", many, "--library", "squares", "--encoder", clip, "--max-pixels", 4096, *how)
    assert code == 1 and "--max-pixels is for vision-language models." in said and "tiny.safetensors is another" in said
    code, _, said = call("embed", many, "--library", "squares", "--encoder", qwen3_vl, "--max-pixels", 5, *how)
    assert code == 1 and "max_pixels is 5: give a number from 4,096 to 1,843,200." in said
    assert not folder.exists()


def test_without_ray_it_is_said_how_to_install_it(call, many, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, said = call("embed", many, "--library", "squares", "--ray")
    assert code == 1 and "`embed --ray` needs ray, which is not installed" in said
    assert not folder.exists()
