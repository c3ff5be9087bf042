"""Serve the help page of a node in the language of the browser, or else the English one.

ComfyUI's frontend asks for `docs/<node>/<language>.md`, and for `docs/<node>.md` where that is missing, which leaves an
error in the console at every look at a page. With this route the first request has an answer.
"""

from pathlib import Path
from typing import Any

from .folders import prompt_server

PACK = Path(__file__).absolute().parents[1]
PAGES = PACK / "js" / "docs"
ROUTE = f"/extensions/{PACK.name}/docs/{{node:[\\w-]+}}/{{language:[\\w-]+}}.md"


def register_help_pages() -> None:
    """Register the route, if there is a server."""
    server = prompt_server()
    if server is not None:
        server.routes.get(ROUTE)(_help_page)


async def _help_page(request: Any) -> Any:
    from aiohttp import web

    page = help_page(**request.match_info)
    return web.FileResponse(page) if page else web.Response(status=404)


def help_page(node: str, language: str) -> Path | None:
    """The page of a node in a language, or else in English."""
    pages = (PAGES / node / f"{language}.md", PAGES / f"{node}.md")
    return next((page for page in pages if page.is_file()), None)
