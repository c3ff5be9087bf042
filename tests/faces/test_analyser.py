"""A face pack finds and recognises faces as insightface does with the same files, and says what is wrong with it."""

import importlib
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from insightface.app import FaceAnalysis

from image_prompt.demo.face_packs import GREEN, RED, detector, picture, recogniser, write_pack
from image_prompt.faces import CHOICES, FaceAnalyser, available_providers, choose, normed

SHOWN = picture((200, 200, RED), (430, 400, GREEN))


@pytest.fixture(scope="module")
def faces(pack):
    return FaceAnalyser.load(pack).find(SHOWN)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # insightface calls scikit-image in an old way
def test_faces_are_those_of_insightface(pack, photo):
    theirs = FaceAnalysis(name=str(pack), providers=["CPUExecutionProvider"])
    theirs.prepare(ctx_id=0, det_size=(640, 640))
    ours = FaceAnalyser.load(pack)
    for shown in (SHOWN, photo):
        expected = theirs.get(np.ascontiguousarray(shown[..., ::-1]))
        for found in (ours.find(shown, (640,)), ours.get(np.ascontiguousarray(shown[..., ::-1]))):
            assert len(found) == len(expected) > 0
            for face, other in zip(found, expected):
                np.testing.assert_allclose(getattr(face, "box", getattr(face, "bbox", None)), other.bbox, atol=1e-3)
                np.testing.assert_allclose(getattr(face, "points", getattr(face, "kps", None)), other.kps, atol=1e-3)
                identity = face.normed if hasattr(face, "normed") else face.normed_embedding
                assert identity @ other.normed_embedding > 0.9999
                assert abs(np.linalg.norm(identity) - 1) < 1e-5


def test_other_packs_may_choose_the_square_to_look_in(pack):
    analyser = FaceAnalyser.load(pack)
    bgr = np.ascontiguousarray(SHOWN[..., ::-1])
    analyser.det_model.input_size = (320, 320)
    small = analyser.get(bgr)
    analyser.det_model.input_size = (640, 640)
    assert [face.bbox[2] - face.bbox[0] for face in small] == [
        2 * (face.bbox[2] - face.bbox[0]) for face in analyser.get(bgr)
    ]


def test_a_pack_that_lies_in_a_folder_of_its_own_name_is_found(tmp_path):
    write_pack(tmp_path / "antelopev2", "antelopev2")
    assert len(FaceAnalyser.load(tmp_path / "antelopev2").find(SHOWN)) == 2


def test_files_for_other_purposes_are_left_alone(tmp_path, pack):
    place = shutil.copytree(pack, tmp_path / "buffalo_l")
    (place / "1k3d68.onnx").write_bytes(b"not opened")
    onnx.save(recogniser("out", side=196), str(place / "another.onnx"))
    assert len(FaceAnalyser.load(place).find(SHOWN)) == 2


def test_what_a_pack_lacks_is_said(tmp_path, pack):
    with pytest.raises(
        ValueError, match="buffalo_l has no network for the detection and the recognition.*no ONNX files"
    ):
        FaceAnalyser.load(tmp_path / "buffalo_l")
    place = shutil.copytree(pack, tmp_path / "half")
    (place / "w600k_r50.onnx").unlink()
    with pytest.raises(ValueError, match="half has no network for the recognition of faces: .*holds det_10g.onnx"):
        FaceAnalyser.load(place)


def test_a_damaged_file_is_named(tmp_path, pack):
    place = shutil.copytree(pack, tmp_path / "buffalo_l")
    (place / "det_10g.onnx").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="det_10g.onnx cannot be opened as an ONNX model .*unpack the archive of its"):
        FaceAnalyser.load(place)


def test_a_provider_that_is_not_there_is_refused_with_those_that_are(pack):
    assert "CPUExecutionProvider" in available_providers()
    with pytest.raises(ValueError, match="on NoSuchProvider here: choose one of .*CPUExecutionProvider"):
        FaceAnalyser.load(pack, ("NoSuchProvider",))


