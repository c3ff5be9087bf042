"""Face packs with the published input and output names, strides and shapes, whose networks are a few operations.

Their detector finds a face where a picture has a bright red spot (a small face) or a bright green one (a face twice
as large). The boxes of neighbouring anchors overlap, so that suppression is needed. Their recogniser is a random
projection of the aligned face.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

NAMES = {  # pack -> its files: detection with its outputs, recognition with its output
    "buffalo_l": (
        ("det_10g.onnx", ("448", "471", "494", "451", "474", "497", "454", "477", "500")),
        ("w600k_r50.onnx", "683"),
    ),
    "antelopev2": (
        (
            "scrfd_10g_bnkps.onnx",
            tuple(f"{what}_{stride}" for what in ("score", "bbox", "kps") for stride in (8, 16, 32)),
        ),
        ("glintr100.onnx", "1333"),
    ),
}
STRIDES = (8, 16, 32)
CHANNELS = (0, 1, 2)  # of a spot, for each stride: red, green, blue
REACH = 5.0  # from an anchor to each side of its box, in strides
POINTS = ((-2.0, -1.5), (2.0, -1.5), (0.0, 0.0), (-1.6, 2.0), (1.6, 2.0))  # from an anchor, in strides
RED, GREEN = (255, 0, 0), (0, 255, 0)
SPOT = 24  # side of a spot in pixels, in a picture as large as the square in which faces are looked for


def write_pack(folder, name="buffalo_l", *, seed=0):
    """Write the files of a pack, and give the folder in which they are: `folder`/`name`."""
    place = Path(folder) / name
    place.mkdir(parents=True, exist_ok=True)
    (detection, outputs), (recognition, output) = NAMES[name]
    onnx.save(detector(outputs), str(place / detection))
    onnx.save(recogniser(output, seed), str(place / recognition))
    return place


def picture(*spots, width=640, height=640, seed=0):
    """A picture (H, W, 3) of 8 bits of dim noise with a spot at each (x, y, colour): the centres of its faces."""
    noise = np.random.default_rng(seed).integers(40, 120, (height // 8, width // 8, 1), np.uint8)
    found = np.repeat(noise.repeat(8, 0).repeat(8, 1), 3, 2)
    half = SPOT // 2
    for x, y, colour in spots:
        found[max(y - half, 0) : y + half, max(x - half, 0) : x + half] = colour
    return found


def detector(outputs, *, size=None, strides=STRIDES, anchors=2, points=True):
    """A SCRFD. size: the side of the only square that it takes; None: any"""
    nodes, constants = [], {}
    for number, stride in enumerate(strides):
        at = f"s{stride}"
        weight = np.full((1, 3, 1, 1), -0.5, np.float32)
        weight[0, CHANNELS[number % 3]] = 1.0
        constants |= {f"{at}.weight": weight, f"{at}.flat": np.array([-1, 1], np.int64)}
        constants |= {f"{at}.none": np.zeros((1, 1), np.float32), f"{at}.half": np.full((1,), 0.5, np.float32)}
        constants[f"{at}.box"] = np.full((1, 4), REACH, np.float32)
        constants[f"{at}.point"] = np.array(POINTS, np.float32).reshape(1, 10)
        score, box = outputs[number], outputs[number + len(strides)]
        nodes += [
            helper.make_node("Conv", ["input.1", f"{at}.weight"], [f"{at}.colour"]),
            helper.make_node(
                "AveragePool", [f"{at}.colour"], [f"{at}.pooled"], kernel_shape=[stride, stride], strides=[stride] * 2
            ),
            helper.make_node("Mul", [f"{at}.pooled", f"{at}.half"], [f"{at}.scaled"]),
            helper.make_node("Reshape", [f"{at}.scaled", f"{at}.flat"], [f"{at}.column"]),
            helper.make_node("Mul", [f"{at}.column", f"{at}.none"], [f"{at}.zero"]),
            helper.make_node("Concat", [f"{at}.column", *[f"{at}.zero"] * (anchors - 1)], [f"{at}.both"], axis=1),
            helper.make_node("Reshape", [f"{at}.both", f"{at}.flat"], [score]),
            helper.make_node("Mul", [score, f"{at}.none"], [f"{at}.all"]),
            helper.make_node("Add", [f"{at}.all", f"{at}.box"], [box]),
        ]
        if points:
            nodes.append(helper.make_node("Add", [f"{at}.all", f"{at}.point"], [outputs[number + 2 * len(strides)]]))
    widths = [1] * len(strides) + [4] * len(strides) + [10] * len(strides)
    return _model(
        nodes,
        {"input.1": [1, 3, size or "height", size or "width"]},
        {name: [f"anchors {name}", width] for name, width in zip(outputs, widths)},
        constants,
    )


def recogniser(output, seed=0, *, width=512, side=112, normalises=False):
    """An ArcFace. normalises: whether it begins with the normalisation that networks from MXNet bring along"""
    rows = 3 * (side // 14) ** 2
    projection = np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)
    constants = {"projection": projection, "flat": np.array([-1, rows], np.int64)}
    nodes, begin = [], "input.1"
    if normalises:
        constants |= {"mean": np.full((1,), 127.5, np.float32), "scale": np.full((1,), 1 / 128, np.float32)}
        nodes = [
            helper.make_node("Sub", ["input.1", "mean"], ["shifted"], name="_minusscalar0"),
            helper.make_node("Mul", ["shifted", "scale"], ["scaled"], name="_mulscalar0"),
        ]
        begin = "scaled"
    nodes += [
        helper.make_node("AveragePool", [begin], ["pooled"], name="Pool_0", kernel_shape=[14, 14], strides=[14, 14]),
        helper.make_node("Reshape", ["pooled", "flat"], ["row"], name="Reshape_1"),
        helper.make_node("MatMul", ["row", "projection"], [output], name="MatMul_2"),
    ]
    return _model(nodes, {"input.1": ["batch", 3, side, side]}, {output: ["batch", width]}, constants)


def _model(nodes, inputs, outputs, constants):
    graph = helper.make_graph(
        nodes,
        "stand-in",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return model
