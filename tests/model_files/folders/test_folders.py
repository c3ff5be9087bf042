"""Model folders are found in every program's installation, in ComfyUI's order, with the files in them."""

import ast
import os
import shutil
from pathlib import Path

import folder_paths
import layouts
import pytest
from comfyui_paths import comfyui_paths, paths_of_starts
from layouts import put

from image_prompt.model_files.folders import MODEL_TYPES, ModelFolders, model_folders, search_paths
from image_prompt.model_files.folders.layouts import LAYOUTS
from image_prompt.model_files.index import TYPES


def names(folders: ModelFolders, type: str = "ipadapter") -> list[str]:
    return [file.name for file in folders.scan(type)]


def shown(folders: ModelFolders, type: str, root: Path) -> list[str]:
    """The existing folders of a type, relative to the root."""
    return [path.relative_to(root).as_posix() for path in folders.paths(type) if path.is_dir()]


def lists(folders: ModelFolders) -> dict[str, list[str]]:
    return {type: [str(path) for path in folders.paths(type)] for type in folders.types()}


def same_as_comfyui(folders: ModelFolders, base: Path, *configs: Path) -> None:
    theirs = {type: paths for type, paths in comfyui_paths(base, *configs).items() if paths}
    assert lists(folders) == theirs


# explicit folders


