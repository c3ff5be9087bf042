"""The list of saved features, and what may be deleted of it."""

import os

import folder_paths
import pytest
import torch

from image_prompt.clip_vision import VisionFeatures, save_features
from image_prompt.nodes.panels.references import NotListed, delete, references, thumbnail


@pytest.fixture(autouse=True)
def library(folders, tmp_path, monkeypatch):
    """An empty folder for features, and empty ones for input and output."""
    for name in ("input", "output"):
        (tmp_path / name).mkdir(exist_ok=True)
        monkeypatch.setattr(folder_paths, f"{name}_directory", str(tmp_path / name))
    return folders / "image_prompts"


@pytest.fixture
def outside(tmp_path):
    path = tmp_path / "outside"
    path.mkdir()
    return path


def put(folder, name="cat.safetensors", pictures=2, **options):
    features = VisionFeatures(image_embeds=torch.rand(pictures, 8), encoder="CLIP ViT-H/14")
    (folder / name).parent.mkdir(exist_ok=True)
    return save_features(folder / name, features, **options)


def listed():
    return {each["name"]: each for each in references()["references"]}


def test_the_list_says_what_each_file_holds(library):
    saved = put(library, "cats/black cat.safetensors", image=torch.rand(2, 40, 30, 3), kept_for="an adapter")
    (library / "page.safetensors").write_text("<html>")
    torch.save(torch.rand(3, 257, 16), os.path.join(folder_paths.get_input_directory(), "old.ipadpt"))
    found = listed()
    cat = found["cats/black cat.safetensors"]
    assert (cat["maker"], cat["pictures"], cat["kept_for"]) == ("CLIP ViT-H/14", 2, "an adapter")
    assert cat["saved"] == os.stat(library / "cats" / "black cat.safetensors").st_mtime
    assert cat["thumbnail"] and thumbnail(cat["name"]) == saved.thumbnail
    assert "web page" in found["page.safetensors"]["problem"] and not found["page.safetensors"]["thumbnail"]
    old = found["old.ipadpt [input]"]
    assert (old["maker"], old["pictures"], old["problem"]) == ("encoder not known", 3, "")
    assert old["undeletable"] and not cat["undeletable"]


def test_the_newest_is_first_and_a_changed_file_has_another_state(library):
    for age, name in ((2, "b.safetensors"), (1, "a.safetensors")):
        put(library, name)
        os.utime(library / name, (1000 - age, 1000 - age))
    before = listed()
    assert [*before] == ["a.safetensors", "b.safetensors"]
    os.unlink(library / "b.safetensors")
    put(library, "b.safetensors", pictures=5)
    after = listed()
    assert [*after] == ["b.safetensors", "a.safetensors"] and after["b.safetensors"]["pictures"] == 5
    assert after["b.safetensors"]["state"] != before["b.safetensors"]["state"]


@pytest.mark.parametrize(
    "name", ["", "no.safetensors", "../models/image_prompts/cat.safetensors", "cat.safetensors/.."]
)
def test_a_thumbnail_is_given_of_listed_names_alone(library, name):
    put(library, image=torch.rand(1, 40, 30, 3))
    with pytest.raises(NotListed):
        thumbnail(name)


def test_deleting_removes_that_file_alone(library):
    for name in ("cat.safetensors", "cats/cat.safetensors"):
        put(library, name)
    assert [each["name"] for each in delete({"name": "cats/cat.safetensors"})["references"]] == ["cat.safetensors"]
    assert [path.name for path in library.rglob("*.*")] == ["cat.safetensors"] and (library / "cats").is_dir()
    with pytest.raises(NotListed):
        delete({"name": "cats/cat.safetensors"})


@pytest.mark.parametrize(
    "given", [None, [], "cat.safetensors", {}, {"name": None}, {"name": ["cat.safetensors"]}, {"name": {"a": 1}}]
)
def test_a_request_without_a_name_deletes_nothing(library, given):
    put(library)
    with pytest.raises(ValueError, match="Say which file|send an object with name"):
        delete(given)
    assert [*listed()] == ["cat.safetensors"]


@pytest.mark.parametrize(
    "name",
    [
        "../../outside/victim.safetensors",
        "cats/../cat.safetensors",
        "./cat.safetensors",
        "cat.safetensors\0",
        "CAT.safetensors",
        "..",
        "",
        "/",
        "{outside}/victim.safetensors",
        "{library}/cat.safetensors",
        "victim.safetensors [input]",
    ],
)
def test_what_is_not_listed_is_not_deleted(library, outside, name):
    put(library)
    put(outside, "victim.safetensors")
    with pytest.raises(NotListed):
        delete({"name": name.format(outside=outside, library=library)})
    assert (outside / "victim.safetensors").is_file() and [*listed()] == ["cat.safetensors"]


@pytest.mark.parametrize("links", ["file", "folder", "back"])
def test_what_lies_behind_a_link_is_not_deleted(library, outside, links):
    put(outside, "victim.safetensors")
    if links == "file":
        os.symlink(outside / "victim.safetensors", library / "victim.safetensors")
    elif links == "folder":
        os.symlink(outside, library / "cats")
    else:
        os.symlink(os.path.relpath(outside, library), library / "back")
    (name,) = listed()
    assert "link" in listed()[name]["undeletable"]
    with pytest.raises(ValueError, match="link"):
        delete({"name": name})
    assert (outside / "victim.safetensors").is_file() and os.path.lexists(library / name)


def test_a_folder_that_is_itself_a_link_is_the_users_own(library, outside):
    library.rmdir()
    os.symlink(outside, library)
    put(library)
    assert delete({"name": "cat.safetensors"}) == {"references": []} and [*outside.iterdir()] == []


def test_what_is_no_features_is_not_deleted(library, tmp_path):
    """A user may keep models and features in one folder."""
    torch.save({"weight": torch.rand(2)}, library / "model.safetensors")
    torch.save(torch.rand(1, 257, 16), os.path.join(folder_paths.get_output_directory(), "old.ipadpt"))
    for name, why in (("model.safetensors", "holds no features"), ("old.ipadpt [output]", "not in models")):
        with pytest.raises(ValueError, match=why):
            delete({"name": name})
    assert len(listed()) == 2
