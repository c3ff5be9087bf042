"""One call finds the file of an encoder or an adapter, or says what to get; the next one reads no file again."""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hub import put_cached
from published import VIT_H, headless, shapes, write

import image_prompt.model_files as model_files
from image_prompt.devtools.published import encoder
from image_prompt.model_files import Installation, ModelFolders, NotFound, find_adapter, find_encoder
from image_prompt.model_files.folders import INDEX, model_folders
from image_prompt.model_files.index import Index

H = "CLIP ViT-H/14"
PACK = Path(model_files.__file__).parents[1]


@pytest.fixture
def comfyui(tmp_path) -> Path:
    root = tmp_path / "ComfyUI"
    for name in ("user", "models/loras"):
        (root / name).mkdir(parents=True)
    for name in ("main.py", "folder_paths.py"):
        (root / name).touch()
    write(root / "models/ipadapter/plus.safetensors", shapes("ip-adapter-plus_sd15"))
    write(root / "models/ipadapter/ip-adapter-plus-face_sd15.safetensors", shapes("ip-adapter-plus_sd15"))
    write(root / "models/ipadapter/xl.safetensors", shapes("ip-adapter_sdxl_vit-h"))
    write(root / "models/clip_vision/anything.safetensors", shapes(VIT_H))
    write(root / "models/clip_vision/b32.safetensors", encoder(768, 12, 3072, 512, 32))
    return root


@pytest.mark.parametrize(
    ("find", "words", "expected"),
    [
        (find_encoder, (H,), "clip_vision/anything.safetensors"),
        (find_encoder, ("CLIP ViT-B",), "clip_vision/b32.safetensors"),
        (find_encoder, ("CLIP ViT-B/32",), "clip_vision/b32.safetensors"),
        (find_adapter, ("plus", "SD1.5"), "ipadapter/plus.safetensors"),
        (find_adapter, ("plus face",), "ipadapter/ip-adapter-plus-face_sd15.safetensors"),
        (find_adapter, ("", "SDXL"), "ipadapter/xl.safetensors"),
    ],
)
def test_a_file_is_found_by_what_it_is(comfyui, find, words, expected):
    assert find(*words, folders=comfyui) == comfyui / "models" / expected


def test_folders_may_be_said_in_every_way(comfyui, monkeypatch):
    expected = comfyui / "models/clip_vision/anything.safetensors"
    named = ModelFolders({"clip_vision": expected.parent})
    for folders in (
        str(comfyui),
        comfyui / "models",
        named,
        ModelFolders.from_root(comfyui),
        Installation(named, None),
    ):
        assert find_encoder(H, folders) == expected
    monkeypatch.setattr(model_folders, "usual_places", lambda: [str(comfyui)])
    assert find_encoder(H) == expected


def test_folders_that_were_named_one_by_one_leave_the_installation_alone(comfyui):
    find_encoder(H, ModelFolders({"clip_vision": comfyui / "models/clip_vision"}))
    assert list((comfyui / "user").iterdir()) == []


AGAIN = """
import sys
from image_prompt.model_files import find_encoder
from image_prompt.model_files.index import Index
def look(index, file): raise SystemExit("it was read again")
Index._look_into = look
print(find_encoder("CLIP ViT-H/14", sys.argv[1]))
"""


