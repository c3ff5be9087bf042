"""Find faces in pictures: SCRFD (https://arxiv.org/abs/2105.04714), as deepinsight/insightface runs it.

Letters: A anchors of one stride, F faces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .face import Array
from .sampling import resized
from .sessions import Network

SIZES = (640, 576, 512, 448, 384, 320, 256)  # sides of the squares in which faces are looked for, one after the other
THRESHOLD = 0.5  # scores from here on are faces
OVERLAP = 0.4  # of two boxes that share more of their union, the surer one counts
MEAN, SCALE = 127.5, 128.0
LAYOUTS = {9: ((8, 16, 32), 2), 15: ((8, 16, 32, 64, 128), 1)}  # number of outputs -> strides, anchors at each place
WITHOUT_POINTS = (6, 10)


@dataclass(frozen=True, eq=False)
class Found:
    """The faces in a picture, the surest first: boxes (F, 4), scores (F,) and points (F, 5, 2), in its pixels."""

    boxes: Array
    scores: Array
    points: Array
    looked_at: int


class Detector:
    """A detection network.

    side: of the only square that it takes; None: it takes any
    """

    def __init__(self, network: Network):
        """Raises a ValueError if it is no SCRFD that gives points."""
        count = len(network.outputs)
        if count in WITHOUT_POINTS:
            raise ValueError(
                f"{network.path.name} finds boxes of faces, but not their five points, which alignment needs: use a "
                "SCRFD with points, such as det_10g.onnx of buffalo_l."
            )
        if count not in LAYOUTS:
            raise ValueError(f"{network.path.name} has {count} outputs, and a SCRFD with points has 9 or 15.")
        self.network = network
        self.strides, self.anchors = LAYOUTS[count]
        side = network.shape[2]
        self.side = side if isinstance(side, int) and side > 0 else None

    def find(self, picture: Array, sizes: Sequence[int] = SIZES) -> Found:
        """Look at a picture (H, W, 3) of 8 bits, RGB, in one square after the other until there is a face in it."""
        for size in [self.side] if self.side else sizes:
            found = self._look(picture, size)
            if len(found.scores):
                return found
        return Found(np.empty((0, 4)), np.empty(0), np.empty((0, 5, 2)), 0)

    def _look(self, picture: Array, size: int) -> Found:
        square, scale = fitted(picture, size)
        values = ((square.astype(np.float32) - MEAN) / SCALE).transpose(2, 0, 1)[None]
        outputs = [each[0] if each.ndim == 3 else each for each in self.network.run(np.ascontiguousarray(values))]
        self._check_shapes(outputs, size)
        scores, boxes, points = (np.concatenate(each) for each in zip(*self._decoded(outputs, size)))
        order = np.argsort(-scores, kind="stable")
        scores, boxes, points = scores[order], boxes[order] / scale, points[order] / scale
        kept = surest(boxes, scores)
        return Found(boxes[kept], scores[kept], points[kept], size)

    def _check_shapes(self, outputs: Sequence[Array], size: int) -> None:
        """Raise a ValueError unless the outputs are the scores, boxes and points of the anchors of each stride."""
        anchors = [(size // stride) ** 2 * self.anchors for stride in self.strides]
        wanted = [(count, width) for width in (1, 4, 10) for count in anchors]
        if (given := [each.shape for each in outputs]) != wanted:
            odd = next(number for number, shape in enumerate(wanted) if given[number] != shape)
            raise ValueError(
                f"{self.network.path.name} is no SCRFD with points: its output {self.network.outputs[odd]} is "
                f"{list(given[odd])} for a square of {size} pixels, and that of a SCRFD {list(wanted[odd])}. Use "
                "det_10g.onnx of buffalo_l, or scrfd_10g_bnkps.onnx of antelopev2."
            )

    def _decoded(self, outputs: Sequence[Array], size: int) -> list[tuple[Array, Array, Array]]:
        """Scores, boxes and points of the anchors that are faces, for each stride."""
        count = len(self.strides)
        starts = range(0, 3 * count, count)
        return [
            decoded(scores, boxes, points, size // stride, stride, self.anchors)
            for scores, boxes, points, stride in zip(*(outputs[part : part + count] for part in starts), self.strides)
        ]


def fitted(picture: Array, size: int) -> tuple[Array, float]:
    """A picture in the upper left of a black square, as large as it fits, and by which factor it was scaled."""
    height, width = picture.shape[:2]
    if height > width:
        new_height, new_width = size, max(int(size / (height / width)), 1)
    else:
        new_height, new_width = max(int(size * (height / width)), 1), size
    square = np.zeros((size, size, 3), np.uint8)
    square[:new_height, :new_width] = resized(picture, new_width, new_height)
    return square, new_height / height


def decoded(
    scores: Array, boxes: Array, points: Array, side: int, stride: int, anchors: int
) -> tuple[Array, Array, Array]:
    """Scores, boxes and points of the anchors whose score is a face's, in pixels of the square.

    scores: (A, 1); boxes: (A, 4), distances from the anchor in strides, to the left, top, right and bottom; points:
    (A, 10), distances in x and y
    side: anchors lie on a grid of this many places in both directions
    """
    rows, columns = np.divmod(np.repeat(np.arange(side * side), anchors), side)
    places = np.stack([columns, rows], axis=1).astype(np.float32) * stride  # (A, 2)
    scores = scores.reshape(-1)
    sure = scores >= THRESHOLD
    places, boxes, points = places[sure], boxes[sure] * stride, points[sure] * stride
    corners = np.concatenate([places - boxes[:, :2], places + boxes[:, 2:]], axis=1)
    return scores[sure], corners, places[:, None] + points.reshape(-1, 5, 2)


def surest(boxes: Array, scores: Array) -> list[int]:
    """The numbers of boxes (F, 4), the surest first, without those that overlap a surer one too much."""
    left, top, right, bottom = boxes.T
    areas = (right - left + 1) * (bottom - top + 1)  # pixels are counted on both sides
    order, kept = np.argsort(-scores, kind="stable"), list[int]()
    while len(order):
        first, others = order[0], order[1:]
        kept.append(int(first))
        width = np.minimum(right[first], right[others]) - np.maximum(left[first], left[others]) + 1
        height = np.minimum(bottom[first], bottom[others]) - np.maximum(top[first], top[others]) + 1
        shared = width.clip(0) * height.clip(0)
        order = others[shared / (areas[first] + areas[others] - shared) <= OVERLAP]
    return kept
