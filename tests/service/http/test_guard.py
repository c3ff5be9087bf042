"""Who is obeyed, by the headers of a request alone."""

import pytest

from image_prompt.service.http import Refused
from image_prompt.service.http.guard import Heads, check_content, check_sender


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8199",
        "localhost.:1",
        "127.0.0.1:8199",
        "192.168.1.20:80",
        "[::1]:8199",
        "[fe80::1]",
        "Box.lan",
    ],
)
@pytest.mark.parametrize("site", [(), ("same-origin",), ("none",)])
def test_own_pages_and_programs_are_obeyed(host, site):
    for origin in ((), (f"http://{host}",), (f"https://{host.lower()}",)):
        check_sender(Heads((host,), origin, site), ["box.LAN"])


@pytest.mark.parametrize(
    "host",
    [
        *(
            "evil.example",
            "evil.example:8199",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "box.lan.evil.example",
        ),
        *(
            "",
            "localhost@evil.example",
            "evil.example#localhost",
            "evil.example/localhost",
            "localhost:x",
            "[::1",
            "a b",
        ),
        *("localhost:1:2", "127.1", "0x7f.0.0.1", "localhost, evil.example"),
    ],
)
def test_a_name_that_is_not_known_is_refused_and_how_to_allow_it_is_said(host):
    with pytest.raises(Refused, match="--allow-host NAME") as refused:
        check_sender(Heads((host,), (f"http://{host}",)), ["box.lan"])
    assert (refused.value.status, refused.value.code) == (403, "host_not_allowed")


@pytest.mark.parametrize("hosts", [(), ("localhost", "localhost"), ("localhost", "evil.example")])
def test_a_request_has_one_host(hosts):
    with pytest.raises(Refused, match="not known"):
        check_sender(Heads(hosts), ())


@pytest.mark.parametrize(
    ("origin", "site"),
    [
        (("http://evil.example",), ()),
        (("http://localhost:8200",), ()),
        (("http://localhost",), ()),
        (("null",), ()),
        (("",), ()),
        (("file://localhost:8199",), ()),
        (("http://localhost:8199", "http://evil.example"), ()),
        (("http://127.0.0.1:8199",), ()),
        ((), ("cross-site",)),
        ((), ("same-site",)),
        (("http://localhost:8199",), ("cross-site",)),
        ((), ("same-origin", "cross-site")),
    ],
)
def test_pages_of_other_sites_are_refused(origin, site):
    with pytest.raises(Refused, match="A page of another site") as refused:
        check_sender(Heads(("localhost:8199",), origin, site), ())
    assert refused.value.status == 403


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "multipart/form-data", "application/x-www-form-urlencoded", "text/json"]
)
def test_a_form_is_no_json(kind):
    with pytest.raises(Refused, match="application/json") as refused:
        check_content(Heads(content_type=kind))
    assert refused.value.status == 415


def test_json_is_taken_as_it_is():
    check_content(Heads(content_type="Application/JSON"))
    with pytest.raises(Refused, match="without a Content-Encoding"):
        check_content(Heads(content_type="application/json", content_encoding="gzip"))
