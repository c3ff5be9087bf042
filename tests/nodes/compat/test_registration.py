"""The nodes of another pack are registered all or not at all, whatever else is installed, in any order of loading."""

import asyncio
from types import SimpleNamespace

import folder_paths
import pytest
from aiohttp import web

from image_prompt.nodes.compat import registration
from image_prompt.nodes.compat.inputs import WEIGHT
from image_prompt.nodes.compat.node import Node, Output
from image_prompt.nodes.compat.registration import REGISTRATIONS, Registration
from image_prompt.nodes.compat.table import PACKS, Pack


def combine(self, weight=1.0):
    return (weight,)


ROWS = tuple(
    Node(id, title, (WEIGHT,), (Output("FLOAT"),), combine, "Use another.")
    for id, title in {"IPAdapterOne": "One", "IPAdapterTwo": "Two"}.items()
)
IDS = {row.id for row in ROWS}
PACK = Pack("IPAdapter_plus", "comfyui_ipadapter_plus", "IPAdapterPlus.py", ROWS)


@pytest.fixture
def comfyui(monkeypatch):
    """ComfyUI's tables of ids, with a node of its own."""
    tables = SimpleNamespace(NODE_CLASS_MAPPINGS={"KSampler": object}, NODE_DISPLAY_NAME_MAPPINGS={"KSampler": "K"})
    monkeypatch.setattr(registration, "_comfyui", lambda: tables)
    return tables


@pytest.fixture
def packs(comfyui, tmp_path, monkeypatch):
    """Two folders of packs, one of which does not exist, as ComfyUI has them."""
    places = [str(tmp_path / "packs"), str(tmp_path / "nowhere")]
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "custom_nodes", (places, set()))
    (tmp_path / "packs" / "image-prompt").mkdir(parents=True)
    (tmp_path / "packs" / "image-prompt" / "pyproject.toml").write_text('[project]\nname = "image-prompt"\n')
    return tmp_path / "packs"


def registered() -> Registration:
    registration = Registration(PACK)
    registration.register()
    return registration


def put(folder, name, text=""):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


FOREIGN = type("Foreign", (), {"RELATIVE_PYTHON_MODULE": "custom_nodes.other"})
PROJECT = '[project]\nname = "comfyui_ipadapter_plus"\n'


def test_all_are_registered_with_their_titles(comfyui, packs):
    status = registered().status()
    assert comfyui.NODE_CLASS_MAPPINGS.keys() == {"KSampler", *IDS}
    assert comfyui.NODE_DISPLAY_NAME_MAPPINGS == {"KSampler": "K", "IPAdapterOne": "One", "IPAdapterTwo": "Two"}
    assert {comfyui.NODE_CLASS_MAPPINGS[id].RELATIVE_PYTHON_MODULE for id in IDS} == {registration.MODULE}
    assert status == {"registered": 2, "yields to": ""}


@pytest.mark.parametrize(
    ("folder", "file", "text"),
    [
        ("ComfyUI_IPAdapter_plus", "pyproject.toml", PROJECT),
        ("aaa", "pyproject.toml", PROJECT.replace('"', "'").replace("name =", "name=").replace("comfyui", "ComfyUI")),
        ("a-fork", "IPAdapterPlus.py", ""),
    ],
)
def test_none_is_registered_beside_the_other_pack(comfyui, packs, caplog, folder, file, text):
    put(packs / folder, file, text)
    status = registered().status()
    assert comfyui.NODE_CLASS_MAPPINGS == {"KSampler": object}
    assert comfyui.NODE_DISPLAY_NAME_MAPPINGS == {"KSampler": "K"}
    assert status == {"registered": 0, "yields to": f"custom_nodes/{folder}"}
    assert [
        f"because custom_nodes/{folder} has" in each and "disable that pack" in each for each in caplog.messages
    ] == [True]


@pytest.mark.parametrize(
    ("folder", "file", "text"),
    [
        ("ComfyUI_IPAdapter_plus.disabled", "pyproject.toml", PROJECT),
        ("a-tool", "pyproject.toml", PROJECT.replace("plus", "plus_tools") + 'description = "for IPAdapterPlus.py"\n'),
        ("broken", "pyproject.toml", "\udcff"),
    ],
)
def test_what_comfyui_does_not_load_and_other_packs_do_not_matter(packs, folder, file, text):
    (packs / folder).mkdir()
    (packs / folder / file).write_bytes(text.encode(errors="surrogateescape"))
    assert registered().status()["registered"] == 2


