"""Turn an aligned face into its identity: ArcFace (https://arxiv.org/abs/1801.07698), as insightface runs it."""

from __future__ import annotations

import numpy as np

from .alignment import align
from .face import Array
from .onnx_names import first_node_names
from .sessions import Network

MIDDLE = 127.5
WIDTH = 512  # of an identity
LOOKED_AT = 8  # nodes: networks that were converted from MXNet bring their normalisation along there


class Recogniser:
    """A recognition network."""

    def __init__(self, network: Network):
        self.network = network
        self.side = int(network.shape[2])
        names = first_node_names(network.path, LOOKED_AT)
        subtracts = any(name.startswith(("Sub", "_minus")) for name in names)
        multiplies = any(name.startswith(("Mul", "_mul")) for name in names)
        self.mean, self.scale = (0.0, 1.0) if subtracts and multiplies else (MIDDLE, MIDDLE)

    def embedding(self, picture: Array, points: Array) -> Array:
        """The identity (512,) of the face at five points (5, 2) of a picture (H, W, 3) of 8 bits, RGB.

        Raises:
            ValueError: the network gives something else.
        """
        face = align(picture, points, self.side).astype(np.float32)
        values = ((face - self.mean) / self.scale).transpose(2, 0, 1)[None]
        made = self.network.run(np.ascontiguousarray(values))[0]
        found = np.array(made, np.float32).reshape(-1)  # a copy: what is made keeps the memory of its whole session
        if found.shape != (WIDTH,):
            raise ValueError(
                f"{self.network.path.name} gives {found.size} numbers for a face, and adapters read {WIDTH}: use a "
                "pack whose recognition network is an ArcFace of that width, such as buffalo_l or antelopev2."
            )
        return found
