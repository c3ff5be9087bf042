"""The bad requests of ComfyUI's routes, which test_bad_requests.py sends. "{own}" is the address of the server.

Those of the service, which ComfyUI gets too, are in tests/service/http/bad_requests.py.
"""

from image_prompt.nodes.panels.graph import GRAPH, LONGEST, MODEL, MOST_MODELS, MOST_NODES, NODE
from image_prompt.nodes.panels.references import DELETION
from image_prompt.nodes.routes import ANSWERS, CHANGES, LARGEST, LOOKUPS, PICTURES, QUESTIONS, ROOT

from ..bad_requests import EVIL, Bad, of_every_post, of_every_route

DELETE, NEEDED = f"{ROOT}/references/delete", f"{ROOT}/needed"
THUMBNAIL, PICTURE = f"{ROOT}/references/thumbnail", f"{ROOT}/libraries/picture"
MISSING, SEARCH = f"{ROOT}/missing", f"{ROOT}/libraries/search"
LIBRARY, SAVED = "colours", "cat.safetensors"  # that are there
FIELDS = {
    DELETE: DELETION,
    NEEDED: (*GRAPH, *(f"nodes[].{name}" for name in NODE), *(f"models[].{name}" for name in MODEL)),
}
PARAMETERS = {path: lookup.parameters for path, lookup in {**LOOKUPS, **PICTURES}.items()}
OWN_PAGE = {"Origin": "{own}"}
SENDER = ("Host", "Origin", "Sec-Fetch-Site")  # headers that matter to changes

NO_NAMES = ("", "..", "../..", "/etc/passwd", "../image_prompts/cat.safetensors", "..\\..", "a\0b", "x" * 5000, "other")
QUOTED = tuple(name.replace("/", "%2f").replace("\0", "%00").replace("\\", "%5c") for name in NO_NAMES)


def node(of: str, value: object, message: str) -> Bad:
    return Bad(NEEDED, f".nodes[].{of}", 400, message, body={"nodes": [{"id": "1", "type": "X", of: value}]})


def model(of: str, value: object, message: str) -> Bad:
    return Bad(NEEDED, f".models[].{of}", 400, message, body={"models": [{of: value}]})


def searched(of: str, status: int, message: str, query: str, library: str = LIBRARY) -> Bad:
    return Bad(SEARCH, of, status, message, f"{SEARCH}?library={library}&{query}")


def of_pages() -> tuple[Bad, ...]:
    """Pages that are not obeyed."""
    kinds = (
        *(("Origin", {"Origin": origin}) for origin in (
            "", "null", EVIL, "{own}.evil.example", "{own}0", "http://127.0.0.1", "file://", "http://me@evil.example")),
        ("Origin", {}),
        *(("Sec-Fetch-Site", {**OWN_PAGE, "Sec-Fetch-Site": site}) for site in ("cross-site", "same-site", "none")),
        ("Host", {**OWN_PAGE, "Host": "evil.example"}),
    )  # fmt: skip
    return tuple(Bad(DELETE, of, 403, "obeyed only", body={"name": SAVED}, headers=headers) for of, headers in kinds)


