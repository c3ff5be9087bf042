"""The pictures of the example workflows in ComfyUI's list of templates: sampled in the demo world, or, as that has no
faces, what adapters read of the face in a photograph.

python dev.py demo                  once: it makes the environment, and draws the references
.dev/venv/bin/python -m demo.cards  writes example_workflows/*.jpg, the same ones each time
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from devtools.comfyui import DEMO_NODES, PACK, Server, add_world, prepare_base
from devtools.stages import DEV, ROOT, log_file
from faces import Face, align, draw_key_points

from .columns import COLUMNS, SEED, STEPS, Workflow, node, reference, workflow
from .fill import make_library
from .full_clip import write_full_clip
from .stand_ins import api_example

LAST = 3  # of the batch, the picture with the noise of the last row
ALONE, MASKS, TWO_PICTURES, INFLUENCE = (
    next(column for column in COLUMNS if column.name == name)
    for name in ("weight-10", "masks", "two-pictures", "influence")
)


@dataclass(frozen=True)
class Card:
    """What a picture shows: the rows whose references steer it, and what was sampled.

    shown: nodes that save pictures, and the number of a picture in the batch
    found: the title of the pictures of node "found", which are shown instead of references
    asked: the text that chooses
    """

    rows: tuple[int, ...]
    nodes: Workflow
    shown: tuple[tuple[str, int], ...] = (("saved", LAST),)
    found: str = ""
    asked: str = ""


PHOTOGRAPH = ROOT / "demo" / "images" / "astronaut.jpg"
FACE = Face(  # placed by hand
    box=np.array([180.0, 62.0, 272.0, 180.0]),
    score=1.0,
    points=np.array([[203.3, 100.8], [247.0, 103.0], [226.3, 126.3], [206.3, 142.0], [243.0, 142.5]]),
    embedding=np.zeros(512),
    looked_at=512,
)

SIDE, EDGE = 512, 28
REFERENCE, RESULT, SMALL = 150, 240, 120  # sides of pictures; those of one result, and of one of three
GROUND, INK, PALE = (32, 33, 36), (225, 225, 225), (150, 150, 150)
SAMPLED, READ = "drawn by the toy models of the demo", "what is read of the face in a photograph"


def together(*rows: int, seed: int = SEED) -> Workflow:
    """The demo's workflow, with all these references for each picture."""
    nodes = workflow(ALONE)
    nodes["sampler"]["inputs"] |= {"seed": seed}
    batch = {f"images.image{place}": [f"reference {row}", 0] for place, row in enumerate(rows)}
    nodes["features images"]["inputs"] = batch
    nodes["apply 0"]["inputs"] |= {"batch": "together"}
    return nodes


def fading(first: int, last: int) -> Workflow:
    """A batch of one noise that goes from one reference to another."""
    nodes = workflow(TWO_PICTURES)
    for number, (row, weights) in enumerate(((first, "0:1, 3:0"), (last, "0:0, 3:1"))):
        name = TWO_PICTURES.prompts[number].features
        nodes[f"{name} images"]["inputs"] = {"images.image0": [f"reference {row}", 0]}
        acting = {"layers": "all", "combining": "concat", "frame_weights": weights}
        nodes[f"reference {number} of each"]["inputs"] |= acting
    nodes["one noise"] = node("LatentBatchSeedBehavior", samples=["latent", 0], seed_behavior="fixed")
    nodes["sampler"]["inputs"]["latent_image"] = ["one noise", 0]
    return nodes


def mapped() -> Workflow:
    """The influence map of the demo, and the pictures that belong to it."""
    nodes = workflow(INFLUENCE)
    nodes["saved pictures"] = node("SaveImage", images=["decoded", 0], filename_prefix="pictures")
    return nodes


def by_text(name: str, found: str, asked: str) -> Workflow:
    """An example workflow in the demo world, with a prompt that leaves open what the text asks for.

    found: the title of the node that previews from what the text chooses, or what it has found
    """
    nodes = api_example(name, steps=STEPS)
    titled = {each["_meta"]["title"]: key for key, each in nodes.items()}
    nodes[titled["Prompt"]]["inputs"]["text"] = "a shape"
    nodes[titled["Embed Text"]]["inputs"]["text"] = asked
    (saver,) = (key for key, each in nodes.items() if each["class_type"] == "SaveImage")
    nodes["saved"] = nodes.pop(saver)
    nodes["found"] = node("SaveImage", images=nodes.pop(titled[found])["inputs"]["images"], filename_prefix="found")
    return nodes


def chosen(name: str, found: str, title: str, asked: str) -> Card:
    return Card((), by_text(name, found, asked), (("saved", 0),), title, asked)


