"""A page is reloaded while its graph runs, has another tab beside it, and stays open while its server is restarted."""

import json
import os
import shutil

from image_prompt.demo import playground
from image_prompt.devtools.comfyui import DEMO_NODES, Server
from image_prompt.devtools.workflows import nodes_of

SCENARIO = "life"
WORKFLOW = DEMO_NODES[playground.DEMO] / "example_workflows" / f"{playground.TEMPLATE}.json"
FINE = {"progress": True, "ended": "execution_success", "pictures": 4}


def task(server: Server, object_info: dict) -> dict:
    workflow = json.loads(WORKFLOW.read_text())
    base = playground.prepare(server.base.with_name("restarted"))
    for node in (node for node in nodes_of(workflow) if node["type"] == "LoadImage"):
        shutil.copy(server.base / "input" / node["widgets_values"][0], base / "input")
    log = base / "comfyui.log"
    own = Server(server.comfyui, server.command[0], base, log, ["--cpu", "--database-url", "sqlite:///:memory:"])
    return {
        "address": playground.address(server),
        "nodes": len(workflow["nodes"]),
        "held": str(server.base / "held"),
        "own": {
            "command": own.command,
            "folder": str(own.comfyui),
            "environment": {**os.environ, "OMP_NUM_THREADS": "1"},
            "url": own.url,
            "address": playground.address(own),
            "log": str(log),
        },
    }


def test_a_reload_in_a_run_leaves_the_graph_its_views_and_its_result(seen):
    reloaded = seen["reloaded"]
    assert reloaded["after"] == reloaded["before"] and reloaded["before"]["views"]
    assert {name: reloaded[name] for name in FINE} == FINE


def test_two_tabs_have_their_own_values_and_results(seen, server):
    tabs = seen["tabs"]
    assert tabs["mine"] == tabs["theirs"] == FINE
    for name, weight in {"mine": 0.75, "theirs": 0.25}.items():
        id = tabs["ids"][name]
        prompt = server.get(f"/history/{id}")[id]["prompt"][2].values()
        assert [node["inputs"]["weight"] for node in prompt if node["class_type"] == "ImagePromptApply"] == [weight]
        assert tabs["ids"][{"mine": "theirs", "theirs": "mine"}[name]] not in tabs["events"][name]


def test_copies_have_the_same_values_and_views_and_share_none(seen):
    before, both, after = (seen["copied"][name] for name in ("before", "both", "after"))
    count = len(before["nodes"])
    assert both["nodes"][:count] == before["nodes"] == after["nodes"][:count]
    assert sorted(each[1:] for each in both["nodes"][count:]) == sorted(each[1:] for each in before["nodes"])
    assert sorted(both["views"]) == sorted(2 * before["views"])
    assert after["nodes"][count:] != both["nodes"][count:]


def test_a_page_goes_on_when_its_server_is_restarted(seen, renderer):
    """In the classic canvas alone: a restart takes as long as the rest."""
    restarted = seen["restarted"]
    assert bool(restarted) == (renderer == "classic")
    if restarted:
        assert restarted["first"] == "execution_success"
        assert restarted["second"] == FINE
        assert restarted["after"] == restarted["before"]


def test_nothing_of_the_pack_complains_in_other_tabs(seen):
    assert seen["complaints"] == []
