"""A web server on this machine that follows the rules, or breaks them as a test plans it."""

from __future__ import annotations

import contextlib
import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves `content` on every path.

    Each request takes the next row of `plan`, and is answered honestly when there is none:
        status=404              an error, with `headers`
        to="http://..."         a redirect
        cut=1000                the connection ends after this many bytes of the body
        hold=1000               after this many bytes of the body, nothing is sent until `release` is set
        honour_range=False      the whole file, whatever was asked for
        honour_if_range=False   the rest of the file, whatever version was asked for
        etag='"two"', content=b"..."   another version of the file
        length="12"             what Content-Length says; None: nothing
        chunked=True            in chunks, without Content-Length
        headers={...}           on top of, or instead of, the usual ones
    """

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.plan: list[dict] = []
        self.requests: list[dict[str, str]] = []  # headers
        self.holding = threading.Event()
        self.release = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/model.safetensors"

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def handle_error(self, *_: object) -> None:
        """Say nothing when a client disconnects, which is part of the tests."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.close_connection = True
        self.server.requests.append(dict(self.headers))
        row = self.server.plan.pop(0) if self.server.plan else {}
        if "to" in row:
            self.head(302, {"Location": row["to"], "Content-Length": "0"})
        elif "status" in row:
            self.head(row["status"], {"Content-Length": "0", **row.get("headers", {})})
        else:
            self.serve(row)

    def serve(self, row: dict) -> None:
        content, etag = row.get("content", self.server.content), row.get("etag", '"one"')
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = not row.get("honour_if_range", True) or self.headers.get("If-Range", etag) == etag
        start = int(wanted[1]) if wanted and same and row.get("honour_range", True) else 0
        if start and start >= len(content):
            return self.head(416, {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"})
        body = content[start:]
        headers = {"Content-Type": "application/octet-stream", "ETag": etag, "Content-Length": str(len(body))}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if row.get("chunked"):
            headers.update({"Content-Length": None, "Transfer-Encoding": "chunked"})
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        if "length" in row:
            headers["Content-Length"] = row["length"]
        self.head(206 if start else 200, {**headers, **row.get("headers", {})})
        self.body(body, row)

    def body(self, body: bytes, row: dict) -> None:
        first = min(row.get("cut", len(body)), row.get("hold", len(body)))
        self.wfile.write(body[:first])
        self.wfile.flush()
        if "hold" in row:
            self.server.holding.set()
            self.server.release.wait(60)
        self.wfile.write(body[first : row.get("cut", len(body))])

    def head(self, status: int, headers: dict[str, str | None]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing, because pytest's output is for the tests."""


@contextlib.contextmanager
def serving(content: bytes) -> Iterator[Server]:
    server = Server(content)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
