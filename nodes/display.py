"""Show a text or a picture about its result on a node."""

from functools import cache
from typing import Any

import torch
from comfy_api.latest import ComfyAPISync
from comfy_execution.progress import get_progress_state
from comfy_execution.utils import get_executing_context

from .folders import prompt_server

SAID = "image_prompt_said"  # the key of a node's output, for js/notices.js


def is_watched() -> bool:
    """Whether somebody looks: nodes run in ComfyUI's server, for a browser or a program like it."""
    server = prompt_server()
    return server is not None and server.client_id is not None


def is_shown(node_id: str | None) -> bool:
    """Whether somebody looks at the node."""
    return is_watched() and node_id is not None


def show(text: str, node_id: str | None) -> None:
    """Show a text on the node, in the browser that queued the prompt, until the page is reloaded.

    text: few and short lines. Nodes 2.0 makes the node as high as they need, the classic canvas shows only two
    """
    if is_shown(node_id):
        server = prompt_server()
        lines = text.replace("\n", "  \n")  # two spaces end a line in Markdown
        server.send_progress_text(lines, node_id, server.client_id)


def said(text: str, hidden: Any = None) -> dict[str, list[str]]:
    """Show a text on the node, and return it as the `ui` of its output, with which ComfyUI sends it again.

    Its schema needs `has_intermediate_output`, so that this is done for a run that takes all results from the cache.
    hidden: what ComfyUI tells the node. One that asks for its id there is computed again whenever that changes, so
        that without it the node that runs now is meant
    """
    running = get_executing_context()
    show(text, getattr(hidden, "unique_id", None) or (running.node_id if running else None))
    return {SAID: [text]}


def megabytes(size: int) -> str:
    return f"{size / 2**20:.1f} MB"


def show_progress(value: int, most: int, picture: torch.Tensor | None, node_id: str | None) -> None:
    """Show on a node how far the work of another node is, and a picture (H, W, 3) of it."""
    _api().execution.set_progress(value, most, node_id=node_id, preview_image=picture)


def progress_ended(node_id: str | None) -> None:
    """Show that a node no longer takes part in the work of another one."""
    if node_id is not None:
        get_progress_state().finish_progress(node_id)


@cache
def _api() -> Any:
    return ComfyAPISync()
