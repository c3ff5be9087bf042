"""Show a text about its result on a node."""

from .folders import prompt_server


def show(text: str, node_id: str | None) -> None:
    """Show a text on the node, in the browser that queued the prompt, until the page is reloaded.

    text: few and short lines. Nodes 2.0 makes the node as high as they need, the classic canvas shows only two
    """
    server = prompt_server()
    if server is not None and server.client_id is not None and node_id is not None:
        lines = text.replace("\n", "  \n")  # two spaces end a line in Markdown
        server.send_progress_text(lines, node_id, server.client_id)
