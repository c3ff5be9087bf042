"""What the server tells of libraries of pictures, and what it refuses: it only reads, and shows what is listed."""

import io
import json
import os
import struct
import urllib.error
import urllib.parse
import urllib.request
import zlib

import numpy as np
import pytest
from PIL import Image

from image_prompt.references.library import Writer

from .library_of_pictures import NAME, PATHS, SPACE, new_picture, put_library, vector

ROOT = "/image-prompt/libraries"


@pytest.fixture(scope="module")
def library(server):
    return put_library(server)


def ask(server, path: str = "", headers: dict | None = None, method: str = "GET", **asked: object) -> tuple[int, bytes]:
    address = f"{server.url}{ROOT}{path}" + (f"?{urllib.parse.urlencode(asked)}" if asked else "")
    request = urllib.request.Request(address, method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def search(server, **asked: object) -> list[dict]:
    status, body = ask(server, "/search", library=NAME, **asked)
    assert status == 200, body
    return json.loads(body)["found"]


def refused(server, path: str = "/search", **asked: object) -> tuple[int, str]:
    status, body = ask(server, path, **{"library": NAME, **asked})
    assert str(server.base) not in body.decode() and os.path.realpath(server.base) not in body.decode()
    return status, json.loads(body)["error"]


def test_libraries_are_listed_with_what_is_wrong_with_one(server, library):
    broken = library.parent / "a broken one"
    broken.mkdir()
    (broken / "library.json").write_text('{"format": 99}')
    found = {each["name"]: each for each in json.loads(ask(server)[1])["libraries"]}
    (broken / "library.json").unlink()
    assert (found[NAME]["count"], found[NAME]["encoder"], found[NAME]["error"]) == (len(PATHS), SPACE.encoder, "")
    assert "format 99" in found["a broken one"]["error"] and str(server.base) not in str(found)


def test_neighbours_are_those_of_float64(server, library):
    newest = search(server)
    assert [each["path"] for each in newest] == PATHS and {each["score"] for each in newest} == {None}
    first = newest[0]
    found = search(server, id=first["id"], k=3)
    vectors = np.stack([vector(number) for number in range(3)]).astype(np.float16).astype(np.float64)
    expected = vectors @ vectors[0] / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors[0])
    assert [each["path"] for each in found] == PATHS[:3]
    np.testing.assert_allclose([each["score"] for each in found], expected, atol=1e-3)
    assert [each["path"] for each in search(server, id=first["id"], minimum=0.95)] == PATHS[:2]
    assert (first["input"], first["width"], first["text"]) == (PATHS[0], 80, "number 0")


def test_a_picture_is_a_small_png(server, library):
    id = search(server)[0]["id"]
    status, png = ask(server, "/picture", library=NAME, id=id)
    with Image.open(io.BytesIO(png)) as image, Image.open(server.base / "input" / PATHS[0]) as whole:
        assert (status, image.format, image.size) == (200, "PNG", (80, 60))
        assert np.array_equal(np.asarray(image), np.asarray(whole))


def test_a_text_needs_an_encoder_that_is_loaded(server, library):
    status, error = refused(server, text="a red bicycle")
    assert status == 503 and "needs the text encoder of CLIP ViT-H/14" in error and "Load Image Encoder" in error


def test_other_numbers_and_folders_find_nothing(server, library):
    assert refused(server, id=4711) == (404, f"There is no picture 4711 in the library {NAME!r}.")
    assert refused(server, "/picture", id=4711)[0] == 404
    assert refused(server, "/picture")[0] == 400
    for folder in ("../..", "x' OR 1=1 --", "%"):
        assert search(server, folder=folder) == []


def test_whole_folders_are_refused_whether_they_are_there_or_not(server, library):
    inside = os.path.realpath(server.base / "input")
    for folder in (inside, os.path.dirname(inside), str(server.base / "none"), "/", "//x", "\\\\host\\x"):
        status, error = refused(server, folder=folder)
        assert status == 400 and error.startswith("Give the folder as it is in the library, such as cats/black")


def bomb(side: int) -> bytes:
    """A PNG of so many pixels along each side, in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def odd(server):
    """A library of files that are not what they were when they were added, and of a path that leads out of its root."""
    root = server.base / "odd pictures"
    root.mkdir()
    names = ["link.png", "bomb.png", "large.png", "text.png", "gone.png", "script.svg"]
    rows = [new_picture(root, "picture.png", 0)]
    rows = [type(rows[0])(**{**vars(rows[0]), "path": name}) for name in names]
    secret = server.base / "secret.png"
    Image.new("RGB", (8, 8)).save(secret)
    (root / "link.png").symlink_to(secret)
    (root / "bomb.png").write_bytes(bomb(60_000))
    (root / "large.png").write_bytes(bomb(12_000))
    (root / "text.png").write_text("root:x:0:0")
    (root / "script.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    folder = put_library(server, "odd one", [])
    with Writer.open(folder) as writer:
        writer.add(rows, np.stack([vector(number) for number in range(len(names))]))
    found = json.loads(ask(server, "/search", library="odd one")[1])["found"]
    return {each["path"]: each["id"] for each in found}


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("link.png", "elsewhere, behind a link"),
        ("bomb.png", "decompression bomb"),
        ("large.png", "12000 x 12000 pixels"),
        ("text.png", "text.png is not shown"),
        ("gone.png", "not there any more"),
        ("script.svg", "script.svg is not shown"),
    ],
)
def test_what_is_no_picture_below_its_root_is_not_shown(server, odd, name, why):
    status, error = refused(server, "/picture", library="odd one", id=odd[name])
    assert status == 404 and why in error


@pytest.mark.parametrize("path", ["", "/search", "/picture"])
def test_other_sites_and_other_methods_are_refused(server, library, path):
    id = search(server)[0]["id"]
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
        assert ask(server, path, headers, library=NAME, id=id)[0] == 403
    for method in ("POST", "PUT", "DELETE"):
        assert ask(server, path, method=method, library=NAME, id=id)[0] == 405


def test_reading_changes_nothing(server, library):
    before = {path: path.stat().st_mtime_ns for path in library.rglob("*") if path.suffix in (".json", ".safetensors")}
    generation = json.loads(ask(server, "/search", library=NAME)[1])["generation"]
    id = search(server)[0]["id"]
    ask(server, "/picture", library=NAME, id=id)
    search(server, id=id)
    assert json.loads(ask(server, "/search", library=NAME)[1])["generation"] == generation
    assert before == {path: path.stat().st_mtime_ns for path in before}
