"""What a bad request of HTTP is, which inputs a route has, and those bad requests that each route has to refuse.

Inputs are called: "method", "?" (the names in the address), "?k" (a parameter), "name" (a part of the path), "Host" (a
header), "body" (as a whole), "." (the names in its JSON) and ".model" (a field).
"""

import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

JSON = {"Content-Type": "application/json"}
PART = re.compile(r"\{(\w+)(?::[^}]*)?\}")
EVIL = "http://evil.example"


@dataclass(frozen=True)
class Bad:
    """A request that is refused.

    route: its path, as it is registered
    of: the input that is bad
    message: a regular expression
    path: with the query; that of the route if it is empty
    body: bytes, or what becomes JSON; None for none. A function makes it when it is sent
    """

    route: str
    of: str
    status: int
    message: str
    path: str = ""
    body: Any = None
    method: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def sent(self) -> tuple[str, str, Any, dict[str, str]]:
        """(method, path, body, headers)"""
        body = self.body() if callable(self.body) else self.body
        method = self.method or ("GET" if body is None else "POST")
        return (
            method,
            self.path or PART.sub("x", self.route),
            body,
            {**(JSON if body is not None else {}), **self.headers},
        )


Covered = tuple[str, str]  # route, input


def inputs_of(
    rows: Iterable[tuple[str, str]], parameters: Mapping[str, Sequence[str]], fields: Callable[[str], Sequence[str]]
) -> set[Covered]:
    """All inputs of routes, as (route, input).

    rows: (method, path) as they are registered
    fields: those of the JSON of a route. It raises a KeyError for one that takes none
    """
    found = set[Covered]()
    for method, path in rows:
        if method == "*":
            continue
        found |= {(path, of) for of in ("method", "?", *PART.findall(path))}
        found |= {(path, f"?{name}") for name in parameters.get(path, ())}
        if method == "POST":
            found |= {(path, of) for of in ("Content-Type", "Content-Encoding", "body", ".")}
            found |= {(path, f".{name}") for name in fields(path)}
    return found


def of_every_route(
    path: str, methods: str, parameters: Sequence[str] = (), asked: str = "", headers: Mapping[str, str] = {}
) -> Iterator[Bad]:
    """
    methods: those that are taken, as the message says them
    asked: the path with good parts, if it has any
    headers: with which it is obeyed
    """
    where = asked or path
    for method in ("DELETE", "PATCH", *(["POST"] if "GET" in methods and "POST" not in methods else [])):
        yield Bad(path, "method", 405, methods, where, method=method)
    reads = {"body": None if methods.startswith("GET") else {}, "headers": headers}
    known = f"There are {', '.join(parameters)}" if parameters else "There are none"
    for query in ("nothing=1", "%2e%2e%2fetc=1", "%00=1"):
        yield Bad(path, "?", 400, f"There is no parameter '.*' here. {known}", f"{where}?{query}", **reads)
    for name in parameters[:1]:
        yield Bad(path, "?", 400, f"The parameter {name} is given twice", f"{where}?{name}=1&{name}=1")


def of_every_post(path: str, headers: Mapping[str, str], largest: int) -> Iterator[Bad]:
    """headers: with which it is obeyed"""
    for kind in ("text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
                 "application/json2", "text/plain;application/json"):  # fmt: skip
        yield Bad(path, "Content-Type", 415, "Send JSON", body={}, headers={**headers, "Content-Type": kind})
    for way, body in (("gzip", gzip.compress(b"{}")), ("deflate", zlib.compress(b"{}")), ("nothing", b"{}")):
        yield Bad(path, "Content-Encoding", 415, "as it is", body=body, headers={**headers, "Content-Encoding": way})
    for body, message in (
        (b"", "not JSON that can be read"),
        (b"{", "not JSON that can be read"),
        (b"\xff\xfe\xff", "not JSON that can be read"),
        (b"name=x", "not JSON that can be read"),
        (b'{"a": NaN}', "NaN is no number in JSON"),
        (b'{"a": -Infinity}', "-Infinity is no number in JSON"),
        (b'{"a": 1, "b": 2, "a": 3}', "it says 'a' twice"),
        (lambda: b"[" * 500_000, "nested too deeply"),
        (lambda: b'{"a":' * 200_000, "nested too deeply"),
        (lambda: b'{"a": ' + b"9" * 100_000 + b"}", "too many digits"),
        (b"[1]", "The JSON is a list of 1: send an object"),
        (b"null", "The JSON is null: send an object"),
        (b'"x"', "The JSON is the text 'x': send an object"),
    ):
        yield Bad(path, "body", 400, message, body=body, headers=headers)
    yield Bad(path, "body", 413, "larger than", body=lambda: b" " * (largest + 1), headers=headers)
    yield Bad(path, ".", 400, "There is no field 'nothing'", body={"nothing": 1}, headers=headers)


def check_cover(rows: Sequence[Bad], wanted: set[Covered], exceptions: Mapping[Covered, str]) -> None:
    """Fail for inputs without a row, and for rows and exceptions of what is no input, or is covered."""
    covered = {(row.route, row.of) for row in rows}
    assert wanted - covered == set(exceptions), "inputs without a bad request, or exceptions that are none"
    assert covered <= wanted, "bad requests of what is no input"
    assert all(exceptions.values())
