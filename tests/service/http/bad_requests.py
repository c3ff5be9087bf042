"""The bad requests of the service. Of the standalone server, which has all routes. test_bad_requests.py sends them."""

import io
from collections.abc import Iterator
from dataclasses import replace

from PIL import Image

from image_prompt.service.http import ROOT
from image_prompt.service.http.handlers import PARAMETERS
from image_prompt.service.http.limits import Limits
from image_prompt.service.http.reading import EMBEDDINGS, SIMILARITY

from ...bad_requests import EVIL, Bad, of_every_post, of_every_route
from .conftest import as_url, bomb

OPENAI, OWN, SIMILAR = "/v1/embeddings", f"{ROOT}/embeddings", f"{ROOT}/similarity"
SEARCHED, ONE = f"{ROOT}/libraries/{{name}}/search", "/v1/models/{name:.+}"
MINE = f"{ROOT}/libraries/colours%20of%20mine/search"
FIELDS = {OPENAI: EMBEDDINGS, OWN: EMBEDDINGS, SIMILAR: SIMILARITY}
SENDER = ("Host", "Origin", "Sec-Fetch-Site")  # headers that matter to every route
PATHS = {  # route -> (methods that it takes, a good path, where it has parts)
    OWN: ("GET, HEAD, POST", ""),
    SIMILAR: ("POST", ""),
    SEARCHED: ("GET, HEAD", MINE),
    OPENAI: ("POST", ""),
    "/v1/models": ("GET, HEAD", ""),
    ONE: ("GET, HEAD", "/v1/models/colours"),
    f"{ROOT}/libraries": ("GET, HEAD", ""),
}


def of_senders(path: str, asked: str) -> Iterator[Bad]:
    where = asked or path
    for of, headers, message in (
        ("Host", {"Host": "evil.example"}, "not known as 'evil.example'"),
        ("Host", {"Host": "evil.example", "Origin": EVIL, "Sec-Fetch-Site": "same-origin"}, "--allow-host NAME"),
        ("Host", {"Host": "localhost.evil.example:80"}, "--allow-host NAME"),
        ("Origin", {"Origin": EVIL}, "A page of another site"),
        ("Origin", {"Origin": "null"}, "A page of another site"),
        ("Sec-Fetch-Site", {"Sec-Fetch-Site": "cross-site"}, "A page of another site"),
        ("Sec-Fetch-Site", {"Sec-Fetch-Site": "same-site"}, "A page of another site"),
    ):
        yield Bad(path, of, 403, message, where, body={} if "POST" in PATHS[path][0] else None, headers=headers)


def written(format: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, format)
    return file.getvalue()


