"""Write the models and pictures that are made and not kept, for playground.py.

python -m demo.fill BASE_DIRECTORY
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

from . import face_packs, make_models
from .sheet import references, to_image
from .stand_ins import FACES
from .world import Scene, draw

SIDE = 256  # as large as the pictures of the templates


def fill(base: Path) -> None:
    models, pictures = base / "models", base / "input"
    make_models.main(models, make_models.FILES | make_models.DITS)
    for pack in face_packs.NAMES:
        face_packs.write_pack(models / "insightface" / "models", pack)
    for scene, picture in zip(scenes := references(), draw([(scene,) for scene in scenes]), strict=True):
        to_image(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(pictures / file_name(scene))
    Image.fromarray(face_packs.picture((300, 320, face_packs.GREEN))).save(pictures / FACES[0])


def file_name(scene: Scene) -> str:
    return f"{scene.colour}_{scene.texture}_{scene.shape}.png"


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
