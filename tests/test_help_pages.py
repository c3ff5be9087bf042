"""The help pages of our own nodes are there in English and Chinese, say the same, and fit into the narrow panel."""

import json
import re

import pytest

from image_prompt.devtools.help_pages import FOLDER
from image_prompt.devtools.locales import FOLDER as LOCALES

TITLES = {
    language: {
        node: words["display_name"]
        for node, words in json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8")).items()
    }
    for language in ("en", "zh")
}
NODES = sorted(TITLES["en"])
CODE = re.compile(r"`([^`|]+)`")
NUMBER = re.compile(r"\d+(?:\.\d+)?")
COLUMN = re.compile(r"(?<!\\)\|")


def page(node: str, language: str) -> str:
    path = FOLDER / f"{node}.md" if language == "en" else FOLDER / node / f"{language}.md"
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("language", TITLES)
def test_a_page_begins_with_the_title_of_its_node(node, language):
    assert page(node, language).startswith(f"# {TITLES[language][node]}\n\n")


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("language", TITLES)
def test_a_page_shows_its_node_first(node, language):
    """By a path from docs/, which is also where the frontend looks from pages in folders."""
    heading, _, picture = page(node, language).split("\n")[:3]
    assert heading.startswith("# ") and re.fullmatch(rf"!\[.+\]\({node}/node\.jpg\)", picture)
    assert (FOLDER / node / "node.jpg").read_bytes().startswith(b"\xff\xd8")


@pytest.mark.parametrize("node", NODES)
@pytest.mark.parametrize("language", TITLES)
def test_tables_have_two_columns(node, language):
    rows = [line for line in page(node, language).splitlines() if line.startswith("|")]
    assert [row for row in rows if len(COLUMN.findall(row)) != 3] == []


@pytest.mark.parametrize("node", NODES)
def test_both_languages_have_the_same_parts(node):
    """As many headings, paragraphs, rows, items and pictures, and what is to be typed or read is in both."""
    english, chinese = (page(node, language) for language in TITLES)
    for part in (r"^#+ ", r"\n\n", r"^\|", r"^ *- ", r"^!\["):
        assert len(re.findall(part, chinese, re.M)) == len(re.findall(part, english, re.M)), part
    for part in (CODE, NUMBER):
        assert sorted({*part.findall(english)} - {*part.findall(chinese)}) == []


def test_there_are_no_pages_of_other_nodes():
    assert sorted({path.parent.name for path in FOLDER.glob("*/*.md")}) == NODES