CARDS = {
    "XLabs_Flux.1": Card((1,), together(1)),
    "InstantX_Flux.1": Card((2,), together(2)),
    "InstantX_SD3.5": Card((0,), together(0, seed=2)),
    "Character_Anima": Card((3,), together(3, seed=2)),
    "One_reference_SD1.5": Card((3,), together(3)),
    "Two_references_SDXL": Card((0, 3), together(0, 3)),
    "Regions_SD1.5": Card((3, 0), workflow(MASKS)),
    "Style_and_composition_SDXL": Card((0, 1), workflow(TWO_PICTURES), (("saved", 0),)),
    "From_one_reference_to_another_SD1.5": Card((0, 3), fading(0, 3), (("saved", 0), ("saved", 1), ("saved", 3))),
    "Saved_features_SD1.5": Card((0,), together(0)),
    "Best_of_eight_by_text_SD1.5": chosen("Best_of_eight_by_text_SD1.5", "All eight", "sampled", "a yellow triangle"),
    "Nearest_references_SD1.5": chosen(
        "Nearest_references_SD1.5", "The references", "nearest reference", "a blue shape"
    ),
    "Influence_map_SD1.5": Card((3,), mapped(), (("saved pictures", LAST), ("saved", LAST))),
}


def of_face(photograph: np.ndarray) -> dict[str, Image.Image]:
    """{example workflow for faces: what its adapter, or its ControlNet, reads of the photograph}"""
    upright, whole = align(photograph, FACE.points, 224), align(photograph, FACE.points, 512, template="ffhq")
    height, width, _ = photograph.shape
    return {
        "FaceID_SDXL": Image.fromarray(upright),
        "InstantID_SDXL": Image.fromarray(draw_key_points([FACE], width, height)),
        "PuLID_SDXL": Image.fromarray(whole).convert("L"),
    }


def card(
    references: Sequence[Image.Image],
    results: Sequence[Image.Image],
    result_name: str = "result",
    says: str = SAMPLED,
    reference_name: str = "reference",
) -> Image.Image:
    """References on the left, an arrow, what was sampled or read on the right."""
    image = Image.new("RGB", (SIDE, SIDE), GROUND)
    pen = ImageDraw.Draw(image)
    result = {1: RESULT, 2: REFERENCE, 3: SMALL}[len(results)]
    stack(image, references, reference_name, EDGE, REFERENCE)
    stack(image, results, result_name, SIDE - EDGE - result, result)
    start, end = EDGE + REFERENCE + 14, SIDE - EDGE - result - 14
    middle = SIDE // 2
    pen.line([(start, middle), (end, middle)], fill=INK, width=5)
    pen.line([(end - 14, middle - 14), (end, middle), (end - 14, middle + 14)], fill=INK, width=5, joint="curve")
    pen.text((SIDE // 2, SIDE - 16), says, PALE, ImageFont.load_default(18), "ms")
    return image


def stack(image: Image.Image, pictures: Sequence[Image.Image], name: str, x: int, side: int) -> None:
    """Draw pictures above each other in the middle of the card, under their name."""
    step = side + (EDGE if side > SMALL else EDGE // 2)
    top = (SIDE - step * (len(pictures) - 1) - side) // 2
    for place, picture in enumerate(pictures):
        image.paste(enlarged(picture, side), (x, top + place * step))
    title = name + "s" * (len(pictures) > 1)
    ImageDraw.Draw(image).text((x, top - 12), title, INK, ImageFont.load_default(24), "ls")


def enlarged(picture: Image.Image, side: int) -> Image.Image:
    return picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)


def together_in_one(pictures: Sequence[Image.Image], columns: int = 3) -> Image.Image:
    """Many pictures as one square."""
    side, gap = pictures[0].width, 4
    sheet = Image.new("RGB", (columns * (side + gap) - gap,) * 2, GROUND)
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number % columns * (side + gap), number // columns * (side + gap)))
    return sheet


def draw_faces() -> None:
    with Image.open(PHOTOGRAPH) as photograph:
        for name, read in of_face(np.asarray(photograph)).items():
            drawn = card([photograph], [read], "face", READ)
            drawn.save(ROOT / "example_workflows" / f"{name}.jpg", quality=90)


def opened(files: Sequence[bytes]) -> list[Image.Image]:
    return [Image.open(io.BytesIO(file)) for file in files]


def main() -> None:
    draw_faces()
    base = prepare_base(DEV / "demo", PACK | DEMO_NODES)
    add_world(base)
    write_full_clip(base / "models")
    make_library(base)
    comfyui = Path(os.environ.get("COMFYUI_PATH") or DEV / "comfyui")
    arguments = ["--cpu", "--database-url", "sqlite:///:memory:"]
    with Server(comfyui, sys.executable, base, log_file("cards"), arguments, {"OMP_NUM_THREADS": "1"}) as server:
        server.wait_until_ready()
        queued = {name: server.queue(card.nodes) for name, card in CARDS.items()}
        for name, prompt_id in queued.items():
            outputs, wanted = server.wait(prompt_id)["outputs"], CARDS[name]
            results = [server.pictures({"outputs": {saver: outputs[saver]}})[place] for saver, place in wanted.shown]
            references = [Image.open(base / "input" / reference(row)) for row in wanted.rows]
            if wanted.found:
                references = opened(server.pictures({"outputs": {"found": outputs["found"]}}))
            if len(references) > 3:
                references = [together_in_one(references)]
            says = f'"{wanted.asked}", {SAMPLED}' if wanted.asked else SAMPLED
            drawn = card(references, opened(results), says=says, reference_name=wanted.found or "reference")
            drawn.save(ROOT / "example_workflows" / f"{name}.jpg", quality=90)


if __name__ == "__main__":
    main()