NO_INPUTS = (
    ([[1, 2], [3]], "check_embedding_ctx_length=False"),
    ([101, 102], "check_embedding_ctx_length=False"),
    ([], "is a list of 0"),
    (None, "is null"),
    (7, "is 7"),
    (["x", None], "Input 2.*: it is null"),
    ([True], "Input 1.*: it is true"),
    ("  ", "Input 1.*: The text is empty"),
    ({}, "Input 1.*: The text is empty"),
    ({"text": 3, "image": None}, "Input 1.*: its text is 3"),
    ({"text": "x", "url": "y"}, "no field 'url' in it, only text and image"),
    ({"text": "x", "": 1}, "no field '' in it, only text and image"),
    ({"image": 3}, "its image is 3, and no URL is fetched"),
    (
        {"image": "https://example.com/cat.png"},
        "no URL is fetched and no path is read: send the picture as data:image/",
    ),
    ({"image": "/etc/passwd"}, "no path is read"),
    ("\ud800", "half of a surrogate pair"),
    (["x"] * 65, "65 inputs are too many"),
    ("x" * 200_001, "has 200,001 characters, and at most 200,000"),
    ([[]], "Input 1.*: it is a list of 0"),
    ([[["x"]]], "Input 1.*: it is a list of 1"),
)
NO_PICTURES = (
    ("data:text/plain;base64,aGFsbG8=", "a data URL of text/plain is no picture"),
    ("data:;base64,aGFsbG8=", "a data URL of text/plain is no picture"),
    ("data:application/pdf;base64,aGFsbG8=", "application/pdf is no picture"),
    ("data:image/png,hallo", "is not in base64"),
    ("data:image/png", "this is no data URL"),
    ("DATA:IMAGE/png;base64", "this is no data URL"),
    ("data:image/png;base64,", "holds no picture"),
    ("data:image/png;base64,aGFsbG8", "is no base64"),
    ("data:image/png;base64,aGFs bG8=", "is no base64"),
    ("data:image/png;base64,aGFsbG8=\n", "is no base64"),
    ("data:image/png;base64,aGFs_-8=", "is no base64"),
    ("data:image/png;base64,aGFsbG\u00fc=", "is no base64"),
    ("data:image/png;base64,https://example.com/cat.png", "is no base64"),
    (as_url(b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"), "send PNG, JPEG, WebP"),
    (as_url(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image/eps"), "holds no picture"),
    (as_url(written("tiff"), "image/tiff"), "holds no picture"),
    (as_url(written("png")[:20]), "the PNG picture is damaged or not whole"),
    (as_url(written("webp")[:30]), "the WEBP picture is damaged or not whole"),
    (as_url(written("jpeg")[:300]), "the JPEG picture is damaged or not whole"),
    (as_url(bomb(6_400)), "6,400 x 6,400 pixels, and at most 40,000,000"),
    (as_url(bomb(60_000)), "60,000 x 60,000 pixels, and at most 40,000,000"),
)
NO_WISHES = (
    ("encoding_format", "int8", 400, "it is float or base64"),
    ("encoding_format", ["float"], 400, "encoding_format is a list of 1"),
    ("dimensions", 0, 400, "dimensions is 0"),
    ("dimensions", -1, 400, "dimensions is -1"),
    ("dimensions", True, 400, "dimensions is true"),
    ("dimensions", 1.5, 400, "dimensions is 1.5"),
    ("dimensions", 10**300, 400, "dimensions is a large number"),
    ("dimensions", "3", 400, "dimensions is the text '3'"),
    ("dimensions", 2, 400, "was not trained for fewer"),
    ("instruction", {}, 400, "instruction is an object"),
    ("instruction", "x" * 200_001, 400, "instruction: the text has 200,001 characters"),
    ("instruction", "\udc00", 400, "half of a surrogate pair"),
    ("pooling", 1, 400, "pooling is 1: it is a text"),
    ("pooling", ["last"], 400, "pooling is a list of 1"),
    ("user", 3, 400, "user is 3: it is a text"),
    ("user", {"id": "me"}, 400, "user is an object"),
    ("model", 3, 400, "model is 3: give the name"),
    ("model", None, 400, "model is null"),
    ("model", "", 400, "model is the text ''"),
    ("model", "text-embedding-3-small", 404, "There are: damaged, else_, colours, busy"),
    ("model", "../../etc/passwd", 404, "No encoder is called"),
    ("model", "/etc/passwd", 404, "No encoder is called"),
    ("model", "a\0b", 404, "No encoder is called"),
    ("model", "colours\n", 404, "No encoder is called"),
    ("model", "x" * 100_000, 404, "No encoder has a name of 100,000 characters"),
    ("model", "damaged", 400, "It is a web page."),
    ("model", "busy", 503, "A prompt runs."),
)


def of_fields(path: str) -> Iterator[Bad]:
    inputs = [name for name in FIELDS[path] if name in ("input", "a", "b")]
    good = {"model": "colours", **dict.fromkeys(inputs, "x")}
    for name in inputs:
        yield Bad(path, f".{name}", 400, f"{name} is not given", body={"model": "colours", **{
            other: "x" for other in inputs if other != name}})  # fmt: skip
        for value, message in NO_INPUTS:
            yield Bad(path, f".{name}", 400, message, body={**good, name: value})
    for name, value, status, message in NO_WISHES:
        if name in FIELDS[path]:
            yield Bad(path, f".{name}", status, message, body={**good, name: value})


def first_of_each(rows: Iterator[Bad], path: str) -> Iterator[Bad]:
    """For a path that is read as another: one row of each input."""
    seen = set[str]()
    for row in rows:
        if row.of not in seen:
            seen.add(row.of)
            yield replace(row, route=path)


def searched(of: str, status: int, message: str, query: str, path: str = MINE) -> Bad:
    return Bad(SEARCHED, of, status, message, f"{path}?{query}")


BAD_REQUESTS = (
    *(row for path, (methods, asked) in PATHS.items() for row in of_every_route(
        path, methods, PARAMETERS.get(path, ()), asked)),
    *(row for path, (_, asked) in PATHS.items() for row in of_senders(path, asked)),
    *(row for path in FIELDS for row in of_every_post(path, {}, Limits().body)),
    *of_fields(OPENAI),
    *first_of_each(of_fields(OPENAI), OWN),
    *first_of_each(of_fields(SIMILAR), SIMILAR),
    *(Bad(OPENAI, ".input", 400, f"^Input 2: .*{message}", body={"model": "colours", "input": ["x", url]})
      for url, message in NO_PICTURES),
    Bad(OPENAI, ".input", 400, "Input 5: with it the pictures",
        body=lambda: {"model": "colours", "input": [as_url(bomb(6_000))] * 64}),
    *(Bad(OPENAI, "body", 400, "commas and brackets are too many: one request has at most 2,000,000",
          body=lambda value=value: b'{"model": "colours", "input": [' + (value + b",") * 3_000_000 + b"0]}")
      for value in (b"[]", b"{}")),
    *(Bad(ONE, "name", 404, "There are: damaged, else_, colours, busy", f"/v1/models/{name}")
      for name in ("gpt-4", "%2e%2e%2f%2e%2e", "..%2fetc%2fpasswd", "a%00b", "%ff", "x" * 3000)),
    *(searched("name", 404, "There is no library '.*'", "text=red", f"{ROOT}/libraries/{name}/search")
      for name in ("none", "%2e%2e", "..%2f..", "%2fetc", "a%00b", "%ff", "x" * 3000, "colours")),
    *(searched("?text", status, message, query) for status, message, query in (
        (400, "1,001 characters", f"text={'x' * 1001}"), (400, "not for both", "text=x&id=1"))),
    searched("?text", 400, "has its space: damaged, else_, colours, busy. damaged cannot be used: It is a web page",
             "text=red", f"{ROOT}/libraries/other/search"),
    searched("?text", 400, "library.*broken|format 99", "text=red", f"{ROOT}/libraries/broken/search"),
    *(searched("?model", status, message, f"text=red&model={name}") for name, status, message in (
        ("none", 404, "is called 'none'. There are: damaged, else_, colours, busy"),
        ("..%2f..%2fetc", 404, "is called '../../etc'"),
        ("else_", 400, r"colours \(3 numbers\), and else_ gives vectors of something else"),
        ("busy", 503, "A prompt runs."), ("damaged", 400, "It is a web page."))),
    *(searched("?k", 400, "k is .*: it must be a whole number from 1 to 200", f"k={k}")
      for k in ("0", "-1", "201", "abc", "1.5", "", "nan", "1e400", "9" * 5000)),
    *(searched("?minimum", 400, "minimum is .*: it must be a number from -1 to 1", f"minimum={minimum}")
      for minimum in ("nan", "inf", "1e400", "2", "-1.1", "abc", "", "0" * 33)),
    *(searched("?id", 400, "id is .*: it must be a whole number from 0", f"id={id}")
      for id in ("-1", "abc", "", "1.5", str(1 << 70), "1;DROP%20TABLE%20pictures")),
    searched("?id", 404, "There is no picture 4711", "id=4711"),
    *(searched("?folder", 400, "no whole path", f"folder={folder}") for folder in ("/etc", "/", "//x", "%5c%5ca%5cx")),
)  # fmt: skip
NONE_OF_THESE = (  # paths without a route
    *("/", "/v1", "/v1/chat/completions", "/image-prompt", "/image-prompt/nothing", "/../../etc/passwd"),
    *("/v1/models/a%0Ab", "/%2e%2e/%2e%2e/etc/passwd", "/v1/embeddings/", "/image-prompt/libraries/a/b/search"),
)
