"""What other sites and hostile programs send to a real server, which answers in words and lives on."""

import gzip
import json
import socket

import pytest

BODY = json.dumps({"model": "colours", "input": "x"}).encode()
JSON = {"Content-Type": "application/json"}


@pytest.fixture(autouse=True)
def lives_on(server):
    yield
    assert server.ask("POST", model="colours", input="x")[0] == 200


def test_no_preflight_is_granted(server):
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    status, _, sent = server.ask("OPTIONS", headers={**asked, "Access-Control-Request-Headers": "content-type"})
    assert status == 403 and not [name for name in sent if name.lower().startswith("access-control")]


def test_own_pages_and_allowed_names_are_answered(server):
    for headers in (
        {"Origin": server.address, "Sec-Fetch-Site": "same-origin"},
        {"Host": "pictures.local:81", "Origin": "https://pictures.local:81"},
        {"Host": "[::1]"},
    ):
        assert server.ask("POST", body=BODY, headers={**JSON, **headers})[0] == 200


def test_what_is_packed_is_not_unpacked(server):
    packed = gzip.compress(b" " * 30_000_000)
    assert server.ask("POST", body=packed, headers={**JSON, "Content-Encoding": "gzip"})[0] == 415


def raw(server, sent: bytes) -> bytes:
    """What is answered to bytes, as far as it is read."""
    with socket.create_connection(("127.0.0.1", int(server.host.split(":")[1])), timeout=20) as connection:
        try:
            connection.sendall(sent)
            return connection.recv(65536)
        except ConnectionError:
            return connection.recv(65536)


def test_a_body_that_says_it_is_too_large_is_not_read(server):
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    assert raw(server, head + b"Content-Length: 20971521\r\n\r\n").startswith(b"HTTP/1.1 413 ")
    assert raw(server, head + b"Content-Length: -1\r\n\r\n").split(b" ")[1] == b"400"


def test_a_body_that_does_not_end_is_read_no_further_than_its_limit(server):
    part = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    sent = head + b"Transfer-Encoding: chunked\r\n\r\n" + part * 321
    assert raw(server, sent).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("number", [200, 20_000])
def test_headers_without_end_are_refused(server, number):
    headers = b"".join(b"X-%d: x\r\n" % each for each in range(number))
    answer = raw(server, b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n")
    assert answer.split(b" ")[1] in (b"400", b"431")


def test_a_request_with_two_hosts_or_none_is_refused(server):
    for hosts in (b"Host: localhost\r\nHost: evil.example\r\n", b""):
        assert raw(server, b"GET /v1/models HTTP/1.1\r\n" + hosts + b"\r\n").split(b" ")[1] in (b"400", b"403")
