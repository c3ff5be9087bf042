"""Face packs are found in ComfyUI's folders wherever programs unpack them, and a missing one is explained."""

import pytest
from own_files import put_catalogue

from image_prompt.nodes.loading.face_packs import face_pack_folder, face_pack_names

BUFFALO = ("det_10g.onnx", "w600k_r50.onnx")
PLACES = ("models/buffalo_l", "models/buffalo_l/buffalo_l", "buffalo_l", "buffalo_l/buffalo_l")


def put(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")


@pytest.mark.parametrize("place", PLACES)
def test_a_pack_is_found_wherever_it_is_unpacked(folders, place):
    put(folders / "insightface" / place, *BUFFALO)
    assert face_pack_folder("buffalo_l") == folders / "insightface" / place
    assert face_pack_names() == ["buffalo_l", "antelopev2"]


def test_the_place_of_insightface_comes_first_if_the_files_are_there(folders):
    root = folders / "insightface"
    put(root / "buffalo_l", *BUFFALO)
    put(root / "models" / "buffalo_l", "._det_10g.onnx", "det_10g.onnx")  # the first is a note of macOS
    assert face_pack_folder("buffalo_l") == root / "buffalo_l"
    put(root / "models" / "buffalo_l", *BUFFALO)
    assert face_pack_folder("buffalo_l") == root / "models" / "buffalo_l"


def test_packs_that_are_there_are_named_before_the_published_ones(folders):
    put(folders / "insightface" / "models" / "mine", "a.onnx", "b.onnx")
    put(folders / "insightface" / "models" / "antelopev2", "a.onnx", "b.onnx")
    put(folders / "insightface", "inswapper_128.onnx", "other.onnx")  # of other nodes, in no folder of a pack
    put(folders / "insightface" / "models", "inswapper_128.onnx", "other.onnx")
    assert face_pack_names() == ["antelopev2", "mine", "buffalo_l"]


def test_a_missing_pack_says_what_to_get_and_where_to_put_it(folders):
    with pytest.raises(ValueError, match="^The face pack") as error:
        face_pack_folder("antelopev2")
    assert str(error.value) == (
        "The face pack antelopev2 is not in models/insightface. Get antelopev2.zip (361 MB, licence non-commercial "
        "research (InsightFace), no commercial use) from "
        "https://github.com/deepinsight/insightface/releases/download/v0.7/antelopev2.zip and unpack it into "
        "models/insightface/models/antelopev2, so that scrfd_10g_bnkps.onnx and glintr100.onnx are in it."
    )


@pytest.mark.parametrize("place", ["models/antelopev2", "antelopev2/antelopev2"])
def test_a_pack_without_some_of_its_files_is_told_by_what_it_holds(folders, place):
    put(folders / "insightface" / place, "glintr100.onnx")
    words = rf"is not in models/insightface\. models/insightface/{place} holds glintr100\.onnx alone\. Get antel"
    with pytest.raises(ValueError, match=words):
        face_pack_folder("antelopev2")


@pytest.mark.parametrize("place", ["", "models"])
def test_an_archive_that_is_not_unpacked_is_named(folders, place):
    put(folders / "insightface" / place, "buffalo_l.zip")
    with pytest.raises(ValueError, match=r"buffalo_l\.zip is in models/insightface, but it is not unpacked\. Get"):
        face_pack_folder("buffalo_l")


def test_an_unknown_pack_is_refused_with_the_known_ones(folders):
    put(folders / "insightface" / "models" / "mine", "a.onnx", "b.onnx")
    with pytest.raises(ValueError, match=r"pack \.\. is not in .*Choose one of mine, buffalo_l, antelopev2\."):
        face_pack_folder("..")


def test_names_are_given_while_the_catalogue_of_a_user_is_broken(folders):
    put_catalogue(folders, {"id": "antelopev2", "size": -1})
    assert face_pack_names() == ["buffalo_l", "antelopev2"]
    with pytest.raises(ValueError, match="'size' is -1"):
        face_pack_folder("antelopev2")
