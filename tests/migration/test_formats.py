"""Both formats say the same after a migration, all of it fits together, and what is not concerned is as it was."""

import json
import random

import pytest

from image_prompt.migration import migrate
from image_prompt.migration.layout import node_box
from image_prompt.migration.our_nodes import OUR_NODES, REFERENCES
from image_prompt.nodes.compat.inputs import COMBINE_NAMES, SCALING_NAMES, WEIGHT_TYPE_NAMES

from .graphs import Graph, inputs_of, links_of, prompt, shape, workflow
from .test_rules import LOADED, PICTURE

APPLYING = (
    "IPAdapterAdvanced",
    "IPAdapterBatch",
    "IPAdapterMS",
    "IPAdapterStyleComposition",
    "IPAdapterPreciseStyleTransfer",
    "IPAdapterPreciseCompositionBatch",
    "IPAdapterTiled",
    "IPAdapterApply",
)
UNIFIED: Graph = {
    "1": ("CheckpointLoaderSimple", {"ckpt_name": "sd_xl_base_1.0.safetensors"}),
    "2": ("IPAdapterUnifiedLoader", {"model": ("1", 0), "preset": "PLUS (high strength)"}),
    "4": ("LoadImage", {"image": "a.png"}),
    "5": ("PrepImageForClipVision", {"image": ("4", 0), "crop_position": "pad"}),
}


def drawn(seed: int) -> Graph:
    """A chain of nodes that apply adapters, with widgets drawn at random, of which some are rewritten."""
    draw = random.Random(seed)
    base = draw.choice(("sd15", "sdxl_vit-h"))
    graph: Graph = {**LOADED, "2": ("IPAdapterModelLoader", {"ipadapter_file": f"ip-adapter_{base}.safetensors"})}
    graph["5"] = ("PrepImageForClipVision", {"image": ("4", 0), "crop_position": draw.choice(("top", "pad"))})
    model = ("1", 0)
    for number in range(10, 10 + draw.randint(1, 4)):
        type = draw.choice(APPLYING)
        sockets, widgets, _ = shape(type, {})
        choices = {
            "weight_type": ("original", "linear") if type == "IPAdapterApply" else WEIGHT_TYPE_NAMES,
            "combine_embeds": COMBINE_NAMES,
            "embeds_scaling": SCALING_NAMES,
            "weight": (0.5, 1.0, -1.0),
            "start_at": (0.0, 0.2),
            "layer_weights": ("", "0:1, 3:0.5"),
            "expand_style": (True, False),
        }
        given = {name: draw.choice(choices[name]) for name in widgets if name in choices}
        pictures = {name: draw.choice((("4", 0), ("5", 0))) for name, kind in sockets.items() if kind == "IMAGE"}
        masked = {"attn_mask": ("4", 1)} if draw.random() < 0.3 else {}
        wired = {name: link for name, link in PICTURE.items() if name in sockets}
        graph[str(number)] = (type, {**given, **wired, **pictures, **masked, "model": model})
        model = (str(number), 0)
    return graph | {"30": ("KSampler", {"model": model})}


def check(made: dict, schemas) -> None:
    """Every link has its two ends and the right type, every input that is needed is given, every choice is offered."""
    for node in made.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list):
                assert value[0] in made, (node, name)
        if node["class_type"] not in OUR_NODES:
            continue
        schema = schemas[node["class_type"]]
        known = {each.id: each for each in schema.inputs}
        for name, value in node["inputs"].items():
            given = known["references" if name.startswith(REFERENCES) else name]
            if isinstance(value, list) and made[value[0]]["class_type"] in OUR_NODES:
                kind = schemas[made[value[0]]["class_type"]].outputs[value[1]].io_type
                assert given.id == "references" or kind in given.io_type.split(","), (node, name)
            elif given.io_type == "COMBO" and name != "adapter_name":
                assert value in given.options, (node, name)
        needed = {each.id for each in schema.inputs if not each.optional and each.id != "references"}
        assert needed <= set(node["inputs"]), node


