"""Readers of what pictures say of themselves, and of requests in JSON."""

import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from struct import pack
from typing import Any

from shapes import json_with, pictures_with, png, texts_of
from target import Target, file_in, unshaped

from image_prompt.devtools.stages import ROOT
from image_prompt.model_files.folders import ModelFolders
from image_prompt.model_files.pictures import CHUNK, made_with, whereabouts
from image_prompt.references.metadata import advise, generation, summary
from image_prompt.service.http.errors import Refused
from image_prompt.service.http.limits import Limits
from image_prompt.service.http.reading import embeddings_asked, similarity_asked

LARGEST_EXAMPLE = 16 << 10


def examples() -> Iterable[bytes]:
    yield from (path.read_bytes() for path in sorted((ROOT / "example_workflows" / "api").glob("*.json")))
    stack = {
        "1": {"class_type": "LoRA Stacker", "inputs": {"lora_name_1": "a", "lora_wt_1": 0.5, "lora_stack": ["2", 0]}},
        "2": {"class_type": "LoRA Stacker", "inputs": {"lora_name_1": "b"}},
        "3": {
            "class_type": "Power Lora Loader",
            "inputs": {"lora_1": {"on": True, "lora": "x", "strength": 1}, "model": ["4", 0], "lora_stack": ["1", 0]},
        },
        "4": {"class_type": "UNETLoader", "inputs": {"unet_name": "flux"}},
        "5": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["3", 0],
                "positive": ["6", 0],
                "negative": ["6", 0],
                "latent_image": ["7", 0],
                "seed": 1,
                "steps": 9,
            },
        },
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["8", 0]}},
        "7": {"class_type": "EmptyLatentImage", "inputs": {"width": 8, "height": 8}},
        "8": {"class_type": "Join", "inputs": {"string_a": "a", "string_b": "b", "delimiter": ", "}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["5", 0]}},
    }
    yield json.dumps(stack).encode()


class Made:
    """A picture of a library, as far as `advise` asks it."""

    def __init__(self, metadata: dict[str, Any]) -> None:
        self.metadata, self.path, self.rating = metadata, "a.png", 0


def describe(path: Path) -> None:
    found = generation(path)
    json.dumps(found).encode()
    summary(found)
    for each in advise([Made(found), Made({})]).topics:
        vars(each)


def prompt_in_picture(data: bytes, folder: Path) -> None:
    text = data.replace(b"\0", b"")
    describe(file_in(folder, "a.png", png((b"tEXt", b"prompt\0" + text))))


def parameters_in_picture(data: bytes, folder: Path) -> None:
    describe(file_in(folder, "a.png", png((b"tEXt", b"parameters\0" + data))))


def picture(data: bytes, folder: Path) -> None:
    describe(file_in(folder, "a.png", data))


def record(data: bytes, folder: Path) -> None:
    """What a picture says of the files that made it."""
    made = made_with(file_in(folder, "a.png", png((b"tEXt", CHUNK.encode() + b"\0" + data))))
    json.dumps(vars(made))
    whereabouts(made, ModelFolders({}))


def recorded_picture(data: bytes, folder: Path) -> None:
    made_with(file_in(folder, "a.png", data))


PARAMETERS = """a cat <lora:ink:0.8> on a <lora:b:te=1:unet=0.5> mat
Negative prompt: ugly,
more
Steps: 20, Sampler: Euler a, Schedule type: Karras, CFG scale: 7, Seed: 1, Size: 512x768, Model: "x, y", \
Denoising strength: 0.5, ControlNet 0: "Module: ip-adapter_clip, Model: ip-adapter_sd15 [1], Weight: 0.7, \
Guidance Start: 0, Guidance End: 1", Lora hashes: "a: 12, b: 34"
""".encode()
FACTS = (
    "Steps: ",
    "Sampler: ",
    "CFG scale: ",
    "Seed: ",
    "Size: 8x8",
    "ControlNet 0: ",
    '"',
    "\\",
    "<lora:",
    "ip-adapter",
)
FILES = {
    "version": "1.0",
    "files": [
        {"node": "N", "kind": "adapter", "folder": "ipadapter", "name": "a", "size": 3, "family": "x", "catalogue": "a"}
    ],
}
LONG = zlib.compress(b'{"1": {"class_type": "A", "inputs": {}}}' + b" " * 3000)


