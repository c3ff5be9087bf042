"""Files of one name are numbered as ComfyUI numbers pictures, and no name leads out of its folder."""

import os

import folder_paths
import pytest

from image_prompt.model_files.folders import numbered_names

SUFFIX = ".safetensors"


@pytest.mark.parametrize("name", ["cat", "cats/black cat", "a/b.c/é 模型", "CAT"])
@pytest.mark.parametrize("there", [(), ("_00001_", "_00007_"), ("", "_3_"), ("s_00009_", "_x_00009_", "_00002")])
def test_numbers_go_on_as_those_of_saved_pictures_do(tmp_path, name, there):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    for ending in there:
        path.with_name(f"{path.name}{ending}{SUFFIX}").touch()
    folder, file, counter, *_ = folder_paths.get_save_image_path(name, str(tmp_path))
    first, second = (next(names) for names in [numbered_names(str(tmp_path), name, SUFFIX)] for _ in range(2))
    assert first == os.path.join(folder, f"{file}_{counter:05}_{SUFFIX}")
    assert second == os.path.join(folder, f"{file}_{counter + 1:05}_{SUFFIX}")


def test_a_file_that_is_being_written_counts(tmp_path):
    (tmp_path / f"cat_00001_{SUFFIX}.part").touch()
    assert os.path.basename(next(numbered_names(str(tmp_path), "cat", SUFFIX))) == f"cat_00002_{SUFFIX}"


def test_a_suffix_is_not_doubled_and_a_folder_need_not_be_there(tmp_path):
    found = next(numbered_names(str(tmp_path), f"new/cat{SUFFIX}", SUFFIX))
    assert found == str(tmp_path / "new" / f"cat_00001_{SUFFIX}")
    assert os.listdir(tmp_path) == []


BAD = [
    "",
    "/etc/cat",
    "../cat",
    "a/../../cat",
    "a/./b",
    "cat/",
    "a//b",
    "C:/cat",
    "C:cat",
    r"a\b",
    r"..\cat",
    "~?",
    "a\0b",
]
BAD += [
    "a\nb",
    "cat.",
    "cat ",
    " cat",
    "NUL",
    "com1.x",
    "Aux/cat",
    "cat*",
    '"cat"',
    "<cat>",
    "a|b",
    ".git/cat",
    "x" * 121,
]


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_leads_elsewhere_or_is_none_somewhere_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="cannot be that of a file: .* Give letters and numbers, and / between sub-fo"):
        numbered_names(str(tmp_path), name, SUFFIX)
