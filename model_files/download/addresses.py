"""Check where a download leads: the link must be encrypted, and its host one that may hold the file."""

from __future__ import annotations

import fnmatch
import re
import urllib.parse
import urllib.request
from http.client import HTTPMessage
from typing import IO

R2_OF_CIVITAI = "civitai-delivery-worker-prod.5ac0637cfd0766c97916cefa3764fbdf.r2.cloudflarestorage.com"
# The other hosts to which a host may redirect. The host of the file's own link is always allowed.
CONTENT_HOSTS = {
    "huggingface.co": ("*.hf.co", "cdn-lfs*.huggingface.co"),  # *.xethub.hf.co, *.aws.cdn.hf.co
    "github.com": ("release-assets.githubusercontent.com", "objects.githubusercontent.com"),
    "civitai.com": ("*.civitai.com", R2_OF_CIVITAI),
}
LOOPBACK = {"localhost", "127.0.0.1", "::1"}  # the only hosts that may speak without encryption


class DownloadError(ValueError):
    """A download did not start or did not succeed: why, and what to do."""


def check_address(url: str, origin: str) -> None:
    """Check that `url` is encrypted, and on the host of `origin` or on one where that host keeps its files.

    Raises:
        DownloadError: it is not.
    """
    host = host_of(url)
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme != "https" and not (scheme == "http" and host in LOOPBACK):
        raise DownloadError(f"{url} is not encrypted: only https:// is fetched.")
    home = host_of(origin)
    if host != home and not any(fnmatch.fnmatchcase(host, pattern) for pattern in CONTENT_HOSTS.get(home, ())):
        raise DownloadError(
            f"{home} redirects to another host, {host}, which is not known to hold its files. Nothing was fetched from "
            f"there. If you trust it, download the file by hand: {url}"
        )


def host_of(url: str) -> str:
    """The host of an address. DownloadError if it has none, or something that could be mistaken for one."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port  # reading the port raises an error for a wrong one
        if host and parts.username is None and not re.search(r"[^!-~]", url):
            return host
    except ValueError:
        pass
    raise DownloadError(f"{url!r} is not the address of a file on the web.")


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects where `check_address` allows them."""

    def __init__(self, origin: str) -> None:
        self.origin = origin

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        try:
            check_address(newurl, self.origin)
        except DownloadError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)
