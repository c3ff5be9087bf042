"""Send one request to a web server, and check that the answer is the file or the rest of it."""

from __future__ import annotations

import http.client
import re
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError, URLError

from ..catalogue import Entry
from .addresses import LOOPBACK, DownloadError, Redirects, host_of
from .partial_download import CHUNK, Part

LONGEST_WAIT = 60  # seconds that a server may ask us to wait

GATED = (
    "access must be granted first. Accept the licence on {page}, with a login if it asks for one, download the file "
    "there and put it here: {target}"
)
GONE = "the file is not there any more. Look for it on {page} and put it here: {target}"
STATUS = {401: GATED, 403: GATED, 404: GONE, 410: GONE}


class Interrupted(Exception):
    """A download stopped, but another try may help, after the `pause` in seconds that the server asked for."""

    def __init__(self, reason: str, pause: float = 0) -> None:
        super().__init__(reason)
        self.pause = pause


class StalePartError(Interrupted):
    """The part is not the beginning of the server's file. `size` is the length of that file, if it is known."""

    def __init__(self, size: int | None = None) -> None:
        super().__init__("The file on the server is not the one that this download began with")
        self.size = size


def ask(entry: Entry, part: Part, timeout: float) -> http.client.HTTPResponse:
    """The server's answer to a request for what the part lacks: status 200 (all of it) or 206 (the rest)."""
    headers = {"User-Agent": "image-prompt", "Accept-Encoding": "identity"}
    if part.size:
        headers["Range"] = f"bytes={part.size}-"
        if part.version.validator:
            headers["If-Range"] = part.version.validator
    handlers: list[urllib.request.BaseHandler] = [Redirects(entry.url)]
    if host_of(entry.url) in LOOPBACK:
        handlers.append(urllib.request.ProxyHandler({}))  # a proxy would look for the file on its own machine
    request = urllib.request.Request(entry.url, headers=headers)
    try:
        answer: http.client.HTTPResponse = urllib.request.build_opener(*handlers).open(request, timeout=timeout)
    except HTTPError as error:
        with error:
            raise _refusal(error, entry, part.target) from error
    except (OSError, http.client.HTTPException) as error:
        raise _no_connection(error) from error
    except DownloadError:
        raise
    except ValueError as error:  # for an invalid address to which the server redirects
        raise DownloadError(f"{entry.url} redirects to an invalid address: {error}.") from error
    try:
        _check_answer(answer, entry, part)
    except BaseException:
        answer.close()
        raise
    return answer


def chunks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    """The bytes of the answer, as they arrive."""
    try:
        while chunk := answer.read1(CHUNK):
            yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise _no_connection(error) from error


def length(answer: http.client.HTTPResponse) -> int | None:
    """The number of bytes in the answer, if the server says it."""
    said = answer.headers.get("Content-Length", "")
    return int(said) if re.fullmatch(r"\d{1,18}", said, re.ASCII) else None


def validator(answer: http.client.HTTPResponse) -> str:
    """What identifies this version of the file: an ETag unless it is weak, or else the Last-Modified date."""
    tag = answer.headers.get("ETag", "")
    said = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified", "")
    return re.sub(r"[^ -~]", "", said)


def _check_answer(answer: http.client.HTTPResponse, entry: Entry, part: Part) -> None:
    host = host_of(answer.url)
    if answer.status not in (200, 206) or (answer.status == 206 and not part.size):
        raise DownloadError(f"{host} answered with status {answer.status}, which is not a file.")
    kind = answer.headers.get_content_type()
    if kind in ("text/html", "application/xhtml+xml"):
        raise DownloadError(
            f"{host} sent a web page instead of the file: it may require a login, or the file has moved. Look at "
            f"{entry.page or entry.url}, download it there and put it here: {part.target}"
        )
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity":
        raise DownloadError(f"{host} sent the file compressed as {encoding!r}, although the plain file was requested.")
    if answer.status == 206:
        _check_rest(answer, part)


def _check_rest(answer: http.client.HTTPResponse, part: Part) -> None:
    """Check that the rest begins where the part ends, and is of the same version."""
    begins = re.match(rf"bytes {part.size}-\d+/", answer.headers.get("Content-Range", ""))
    if not begins or validator(answer) not in ("", part.version.validator):  # the server need not repeat a date
        raise StalePartError


def _refusal(error: HTTPError, entry: Entry, target: Path) -> Exception:
    host = host_of(error.url or entry.url)
    said = f"{host} answered {error.code} {error.reason}"
    if error.code == 416:
        size = re.fullmatch(r"bytes \*/(\d{1,18})", error.headers.get("Content-Range", ""))
        return StalePartError(int(size[1]) if size else None)
    if error.code == 429 or error.code >= 500:
        pause = error.headers.get("Retry-After", "")
        seconds = int(pause) if re.fullmatch(r"\d{1,9}", pause, re.ASCII) else 0
        if seconds > LONGEST_WAIT:
            return DownloadError(f"{said}: it asks to wait {seconds} seconds. Run the same command again after that.")
        return Interrupted(said, seconds)
    advice = STATUS.get(error.code, "look at {page}").format(page=entry.page or entry.url, target=target)
    return DownloadError(f"{said}: {advice}")


def _no_connection(error: Exception) -> Exception:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return DownloadError(f"The server did not prove who it is: {reason.verify_message}. Nothing was fetched.")
    if isinstance(reason, TimeoutError):
        return Interrupted("The server has stopped answering")
    return Interrupted(f"The connection was lost ({str(reason) or type(reason).__name__})")