def as_prompt(data: dict) -> dict:
    """What the browser would queue of a workflow without subgraphs."""
    links, made = links_of(data), {}
    for node in data["nodes"]:
        if node["type"] in OUR_NODES:
            widgets = list(OUR_NODES[node["type"]].widgets)
        else:
            widgets = shape(node["type"], {each["name"]: None for each in node["inputs"]})[1]
        given = inputs_of(widgets, node, links)
        inputs = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
        made[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return made


def check_ends(scope: dict) -> None:
    """Every link is known at both of its ends, and at no other."""
    nodes = {node["id"]: node for node in scope["nodes"]}
    leaving = {
        (n["id"], slot): set(end["links"] or ()) for n in nodes.values() for slot, end in enumerate(n["outputs"])
    }
    entering = {each["link"]: (n["id"], slot) for n in nodes.values() for slot, each in enumerate(n["inputs"])}
    entering.pop(None, None)
    for link in scope["links"]:
        id, origin, slot, target, at, kind = link if isinstance(link, list) else list(link.values())[:6]
        if origin in nodes:
            assert id in leaving[origin, slot]
            leaving[origin, slot].remove(id)
        if target in nodes:
            assert entering.pop(id) == (target, at)
    assert not any(leaving.values()) and not entering


def boxes(data: dict) -> list:
    return [node_box(*node["pos"], *node["size"]) for node in data["nodes"]]


@pytest.mark.parametrize("seed", range(40))
def test_a_migrated_graph_fits_together_and_both_formats_say_the_same(seed, schemas):
    graph = drawn(seed)
    done = migrate(prompt(graph))
    made = json.loads(done.text)
    check(made, schemas)
    browser = migrate(workflow(graph))
    if not done.changes:
        assert not browser.changes
        return
    data = json.loads(browser.text)
    check_ends(data)
    assert [each.became for each in done.changes] == [each.became for each in browser.changes]
    found = as_prompt(data)
    assert set(found) == set(made)
    for id, node in made.items():
        assert found[id]["class_type"] == node["class_type"]
        assert {name: found[id]["inputs"][name] for name in node["inputs"]} == node["inputs"]
        if node["class_type"] in OUR_NODES:
            assert set(found[id]["inputs"]) == set(node["inputs"])
    assert data["last_node_id"] == max(node["id"] for node in data["nodes"])
    assert data["last_link_id"] == max(link[0] for link in data["links"])
    drawn_boxes = boxes(data)
    assert not any(one.meets(other) for n, one in enumerate(drawn_boxes) for other in drawn_boxes[:n])


# ------------------------------------------------------------------------------------------------------------- prompts


def test_nodes_of_a_prompt_that_are_not_concerned_keep_their_bytes():
    kept = '"7": {"class_type":"KSampler",  "inputs": {"model": ["9", 0], "cfg": 7.00, "seed": 1e3, "t": "\\u00e9é"}}'
    others = json.loads(prompt({**UNIFIED, "9": ("IPAdapter", {**LINKED})}))
    text = "{\n" + ",\n".join([kept, *(f"{json.dumps(id)}: {json.dumps(node)}" for id, node in others.items())]) + "\n}"
    made = migrate(text).text
    assert kept in made
    assert json.loads(made)["7"]["inputs"]["t"] == "éé"
    for id in ("1", "4"):
        assert f"{json.dumps(id)}: {json.dumps(others[id])}" in made


LINKED = {"model": ("2", 0), "ipadapter": ("2", 1), "image": ("5", 0)}


def test_new_ids_are_free_and_titles_are_kept_where_people_gave_them():
    data = json.loads(prompt({**UNIFIED, "9": ("IPAdapter", LINKED), "12:30": ("KSampler", {"model": ("9", 0)})}))
    data["9"]["_meta"] = {"title": "My portrait"}
    data["2"]["_meta"] = {"title": "IPAdapter Unified Loader"}
    made = json.loads(migrate(json.dumps(data)).text)
    assert set(made) == {"1", "2", "4", "9", "12:30", "31"}
    titles = {id: node.get("_meta", {}).get("title") for id, node in made.items()}
    assert (titles["9"], titles["2"]) == ("My portrait", "Load Image Prompt Models")
    assert titles["31"] == "Encode Image Prompt"


def test_absent_inputs_and_null_are_left_free():
    graph: Graph = {**LOADED, "9": ("IPAdapterAdvanced", {**PICTURE, "attn_mask": None, "image_negative": None})}
    given = json.loads(migrate(prompt(graph)).text)["9"]["inputs"]
    assert "mask" not in given and "negative" not in given
    assert (given["weight"], given["layers"]) == (1.0, "all")


# ----------------------------------------------------------------------------------------------------------- workflows


def simple(**changes) -> dict:
    return json.loads(migrate(workflow({**UNIFIED, "9": ("IPAdapter", LINKED)}, **changes)).text)


def by_type(data: dict, type: str) -> dict:
    (found,) = (node for node in data["nodes"] if node["type"] == type)
    return found


def test_properties_are_of_this_pack_and_what_people_did_is_kept():
    data = simple(n9={"title": "My portrait", "color": "#223", "bgcolor": "#335", "flags": {"collapsed": True}})
    node = by_type(data, "ImagePromptApply")
    assert node["id"] == 9
    assert node["properties"] == {"Node name for S&R": "ImagePromptApply", "cnr_id": "image-prompt"}
    assert (node["title"], node["color"], node["flags"]) == ("My portrait", "#223", {"collapsed": True})
    helper = by_type(data, "ImagePromptEncode")
    assert "title" not in helper and helper["color"] == "#223" and helper["flags"] == {}
    assert by_type(data, "CheckpointLoaderSimple")["properties"]["cnr_id"] == "comfyui_ipadapter_plus"


@pytest.mark.parametrize("mode", [2, 4])
def test_muted_and_bypassed_nodes_stay_so(mode):
    data = simple(n9={"mode": mode})
    assert by_type(data, "ImagePromptApply")["mode"] == by_type(data, "ImagePromptEncode")["mode"] == mode
    assert by_type(data, "ImagePromptLoadModels")["mode"] == 0


def test_a_bypassed_crop_stays_since_it_does_nothing():
    data = simple(n5={"mode": 4})
    encode = by_type(data, "ImagePromptEncode")
    assert by_type(data, "PrepImageForClipVision")["mode"] == 4
    assert encode["widgets_values"][0] == "center"


def test_what_reads_a_muted_loader_stays():
    done = migrate(workflow({**UNIFIED, "9": ("IPAdapter", LINKED)}, n2={"mode": 2}))
    assert "which is muted" in next(each.why for each in done.stays if each.id == "9")


def test_what_reads_a_bypassed_loader_reads_the_one_before_it():
    graph: Graph = {
        **UNIFIED,
        "3": ("IPAdapterUnifiedLoader", {"model": ("2", 0), "preset": "PLUS (high strength)", "ipadapter": ("2", 1)}),
        "9": ("IPAdapter", {**LINKED, "model": ("3", 0), "ipadapter": ("3", 1)}),
    }
    data = json.loads(migrate(workflow(graph, n3={"mode": 4})).text)
    made = as_prompt(data)
    assert made["9"]["inputs"]["adapter"] == ["2", 1] and made["9"]["inputs"]["model"] == ["3", 0]
    assert made["3"]["class_type"] == "ImagePromptLoadModels"
    assert next(node["mode"] for node in data["nodes"] if node["id"] == 3) == 4


def test_reroutes_of_other_wires_go_and_those_of_models_stay():
    graph: Graph = {
        **UNIFIED,
        "6": ("Reroute", {"": ("2", 1)}),
        "7": ("Reroute", {"": ("6", 0)}),
        "8": ("Reroute", {"": ("2", 0)}),
        "9": ("IPAdapter", {**LINKED, "ipadapter": ("7", 0), "model": ("8", 0)}),
    }
    made = as_prompt(json.loads(migrate(workflow(graph)).text))
    assert "6" not in made and "7" not in made
    assert made["9"]["inputs"]["model"] == ["8", 0] and made["9"]["inputs"]["adapter"] == ["2", 1]


def test_a_primitive_gives_a_choice_as_its_value_and_a_weight_by_its_link():
    graph: Graph = {
        **UNIFIED,
        "6": ("PrimitiveNode", {"value": "style transfer"}),
        "7": ("PrimitiveNode", {"value": 0.3}),
        "9": ("IPAdapter", {**LINKED, "weight_type": ("6", 0), "weight": ("7", 0)}),
    }
    old_values = {"widgets_values": [0.9, 0.0, 1.0, "standard"]}
    data = json.loads(migrate(workflow(graph, n9=old_values)).text)
    check_ends(data)
    apply = by_type(data, "ImagePromptApply")
    assert apply["widgets_values"][-1] == "style"
    assert as_prompt(data)["9"]["inputs"]["weight"] == ["7", 0]
    assert apply["widgets_values"][0] == 0.9  # what it is without the link
    (slot,) = (each for each in apply["inputs"] if each["name"] == "weight")
    assert slot["widget"] == {"name": "weight"}


def test_a_primitive_that_changes_its_choice_is_not_taken_at_its_word():
    graph: Graph = {
        **UNIFIED,
        "6": ("PrimitiveNode", {"value": "style transfer", "control": "randomize"}),
        "9": ("IPAdapter", {**LINKED, "weight_type": ("6", 0)}),
    }
    assert "through a link" in next(each.why for each in migrate(workflow(graph)).stays if each.id == "9")


def test_files_that_are_older_than_a_widget_get_its_default():
    data = simple(n9={"widgets_values": [0.4, 0.1, 0.9]})  # before weight_type was there
    assert by_type(data, "ImagePromptApply")["widgets_values"] == [0.4, 0.1, 0.9, "together", "all"]


def test_a_group_grows_around_the_new_nodes_if_it_holds_no_others_then():
    text = json.loads(workflow({**UNIFIED, "9": ("IPAdapter", LINKED)}))
    (x, y), (width, height) = text["nodes"][-1]["pos"], text["nodes"][-1]["size"]
    text["groups"] = [{"title": "a", "bounding": [x - 10, y - 60, width + 20, height + 70]}]
    data = json.loads(migrate(json.dumps(text)).text)
    bounds = node_box(0, 0, 0, 0).__class__(*data["groups"][0]["bounding"])
    inside = {node["type"] for node in data["nodes"] if bounds.holds(node_box(*node["pos"], *node["size"]))}
    assert inside == {"ImagePromptApply", "ImagePromptEncode"}


def test_bends_of_links_that_are_gone_are_gone_and_those_of_others_stay():
    text = json.loads(workflow({**UNIFIED, "9": ("IPAdapter", LINKED), "30": ("KSampler", {"model": ("9", 0)})}))
    gone = next(link[0] for link in text["links"] if link[1] == 5)  # from the crop
    stays = [link[0] for link in text["links"] if link[5] == "MODEL"]
    bends = {1: [gone], 2: stays, 3: [gone, stays[0]]}
    text["extra"] = {
        "reroutes": [{"id": id, "pos": [0, 0], "linkIds": links} for id, links in bends.items()],
        "linkExtensions": [{"id": each, "parentId": 2} for each in (gone, *stays)],
    }
    data = json.loads(migrate(json.dumps(text)).text)
    known = set(links_of(data))
    assert set(stays) <= known and gone not in known
    assert {each["id"]: each["linkIds"] for each in data["extra"]["reroutes"]} == {2: stays, 3: stays[:1]}
    assert [each["id"] for each in data["extra"]["linkExtensions"]] == stays


# ----------------------------------------------------------------------------------------------------------- subgraphs


def with_subgraph(graph: Graph, inside: set[str], **changes) -> dict:
    """A workflow in which some nodes are in a subgraph, whose links come from outside and go there."""
    data = json.loads(workflow(graph, **changes))
    inner = [node for node in data["nodes"] if str(node["id"]) in inside]
    held = {node["id"] for node in inner}
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    entering, leaving, links = [], [], []
    instance_inputs, outside = [], []
    for link in data["links"]:
        id, origin, slot, target, at, kind = link
        if origin in held and target in held:
            links.append(dict(zip(names, link)))
        elif target in held:
            links.append(dict(zip(names, [id, -10, len(entering), target, at, kind])))
            entering.append({"id": f"in{id}", "name": f"{kind}{id}", "type": kind, "linkIds": [id]})
            instance_inputs.append({"name": f"{kind}{id}", "type": kind, "link": 1000 + id})
            outside.append([1000 + id, origin, slot, 100, len(entering) - 1, kind])
        elif origin in held:
            links.append(dict(zip(names, [id, origin, slot, -20, len(leaving), kind])))
            leaving.append({"id": f"out{id}", "name": kind, "type": kind, "linkIds": [id]})
            outside.append([id, 100, len(leaving) - 1, target, at, kind])
        else:
            outside.append(link)
    data["nodes"] = [node for node in data["nodes"] if node["id"] not in held]
    for node in data["nodes"]:
        for slot, end in enumerate(node["outputs"]):
            end["links"] = [each[0] for each in outside if (each[1], each[2]) == (node["id"], slot)]
    instance_outputs = [
        {
            "name": end["name"],
            "type": end["type"],
            "links": [id for id, origin, at, *_ in outside if (origin, at) == (100, slot)],
        }
        for slot, end in enumerate(leaving)
    ]
    data["nodes"].append(
        {
            "id": 100,
            "type": "abc",
            "pos": [0, 900],
            "size": [300, 100],
            "mode": 0,
            "inputs": instance_inputs,
            "outputs": instance_outputs,
            "properties": {"proxyWidgets": [["9", "weight"], ["9", "start_at"]]},
            "widgets_values": [],
        }
    )
    subgraph = {"id": "abc", "name": "Portrait", "nodes": inner, "links": links, "inputs": entering, "outputs": leaving}
    subgraph |= {"inputNode": {"id": -10}, "outputNode": {"id": -20}, "state": {"lastNodeId": 9, "lastLinkId": 20}}
    return {**data, "links": outside, "last_link_id": 1100, "definitions": {"subgraphs": [subgraph]}}


IN_ONE: Graph = {**UNIFIED, "9": ("IPAdapter", LINKED), "30": ("KSampler", {"model": ("9", 0)})}


def test_nodes_in_a_subgraph_are_rewritten_in_it():
    done = migrate(json.dumps(with_subgraph(IN_ONE, {"2", "5", "9"})))
    assert {each.where for each in done.changes} == {"Portrait"}
    data = json.loads(done.text)
    (inner,) = data["definitions"]["subgraphs"]
    check_ends(inner)
    check_ends(data)
    assert [node["type"] for node in inner["nodes"]] == [
        "ImagePromptLoadModels",
        "ImagePromptApply",
        "ImagePromptEncode",
    ]
    links = {link["id"]: link for link in inner["links"]}
    for slot, each in enumerate(inner["inputs"]):
        assert [links[id]["origin_slot"] for id in each["linkIds"]] == [slot] * len(each["linkIds"])
    image = next(each for each in inner["inputs"] if each["type"] == "IMAGE")
    (link,) = image["linkIds"]  # it went to the crop, and goes to Encode
    assert links[link]["target_id"] == inner["nodes"][2]["id"]
    ids = [node["id"] for scope in (data, inner) for node in scope["nodes"]]
    assert len(ids) == len(set(ids)) and data["last_node_id"] == inner["state"]["lastNodeId"] == max(ids)


def test_the_node_of_a_subgraph_shows_the_widgets_that_it_showed():
    graph = {**IN_ONE, "9": ("IPAdapter", {**LINKED, "weight_type": "prompt is more important"})}
    data = json.loads(migrate(json.dumps(with_subgraph(graph, {"2", "5", "9"})), "SDXL").text)
    shown = data["nodes"][-1]["properties"]["proxyWidgets"]
    (inner,) = data["definitions"]["subgraphs"]
    (reference,) = (node["id"] for node in inner["nodes"] if node["type"] == "ImagePromptReference")
    assert shown == [[str(reference), "weight"], [str(reference), "start"]]


def test_a_widget_that_is_shown_and_has_no_counterpart_keeps_its_node():
    data = with_subgraph(IN_ONE, {"2", "5", "9"})
    data["nodes"][-1]["properties"]["proxyWidgets"].append(["9", "weight_type"])
    done = migrate(json.dumps(data))
    assert "shows its widget weight_type" in next(each.why for each in done.stays if each.id == "9")


def test_an_adapter_from_outside_of_a_subgraph_stays():
    done = migrate(json.dumps(with_subgraph(IN_ONE, {"5", "9"})))
    assert not done.changes
    assert "outside of its subgraph" in next(each.why for each in done.stays if each.id == "9")


def test_an_adapter_that_leaves_a_subgraph_keeps_its_loader():
    done = migrate(json.dumps(with_subgraph(IN_ONE, {"2"})))
    assert "an output of the subgraph" in next(each.why for each in done.stays if each.id == "2")


# ----------------------------------------------------------------------------------------------------------- bad files


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("[1, 2", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "neither"),
        ("{}", "neither"),
        ('{"nodes": 1, "links": []}', "neither"),
        ('{"1": {"class_type": "KSampler"}}', "neither"),
        ('{"1": {"class_type": "KSampler", "inputs": {}}}', "no nodes of ComfyUI_IPAdapter_plus"),
        ('{"nodes": [{"type": "IPAdapter"}], "links": []}', "damaged"),
        ('{"nodes": [], "links": []}', "no nodes of ComfyUI_IPAdapter_plus"),
    ],
)
def test_bad_files_end_in_one_sentence(text, words):
    with pytest.raises(ValueError, match=words):
        migrate(text)


def test_a_row_of_nodes_that_is_too_long_to_follow():
    graph: Graph = {
        **LOADED,
        "5": ("IPAdapterEncoder", {"ipadapter": ("2", 0), "image": ("4", 0), "clip_vision": ("3", 0)}),
    }
    for number in range(2000, 100, -1):
        graph[str(number)] = ("IPAdapterBatchEmbeds", {"embed1": (str(number - 1 if number > 101 else 5), 0)})
    with pytest.raises(ValueError, match="longer row"):
        migrate(prompt(graph))
