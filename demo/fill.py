"""Write the models and pictures that are made and not kept, for playground.py.

python -m demo.fill BASE_DIRECTORY
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from devtools.stages import ROOT

from . import face_packs, full_clip, make_models
from .graphs import LIBRARY
from .sheet import references, to_image
from .stand_ins import FACES
from .world import Scene, World, draw

SIDE = 256  # as large as the pictures of the templates
DRAWINGS = 60  # pictures in the library that templates search


def fill(base: Path) -> None:
    models, pictures = base / "models", base / "input"
    make_models.main(models, make_models.FILES | make_models.DITS)
    for pack in face_packs.NAMES:
        face_packs.write_pack(models / "insightface" / "models", pack)
    save(references(), pictures)
    Image.fromarray(face_packs.picture((300, 320, face_packs.GREEN))).save(pictures / FACES[0])
    make_library(base)


def make_library(base: Path) -> None:
    """A library of drawings, by the command that users have for it."""
    world, folder = World(17), base / "input" / "drawings"
    scenes = {file_name(scene): scene for scene in (world.scene() for _ in range(2 * DRAWINGS))}
    save([*scenes.values()][:DRAWINGS], folder)
    encoder = base / "models" / full_clip.FILE
    command = [sys.executable, ROOT, "embed", folder, "--library", LIBRARY, "--encoder", encoder, "--comfyui", base]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def save(scenes: Sequence[Scene], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for scene, picture in zip(scenes, draw([(scene,) for scene in scenes]), strict=True):
        to_image(picture).resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(folder / file_name(scene))


def file_name(scene: Scene) -> str:
    return f"{scene.colour}_{scene.texture}_{scene.shape}.png"


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
