"""Detection equals that of insightface on the same networks."""

import numpy as np
import onnx
import pytest
from insightface.model_zoo.scrfd import SCRFD

from image_prompt.demo.face_packs import GREEN, NAMES, RED, detector, picture
from image_prompt.faces.detection import SIZES, Detector, surest
from image_prompt.faces.sessions import open_network

NINE = NAMES["buffalo_l"][0][1]
PICTURES = {
    "two faces": picture((200, 200, RED), (430, 400, GREEN)),
    "wide": picture((300, 300, RED), (700, 500, GREEN), (80, 90, RED), width=1000, height=700),
    "tall": picture((100, 500, GREEN), width=240, height=810),
    "none": picture(),
}


def save(folder, model):
    path = folder / "model.onnx"
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize("size", (640, 320))
@pytest.mark.parametrize("shown", PICTURES.values(), ids=PICTURES)
@pytest.mark.parametrize(
    "outputs, options",
    [(NINE, {}), ([f"out{n}" for n in range(15)], {"strides": (8, 16, 32, 64, 128), "anchors": 1})],
    ids=["9 outputs", "15 outputs"],
)
def test_boxes_and_points_are_those_of_insightface(tmp_path, shown, size, outputs, options):
    path = save(tmp_path, detector(outputs, **options))
    theirs = SCRFD(model_file=str(path), session=open_network(path).session, static_shape_sessions=False)
    theirs.prepare(0, input_size=(size, size), det_thresh=0.5)
    boxes, points = theirs.detect(np.ascontiguousarray(shown[..., ::-1]))
    found = Detector(open_network(path)).find(shown, (size,))
    assert len(found.scores) == len(boxes)
    np.testing.assert_allclose(found.boxes.reshape(-1, 4), boxes[:, :4], atol=1e-3)
    np.testing.assert_allclose(found.points.reshape(-1, 5, 2), points.reshape(-1, 5, 2), atol=1e-3)
    np.testing.assert_allclose(found.scores, boxes[:, 4], atol=2e-3)  # pixels may differ by one step of 8 bits


def test_faces_lie_where_the_spots_are(tmp_path):
    found = Detector(open_network(save(tmp_path, detector(NINE)))).find(PICTURES["two faces"])
    centres = sorted(((box[:2] + box[2:]) / 2).round().tolist() for box in found.boxes)
    assert np.abs(np.array(centres) - [(200, 200), (430, 400)]).max() <= 16  # a stride of the larger one
    assert found.looked_at == 640


def test_smaller_squares_are_looked_at_until_there_is_a_face(tmp_path):
    """A face that fills the picture is found where it is as large as the detector's faces are."""
    looked = []

    class Recorded(Detector):
        def _look(self, picture, size):
            looked.append(size)
            return super()._look(picture, size)

    network = open_network(save(tmp_path, detector(NINE)))
    Recorded(network).find(PICTURES["none"])
    assert looked == list(SIZES) == [640, 576, 512, 448, 384, 320, 256]
    fixed = Recorded(open_network(save(tmp_path, detector(NINE, size=320))))
    looked.clear()
    assert fixed.find(PICTURES["two faces"]).looked_at == 320
    assert looked == [320]


def test_of_boxes_that_overlap_the_surest_stays():
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [30, 0, 40, 10], [0, 6, 10, 16]], np.float32)
    assert surest(boxes, np.array([0.7, 0.9, 0.6, 0.8])) == [1, 3, 2]


def test_a_detector_without_points_is_refused(tmp_path):
    path = save(tmp_path, detector([f"out{n}" for n in range(6)], points=False))
    with pytest.raises(ValueError, match="not their five points.*det_10g.onnx"):
        Detector(open_network(path))
