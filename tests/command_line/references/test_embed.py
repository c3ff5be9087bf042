"""`embed` fills libraries, also after it was stopped or killed, and what it cannot read is no end."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image
from squares import draw

from image_prompt.devtools.stages import ROOT
from image_prompt.references.embedder import Embedder
from image_prompt.references.library import Library, libraries_folder


@pytest.fixture
def folder(comfyui):
    """Where the library squares will be."""
    return libraries_folder(comfyui / "user") / "squares"


def contents(folder) -> list:
    """What a library holds that does not depend on when it was written."""
    with Library.open(folder) as library:
        columns = [library.column(name) for name in ("path", "sha256", "hash64", "text", "metadata", "rating")]
        return [*columns, library.vectors().tobytes()]


def test_a_folder_is_embedded_with_what_made_its_pictures(told, call, pictures, folder, comfyui):
    done = told("embed", pictures, "--library", "squares")
    assert (done["pictures"], done["added"], done["failed"]) == (5, 5, [])
    with Library.open(folder) as library:
        known = {each.path: each for each in library.pictures(library.ids())}
        assert len(library.encoder_sha256) == 64
    assert sorted(known) == ["blue.png", "more/green.png", "red.png", "white.png", "yellow.png"]
    assert known["red.png"].metadata["model"] == "warm.safetensors" and known["red.png"].width == 48
    code, out, said = call("embed", pictures, "--library", "squares")
    assert (code, out.strip(), said) == (0, "The library squares has 5 pictures: 5 unchanged.", "")


def test_the_vectors_are_those_of_the_encoder(call, told, pictures, made_library, folder):
    told("embed", pictures, "--library", "squares")
    with Library.open(folder) as ours, Library.open(made_library) as theirs:
        found, expected = (dict(zip(each.column("path"), each.vectors(), strict=True)) for each in (ours, theirs))
    assert found.keys() == expected.keys()
    for path, vector in found.items():
        assert vector == pytest.approx(expected[path], abs=0.01)


def test_changes_are_told_and_entries_of_files_that_are_gone_stay_until_they_are_pruned(told, call, pictures):
    told("embed", pictures, "--library", "squares")
    draw(pictures / "red.png", "black")
    draw(pictures / "new.png", "green")
    (pictures / "blue.png").unlink()
    done = told("embed", pictures, "--library", "squares")
    assert (done["added"], done["replaced"], done["unchanged"], done["pictures"]) == (1, 1, 3, 6)
    assert done["gone"] == [str(pictures / "blue.png")] and not done["pruned"]
    code, out, _ = call("embed", pictures, "--library", "squares")
    assert code == 0 and "with --prune they are removed" in " ".join(out.split())
    assert told("embed", pictures, "--library", "squares", "--prune")["pictures"] == 5


def test_a_list_gives_texts_and_metadata(told, pictures, folder, tmp_path):
    rows = [{"path": "pictures/red.png", "text": "a red square", "metadata": {"album": 3}}, "pictures/blue.png"]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    assert told("embed", tmp_path / "list.json", "--library", "squares")["added"] == 2
    with Library.open(folder) as library:
        red, blue = sorted(library.pictures(library.ids()), key=lambda each: -len(each.text))
    assert (red.text, red.metadata["album"], red.metadata["cfg"]) == ("a red square", 3, 6)
    assert (blue.text, blue.path.split("/")[-1]) == ("", "blue.png")


def test_broken_pictures_are_rows_and_the_exit_code_is_3(told, call, pictures):
    (pictures / "broken.png").write_bytes((pictures / "red.png").read_bytes()[:60])
    (pictures / "text.jpg").write_text("no picture")
    Image.new("RGB", (900, 1)).save(pictures / "thin.png")
    done = told("embed", pictures, "--library", "squares", code=3)
    assert done["added"] == 5
    assert {os.path.basename(each["path"]) for each in done["failed"]} == {"broken.png", "text.jpg", "thin.png"}
    reasons = {os.path.basename(each["path"]): each["reason"] for each in done["failed"]}
    assert all(reasons.values()) and "Give one that is less narrow" in reasons["thin.png"]
    (pictures / "thin.png").unlink()
    code, out, _ = call("embed", pictures, "--library", "squares")
    assert code == 3 and "5 unchanged" in out and "Not read (2)" in out and "text.jpg" in out
    info = told("library", "info", "squares")
    assert [each["path"] for each in info["failed"]] == ["broken.png", "text.jpg"] and info["pictures"] == 5
    assert told("library", "remove", "squares", "text.jpg")["removed"] == 1
    assert (pictures / "text.jpg").exists()


def test_a_folder_or_a_list_without_pictures_makes_no_library(call, told, pictures, folder, tmp_path, comfyui):
    (tmp_path / "empty" / "below").mkdir(parents=True)
    (tmp_path / "empty" / "notes.txt").write_text("no picture")
    (tmp_path / "none.json").write_text("[]")
    for source in (tmp_path / "empty", comfyui / "models", tmp_path / "none.json"):
        code, out, said = call("embed", source, "--library", "squares")
        assert (code, out) == (1, "") and said.startswith(f"No picture was found in {source}.")
        assert not folder.exists()
    told("embed", pictures, "--library", "squares")
    assert told("embed", tmp_path / "empty", "--library", "squares")["pictures"] == 5
    assert call("duplicates", tmp_path / "empty")[0] == 1


def test_another_encoder_is_refused_and_the_library_stays(told, call, pictures, folder, encoders):
    told("embed", pictures, "--library", "squares")
    before = contents(folder)
    draw(pictures / "new.png", "green")
    code, _, said = call("embed", pictures, "--library", "squares", "--encoder", encoders / "other.safetensors")
    assert code == 1 and "The library" in said and "was made with" in said
    assert contents(folder) == before


def test_without_an_encoder_it_says_which_are_meant(call, pictures, comfyui):
    (comfyui / "models/clip_vision/tiny.safetensors").unlink()
    code, _, said = call("embed", pictures, "--library", "squares")
    assert code == 1 and said.startswith("No image encoder was found. Give one with --encoder FILE.")


def many(folder, count: int = 100) -> None:
    for number in range(count):
        image = Image.new("RGB", (40, 40), (number, 255 - number, 7 * number % 256))
        image.paste((255, 0, 0), (number % 30, 5, number % 30 + 9, 30))
        image.save(folder / f"{number:03}.png")


def test_ctrl_c_ends_with_130_keeps_what_is_done_and_the_next_run_goes_on(call, told, tmp_path, folder, monkeypatch):
    (tmp_path / "many").mkdir()
    many(tmp_path / "many")
    told("embed", tmp_path / "many", "--library", "whole")
    embed, calls = Embedder.embed_images, []

    def interrupted(self, pictures, **options):
        calls.append(len(pictures))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return embed(self, pictures, **options)

    monkeypatch.setattr(Embedder, "embed_images", interrupted)
    code, out, said = call("embed", tmp_path / "many", "--library", "squares")
    assert (code, out, said.strip()) == (130, "", "Stopped.")
    monkeypatch.setattr(Embedder, "embed_images", embed)
    with Library.open(folder) as library:
        kept = library.count
    assert kept == sum(calls[:2])
    done = told("embed", tmp_path / "many", "--library", "squares")
    assert (done["added"], done["unchanged"], done["pictures"]) == (100 - kept, kept, 100)
    assert contents(folder) == contents(folder.parent / "whole")


def test_after_kill_9_the_next_run_ends_as_if_nothing_had_happened(told, tmp_path, folder, comfyui):
    (tmp_path / "many").mkdir()
    many(tmp_path / "many")
    command = [sys.executable, str(ROOT), "embed", tmp_path / "many", "--library", "squares", "--comfyui", comfyui]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60
        while not (folder / "library.json").exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert told("embed", tmp_path / "many", "--library", "squares")["pictures"] == 100
    assert told("library", "check", "squares")["clean"] is True
    told("embed", tmp_path / "many", "--library", "whole")
    assert contents(folder) == contents(folder.parent / "whole")
