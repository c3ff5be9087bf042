"""What a node says of its result, on the node itself."""

from .host import prompt_server


def show(text: str, node_id: str | None) -> None:
    """In the browser that queued the prompt, until it is reloaded; nowhere else.

    In few and short lines: Nodes 2.0 makes the node as high as they need, the classic canvas shows two.
    """
    server = prompt_server()
    if server is not None and server.client_id is not None and node_id is not None:
        lines = text.replace("\n", "  \n")  # to be lines in Markdown too
        server.send_progress_text(lines, node_id, server.client_id)
