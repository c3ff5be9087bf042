"""`library` and `duplicates`: what they show of libraries, and what they change: the libraries alone."""

import json
import shutil
import subprocess
import sys

import lancedb
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from squares import fill

from image_prompt.devtools.stages import ROOT
from image_prompt.references.library import Library, libraries_folder

WITHOUT_TORCH = """
import runpy, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
sys.argv = [r"{root}", *{arguments}]
runpy.run_path(r"{root}", run_name="__main__")
"""


def files_of(folder) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_libraries_are_listed_and_broken_ones_say_why(library, told, call):
    (library.parent / "broken").mkdir()
    (library.parent / "broken/library.json").write_text("{")
    listed = told("library", "list")
    broken, squares = listed["libraries"]
    assert listed["folder"] == str(library.parent)
    assert (
        squares == {"name": "squares", "pictures": 5, "space": squares["space"]} and squares["space"]["dimension"] == 16
    )
    assert broken["name"] == "broken" and "damaged" in broken["problem"]
    code, out, _ = call("library", "list")
    assert code == 0 and out.splitlines()[-1].split(maxsplit=1) == ["squares", "5 pictures, CLIP ViT 64x2/8"]


def test_json_may_be_asked_for_before_the_action(library, call, comfyui):
    code, out, _ = call("library", "--json", "list")
    assert code == 0 and json.loads(out)["libraries"][0]["name"] == "squares"


def test_no_libraries_are_no_error(told, call):
    assert told("library", "list")["libraries"] == []
    assert "There are no libraries yet" in call("library", "list")[1]


def test_info_tells_what_a_library_holds(library, told, call, drawn):
    call("rate", "squares", "red.png", 1)
    told_here = told("library", "info", "squares")
    assert (told_here["pictures"], told_here["rated"]) == (5, {"good": 1, "bad": 0})
    assert told_here["roots"] == [{"path": str(drawn), "exists": True}] and told_here["failed"] == []
    assert len(told_here["encoder_sha256"]) == 64
    code, out, _ = call("library", "info", "squares")
    assert code == 0 and "5, of which 1 are rated good and 0 bad" in out and "CLIP ViT 64x2/8 (16 numbers)" in out


def test_check_is_clean_until_a_part_is_damaged_and_repair_says_what_is_lost(library, told, call):
    assert told("library", "check", "squares")["clean"] is True
    assert call("library", "check", "squares")[1].strip() == "The library squares is whole: 5 pictures."
    (part,) = (library / "vectors").glob("part-*.safetensors")
    data = bytearray(part.read_bytes())
    data[-40:] = bytes(40)
    part.write_bytes(data)
    report = told("library", "check", "squares", code=1)
    assert report["clean"] is False and report["problems"]
    code, out, _ = call("library", "check", "squares")
    assert code == 1 and "`library check squares --repair` mends what can be mended." in " ".join(out.split())
    assert told("library", "check", "squares", "--repair")["mended"]
    assert told("library", "check", "squares")["clean"] is True


def test_removing_entries_leaves_the_files_and_compacting_frees_their_vectors(library, told, call, drawn):
    before = files_of(drawn)
    removed = told("library", "remove", "squares", "red.png", drawn / "more/green.png")
    assert removed["removed"] == 2
    assert files_of(drawn) == before
    with Library.open(library) as left:
        assert sorted(left.column("path")) == ["blue.png", "white.png", "yellow.png"]
    assert told("library", "compact", "squares")["vectors_removed"] == 2
    code, out, _ = call("library", "compact", "squares")
    assert (code, out.strip()) == (0, "Nothing to do.")
    found = told("search", "squares", "--image", drawn / "blue.png")["hits"]
    assert len(found) == 3 and found[0]["path"] == "blue.png"


def test_nothing_is_removed_if_one_path_is_unknown(library, call, drawn):
    code, _, said = call("library", "remove", "squares", "red.png", "/etc/hostname")
    assert code == 1 and "The library 'squares' has no picture '/etc/hostname'." in said
    with Library.open(library) as whole:
        assert whole.count == 5


def test_without_a_comfyui_it_is_asked_for(tmp_path, monkeypatch, capsys):
    from image_prompt.command_line import command

    (tmp_path / "models/clip_vision").mkdir(parents=True)
    code = command.main(["library", "list", "--models", str(tmp_path / "models")])
    assert code == 1 and "Give one with --comfyui PATH" in capsys.readouterr().err


