"""One visit of a real browser in each renderer, in which every scenario of the chosen tests is played.

A test module names its scenario, a file of `scenarios/`, as SCENARIO; a function `task(server, object_info)` may say
what the script is given. Its tests read what was seen there, the fixture `seen`, and judge. Screenshots are kept.
"""

import pytest

from image_prompt.devtools.browser import drive
from image_prompt.devtools.stages import ROOT, log_file

VISIT = ROOT / "tests" / "server" / "browser" / "visit.mjs"
RENDERERS = {"classic": {"nodes2": False, "locale": "en"}, "nodes2": {"nodes2": True, "locale": "fr"}}
SECONDS = 900  # for all scenarios; a step that hangs fails sooner


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if hasattr(getattr(item, "module", None), "SCENARIO"):
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session", params=RENDERERS)
def visit(request, server, object_info) -> dict:
    """{scenarios: {name: what was seen}, complaints: errors of the pack, outside: addresses of other hosts}"""
    modules = {item.module for item in request.session.items if hasattr(getattr(item, "module", None), "SCENARIO")}
    scenarios = {}
    for module in sorted(modules, key=lambda module: module.SCENARIO):
        scenarios[module.SCENARIO] = module.task(server, object_info) if hasattr(module, "task") else {}
    pictures = log_file(f"browser {request.param}").with_suffix("")
    task = {"url": server.url, "scenarios": scenarios, "pictures": str(pictures)}
    return drive(VISIT, task | RENDERERS[request.param], SECONDS)


@pytest.fixture
def renderer(request) -> str:
    """The renderer that is visited, a key of RENDERERS."""
    return request.node.callspec.params["visit"]


@pytest.fixture
def seen(request, visit) -> dict:
    """What was seen in the scenario of this module."""
    found = visit["scenarios"][request.module.SCENARIO]
    if isinstance(found, dict) and "failed" in found:
        pytest.fail(found["failed"], pytrace=False)
    return found
