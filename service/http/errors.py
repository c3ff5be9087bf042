"""What is answered to what cannot be done, in the shape that OpenAI's clients read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ...tensor_files import printable, without_folders
from ..embedding.model import Busy, UnknownModel

LONGEST = 1000  # characters of a message
CLIENT, SERVER = "invalid_request_error", "server_error"


class NotListed(ValueError):
    """There is nothing of this name, or it is not there any more."""


class Refused(ValueError):
    """A request that is not done. The text is told as it is, as it names no folder.

    status: of HTTP
    param: the field of the request that is wrong; None for the whole
    code: a word for programs; None where the status says it
    headers: to send with the answer
    """

    def __init__(
        self,
        status: int,
        why: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(why)
        self.status, self.param, self.code, self.headers = status, param, code, dict(headers or {})


@dataclass(frozen=True)
class ErrorAnswer:
    """status, headers: of HTTP; content: for JSON"""

    status: int
    content: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict[str, str])


def answer_to(error: Exception) -> ErrorAnswer:
    """The answer to whatever was raised. A ValueError is the fault of who asks, anything unknown that of the server."""
    refused = _as_refused(error)
    text = " ".join(str(refused).split())
    content = {
        "message": printable(text, LONGEST) if isinstance(error, Refused) else said(text),
        "type": CLIENT if refused.status < 500 else SERVER,
        "param": refused.param,
        "code": refused.code,
    }
    return ErrorAnswer(refused.status, {"error": content}, refused.headers)


def said(text: str) -> str:
    """A text as an answer may hold it: without the folders of a user, and not too long."""
    return printable(without_folders(text), LONGEST)


def _as_refused(error: Exception) -> Refused:
    if isinstance(error, Refused):
        return error
    if isinstance(error, UnknownModel):
        return Refused(404, str(error), param="model", code="model_not_found")
    if isinstance(error, NotListed):
        return Refused(404, str(error), code="not_found")
    if isinstance(error, Busy):
        return Refused(503, str(error), code="busy", headers={"Retry-After": str(error.seconds)})
    if isinstance(error, ValueError):
        return Refused(400, str(error))
    return Refused(500, f"{type(error).__name__}: {error}")
