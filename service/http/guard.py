"""Whether a request is obeyed, whatever it asks for. Standard library only.

A browser sends what any page tells it to, and there is no authentication. A page of another site cannot send JSON
without asking first (Cross-Origin Resource Sharing, which is never granted), and one whose own name leads here by its
DNS ("rebinding") gives itself away by the Host.
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from collections.abc import Collection
from dataclasses import dataclass

from .errors import Refused

JSON = "application/json"
OWN_SITE = ("same-origin", "none")  # "none" is a person who typed the address
NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\.?", re.IGNORECASE)
LONGEST = 100  # characters of a header that a message quotes


@dataclass(frozen=True)
class Heads:
    """Headers of a request, each with all its values.

    content_type: without parameters
    """

    host: tuple[str, ...] = ()
    origin: tuple[str, ...] = ()
    fetch_site: tuple[str, ...] = ()
    content_type: str = ""
    content_encoding: str = ""


def check_sender(heads: Heads, hosts: Collection[str]) -> None:
    """Raises a Refused if a page of another site may have sent the request.

    hosts: names that this server may be called by, beside localhost and plain IP addresses
    """
    host = heads.host[0] if len(heads.host) == 1 else ""
    if not _is_known(host, hosts):
        shown = "; ".join(heads.host)[:LONGEST] or "nothing"
        raise Refused(
            403,
            f"This server is not known as {shown!r}, which is the Host of the request, so that a page of another site "
            "may have sent it. Ask by localhost or an IP address, or allow the name: with --allow-host NAME where the "
            'server is started by `serve`, in ComfyUI by "hosts": ["NAME"] in the file that switches it on.',
            code="host_not_allowed",
        )
    if any(not _is_own(origin, host) for origin in heads.origin) or any(
        each not in OWN_SITE for each in heads.fetch_site
    ):
        raise Refused(
            403,
            "A page of another site has sent this: its Origin is not the Host. Ask from a page of this server, or from "
            "a program.",
            code="origin_not_allowed",
        )


def check_content(heads: Heads) -> None:
    """Raises a Refused if the body is no plain JSON by its headers."""
    if heads.content_type.lower() != JSON:
        raise Refused(415, f"Send JSON, with the Content-Type {JSON}. Pictures go in it as data:image/...;base64,...")
    if heads.content_encoding.lower() not in ("", "identity"):
        raise Refused(415, "Send the JSON as it is, without a Content-Encoding.")


def is_name(host: str) -> bool:
    """Whether this may be one of the names that are allowed, as browsers write them and without a port."""
    return NAME.fullmatch(host) is not None


def _is_known(host: str, hosts: Collection[str]) -> bool:
    name = _name_in(host)
    allowed = {each.lower().rstrip(".") for each in hosts}
    return name != "" and (name == "localhost" or name in allowed or _is_address(name))


def _name_in(host: str) -> str:
    """The name or address in a Host, without the port; an empty text if it is no Host."""
    if not host or any(letter in "@/?#\\," or letter.isspace() for letter in host):
        return ""
    try:
        parts = urllib.parse.urlsplit(f"//{host}")
        _ = parts.port  # raises a ValueError if it is no number
        return (parts.hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_own(origin: str, host: str) -> bool:
    parts = origin.lower().partition("://")
    return parts[0] in ("http", "https") and parts[2] == host.lower()