def test_folders_are_kept_in_order_and_once(tmp_path):
    folders = ModelFolders({"ipadapter": [tmp_path / "a", f"{tmp_path}/b/../b/", str(tmp_path / "a")]})
    folders.add("ipadapter", tmp_path / "c", tmp_path / "a")
    assert folders.paths("ipadapter") == [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    folders.add("ipadapter", tmp_path / "d", tmp_path / "c", first=True)
    assert folders.paths("ipadapter") == [tmp_path / "d", tmp_path / "c", tmp_path / "a", tmp_path / "b"]
    assert folders.paths("clip_vision") == []


def test_one_folder_may_stand_alone_and_types_have_their_old_names(tmp_path):
    folders = ModelFolders({"clip": str(tmp_path), "unet": tmp_path, "ipadapter": []})
    assert folders.paths("text_encoders") == folders.paths("clip") == folders.paths("diffusion_models") == [tmp_path]
    assert folders.types() == ["text_encoders", "diffusion_models", "ipadapter"]


def test_relative_folders_stay_where_they_were_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = ModelFolders({"loras": "mine"})
    monkeypatch.chdir("/")
    assert folders.paths("loras") == [tmp_path / "mine"]


def test_links_are_resolved_and_doubles_behind_them_collapse(tmp_path):
    layouts.folders(tmp_path, "real", "other")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    folders = ModelFolders({"loras": [tmp_path / "link", tmp_path / "other", tmp_path / "real"]})
    assert folders.paths("loras") == [tmp_path / "real", tmp_path / "other"]


def test_a_link_that_leads_to_itself_is_a_folder_without_files(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    folders = ModelFolders({"loras": [tmp_path / "a"]})
    assert len(folders.paths("loras")) == 1 and folders.scan("loras") == []


def test_upper_and_lower_case_are_one_folder_only_where_the_disk_says_so(tmp_path, monkeypatch):
    put(tmp_path / "models/lora/a.safetensors")
    folders = ModelFolders({"loras": [tmp_path / "Models/Lora", tmp_path / "models/lora"]})
    assert folders.paths("loras") == [tmp_path / "Models/Lora", tmp_path / "models/lora"]
    blind = {
        function: lambda path, *rest, real=getattr(os, function), **named: real(
            str(path).replace("Models/Lora", "models/lora"), *rest, **named
        )
        for function in ("stat", "scandir")
    }
    for function, replaced in blind.items():
        monkeypatch.setattr(os, function, replaced)
    assert folders.paths("loras") == [tmp_path / "Models/Lora"]
    assert names(folders, "loras") == ["a.safetensors"]


@pytest.mark.parametrize("path", ["", "a\0b", "a\ud800"])
def test_what_cannot_be_a_path_is_refused(path):
    for make in (
        ModelFolders.from_root,
        ModelFolders.found,
        lambda path: ModelFolders({"loras": path}),
        lambda path: ModelFolders().add_extra_paths(path),
    ):
        with pytest.raises(ValueError, match="Expected the name of a folder") as caught:
            make(path)
        assert type(caught.value) is ValueError


@pytest.mark.parametrize("path", [None, 7])
def test_what_is_no_path_at_all_is_refused(path):
    for make in (
        ModelFolders.from_root,
        lambda path: ModelFolders.found([path]),
        lambda path: ModelFolders({"loras": path}),
        lambda path: ModelFolders({"loras": ["/x", path]}),
        lambda path: ModelFolders().add("loras", path),
        lambda path: ModelFolders().add_extra_paths(path),
    ):
        with pytest.raises(ValueError, match=f"A folder of models is given as {path}. Expected its path"):
            make(path)


@pytest.mark.parametrize("given", [["/x"], "/x", "", 7])
def test_folders_without_their_types_are_refused(given):
    with pytest.raises(ValueError, match=r"^The folders of models are given as .* by type, .* ModelFolders.from_root"):
        ModelFolders(given)


def test_an_unknown_type_is_refused_and_the_known_are_named():
    folders = ModelFolders({"mine": "/x"})
    for ask in (folders.paths, folders.files, folders.scan):
        with pytest.raises(ValueError, match='^"zebra" is not a type of model. Known types: ipadapter, .*mine'):
            ask("zebra")
        with pytest.raises(ValueError, match='^"ipadapters" is not a type of model: meant is perhaps "ipadapter". Kno'):
            ask("ipadapters")


@pytest.mark.parametrize(
    ("given", "meant"),
    [("lora", "loras"), ("Loras", "loras"), ("clip_visions", "clip_vision"), ("ip_adapter", "ipadapter")]
    + [("unets", "unet"), ("CLIP", "clip"), ("checkpoint", "checkpoints"), ("ip-adapters", "ipadapter")]
    + [("adapters", "ipadapter"), ("Encoders", "clip_vision"), ("image encoder", "clip_vision")],  # by their meaning
)
def test_a_known_type_misspelt_is_not_taken_for_a_new_one(given, meant):
    for make in (lambda: ModelFolders({given: "/x"}), lambda: ModelFolders().add(given, "/x")):
        with pytest.raises(ValueError, match=f'"{given}" is not a type of model: meant is perhaps "{meant}"'):
            make()


def test_types_of_comfyui_and_of_node_packs_are_not_taken_for_misspelt_ones():
    types = [*TYPES, *folder_paths.folder_names_and_paths, "lora_a", "lora_b"]
    assert set(ModelFolders(dict.fromkeys(types, "/x")).types()) == set(types)


def test_a_file_of_extra_paths_may_name_any_type(tmp_path):
    folders = ModelFolders()
    folders.add_extra_paths(put(tmp_path / "more.yaml", f"a:\n  base_path: {tmp_path}\n  lora: mine\n"))
    folders.add("lora", tmp_path / "more")
    put(tmp_path / "mine/a.safetensors")
    assert folders.paths("lora") == [tmp_path / "mine", tmp_path / "more"] and names(folders, "lora") == [
        "a.safetensors"
    ]


def test_folders_are_equal_if_their_types_and_paths_are_in_whatever_way_they_came(tmp_path):
    layouts.comfyui(tmp_path)
    found, given = ModelFolders.from_root(tmp_path), ModelFolders()
    for type in found.types():
        given.add(type, *found.paths(type))
    assert found == given and found.root != given.root
    assert ModelFolders(ast.literal_eval(repr(found)[len("ModelFolders(") : -1])) == found
    given.add("loras", tmp_path / "more")
    assert found != given and found != ModelFolders() and found != found.types()
    assert ModelFolders({"loras": ["/a", "/b"]}) != ModelFolders({"loras": ["/b", "/a"]})
    assert repr(ModelFolders({"loras": ["/a", "/b/"], "clip": []})) == (
        "ModelFolders({'loras': ['/a', '/b'], 'text_encoders': []})"
    )
    with pytest.raises(TypeError, match="unhashable"):
        hash(found)


def test_the_root_is_kept_of_what_was_found_and_of_nothing_else(tmp_path):
    layouts.portable(tmp_path / "disk" / "ComfyUI_windows_portable")
    root = tmp_path / "disk" / "ComfyUI_windows_portable"
    (tmp_path / "link").symlink_to(root)
    assert ModelFolders.from_root(tmp_path / "link").root == ModelFolders.found(tmp_path / "disk").root == root
    assert ModelFolders.from_root(root / "ComfyUI" / "models").root == root / "ComfyUI" / "models"
    assert ModelFolders({"loras": root / "ComfyUI" / "models" / "loras"}).root is None


# layouts


def put_names(where: dict[str, Path], school: str) -> None:
    for type, name in zip(("ipadapter", "clip_vision"), layouts.NAMES[school], strict=True):
        put(where[type] / name)


@pytest.mark.parametrize(
    "build, school, first",
    [
        (layouts.comfyui, "comfyui", {"ipadapter": "models/ipadapter", "clip_vision": "models/clip_vision"}),
        (layouts.portable, "comfyui", {"ipadapter": "ComfyUI/models/ipadapter"}),
        (layouts.desktop, "comfyui", {"clip_vision": "models/clip_vision", "insightface": "models/insightface"}),
        (layouts.krita, "krita", {"ipadapter": "models/ipadapter", "clip_vision": "ComfyUI/models/clip_vision"}),
        (
            layouts.swarmui,
            "swarmui",
            {
                "ipadapter": "Models/ipadapter",
                "clip_vision": "Models/clip_vision",
                "checkpoints": "Models/Stable-Diffusion",
            },
        ),
        (
            lambda root: layouts.swarmui(root, started=False, windows=True),
            "swarmui",
            {"ipadapter": "Models/ipadapter", "loras": "Models/Lora"},
        ),
        (layouts.stability_matrix, "stability_matrix", {"clip_vision": "Packages/ComfyUI/models/clip_vision"}),
        (
            lambda root: layouts.stability_matrix(root, is_portable=True, package="comfy 2"),
            "stability_matrix",
            {"clip_vision": "Data/Packages/comfy 2/models/clip_vision", "ipadapter": "Data/Models/IpAdapter"},
        ),
        (layouts.webui, "webui", {"ipadapter": "models/ControlNet", "clip_vision": "models/ControlNetPreprocessor"}),
        (lambda root: layouts.webui(root / "webui"), "webui", {"ipadapter": "webui/models/ControlNet"}),
    ],
    ids=[
        "ComfyUI",
        "portable",
        "Desktop",
        "Krita",
        "SwarmUI",
        "SwarmUI on Windows",
        "StabilityMatrix",
        "portable StabilityMatrix",
        "Forge",
        "packaged Forge",
    ],
)
def test_the_models_of_every_program_are_found(tmp_path, build, school, first):
    where = build(tmp_path)
    put_names(where, school)
    folders = ModelFolders.from_root(tmp_path)
    assert [names(folders, type) for type in ("ipadapter", "clip_vision")] == [[name] for name in layouts.NAMES[school]]
    assert {type: shown(folders, type, tmp_path)[0] for type in first} == first
    for type, path in where.items():
        assert path in folders.paths(type)


def test_a_models_directory_and_the_folder_above_it_do(tmp_path):
    put(tmp_path / "models/ipadapter/a.safetensors")
    put(tmp_path / "models/unet/flux.sft")
    for root in (tmp_path, tmp_path / "models"):
        folders = ModelFolders.from_root(root)
        assert [names(folders), names(folders, "diffusion_models")] == [["a.safetensors"], ["flux.sft"]]
        assert folders.paths("text_encoders") == [tmp_path / "models/text_encoders", tmp_path / "models/clip"]


def test_old_and_new_names_of_stabilitymatrix_are_searched(tmp_path):
    layouts.stability_matrix(tmp_path)
    shared = {
        "ipadapter": ["IpAdapter", "IpAdapters15", "IpAdaptersXl", "InvokeIpAdapters15", "InvokeIpAdaptersXl"],
        "clip_vision": ["ClipVision", "InvokeClipVision"],
        "diffusion_models": ["DiffusionModels", "Unet"],
        "text_encoders": ["TextEncoders", "CLIP"],
        "embeddings": ["Embeddings", "TextualInversion"],
    }
    for type, old_and_new in shared.items():
        for name in old_and_new:
            put(tmp_path / "Models" / name / f"{name}.safetensors")
        put(tmp_path / "Packages/ComfyUI/models" / type / "own.safetensors")
    folders = ModelFolders.from_root(tmp_path)
    for type, old_and_new in shared.items():
        assert set(names(folders, type)) == {"own.safetensors", *(f"{name}.safetensors" for name in old_and_new)}


def test_of_several_packages_those_that_are_comfyuis_are_taken_by_name(tmp_path):
    for package in ("d", "b", "e", "a", "c"):
        layouts.stability_matrix(tmp_path, package=package)
    packages = [path for path in shown(ModelFolders.from_root(tmp_path), "insightface", tmp_path)]
    assert packages == [f"Packages/{package}/models/insightface" for package in "abcde"]


def test_a_root_may_have_the_letters_of_patterns_in_its_name(tmp_path):
    layouts.stability_matrix(tmp_path / "[old] *?")
    found = shown(ModelFolders.from_root(tmp_path / "[old] *?"), "insightface", tmp_path)
    assert found == ["[old] *?/Packages/ComfyUI/models/insightface"]


def test_a_shared_folder_that_is_linked_into_comfyui_counts_once(tmp_path):
    layouts.stability_matrix(tmp_path)
    own = tmp_path / "Packages/ComfyUI/models/ipadapter"
    own.rmdir()
    own.symlink_to(tmp_path / "Models/IpAdapter")
    put(tmp_path / "Models/IpAdapter/a.safetensors")
    folders = ModelFolders.from_root(tmp_path)
    assert folders.paths("ipadapter").count(tmp_path / "Models/IpAdapter") == 1 and names(folders) == ["a.safetensors"]


def test_the_desktop_settings_lead_to_its_base_path_and_what_was_migrated(tmp_path):
    base, old = tmp_path / "user's choice", tmp_path / "old"
    layouts.desktop(base)
    root = layouts.desktop_settings(tmp_path / "AppData/ComfyUI", base, old, "models/")
    folders = ModelFolders.from_root(root)
    assert folders.paths("clip_vision") == [base / "models/clip_vision"]
    assert folders.paths("ipadapter") == [old / "models/ipadapter", base / "models/ipadapter"]
    same_as_comfyui(folders, base, root / "extra_models_config.yaml")


def test_the_settings_of_old_desktops_name_every_folder(tmp_path):
    base = tmp_path / "base"
    put(tmp_path / "extra_models_config.yaml", layouts.OLD_DESKTOP.format(base=base))
    folders = ModelFolders.from_root(tmp_path)
    assert lists(folders) == {
        name: [str(base / "models" / name)] for name in ("clip_vision", "ipadapter", "insightface", "loras")
    }


def test_a_root_of_no_layout_says_what_was_looked_for(tmp_path):
    put(tmp_path / "empty/readme.txt")
    for path, problem in (
        (tmp_path / "empty", "not laid out like any known program"),
        (tmp_path / "gone", "is not a folder"),
        (tmp_path / "empty/readme.txt", "is not a folder"),
    ):
        with pytest.raises(ValueError, match=problem) as caught:
            ModelFolders.from_root(path)
        text = str(caught.value)
        assert str(path) in text and all(layout.name in text for layout in LAYOUTS)
        assert "main.py with folder_paths.py" in text and "clip_vision" in text


# extra_model_paths.yaml

YAML = {
    "after its own": "a:\n  base_path: /data\n  ipadapter: ipadapter\n  clip_vision: cv/\n  loras: loras\n",
    "is_default": "a:\n  base_path: /data\n  is_default: true\n  ipadapter: ipadapter\n  clip_vision: cv\n",
    "is_default in quotes": "a:\n  base_path: /data\n  is_default: 'false'\n  clip_vision: cv\n",
    "is_default false": "a:\n  is_default: false\n  clip_vision: /cv\nb:\n  is_default: 1\n  clip_vision: /d\n",
    "several and is_default": "a:\n  base_path: /data\n  is_default: true\n  loras: |\n    one\n    two\n    three\n",
    "relative base": "a:\n  base_path: ../shared\n  loras: loras\n  vae: ../../up/vae\n",
    "no base": "a:\n  loras: relative/loras\n  vae: /absolute/vae\n  clip_vision: ../cv\n",
    "absolute below base": "a:\n  base_path: /data\n  loras: |\n    /elsewhere/loras\n    here\n",
    "home": "a:\n  base_path: ~/models\n  loras: ~/loras\n",
    "variable": "a:\n  base_path: $SHARED/x\n  loras: $SHARED/l\nb:\n  base_path: ${SHARED}\n  vae: v\n",
    "unset variable": "a:\n  base_path: $NOT_SET_ANYWHERE\n  loras: l\n",
    "empty sections": "a:\nb: {}\nc:\n  base_path: /c\nd:\n  is_default: true\ne:\n  loras: /e\n",
    "unknown keys": "a:\n  base_path: /data\n  my_type: mine\n  upscale_models: up\n  custom_nodes: |\n    n\n    m\n",
    "old names": "a:\n  base_path: /data\n  unet: u\n  clip: c\n  diffusion_models: d\n  text_encoders: t\n",
    "its own again": "a:\n  base_path: .\n  is_default: true\n  clip: models/clip/\n  unet: models/unet\n",
    "byte order mark": "\ufeffa:\n  loras: /data/loras\n",
    "line of blanks": "a:\n  base_path: /data\n  loras: |\n    one\n      \n    two\n",
    "key twice": "a:\n  loras: /one\n  loras: /two\n",
    "number as key": "a:\n  base_path: /data\n  7: seven\n",
    "doubles": "a:\n  base_path: /data\n  loras: |\n    one\n    one/\n    ./one\n    two/../one\n",
}


def test_extra_model_paths_are_read_as_comfyui_reads_them(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SHARED", str(tmp_path / "shared"))
    bases = [tmp_path / name for name in YAML]
    for base, text in zip(bases, YAML.values()):
        layouts.comfyui(base, text)
    for base, theirs in zip(bases, paths_of_starts(bases), strict=True):
        ours = lists(ModelFolders.from_root(base))
        assert ours == {type: paths for type, paths in theirs.items() if paths}, base.name


def test_linked_extra_folders_are_once_and_in_comfyuis_order(tmp_path):
    layouts.comfyui(tmp_path / "ComfyUI", f"a:\n  base_path: {tmp_path}\n  loras: |\n    link\n    other\n    real\n")
    layouts.folders(tmp_path, "real", "other")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    same_as_comfyui(ModelFolders.from_root(tmp_path / "ComfyUI"), tmp_path / "ComfyUI")


@pytest.mark.parametrize(
    "build, home, config",
    [
        (layouts.comfyui, ".", None),
        (layouts.portable, "ComfyUI", None),
        (layouts.swarmui, "dlbackend/ComfyUI", "Data/comfy-auto-model.yaml"),
    ],
)
def test_installations_have_the_order_of_the_comfyui_in_them(tmp_path, build, home, config):
    build(tmp_path)
    folders = ModelFolders.from_root(tmp_path)
    theirs = comfyui_paths(tmp_path / home, *([tmp_path / config] if config else []))
    ours = {type: [path for path in paths if path in theirs[type]] for type, paths in lists(folders).items()}
    assert ours == {type: paths for type, paths in theirs.items() if paths}


@pytest.mark.parametrize(
    "build, home",
    [(layouts.krita, "ComfyUI"), (layouts.stability_matrix, "Packages/ComfyUI")],
)
def test_folders_that_only_the_program_knows_come_after_those_of_its_comfyui(tmp_path, build, home):
    build(tmp_path)
    theirs = comfyui_paths(tmp_path / home)
    for type, paths in lists(ModelFolders.from_root(tmp_path)).items():
        assert paths[: len(theirs[type])] == theirs[type]


def test_a_file_of_extra_paths_can_be_added(tmp_path):
    file = put(tmp_path / "more.yaml", "a:\n  base_path: x\n  is_default: true\n  loras: |\n    one\n    two\n")
    folders = ModelFolders({"loras": tmp_path})
    folders.add_extra_paths(file)
    assert folders.paths("loras") == [tmp_path / "x/two", tmp_path / "x/one", tmp_path]


BROKEN = {
    "tab": ("a:\n\tloras: /x\n", "not valid YAML: .*Indent with spaces"),
    "name commented out": ("#a:\n  base_path: /x\n  loras: l\n", "'base_path' is not a section.*commented out"),
    "list": ("- a\n- b\n", "expected sections .*got a list"),
    "list of sections": ("a:\n- loras\n", "'a' is not a section"),
    "nothing": ("a:\n  loras:\n", "section 'a', loras: .*got nothing"),
    "base of nothing": ("a:\n  base_path:\n  loras: x\n", "section 'a', base_path: .*got nothing"),
    "zero byte": ('a:\n  loras: "x\\0"\n', "section 'a', loras: .* cannot be a path"),
    "half a character": ('a:\n  base_path: "\\ud800"\n', "cannot be a path"),
    "not utf-8": ("a:\n  loras: /Größe\n".encode("latin-1"), "not valid YAML: .*save as UTF-8"),
    "code": ("a: !!python/object/apply:os.mkdir ['ran']\n", "not valid YAML: could not determine a constructor"),
    "bad date": ("a:\n  loras: 2001-99-99\n", "not valid YAML"),
    "long number": ("a:\n  loras: " + "9" * 5000, "not valid YAML|got a int"),
    "deep": ("[" * 5000, "not valid YAML: .*nested more than"),
    "endless aliases": ("a: &a [*a]\nb:\n  loras: *a\n", "'a' is not a section"),
    "aliases of aliases": (
        "a0: &a0 {k: v}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 12)),
        "more than 32 aliases",
    ),
    "long": ("a:\n  loras: /x\n" + "#" * 100_000, "longer than 32 KB"),
}


@pytest.mark.parametrize("text, problem", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_of_extra_paths_is_named_with_its_fault(tmp_path, monkeypatch, text, problem):
    monkeypatch.chdir(tmp_path)
    layouts.comfyui(tmp_path)
    put(tmp_path / "extra_model_paths.yaml", text)
    with pytest.raises(ValueError, match=problem) as caught:
        ModelFolders.from_root(tmp_path)
    assert str(tmp_path / "extra_model_paths.yaml") in str(caught.value) and type(caught.value) is ValueError
    assert not (tmp_path / "ran").exists()


def test_a_file_of_comments_names_no_folders(tmp_path):
    layouts.comfyui(tmp_path, "#a:\n#  loras: /x\n")
    assert ModelFolders.from_root(tmp_path).paths("loras") == [tmp_path / "models/loras", tmp_path / "output/loras"]


def test_without_yaml_the_package_is_named(tmp_path, monkeypatch):
    layouts.comfyui(tmp_path, "a:\n  loras: /x\n")
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    with pytest.raises(ValueError, match="pip install pyyaml"):
        ModelFolders.from_root(tmp_path)


def test_a_folder_or_a_missing_file_of_extra_paths_is_refused(tmp_path):
    for path, problem in ((tmp_path, "Is a directory"), (tmp_path / "x", "No such file")):
        with pytest.raises(ValueError, match=f"cannot be read: {problem}"):
            ModelFolders().add_extra_paths(path)


# search


@pytest.mark.parametrize(
    "build, below",
    [
        (layouts.comfyui, ""),
        (layouts.portable, "ComfyUI_windows_portable"),
        (layouts.krita, ""),
        (layouts.swarmui, "SwarmUI"),
        (layouts.stability_matrix, "StabilityMatrix"),
        (layouts.desktop, "ComfyUI"),
    ],
)
def test_a_comfyui_is_found_in_a_place_or_below_it(tmp_path, build, below):
    layouts.folders(tmp_path, "first/models/ipadapter", "second")  # models alone are no ComfyUI
    layouts.webui(tmp_path / "first/ComfyUI")  # nor is this, whatever its name
    where = build(tmp_path / "second" / below)
    folders = ModelFolders.found([tmp_path / "gone", tmp_path / "first", tmp_path / "second"])
    assert where["clip_vision"] in folders.paths("clip_vision")
    assert lists(ModelFolders.found(tmp_path / "second")) == lists(folders)


def test_the_first_place_wins(tmp_path):
    for name in ("b", "a"):
        layouts.comfyui(tmp_path / name)
    assert ModelFolders.found([tmp_path / "b", tmp_path / "a"]).paths("ipadapter") == [tmp_path / "b/models/ipadapter"]


def test_a_comfyui_is_found_from_its_node_pack_then_the_working_directory_then_the_home(tmp_path, monkeypatch):
    layouts.comfyui(tmp_path / "of pack")
    layouts.comfyui(tmp_path / "of work")
    layouts.comfyui(tmp_path / "home/comfy/ComfyUI")
    layouts.folders(tmp_path, "of work/user/default")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "of work/user/default")
    pack = put(tmp_path / "of pack/custom_nodes/image-prompt/model_files/folders/search_paths.py")
    for name in ("of pack", "of work", "home/comfy/ComfyUI"):
        monkeypatch.setattr(search_paths, "__file__", str(pack))
        assert ModelFolders.found().paths("clip_vision") == [tmp_path / name / "models/clip_vision"]
        shutil.rmtree(tmp_path / name / "custom_nodes")
        (tmp_path / name / "main.py").unlink()


def test_the_comfyui_around_the_pack_comes_first_and_else_that_around_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for pack, first in (
        ("ComfyUI/custom_nodes/image-prompt", "ComfyUI/custom_nodes/image-prompt/model_files/folders"),
        ("venv/lib/site-packages/image_prompt", ""),
    ):
        module = tmp_path / pack / "model_files" / "folders" / "search_paths.py"
        monkeypatch.setattr(search_paths, "__file__", str(module))
        places = search_paths.usual_places()
        assert places[0] == str(tmp_path / first) and {str(tmp_path), str(module.parent)} <= set(places)


def test_the_usual_places_need_no_working_directory(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert all(os.path.isabs(place) for place in search_paths.usual_places())


def test_where_none_is_found_the_places_and_what_was_looked_for_are_named(tmp_path):
    layouts.webui(tmp_path / "webui")
    layouts.folders(tmp_path, "models/ipadapter")
    with pytest.raises(ValueError, match="No ComfyUI was found in") as caught:
        ModelFolders.found([tmp_path, tmp_path / "webui"])
    text = str(caught.value)
    assert f"{tmp_path}, {tmp_path / 'webui'}" in text and "main.py with folder_paths.py" in text
    assert "Krita" in text and "StabilityMatrix" in text and "A1111" not in text and "ComfyUI_windows_portable" in text
    assert 'ModelFolders({"ipadapter": PATH' in text and text.endswith("--comfyui PATH or --models PATH.")
    with pytest.raises(ValueError, match="found in no place"):
        ModelFolders.found([])


def test_usual_places_that_do_not_exist_are_not_named(tmp_path, monkeypatch):
    monkeypatch.setattr(model_folders, "usual_places", lambda: [str(tmp_path), str(tmp_path / "gone")])
    with pytest.raises(ValueError, match=f"No ComfyUI was found in {tmp_path}, or directly below"):
        ModelFolders.found()


def test_a_found_comfyui_with_a_broken_file_is_not_passed_over(tmp_path):
    layouts.comfyui(tmp_path / "a", "a: [")
    layouts.comfyui(tmp_path / "b")
    with pytest.raises(ValueError, match="not valid YAML"):
        ModelFolders.found([tmp_path / "a", tmp_path / "b"])


# files


def test_a_file_has_its_name_folder_size_and_time(tmp_path):
    path = put(tmp_path / "sub/deeper/a.safetensors", b"12345")
    os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    (file,) = ModelFolders({"unet": tmp_path}).scan("unet")
    assert (file.type, file.name, file.path) == ("diffusion_models", "sub/deeper/a.safetensors", path)
    assert (file.folder, file.size, file.mtime_ns) == (tmp_path, 5, path.stat().st_mtime_ns)


def test_files_are_of_one_type_or_of_all(tmp_path):
    layouts.comfyui(tmp_path, "a:\n  custom_nodes: .\n  my_type: mine\n")
    for name in ("models/loras/a.bin", "models/ipadapter/b.bin", "models/clip/c.pt", "mine/d.bin"):
        put(tmp_path / name)
    folders = ModelFolders.from_root(tmp_path)
    assert [file.name for file in folders.files("clip")] == ["c.pt"]
    assert {(file.type, file.name) for file in folders.files()} == {
        ("loras", "a.bin"),
        ("ipadapter", "b.bin"),
        ("text_encoders", "c.pt"),
        ("my_type", "d.bin"),
    }
    assert ModelFolders().files() == []


def test_the_first_folder_wins_for_a_name(tmp_path):
    for name in ("a/x.safetensors", "b/x.safetensors", "b/sub/x.safetensors", "b/a.bin", "a/b.bin"):
        put(tmp_path / name)
    files = ModelFolders({"loras": [tmp_path / "b", tmp_path / "a"]}).scan("loras")
    assert [file.path.relative_to(tmp_path).as_posix() for file in files] == [
        "b/a.bin",
        "b/sub/x.safetensors",
        "b/x.safetensors",
        "a/b.bin",
    ]


def test_files_are_listed_as_comfyui_lists_them(tmp_path, monkeypatch):
    for name in (
        "b.safetensors",
        "a.SFT",
        "sub/c d.ckpt",
        "sub/ü/e.pt",
        ".git/f.bin",
        "g.txt",
        "h",
        "sub/.git/i.pth",
        "j.safetensors.part",
        "k.pkl",
        "l.pt2",
        ".hidden/m.bin",
        ".n.bin",
        "Sub/o.PTH",
        "p.onnx",
        "q.gguf",
    ):
        put(tmp_path / "one" / name)
    put(tmp_path / "two/sub/c d.ckpt")
    put(tmp_path / "away/r.bin")
    (tmp_path / "one/link").symlink_to(tmp_path / "away")
    (tmp_path / "one/s.bin").symlink_to(tmp_path / "away/r.bin")
    both = [str(tmp_path / "one"), str(tmp_path / "two")]
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "loras", (both, folder_paths.supported_pt_extensions))
    listed = folder_paths.get_filename_list_("loras")[0]
    found = ModelFolders({"loras": both}).scan("loras")
    assert sorted(file.name for file in found) == [name.replace(os.sep, "/") for name in listed] and len(listed) == 11
    for file in found:
        assert os.path.samefile(file.path, folder_paths.get_full_path("loras", file.name))


def test_only_face_packs_are_onnx_files(tmp_path):
    put(tmp_path / "models/buffalo_l/det_10g.onnx")
    put(tmp_path / "models/buffalo_l/a.safetensors")
    folders = ModelFolders(dict.fromkeys(("insightface", "loras", "my_type"), tmp_path))
    assert [names(folders, type) for type in folders.types()] == [
        ["models/buffalo_l/det_10g.onnx"],
        *[["models/buffalo_l/a.safetensors"]] * 2,
    ]


def test_unfinished_and_foreign_files_are_left_out(tmp_path):
    for name in (
        "a.safetensors.part",
        "a.safetensors.tmp",
        "a.safetensors.crdownload",
        "a.part",
        ".cache/b.bin",
        "bin",
        ".cache/huggingface/download/c.safetensors",
        "._a.safetensors",
        "a.json",
        ".safetensors",
    ):
        put(tmp_path / name)
    put(tmp_path / "a.safetensors")
    assert names(ModelFolders({"loras": tmp_path}), "loras") == ["a.safetensors"]


def test_folders_and_pipes_with_a_models_name_are_not_files(tmp_path):
    put(tmp_path / "a.safetensors/b.bin")
    os.mkfifo(tmp_path / "c.safetensors")
    (tmp_path / "d.safetensors").symlink_to(tmp_path / "gone")
    (tmp_path / "e.safetensors").symlink_to(tmp_path / "e.safetensors")
    (tmp_path / "f.safetensors").symlink_to("/dev/zero")
    assert names(ModelFolders({"loras": tmp_path}), "loras") == ["a.safetensors/b.bin"]


def test_loops_of_links_end_and_each_folder_is_walked_once(tmp_path):
    put(tmp_path / "a/b/file.bin")
    put(tmp_path / "away/other.bin")
    (tmp_path / "a/b/up").symlink_to(tmp_path)
    (tmp_path / "a/away").symlink_to(tmp_path / "away")
    (tmp_path / "a/again").symlink_to(tmp_path / "away")
    (tmp_path / "away/back").symlink_to(tmp_path / "a")
    folders = ModelFolders({"loras": tmp_path / "a"})
    assert names(folders, "loras") == ["again/other.bin", "b/file.bin"]
    folders.add("loras", tmp_path / "away", tmp_path)
    assert names(folders, "loras") == ["again/other.bin", "b/file.bin"]


def test_a_file_is_named_by_where_it_lies_not_by_a_link_to_there(tmp_path):
    put(tmp_path / "z/deep/file.bin")
    (tmp_path / "a").symlink_to(tmp_path / "z/deep")
    assert names(ModelFolders({"loras": tmp_path}), "loras") == ["z/deep/file.bin"]


def test_many_links_that_cross_do_not_multiply(tmp_path):
    for level in range(40):
        for name in ("x", "y"):
            (tmp_path / f"{level}").mkdir(exist_ok=True)
            (tmp_path / f"{level}" / name).symlink_to(tmp_path / f"{level + 1}")
    put(tmp_path / "40/a.bin")
    assert len(names(ModelFolders({"loras": tmp_path / "0"}), "loras")) == 1


def test_linked_files_keep_the_names_they_were_given(tmp_path):
    (tmp_path / "CLIP-ViT-H-14.safetensors").symlink_to(put(tmp_path / "vit_h.safetensors"))
    assert names(ModelFolders({"loras": tmp_path}), "loras") == ["CLIP-ViT-H-14.safetensors", "vit_h.safetensors"]


def test_odd_names_are_listed(tmp_path):
    odd = [
        " leading.bin",
        "a b .bin",
        "ключ 模型 🖼.bin",
        "new\nline.bin",
        "back\\slash.bin",
        "CON.bin",
        "..bin..bin",
        os.fsdecode(b"not utf-8 \xff.bin"),
        "x" * 250 + ".bin",
    ]
    for name in odd:
        put(tmp_path / os.fsdecode(b"\xfe") / name)
    folders = ModelFolders({"loras": tmp_path / os.fsdecode(b"\xfe")})
    assert sorted(names(folders, "loras")) == sorted(odd)
    assert all(file.path.is_file() for file in folders.scan("loras"))


def test_a_tree_deeper_than_paths_may_be_is_listed_as_far_as_it_goes(tmp_path):
    put(tmp_path / "a.bin")
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("x" * 200, dir_fd=at)
        below = os.open("x" * 200, os.O_RDONLY, dir_fd=at)
        os.close(os.open("b.bin", os.O_CREAT | os.O_WRONLY, dir_fd=below))
        os.close(at)
        at = below
    os.close(at)
    assert 15 < len(names(ModelFolders({"loras": tmp_path}), "loras")) < 25


def test_a_folder_that_is_none_holds_nothing(tmp_path):
    put(tmp_path / "file")
    put(tmp_path / "y/a.bin")
    given = [tmp_path / "missing", tmp_path / "file", tmp_path / "y"]
    folders = ModelFolders({"loras": given})
    assert names(folders, "loras") == ["a.bin"] and folders.paths("loras") == given


def test_a_folder_may_come_and_go(tmp_path):
    folders = ModelFolders({"loras": tmp_path / "disk"})
    for _ in range(2):
        assert names(folders, "loras") == []
        put(tmp_path / "disk/a.bin")
        assert names(folders, "loras") == ["a.bin"]
        shutil.rmtree(tmp_path / "disk")


class Cut:
    """A listing of a folder that breaks off with an error."""

    def __init__(self, path: Path, after: int) -> None:
        self.entries, self.after = scandir(path), after

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.entries.close()

    def __iter__(self):
        for number, entry in enumerate(self.entries):
            if number == self.after:
                raise OSError("the disk was unplugged")
            yield entry


scandir = os.scandir


def test_a_listing_that_breaks_off_keeps_what_came_before(tmp_path, monkeypatch):
    for name in ("a/x.bin", "a/y.bin", "a/z.bin", "b/w.bin"):
        put(tmp_path / name)
    monkeypatch.setattr(os, "scandir", lambda path: Cut(path, 2) if str(path).endswith("a") else scandir(path))
    found = names(ModelFolders({"loras": tmp_path}), "loras")
    assert len(found) == 3 and "b/w.bin" in found


def test_a_folder_that_may_not_be_read_is_passed_over(tmp_path, monkeypatch):
    for name in ("a/x.bin", "b/y.bin"):
        put(tmp_path / name)

    def refuse(path):
        if str(path).endswith("a"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert names(ModelFolders({"loras": tmp_path}), "loras") == ["b/y.bin"]


@pytest.mark.parametrize("gone", ["sub", "file.bin", "."])
def test_what_vanishes_during_the_walk_is_left_out(tmp_path, monkeypatch, gone):
    root = tmp_path / "root"
    for name in ("sub/a.bin", "file.bin", "stays.bin"):
        put(root / name)
    put(tmp_path / "next/b.bin")

    class Vanishing(Cut):
        """A folder entry that disappears once it is listed."""

        def __exit__(self, *_):
            super().__exit__()
            shutil.rmtree(root / gone, ignore_errors=True)
            if gone == "file.bin":
                (root / gone).unlink()

    monkeypatch.setattr(os, "scandir", lambda path: Vanishing(path, -1) if path == str(root) else scandir(path))
    left = {"sub": ["file.bin", "stays.bin"], "file.bin": ["stays.bin", "sub/a.bin"], ".": []}
    assert names(ModelFolders({"loras": [root, tmp_path / "next"]}), "loras") == [*left[gone], "b.bin"]


def test_counts_are_of_every_type_that_has_folders(tmp_path):
    layouts.comfyui(tmp_path, "a:\n  custom_nodes: .\n  download_model_base: models\n  my_type: mine\n")
    for name in (
        "models/ipadapter/a.bin",
        "models/ipadapter/b/c.bin",
        "models/unet/d.sft",
        "models/clip/e.pt",
        "models/diffusion_models/f.sft",
        "mine/g.bin",
        "output/loras/h.safetensors",
    ):
        put(tmp_path / name)
    counts = ModelFolders.from_root(tmp_path).counts()
    assert counts == {
        **dict.fromkeys(MODEL_TYPES, 0),
        "ipadapter": 2,
        "diffusion_models": 2,
        "text_encoders": 1,
        "loras": 1,
        "my_type": 1,
    }
    assert ModelFolders().counts() == {}


def test_a_walk_asks_for_each_status_once(tmp_path, monkeypatch):
    """The walk is fast because it asks little: on a slow disk every status is a wait."""
    for number in range(20):
        put(tmp_path / f"{number % 3}/{number}.safetensors")
    asked = []
    real = os.stat
    monkeypatch.setattr(os, "stat", lambda path, **options: asked.append(path) or real(path, **options))
    assert len(names(ModelFolders({"loras": tmp_path}), "loras")) == 20
    assert len(asked) == 5  # the root, named and walked, and its three folders; of files, the entries are asked
