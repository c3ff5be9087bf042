"""Identities equal those of insightface on the same networks."""

import numpy as np
import onnx
import pytest
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from insightface.utils import face_align

from image_prompt.demo.face_packs import recogniser
from image_prompt.faces.onnx_names import first_node_names
from image_prompt.faces.recognition import Recogniser
from image_prompt.faces.sessions import open_network

POINTS = np.array([[500, 300], [560, 310], [525, 345], [500, 370], [550, 378]], np.float32)


def save(folder, model):
    path = folder / "w600k_r50.onnx"
    onnx.save(model, str(path))
    return path


@pytest.mark.filterwarnings("ignore::FutureWarning")  # insightface calls scikit-image in an old way
@pytest.mark.parametrize("normalises", [False, True], ids=["as trained in PyTorch", "as trained in MXNet"])
@pytest.mark.parametrize("side", (112, 224))
def test_an_identity_is_that_of_insightface(tmp_path, photo, normalises, side):
    path = save(tmp_path, recogniser("683", side=side, normalises=normalises))
    theirs = ArcFaceONNX(str(path), open_network(path).session)
    aligned = face_align.norm_crop(np.ascontiguousarray(photo[..., ::-1]), POINTS, side)
    expected = theirs.get_feat(aligned).flatten()
    found = Recogniser(open_network(path)).embedding(photo, POINTS)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-3 * np.abs(expected).max())
    cosine = found @ expected / np.linalg.norm(found) / np.linalg.norm(expected)
    assert cosine > 0.9999


def test_an_identity_keeps_nothing_of_its_session(tmp_path, photo):
    found = Recogniser(open_network(save(tmp_path, recogniser("683")))).embedding(photo, POINTS)
    assert (found if found.base is None else found.base).flags.owndata


def test_the_names_of_nodes_are_those_that_onnx_reads(tmp_path):
    path = save(tmp_path, recogniser("683", normalises=True))
    expected = [node.name for node in onnx.load(str(path)).graph.node]
    assert first_node_names(path, 8) == expected == ["_minusscalar0", "_mulscalar0", "Pool_0", "Reshape_1", "MatMul_2"]
    assert first_node_names(path, 2) == expected[:2]


def test_a_file_that_is_no_model_has_no_names(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"\x3a\xff\xff\x01 cut short")
    assert first_node_names(tmp_path / "a.onnx", 8) == []


@pytest.mark.parametrize(("digits", "expected"), [(10, ["a"]), (11, [])])
def test_a_number_that_does_not_end_is_not_read_on(tmp_path, digits, expected):
    """64 bits need ten digits of seven; what Python could hold would take the square of the time."""
    version = b"\x08" + b"\x80" * (digits - 1) + b"\x00"
    (tmp_path / "a.onnx").write_bytes(version + b"\x3a\x05" + b"\x0a\x03" + b"\x1a\x01a")
    assert first_node_names(tmp_path / "a.onnx", 8) == expected


def test_another_width_is_refused(tmp_path, photo):
    path = save(tmp_path, recogniser("683", width=128))
    with pytest.raises(ValueError, match="gives 128 numbers for a face, and adapters read 512"):
        Recogniser(open_network(path)).embedding(photo, POINTS)