def test_a_library_is_exported_as_numpy_and_parquet_once(library, told, call, tmp_path):
    assert told("library", "export", "squares", "numpy", tmp_path / "numpy")["pictures"] == 5
    vectors = np.load(tmp_path / "numpy/embeddings.npy")
    rows = json.loads((tmp_path / "numpy/metadata.json").read_text())["entries"]
    with Library.open(library) as whole:
        assert np.array_equal(vectors, whole.vectors().astype(np.float32))
        assert [row["path"] for row in rows] == whole.column("path")
    written = told("library", "export", "squares", "parquet", tmp_path / "parquet")["target"]
    assert sorted(pq.read_table(f"{written}/pictures.parquet")["path"].to_pylist()) == sorted(
        row["path"] for row in rows
    )
    code, out, said = call("library", "export", "squares", "numpy", tmp_path / "numpy")
    assert (code, out) == (1, "") and "holds an export already: give a new folder, or --force to replace it." in said
    code, out, _ = call("library", "export", "squares", "numpy", tmp_path / "numpy", "--force")
    assert (code, " ".join(out.split())) == (0, f"5 pictures written: {tmp_path / 'numpy'}")


def test_a_library_is_exported_to_a_table(library, told, tmp_path):
    told("library", "export", "squares", "lance", tmp_path / "lance", "--table", "team")
    table = lancedb.connect(tmp_path / "lance").open_table("team")
    assert sorted(table.to_arrow()["path"].to_pylist())[0] == "blue.png" and table.count_rows() == 5


def test_a_table_is_searched_as_a_library_and_only_read(library, told, call, tmp_path, drawn):
    call("rate", "squares", "red.png", 1)
    told("library", "export", "squares", "lance", tmp_path / "lance", "--table", "team")
    connected = told("library", "connect", "ours", tmp_path / "lance", "team", "--root", f"1={drawn}")
    assert connected["pictures"] == 5
    found = told("search", "ours", "--image", drawn / "blue.png", "-k", 2)["hits"]
    assert [hit["path"] for hit in found] == [
        hit["path"] for hit in told("search", "squares", "--image", drawn / "blue.png", "-k", 2)["hits"]
    ]
    assert found[0]["file"] == str(drawn / "blue.png")
    assert told("advise", "ours")["topics"][0]["values"][0]["sources"] == ["red.png"]
    ours = told("library", "list")["libraries"][0]
    assert (ours["name"], ours["table"], ours["space"]["dimension"]) == ("ours", "team", 16)
    info = told("library", "info", "ours")
    assert (info["pictures"], info["roots"]) == (5, [{"number": 1, "path": str(drawn)}])
    assert "team in" in " ".join(call("library", "info", "ours")[1].split())
    for arguments in (
        ["rate", "ours", "red.png", 1],
        ["library", "compact", "ours"],
        ["library", "check", "ours"],
        ["library", "remove", "ours", "red.png"],
        ["embed", drawn, "--library", "ours"],
    ):
        code, out, said = call(*arguments)
        assert (code, out) == (1, "") and "read only" in said
    code, _, said = call("library", "connect", "more", tmp_path / "lance", "team", "--root", "one")
    assert code == 1 and "'one' is no root: write NUMBER=FOLDER" in said
    code, _, said = call("library", "connect", "more", tmp_path / "nowhere", "team")
    assert code == 1 and "it is not there" in said
    code, _, said = call("library", "connect", "squares", tmp_path / "lance", "team")
    assert code == 1 and "with pictures of its own: choose another name." in said


@pytest.mark.parametrize("typed", ["S3CRET", "=S3CRET", "S3CRET=", "S3CRET==", "key=S3CRET/+", "key=S3CRET"])
def test_what_was_typed_as_a_storage_option_is_not_shown(library, call, typed):
    for command in (("export", "squares", "lance", "s3://x"), ("connect", "more", "s3://x", "table")):
        for more in ((), ("--json",)):
            code, out, said = call("library", *command, "--storage-option", typed, *more)
            assert code == 1 and "variable" in said and "S3CRET" not in out + said


# --------------------------------------------------------------------------------------------------------- duplicates


@pytest.fixture
def doubles(comfyui, pictures, encoders):
    """A library of the pictures, a copy of a file, and a picture in another format and size, larger than the first."""
    shutil.copy(pictures / "red.png", pictures / "more/red copy.png")
    with Image.open(pictures / "blue.png") as blue:
        blue.resize((96, 96), Image.Resampling.NEAREST).save(pictures / "blue.jpg", quality=98)
    fill(libraries_folder(comfyui / "user") / "doubles", pictures, encoders / "tiny.safetensors")
    return pictures


def grouped(found: dict) -> set[tuple[str, str, tuple[str, ...]]]:
    return {(each["why"], each["kept"], tuple(each["others"])) for each in found["groups"]}


