"""The panel of model files shows what the open graph needs, and what there is."""

from image_prompt.devtools.comfyui import Server

SCENARIO = "models_panel"
MISSING = "ip-adapter-plus_sd15.safetensors"
ITS_ENCODER = "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors"
HERE = "demo_world.safetensors"


def task(server: Server, object_info: dict) -> dict:
    adapters = server.base / "models" / "ipadapter"
    source = adapters / "ip-adapter-plus_demo_world.safetensors"
    return {"missing": MISSING, "here": HERE, "source": str(source), "target": str(adapters / MISSING)}


def test_what_the_graph_lacks_comes_first(seen):
    assert sorted(seen["needed"][:2]) == sorted([[MISSING, "needed"], [ITS_ENCODER, "needed"]])
    assert seen["needed"][2:] == [[HERE, "found"]]
    assert dict(seen["sections"])["missing"] is False  # what is needed is not among dozens


def test_its_link_and_its_place_are_copied_by_mouse_and_by_keyboard(seen):
    link, place = seen["copied"]
    assert link == f"https://huggingface.co/h94/IP-Adapter/resolve/main/models/{MISSING}"
    assert place == f"models/ipadapter/{MISSING}"


def test_a_search_shows_what_fits_and_no_key_reaches_the_graph(seen):
    assert seen["searched"] and all("Kolors" in name for name, _ in seen["searched"])
    assert (seen["emptied"], seen["nodes"]) == ("", 3)


def test_a_refresh_finds_a_new_file_and_fills_the_lists(seen):
    assert [MISSING, "found"] in seen["after"] and seen["lists"]


def test_the_report_and_a_command_open_it_and_nothing_of_it_is_saved(seen):
    assert (seen["opened"], seen["saved"]) == ("instantid", [])
