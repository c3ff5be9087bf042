"""The help pages and tooltips of the nodes of other packs, from their rows and the tables in this folder."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from . import faces, pages, texts, transformers
from .pages import Page
from .texts import BY_PICTURE

if TYPE_CHECKING:
    from ..node import Node, Output

PAGES = {**pages.PAGES, **faces.PAGES, **transformers.PAGES}
INPUTS = {**texts.INPUTS, **faces.INPUTS, **transformers.INPUTS}
OUTPUTS = {**texts.OUTPUTS, **faces.OUTPUTS, **transformers.OUTPUTS}
FORMULAS = {**texts.FORMULAS, **faces.FORMULAS, **transformers.FORMULAS}
DIFFERENCES = (*texts.DIFFERENCES, *faces.DIFFERENCES, *transformers.DIFFERENCES)


def input_help(node: "Node", name: str) -> str:
    """What an input means, in a sentence."""
    page = _page(node)
    return page.inputs.get(name) or (node.by_picture and BY_PICTURE.get(name)) or INPUTS.get(name, "")


def output_help(node: "Node", output: "Output") -> str:
    """What an output holds, in a sentence."""
    name = output.name or output.type
    return _page(node).outputs.get(name) or OUTPUTS.get(name, "")


def help_page(node: "Node") -> str:
    """The help page of a node, as Markdown."""
    return "\n".join(_parts(node))


def _page(node: "Node") -> Page:
    return PAGES.get(node.id) or Page("")


def _parts(node: "Node") -> Iterator[str]:
    page = _page(node)
    yield f"# {node.title}\n\n{page.does} As in {node.pack}, so that saved workflows run.\n\n{node.instead}\n"
    yield f"## Inputs\n\n{_inputs(node)}"
    if node.outputs:
        yield f"## Outputs\n\n{_outputs(node)}"
    yield from (FORMULAS[about] for about in page.about if about in FORMULAS)
    if table := _differences(page, node.pack):
        yield f"## As in {node.pack}, or repaired\n\n{table}"


def _inputs(node: "Node") -> str:
    return "".join(
        f"- **{each.name}**{' (optional)' if each.optional else ''}: {input_help(node, each.name)}\n"
        for each in node.inputs
    )


def _outputs(node: "Node") -> str:
    return "".join(f"- **{each.name or each.type}**: {output_help(node, each)}\n" for each in node.outputs)


def _differences(page: Page, pack: str) -> str:
    rows = [f"| {each.there} | {each.here} |\n" for each in DIFFERENCES if each.about in page.about]
    return "".join([f"| {pack} | here |\n|---|---|\n", *rows]) if rows else ""