def pngs() -> Iterable[bytes]:
    text = json.dumps(FILES).encode()
    for key in (b"prompt", b"parameters", CHUNK.encode()):
        yield png((b"tEXt", key + b"\0" + text), (b"IDAT", b"x"))
        yield png((b"zTXt", key + b"\0\0" + zlib.compress(text)))
        yield png((b"iTXt", key + b"\0\1\0en\0t\0" + LONG), (b"comf", key + b"\0" + text))
        yield png((b"iTXt", key + b"\0\0\0\0\0" + text))


def tiff(order: str, comment: bytes, *texts: bytes) -> bytes:
    """EXIF data with texts in the first directory, and a comment of the user in the second."""
    count = len(texts) + 1
    inner, end = 8 + 2 + 12 * count + 4, 8 + 2 + 12 * count + 4 + 2 + 12 + 4
    entries, behind = b"", b""
    for number, text in enumerate(texts):
        entries += pack(order + "HHII", 0x010F + number, 2, len(text), end + len(comment) + len(behind))
        behind += text
    entries += pack(order + "HHII", 0x8769, 4, 1, inner)
    second = pack(order + "HHHII", 1, 0x9286, 7, len(comment), end) + bytes(4)
    begin = (b"II*\0" if order == "<" else b"MM\0*") + pack(order + "I", 8)
    return begin + pack(order + "H", count) + entries + bytes(4) + second + comment + behind


def photographs() -> Iterable[bytes]:
    text = b"UNICODE\0" + PARAMETERS.decode().encode("utf-16-be")
    for order in "<>":
        exif = tiff(order, text, b"prompt:{}\0", b'workflow:{"a": 1}\0')
        size = pack(">H", len(exif) + 8)
        yield b"\xff\xd8\xff\xe0\0\4ab\xff\xe1" + size + b"Exif\0\0" + exif + b"\xff\xd9"
        yield b"RIFF" + pack("<I", len(exif) + 12) + b"WEBPEXIF" + pack("<I", len(exif)) + exif
    yield b"\xff\xd8\xff\xe1\0\x2aExif\0\0" + tiff("<", b"ASCII\0\0\0Steps: 1, Seed: 2")


PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
ASKED = (
    {
        "model": "a",
        "input": ["a cat", PIXEL, {"text": "b", "image": PIXEL}],
        "encoding_format": "base64",
        "dimensions": 4,
    },
    {"model": "a", "input": "a", "instruction": "i", "pooling": "last", "user": "u"},
    {"model": "a", "a": "x", "b": ["y", PIXEL]},
)


def request(data: bytes, folder: Path) -> None:
    limits = Limits(inputs=16, pixels=10_000, all_pixels=40_000, characters=5000)
    for asked in (embeddings_asked, similarity_asked):
        try:
            asked(data, limits)
        except Refused as error:
            assert 400 <= error.status < 500
            refused = error
        else:
            return
    raise refused


in_prompt = json_with(
    *"lora_stack lora_name_1 lora_wt_1 ckpt_name unet_name positive negative latent_image guider".split(),
    *"noise sigmas sampler string_a delimiter value text references.reference0 class_type 1 2".split(),
)

TARGETS: dict[str, Target] = {
    "prompt in a picture": Target(prompt_in_picture, examples, in_prompt, (), longest=LARGEST_EXAMPLE),
    "parameters in a picture": Target(
        parameters_in_picture, lambda: [PARAMETERS, b"Steps: 1"], texts_of(*FACTS), (), FACTS, 8192
    ),
    "PNG picture": Target(picture, pngs, pictures_with(json_with()), ()),
    "JPEG and WebP pictures": Target(picture, photographs, unshaped, (), ("Exif", "UNICODE"), 2048),
    "record in a picture": Target(
        record,
        lambda: [json.dumps(FILES).encode(), b'{"files": []}'],
        json_with(*FILES["files"][0], "version", "files"),
    ),
    "picture with a record": Target(recorded_picture, pngs, pictures_with(json_with())),
    "request": Target(
        request,
        lambda: [json.dumps(each).encode() for each in ASKED],
        json_with(PIXEL, "data:image/png;base64,", "input", "float", "dimensions", "text", "image"),
        (Refused,),
        longest=8192,
    ),
}
