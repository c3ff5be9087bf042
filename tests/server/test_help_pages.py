"""ComfyUI's frontend gets a help page in every language at its first request."""

import urllib.error

import pytest

from image_prompt.nodes.help_pages import PAGES

from .test_boot import COMPAT, NODES


@pytest.mark.parametrize("language", ["en", "fr", "zh"])
def test_every_node_has_a_page(server, language):
    """In English where there is none in the language."""
    for name in [*NODES, *COMPAT]:
        own = PAGES / name / f"{language}.md"
        expected = own if own.exists() else PAGES / f"{name}.md"
        assert server.fetch(f"/extensions/image-prompt/docs/{name}/{language}.md") == expected.read_bytes()


@pytest.mark.parametrize("path", ["NoNode/en.md", "..%2Flib/view.md", "ImagePromptApply/..%2Fzh.md"])
def test_what_is_no_page_is_not_found(server, path):
    with pytest.raises(urllib.error.HTTPError, match="404"):
        server.fetch(f"/extensions/image-prompt/docs/{path}")
