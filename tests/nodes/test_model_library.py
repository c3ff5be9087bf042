"""The process has one index, and the pack keeps its files in the right folder."""

import json
import os
from pathlib import Path

import folder_paths
import pytest
from own_files import OWN, put_catalogue

from image_prompt.model_files.folders import INDEX
from image_prompt.model_files.folders.installation import CATALOGUE
from image_prompt.nodes.loading import model_library


def test_other_folders_close_the_index_of_those_before(folders, tmp_path):
    (folders / "ipadapter" / "page.bin").write_text("<html>")
    first = model_library.index()
    assert model_library.index() is first
    folder_paths.folder_names_and_paths["ipadapter"][0].append(str(tmp_path / "more"))
    second = model_library.index()
    assert second is not first
    first.rescan("ipadapter")  # a closed one does not read, and waits for nothing
    assert first.files("ipadapter") == []
    assert [path.name for path in second.paths("ipadapter")] == ["ipadapter", "more"]


def test_the_index_and_the_catalogue_lie_in_the_folder_that_is_never_served(folders, tmp_path):
    put_catalogue(folders, OWN)
    (folders / "ipadapter" / "page.bin").write_text("<html>")
    model_library.index().files("ipadapter")
    model_library.close_index()
    private = Path(folder_paths.get_system_user_directory("image_prompt"))
    assert sorted(path.name for path in private.iterdir()) == [CATALOGUE, INDEX]
    assert private.parent == tmp_path / "user"
    assert model_library.catalogue().entries[-1].id == OWN["id"]


def test_where_earlier_versions_kept_them_is_still_read(folders, tmp_path, monkeypatch):
    user = tmp_path / "user"
    (folders / "ipadapter" / "page.bin").write_text("<html>")
    model_library.index().files("ipadapter")
    model_library.close_index()
    os.rename(user / "__image_prompt" / INDEX, user / INDEX)
    (user / CATALOGUE).write_text(json.dumps({"entries": [OWN, {**OWN, "id": "older"}]}))
    put_catalogue(folders, {"id": "tiny", "title": "Newer"})
    monkeypatch.setattr(model_library.Index, "_look_into", lambda index, file: pytest.fail("read again"))
    assert [file.file.name for file in model_library.index().files("ipadapter")] == ["page.bin"]
    assert {entry.id: entry.title for entry in model_library.catalogue().entries[-2:]} == {
        "tiny": "Newer",
        "older": OWN["title"],
    }
    assert sorted(path.name for path in user.iterdir()) == sorted(["__image_prompt", CATALOGUE])