def test_the_next_process_reads_no_header_again(comfyui, tmp_path):
    first = find_encoder(H, comfyui)
    assert (comfyui / "user/__image_prompt" / INDEX).is_file()
    (tmp_path / "image_prompt").symlink_to(PACK)
    done = subprocess.run(
        [sys.executable, "-c", AGAIN, comfyui], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == (f"{first}\n", "")


def test_what_is_missing_is_explained_and_the_resolution_kept(comfyui):
    with pytest.raises(NotFound) as error:
        find_encoder("CLIP ViT-bigG/14", comfyui)
    assert str(error.value).startswith("Not found: image encoder CLIP ViT-bigG/14. Looked in models/clip_vision:")
    assert "Get CLIP-ViT-bigG-14-laion2B-39B-b160k.safetensors" in str(error.value)
    assert error.value.resolution.need.encoder == "CLIP ViT-bigG/14" and error.value.resolution.found is None
    with pytest.raises(
        NotFound, match=r"^Not found: image encoder CLIP ViT-B/16\. .*\n(.*\n)*Get clip-vit-base-patch16"
    ):
        find_encoder("CLIP ViT-B/16", comfyui)
    with pytest.raises(NotFound, match="^Not found: IP-Adapter for SDXL of the kind 'composition'"):
        find_adapter("composition", "SDXL", comfyui)


def test_what_is_missing_can_be_told_by_another_process(comfyui):
    with pytest.raises(NotFound) as error:
        find_adapter("composition", "SDXL", comfyui)
    again = pickle.loads(pickle.dumps(error.value))
    assert (type(again), str(again), again.resolution) == (NotFound, str(error.value), error.value.resolution)


def test_a_projection_may_be_needed(comfyui, tmp_path):
    write(tmp_path / "headless.safetensors", headless(shapes(VIT_H)))
    folders = ModelFolders({"clip_vision": tmp_path})
    (comfyui / "models/clip_vision/anything.safetensors").unlink()
    assert find_encoder(H, folders) == tmp_path / "headless.safetensors"
    with pytest.raises(NotFound, match="without its visual projection"):
        find_encoder(H, folders, needs_projection=True)


def test_the_encoder_of_an_adapter_that_no_table_lists_is_found_by_its_width(tmp_path):
    write(tmp_path / "tiny.safetensors", encoder(64, 2, 128, 32, 8, 32), vision_config='{"heads": 4, "name": "tiny"}')
    folders = ModelFolders({"clip_vision": tmp_path})
    assert find_encoder("an encoder whose image_embeds is 32 wide", folders) == tmp_path / "tiny.safetensors"
    with pytest.raises(NotFound, match="^Not found: an encoder whose image_embeds is 33 wide. Looked in "):
        find_encoder("an encoder whose image_embeds is 33 wide", folders)


@pytest.mark.parametrize(
    ("find", "words", "said"),
    [
        (
            find_encoder,
            ("CLIP ViT-bigG",),
            "'CLIP ViT-bigG' is not the name of an image encoder: meant is perhaps \"CLIP",
        ),
        (find_encoder, ("clip vit-h/14",), 'meant is perhaps "CLIP ViT-H/14". Known are: .*CLIP ViT-B/32'),
        (
            find_adapter,
            ("plusface",),
            "'plusface' is not a purpose of adapters: meant is perhaps \"plus face\". Known are:",
        ),
        (
            find_adapter,
            ("plus", "sd15"),
            "'sd15' is not a base model of adapters: meant is perhaps \"SD1.5\". Known are: SD",
        ),
        (find_adapter, ("qqqq",), "'qqqq' is not a purpose of adapters. Known are: .*NoobAI"),
    ],
)
def test_a_wrong_word_is_refused_with_the_known_ones(comfyui, find, words, said):
    with pytest.raises(ValueError, match=said) as error:
        find(*words, folders=comfyui)
    assert not isinstance(error.value, NotFound)


@pytest.mark.parametrize("name", ["", None, 5, [H], np.zeros(2)], ids=repr)
def test_no_name_is_no_encoder(comfyui, name):
    with pytest.raises(ValueError, match=f"^{re.escape(repr(name))} is not the name of an image encoder"):
        find_encoder(name, comfyui)


@pytest.mark.parametrize("word", [None, 5, ["plus"], np.zeros(2)], ids=repr)
def test_no_word_is_no_purpose_and_no_base_model(comfyui, word):
    said = re.escape(repr(word))
    with pytest.raises(ValueError, match=f'^{said} is not a purpose of adapters.* Known are: .*, and "" for any.$'):
        find_adapter(word, folders=comfyui)
    with pytest.raises(ValueError, match=f'^{said} is not a base model of adapters.* Known are: .*, and "" for any.$'):
        find_adapter("plus", word, comfyui)


def test_without_any_comfyui_the_hugging_face_cache_is_enough(tmp_path, monkeypatch):
    monkeypatch.setattr(model_folders, "usual_places", lambda: [str(tmp_path)])
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(ValueError, match="No ComfyUI was found"):
        find_encoder(H)
    link = put_cached(tmp_path / "hub", "h94/IP-Adapter", "models/image_encoder/model.safetensors", shapes(VIT_H))
    assert find_encoder(H) == link
    with pytest.raises(NotFound, match="There is no folder for it"):
        find_encoder("CLIP ViT-L/14")


LAZY = """
import sys
import image_prompt.model_files as files
assert "torch" not in sys.modules and "find_encoder" in dir(files)
from image_prompt.model_files.resolve import resolve
from image_prompt.model_files import Need, resolve as same, find_encoder
import image_prompt.model_files.resolve
assert same is resolve is files.resolve and files.find_encoder is find_encoder
try: files.nothing
except AttributeError as error: print(error)
"""


def test_the_package_gives_its_names_without_importing_torch_at_once(tmp_path):
    (tmp_path / "image_prompt").symlink_to(PACK)
    done = subprocess.run([sys.executable, "-c", LAZY], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("module 'image_prompt.model_files' has no attribute 'nothing'\n", "")
    assert all(getattr(model_files, name) for name in model_files.__all__)
    assert Index is model_files.Index


@pytest.mark.parametrize("name, first", [("CLIP ViT-Q", "CLIP ViT-"), ("zzzzz", "")])
def test_of_many_words_some_are_shown_and_how_many_more(comfyui, name, first):
    with pytest.raises(ValueError, match=r"Known are: .* and \d+ more\.$") as error:
        find_encoder(name, comfyui)
    shown = str(error.value).split("Known are: ")[1].split(" and ")[0].split(", ")
    assert 1 <= len(shown) <= 10 and all(each.startswith(first) for each in shown)