BAD_REQUESTS = (
    *(row for path in (*ANSWERS, *LOOKUPS, *PICTURES) for row in of_every_route(path, "GET", PARAMETERS.get(path, ()))),
    *(row for path in QUESTIONS for row in of_every_route(path, "POST")),
    *(row for path in CHANGES for row in of_every_route(path, "POST", headers=OWN_PAGE)),
    *(row for path in QUESTIONS for row in of_every_post(path, {}, LARGEST)),
    *(row for path in CHANGES for row in of_every_post(path, OWN_PAGE, LARGEST)),
    *of_pages(),
    *(Bad(DELETE, ".name", 404, "Refresh the list", body={"name": name}, headers=OWN_PAGE) for name in NO_NAMES),
    *(Bad(DELETE, ".name", 400, "Say which file to delete", body=body, headers=OWN_PAGE)
      for body in ({}, {"name": None}, {"name": [SAVED]}, {"name": 3})),
    *(Bad(THUMBNAIL, "?name", 404, "There is no thumbnail of", f"{THUMBNAIL}?name={name}") for name in QUOTED),
    Bad(THUMBNAIL, "?name", 404, "There is no thumbnail of ''", f"{THUMBNAIL}?state=1"),
    *(Bad(PICTURE, "?library", 404, "There is no library", f"{PICTURE}?library={name}&id=1") for name in QUOTED),
    *(Bad(PICTURE, "?id", 400, "id is .*: it must be a whole number from 0", f"{PICTURE}?library={LIBRARY}&id={id}")
      for id in ("", "-1", "abc", "1.5", "nan", "1e400", str(1 << 70), "1;DROP%20TABLE%20pictures")),
    Bad(PICTURE, "?id", 400, "id is nothing", f"{PICTURE}?library={LIBRARY}"),
    Bad(PICTURE, "?id", 404, "There is no picture 4711 in", f"{PICTURE}?library={LIBRARY}&id=4711"),
    *(searched("?library", 404, "There is no library", "id=1", name) for name in (*QUOTED, f".%2f{LIBRARY}")),
    Bad(SEARCH, "?library", 404, "There is no library ''", f"{SEARCH}?text=red"),
    searched("?text", 400, "3,999 characters", f"text={'cat%20' * 1000}"),
    searched("?text", 400, "not for both", "text=cat&id=1"),
    searched("?text", 503, "needs the text encoder of colours, and it is not loaded", "text=cat"),
    searched("?", 400, "There is no parameter 'model' here", "text=cat&model=x"),
    *(searched("?k", 400, "k is .*: it must be a whole number from 1 to 200", f"k={k}")
      for k in ("0", "-1", "201", "abc", "1.5", "", "nan", "1e400", "9" * 5000)),
    *(searched("?minimum", 400, "minimum is .*: it must be a number from -1 to 1", f"minimum={minimum}")
      for minimum in ("nan", "inf", "1e400", "2", "abc", "")),
    *(searched("?id", 400, "id is .*: it must be a whole number from 0", f"id={id}")
      for id in ("-1", "", "abc", str(1 << 70), "1;DROP%20TABLE%20pictures")),
    searched("?id", 404, "There is no picture 4711 in the library 'colours'", "id=4711"),
    *(searched("?folder", 400, "no whole path", f"folder={folder}") for folder in ("/etc", "/", "//x", "%5c%5ca%5cx")),
    Bad(MISSING, "?input", 400, "Say which input", f"{MISSING}?name=x"),
    Bad(MISSING, "?input", 400, "Say which input", f"{MISSING}?input=&name=x"),
    Bad(MISSING, "?name", 400, "Say which input", f"{MISSING}?input=adapter_name"),
    Bad(MISSING, "?name", 400, "The name has 5,000 characters", f"{MISSING}?input=adapter_name&name={'x' * 5000}"),
    *(Bad(NEEDED, f".{of}", 400, f"'{of}' of a graph is a list of JSON objects", body={of: value})
      for of in GRAPH for value in (3, "x", None, {}, [3], [[]], [None])),
    Bad(NEEDED, ".nodes", 400, "20,000 at most, and these are 20,001", body=lambda: {"nodes": [{}] * (MOST_NODES + 1)}),
    Bad(NEEDED, ".models", 400, "are 200 at most, and these are 201", body={"models": [{}] * (MOST_MODELS + 1)}),
    *(node(of, value, f"'{of}' of a node or model of a graph is .*: give a text") for of in ("id", "type")
      for value in (1.5, True, [], {})),
    node("type", "x" * (LONGEST + 1), "has 501 characters"),
    *(node("values", value, "has its 'values' by name") for value in ([], "x", None, 3)),
    *(node("values", {"name": value}, "The value 'name' of a node .*: give a text") for value in (None, 1.5, [], {})),
    node("values", {"name": "x" * (LONGEST + 1)}, "has 501 characters"),
    *(node("before", value, "a list 'before' of the ids") for value in ({}, "x", None, 3)),
    *(node("before", [value], "An id in 'before' .*: give a text") for value in (None, 1.5, [], {})),
    Bad(NEEDED, ".", 400, "'nothing'. There are id, type, values, before", body={"nodes": [{"nothing": 1}]}),
    *(model(of, value, f"'{of}' of a node or model of a graph is .*: give a text") for of in MODEL
      for value in (1.5, [], {})),
    model("url", "https://" + "x" * LONGEST, "has 508 characters"),
    Bad(NEEDED, ".", 400, "'nothing'. There are name, directory, url", body={"models": [{"nothing": 1}]}),
)  # fmt: skip