def test_a_provider_that_is_there_and_cannot_start_is_named(pack, monkeypatch):
    """onnxruntime takes the CPU instead, and says so on its own log alone."""
    runtime = importlib.import_module("onnxruntime")
    listed = SimpleNamespace(**vars(runtime))
    listed.get_available_providers = lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    listed.InferenceSession = lambda path, options, providers: runtime.InferenceSession(path, options)
    monkeypatch.setitem(sys.modules, "onnxruntime", listed)
    with pytest.raises(ValueError, match="lists CUDAExecutionProvider, but cannot start it for det_10g.onnx"):
        FaceAnalyser.load(pack, ("CUDAExecutionProvider",))
    both = FaceAnalyser.load(pack, ("CUDAExecutionProvider", "CPUExecutionProvider"))
    assert len(both.find(SHOWN)) == 2


def test_without_onnxruntime_it_says_what_to_install(pack, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert available_providers() == []
    with pytest.raises(ValueError, match="python -m pip install onnxruntime"):
        FaceAnalyser.load(pack)
    monkeypatch.undo()
    assert importlib.import_module("onnxruntime")


@pytest.mark.parametrize("given", [SHOWN.astype(np.float32), SHOWN[..., 0], np.zeros((0, 4, 3), np.uint8), "photo.jpg"])
def test_what_is_no_picture_is_refused(pack, given):
    with pytest.raises(ValueError, match="Faces are looked for in a picture"):
        FaceAnalyser.load(pack).find(given)


def test_which_faces_are_meant(faces):
    small, large = faces
    assert (small.score > large.score, small.area < large.area) == (True, True)
    assert choose(faces, "largest") == [large]
    assert choose(faces, "by index", 0) == [small]
    assert choose(faces, "all") == [small, large]
    assert choose(faces[::-1], "left to right") == [small, large]
    assert [choose([], how) for how in CHOICES] == [[]] * len(CHOICES)
    with pytest.raises(
        ValueError, match="Face number 2 was asked for, and 2 faces were found: give an index from 0 to 1"
    ):
        choose(faces, "by index", 2)
    with pytest.raises(ValueError, match="choose one of largest, by index, all, left to right"):
        choose(faces, "prettiest")


def test_the_fixed_square_of_a_detector_is_kept(tmp_path):
    place = write_pack(tmp_path)
    outputs = ("448", "471", "494", "451", "474", "497", "454", "477", "500")
    onnx.save(detector(outputs, size=320), str(place / "det_10g.onnx"))
    assert {face.looked_at for face in FaceAnalyser.load(place).find(SHOWN)} == {320}


@pytest.mark.parametrize(
    ("file", "shape", "outputs", "words"),
    [
        (
            "det_10g.onnx",
            [1, 3, "h", "w"],
            9,
            r"det_10g.onnx is no SCRFD with points: its output o0 is \[1, 3, 640, 640\]",
        ),
        ("det_10g.onnx", [1, 4, "h", "w"], 9, "det_10g.onnx cannot be run on a picture of 640x640 pixels"),
        ("w600k_r50.onnx", [1, 1, 112, 112], 1, "w600k_r50.onnx cannot be run on a picture of 112x112 pixels"),
    ],
)
def test_a_network_of_another_kind_is_refused(tmp_path, file, shape, outputs, words):
    """It has as many outputs as the right one."""
    place = write_pack(tmp_path)
    names = [f"o{number}" for number in range(outputs)]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["input.1"], [name]) for name in names],
        "other",
        [onnx.helper.make_tensor_value_info("input.1", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in names],
    )
    opset = [onnx.helper.make_opsetid("", 13)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), str(place / file))
    with pytest.raises(ValueError, match=words):
        FaceAnalyser.load(place).find(SHOWN)


def test_zeros_have_no_direction():
    assert not normed(np.zeros(512)).any()