def test_duplicates_of_a_library_are_of_three_kinds_and_nothing_is_deleted(doubles, told, call, comfyui):
    """They need no encoder."""
    (comfyui / "models/clip_vision/tiny.safetensors").unlink()
    before = files_of(doubles)
    found = told("duplicates", "doubles", "--threshold", 0.9999)
    assert found["pictures"] == 7
    assert grouped(found) == {
        ("same file", "red.png", ("more/red copy.png",)),
        ("same picture", "blue.jpg", ("blue.png",)),
    }
    code, out, _ = call("duplicates", "doubles", "--threshold", -1)
    assert code == 0 and "The same file (1)" in out and "Similar, with a cosine above -1 (1)" in out
    assert files_of(doubles) == before
    code, _, said = call("duplicates", "doubles", "--threshold", "nan")
    assert code == 1 and "--threshold is a cosine in -1..1, not nan." in said


def test_duplicates_of_a_folder_are_found_and_no_library_is_left(doubles, told, call):
    (doubles / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    found = told("duplicates", doubles, "--threshold", 0.9999, code=3)
    assert [each["path"] for each in found["failed"]] == [str(doubles / "broken.png")] and found["pictures"] == 7
    assert {(why, kept) for why, kept, _ in grouped(found)} == {
        ("same file", "red.png"),
        ("same picture", "blue.jpg"),
    }
    code, out, _ = call("duplicates", doubles, "--threshold", 0.9999)
    assert code == 3 and "Not read (1)" in out and "broken.png" in out
    assert [each["name"] for each in told("library", "list")["libraries"]] == ["doubles"]


def test_pictures_unlike_each_other(library, told, call):
    assert told("duplicates", "squares", "--threshold", 1)["groups"] == []
    assert call("duplicates", "squares", "--threshold", 1)[1].strip() == "All 5 pictures are unlike each other."
    told("library", "remove", "squares", "red.png", "blue.png", "white.png", "yellow.png")
    assert call("duplicates", "squares")[1].strip() == "There is only one picture, and so none like it."
    told("library", "remove", "squares", "more/green.png")
    assert call("duplicates", "squares")[1].strip() == "There is no picture."


def test_commands_that_compute_nothing_need_no_torch(library, comfyui):
    """Nor do they import it, which takes seconds."""
    for arguments in (
        ["library", "list"],
        ["library", "info", "squares"],
        ["library", "check", "squares"],
        ["rate", "squares", "red.png", "1"],
        ["library", "remove", "squares", "blue.png"],
        ["library", "compact", "squares"],
    ):
        code = WITHOUT_TORCH.format(root=ROOT, arguments=[*arguments, "--comfyui", str(comfyui)])
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), arguments


def test_a_path_of_two_folders_is_no_picture_to_remove_or_to_rate(call, told, pictures):
    for folder in ("one", "two"):
        (pictures / folder).mkdir()
        shutil.copy(pictures / "red.png", pictures / folder / "same.png")
        told("embed", pictures / folder, "--library", "both")
    for command in (("library", "remove", "both", "same.png"), ("rate", "both", "same.png", 1)):
        code, _, said = call(*command)
        assert code == 1 and "'same.png' is in several folders of the library 'both'" in said
    found = call("search", "both", "--image", pictures / "red.png")[1]
    assert all(str(pictures / folder / "same.png") in found for folder in ("one", "two"))
    assert str(pictures) in call("search", "both", "--image", pictures / "red.png", "-k", 1)[1]
    assert told("library", "remove", "both", pictures / "two" / "same.png")["removed"] == 1
    found = call("search", "both", "--image", pictures / "red.png")[1]
    assert "same.png" in found and str(pictures) not in found
    assert told("library", "info", "both")["pictures"] == 1


def test_pictures_that_wait_to_be_embedded_anew_are_rated_and_removed(library, told, drawn):
    (library / "vectors" / "part-00000.safetensors").unlink()
    assert told("library", "check", "squares", "--repair")["waiting"] == 5
    assert told("rate", "squares", "red.png", drawn / "blue.png", 1)["paths"] == ["red.png", str(drawn / "blue.png")]
    assert told("library", "remove", "squares", "red.png", drawn / "more/green.png")["removed"] == 2
    assert told("library", "check", "squares")["waiting"] == 3
    told("embed", drawn, "--library", "squares")
    found = told("search", "squares", "--image", drawn / "red.png")["hits"]
    assert {hit["path"]: hit["rating"] for hit in found}["blue.png"] == 1 and len(found) == 5


def test_names_of_files_do_not_steer_the_terminal(call, told, pictures):
    shutil.copy(pictures / "red.png", pictures / "more" / "\x1b[31mred.png")
    told("embed", pictures / "more", "--library", "strange")
    assert "\x1b" not in call("search", "strange", "--image", pictures / "red.png")[1]