@pytest.mark.parametrize(("allowed", "count"), [([], 2), (["ComfyUI_IPAdapter_plus"], 0)])
def test_packs_that_are_switched_off_at_the_start_do_not_matter(packs, monkeypatch, allowed, count):
    put(packs / "ComfyUI_IPAdapter_plus", "IPAdapterPlus.py")
    monkeypatch.setattr(registration.args, "disable_all_custom_nodes", True)
    monkeypatch.setattr(registration.args, "whitelist_custom_nodes", allowed)
    assert registered().status()["registered"] == count


@pytest.mark.parametrize(("taken", "by"), [(FOREIGN, "custom_nodes.other"), (object, "ComfyUI itself")])
def test_an_id_that_is_taken_stays_as_it_is(comfyui, packs, taken, by):
    comfyui.NODE_CLASS_MAPPINGS["IPAdapterTwo"] = taken
    assert registered().status() == {"registered": 0, "yields to": by}
    assert comfyui.NODE_CLASS_MAPPINGS == {"KSampler": object, "IPAdapterTwo": taken}


def test_loading_this_pack_again_registers_its_nodes_again(comfyui, packs):
    """Managers of packs do so while ComfyUI runs."""
    registered()
    again = registered()
    assert {id: comfyui.NODE_CLASS_MAPPINGS[id] for id in IDS} == again.classes and again.yields_to == ""


def test_a_server_that_runs_already_hinders_nothing(packs, monkeypatch):
    app = web.Application()
    app.on_startup.freeze()
    monkeypatch.setattr(registration, "prompt_server", lambda: SimpleNamespace(app=app))
    assert registered().status()["registered"] == 2


def test_all_are_taken_back_if_a_pack_that_comes_later_takes_one(comfyui, packs):
    status = registered()
    comfyui.NODE_CLASS_MAPPINGS["IPAdapterTwo"] = FOREIGN
    comfyui.NODE_DISPLAY_NAME_MAPPINGS["IPAdapterTwo"] = "Theirs"
    asyncio.run(status.look_again())
    assert comfyui.NODE_CLASS_MAPPINGS == {"KSampler": object, "IPAdapterTwo": FOREIGN}
    assert comfyui.NODE_DISPLAY_NAME_MAPPINGS == {"KSampler": "K", "IPAdapterTwo": "Theirs"}
    assert status.status() == {"registered": 0, "yields to": "custom_nodes.other"}


def test_they_stay_if_no_pack_that_comes_later_takes_one(comfyui, packs):
    status = registered()
    comfyui.NODE_CLASS_MAPPINGS["Another"] = FOREIGN
    asyncio.run(status.look_again())
    assert comfyui.NODE_CLASS_MAPPINGS.keys() == {"KSampler", "Another", *IDS} and status.status()["registered"] == 2


KNOWN = {  # pack -> its name in pyproject.toml, its file
    "IPAdapter_plus": ("comfyui_ipadapter_plus", "IPAdapterPlus.py"),
    "InstantID": ("comfyui_instantid", "InstantID.py"),
    "PuLID": ("pulid_comfyui", "pulid.py"),
    "x-flux": ("x-flux-comfyui", "xflux/src/flux/util.py"),
    "IPAdapter-Flux": ("comfyui-ipadapter-flux", "ipadapter_flux.py"),
    "InstantX-IPAdapter-SD3": ("comfyui-instantx-ipadapter-sd3", "models/jointblock.py"),
}


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("sign", ["project", "file", "id"])
def test_each_pack_yields_by_itself(comfyui, packs, name, sign):
    (pack,) = (each for each in PACKS if each.name == name)
    project, file = KNOWN[name]
    if sign == "id":
        comfyui.NODE_CLASS_MAPPINGS[pack.rows[-1].id] = FOREIGN
    else:
        put(packs / "theirs", *(["pyproject.toml", f'name = "{project}"'] if sign == "project" else [file]))
    found = {each.name: Registration(each) for each in PACKS}
    for each in found.values():
        each.register()
    theirs = "custom_nodes.other" if sign == "id" else "custom_nodes/theirs"
    assert {each: registration.status() for each, registration in found.items()} == {
        each.name: {"registered": 0, "yields to": theirs}
        if each is pack
        else {"registered": len(each.rows), "yields to": ""}
        for each in PACKS
    }
    assert [each.pack.name for each in REGISTRATIONS] == list(KNOWN)


def test_no_id_is_of_two_packs():
    ids = [row.id for pack in PACKS for row in pack.rows]
    assert len(ids) == len(set(ids))
