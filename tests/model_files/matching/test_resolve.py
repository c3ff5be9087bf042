"""The right file is found under the names of every program; if there is none, the explanation says why."""

import json
import os
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from published import VIT_H, VIT_L, bigger, headless, shapes, write

from image_prompt.devtools.published import encoder
from image_prompt.model_files.catalogue import Catalogue, may_be_one
from image_prompt.model_files.folders import ModelFolders
from image_prompt.model_files.index import Identity, Index
from image_prompt.model_files.matching import HOMES, Matcher, Need, explain, resolve, table
from image_prompt.model_files.matching.requirement import short
from image_prompt.model_files.matching.support import refusal
from image_prompt.tensor_files import read_header

CATALOGUE = Catalogue.load()
CONTENT = {  # short names for what the files hold
    "base": shapes("ip-adapter_sd15"),
    "vit-G": shapes("ip-adapter_sd15_vit-G"),
    "plus": shapes("ip-adapter-plus_sd15"),
    "full": shapes("ip-adapter-full-face_sd15"),
    "base XL": shapes("ip-adapter_sdxl_vit-h"),
    "bigG XL": shapes("ip-adapter_sdxl"),
    "plus XL": shapes("ip-adapter-plus_sdxl_vit-h"),
    "noob": shapes("noobIPAMARK1_mark1"),
    "kolors": shapes("Kolors-IP-Adapter-Plus"),
    "FaceID": shapes("ip-adapter-faceid_sd15"),
    "FaceID plus": shapes("ip-adapter-faceid-plus_sd15"),
    "FaceID LoRA": shapes("ip-adapter-faceid_sd15_lora"),
    "xlabs": shapes("xlabs-flux-ip-adapter"),
    "InstantX": shapes("instantx-flux-ip-adapter"),
    "HunyuanDiT": shapes("hunyuandit-ipa"),
    "unnorm": shapes("ip-adapter-faceid-portrait_sdxl_unnorm"),
    "ControlNet": {"controlnet_cond_embedding.conv_in.weight": (4,)},
    "LoRA": {"lora_unet_a.lora_down.weight": (4, 4), "lora_unet_a.alpha": ()},
    "checkpoint": {"model.diffusion_model.a": (4,), "first_stage_model.decoder.conv_in.weight": (4,)},
    "VAE": {"decoder.conv_in.weight": (4,)},
    "H": shapes(VIT_H),
    "H headless": headless(shapes(VIT_H)),
    "L": shapes(VIT_L),
    "bigG": bigger(),
    "B/16": encoder(768, 12, 3072, 512, 16),
    "B/32": encoder(768, 12, 3072, 512, 32),
    "SigLIP": shapes("sigclip_vision_patch14_384"),
}
H, BIGG, L = "CLIP ViT-H/14", "CLIP ViT-bigG/14", "CLIP ViT-L/14"
UNETS = ("SD1.5", "SDXL", "Kolors")
REFUSED = {  # family -> the words of its refusal
    "infiniteyou": "the other half, InfuseNet, is a network that ComfyUI does not have. For faces this pack applies",
    "redux": "Put it in models/style_models; ComfyUI's own StyleModelLoader",
    "photomaker-v2": "PhotoMakerLoader reads version 1 only",
    "hunyuandit": "ComfyUI's HunyuanDiT has no place where a node may add to its attention",
}
ENCODER_H = Need("encoder", encoder=H, needs_projection=True)


def adapter(purpose, base_model="SD1.5", **more):
    return Need("adapter", purpose, base_model, **more)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def put(root):
    """Write files below models/: put({"ipadapter/name.safetensors": "plus"}). Unknown words are written as text."""

    def put(files, at=None):
        for name, content in files.items():
            path = (at or root) / name
            if content in CONTENT:
                write(path, CONTENT[content])
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)

    return put


@pytest.fixture
def open_index(root):
    made = []

    def open_index(folders=None, **options):
        root.mkdir(exist_ok=True)
        (root / "ipadapter").mkdir(exist_ok=True)
        made.append(Index(folders or ModelFolders.from_root(root), **options))
        return made[-1]

    yield open_index
    for index in made:
        index.close()


def found(need, index, catalogue=CATALOGUE):
    file = resolve(need, index, catalogue).found
    return file and file.file.name


# layouts of programs, each in its naming school


def krita(root, put):
    put(
        {
            "models/ipadapter/ip-adapter_sd15.safetensors": "base",
            "models/ipadapter/ip-adapter_sdxl_vit-h.safetensors": "base XL",
            "models/ipadapter/noobIPAMARK1_mark1.safetensors": "noob",
            "models/clip_vision/clip-vision_vit-h.safetensors": "H",
            "models/clip_vision/clip-vision_vit-g.safetensors": "bigG",
            "models/ipadapter/ip-adapter-faceid-plusv2_sd15.bin": "FaceID plus",
            "models/loras/ip-adapter-faceid-plusv2_sd15_lora.safetensors": "FaceID LoRA",
            "ComfyUI/main.py": "",
            "ComfyUI/folder_paths.py": "",
            ".version": "1",
        },
        root,
    )
    return {
        adapter("standard"): "ip-adapter_sd15.safetensors",
        adapter("standard", "SDXL"): "ip-adapter_sdxl_vit-h.safetensors",
        adapter("NoobAI", "SDXL"): "noobIPAMARK1_mark1.safetensors",
        adapter("vit-G", "SDXL"): None,
        ENCODER_H: "clip-vision_vit-h.safetensors",
        Need("encoder", encoder=BIGG): "clip-vision_vit-g.safetensors",
        Need(
            "lora", base_model="SD1.5", file_name="ip-adapter-faceid-plusv2_sd15_lora.safetensors"
        ): "ip-adapter-faceid-plusv2_sd15_lora.safetensors",
        adapter("plus"): None,
        adapter("FaceID plus v2"): "ip-adapter-faceid-plusv2_sd15.bin",
        adapter("FaceID plus"): None,
    }


def swarmui(root, put):
    put(
        {
            "Models/ipadapter/sd15_light_v11.bin": "base",
            "Models/ipadapter/full_face_sd15.safetensors": "full",
            "Models/ipadapter/ip-adapter_sd15.safetensors": "base",
            "Models/clip_vision/clip_vision_h.safetensors": "H",
            "Models/clip_vision/clip_vision_g.safetensors": "bigG",
            "Models/Lora/ipadapter/ip-adapter-faceid_sd15_lora.safetensors": "FaceID LoRA",
            "SwarmUI.sln": "",
            "dlbackend/ComfyUI/main.py": "",
            "dlbackend/ComfyUI/folder_paths.py": "",
        },
        root,
    )
    return {
        adapter("light"): "sd15_light_v11.bin",
        adapter("standard"): "ip-adapter_sd15.safetensors",
        adapter("full face"): "full_face_sd15.safetensors",
        ENCODER_H: "clip_vision_h.safetensors",
        Need("encoder", encoder=BIGG): "clip_vision_g.safetensors",
        Need("lora", family="FaceID LoRA"): "ipadapter/ip-adapter-faceid_sd15_lora.safetensors",
        adapter("plus"): None,
    }


def stability_matrix(root, put):
    put(
        {
            "Models/IpAdapter/ip-adapter-plus_sd15.bin": "plus",
            "Models/IpAdapter/ip-adapter-plus-face_sd15.bin": "plus",
            "Models/IpAdapter/ip_adapter_sd15/ip_adapter.bin": "base",
            "Models/ClipVision/SD1.5/model.safetensors": "H",
            "Models/ClipVision/SDXL/model.safetensors": "bigG",
            "Packages/ComfyUI/main.py": "",
            "Packages/ComfyUI/folder_paths.py": "",
        },
        root,
    )
    return {
        adapter("plus"): "ip-adapter-plus_sd15.bin",
        adapter("plus face"): "ip-adapter-plus-face_sd15.bin",
        adapter("standard"): "ip_adapter_sd15/ip_adapter.bin",
        ENCODER_H: "SD1.5/model.safetensors",
        Need("encoder", encoder=BIGG): "SDXL/model.safetensors",
        adapter("composition"): None,
    }


def plain_with_yaml(root, put):
    put(
        {
            "main.py": "",
            "folder_paths.py": "",
            "models/ipadapter/ip-adapter-plus_sdxl_vit-h.safetensors": "plus XL",
            "models/clip_vision/CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors": "H",
            "nas/adapters/ip_plus_composition_sdxl.safetensors": "plus XL",
            "nas/adapters/ip-adapter-plus_sdxl_vit-h.safetensors": "plus XL",
            "nas/encoders/model.safetensors": "L",
            "extra_model_paths.yaml": f"nas:\n  base_path: {json.dumps(str(root / 'nas'))}\n  is_default: true\n"
            "  ipadapter: adapters\n  clip_vision: encoders\n",
        },
        root,
    )
    return {
        adapter("composition", "SDXL"): "ip_plus_composition_sdxl.safetensors",
        adapter("plus", "SDXL"): "ip-adapter-plus_sdxl_vit-h.safetensors",
        ENCODER_H: "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors",
        Need("encoder", encoder=L): "model.safetensors",
        adapter("plus face", "SDXL"): None,
    }


@pytest.mark.parametrize("layout", [krita, swarmui, stability_matrix, plain_with_yaml])
def test_each_layout_and_school_gives_the_right_files(layout, tmp_path, put, open_index):
    expected = layout(tmp_path / "root", put)
    index = open_index(ModelFolders.from_root(tmp_path / "root"))
    assert {need: found(need, index) for need in expected} == expected


def test_the_default_of_an_extra_paths_file_comes_first(tmp_path, put, open_index):
    plain_with_yaml(tmp_path / "root", put)
    index = open_index(ModelFolders.from_root(tmp_path / "root"))
    assert "nas" in resolve(adapter("plus", "SDXL"), index, CATALOGUE).found.file.path.parts


@pytest.mark.parametrize(
    "name",
    [
        "clip-vision_vit-h.safetensors",
        "deep/er/model.safetensors",
        "sdxl_models/image_encoder/model.safetensors",  # the name of another
        "Bildkodierer ÄÖÜ 模型.bin",
    ],
)
def test_an_encoder_is_found_under_every_name(name, put, open_index):
    put({f"clip_vision/{name}": "H", "clip_vision/other.safetensors": "L"})
    assert found(ENCODER_H, open_index()) == name


def test_a_link_is_found(put, root, tmp_path, open_index):
    put({"elsewhere/blob": "H"}, tmp_path)
    (root / "clip_vision").mkdir(parents=True)
    (root / "clip_vision" / "linked.safetensors").symlink_to(tmp_path / "elsewhere" / "blob")
    assert found(ENCODER_H, open_index()) == "linked.safetensors"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["clip_vision_h", "CLIP-ViT-H-14-laion2B-s32B-b79K", "aaa"], "CLIP-ViT-H-14-laion2B-s32B-b79K"),
        (["aaa", "zz/clip_vision_h"], "zz/clip_vision_h"),
        (["zz/aaa", "mmm"], "mmm"),
    ],
)
def test_of_several_the_best_name_wins_then_the_order(names, expected, put, open_index):
    put({f"clip_vision/{name}.safetensors": "H" for name in names})
    assert found(ENCODER_H, open_index()) == f"{expected}.safetensors"


def test_of_equal_ranks_the_first_folder_wins(tmp_path, put, open_index):
    put({"one/zzz.safetensors": "plus", "two/aaa.safetensors": "plus"}, tmp_path)
    index = open_index(ModelFolders({"ipadapter": [tmp_path / "one", tmp_path / "two"]}))
    assert found(adapter("plus"), index) == "zzz.safetensors"


@pytest.mark.parametrize(
    ("need", "files", "expected"),
    [
        # equal shapes: the catalogue's names, then hints in the name, then content alone
        (adapter("plus"), ["ip-adapter-plus_sd15", "ip-adapter-plus-face_sd15"], "ip-adapter-plus_sd15"),
        (adapter("plus face"), ["ip-adapter-plus_sd15", "ip-adapter-plus-face_sd15"], "ip-adapter-plus-face_sd15"),
        (adapter("plus face"), ["ip-adapter-plus_sd15"], None),
        (adapter("plus face"), ["my Plus_Face v3", "abc"], "my Plus_Face v3"),
        (adapter("plus"), ["my Plus_Face v3", "zzz"], "zzz"),
        (adapter("composition"), ["abc", "sd15 composition"], "sd15 composition"),
        (adapter("composition"), ["abc"], None),  # a name that says nothing stands for what is usual: plus
        (adapter("plus"), ["abc"], "abc"),
        (adapter("plus face"), ["plus/face", "surplus-face", "face-plus"], None),
        (adapter("plus face"), ["plus/face", "my plusFace2"], "my plusFace2"),
        (Need("adapter", base_model="SD1.5"), ["my Plus_Face v3"], "my Plus_Face v3"),
        (adapter("a new purpose"), ["abc"], None),
        (adapter("a new purpose"), ["for a_new_purpose"], "for a_new_purpose"),
        (Need("adapter", file_name="mine.safetensors"), ["abc", "mine"], "mine"),
        (Need("adapter", file_name="ip-adapter-plus-face_sd15.safetensors"), ["ip-adapter-plus_sd15", "abc"], "abc"),
        (Need("adapter", file_name="ip-adapter-plus-face_sd15.safetensors"), ["ip-adapter-plus_sd15"], None),
    ],
)
def test_names_decide_between_files_of_equal_content(need, files, expected, put, open_index):
    put({f"ipadapter/{name}.safetensors": "plus" for name in files})
    assert found(need, open_index()) == (expected and f"{expected}.safetensors")


def test_a_swapped_name_does_not_deceive(put, open_index):
    put(
        {
            "clip_vision/CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors": "bigG",
            "clip_vision/CLIP-ViT-bigG-14-laion2B-39B-b160k.safetensors": "H",
        }
    )
    index = open_index()
    assert found(ENCODER_H, index) == "CLIP-ViT-bigG-14-laion2B-39B-b160k.safetensors"
    assert found(Need("encoder", encoder=BIGG), index) == "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors"


def test_an_adapter_of_another_family_will_not_do(put, open_index):
    put({"ipadapter/a.safetensors": "base"})
    index = open_index()
    assert found(Need("adapter", base_model="SD1.5", family="base"), index) == "a.safetensors"
    assert found(Need("adapter", base_model="SD1.5", family="plus"), index) is None


def test_an_encoder_without_its_projection_serves_hidden_states_alone(put, open_index):
    put({"clip_vision/clip_vision_h.safetensors": "H headless"})
    index = open_index()
    assert found(Need("encoder", encoder=H), index) == "clip_vision_h.safetensors"
    resolution = resolve(ENCODER_H, index, CATALOGUE)
    assert resolution.found is None
    assert "without its visual projection, and image_embeds need the projection" in explain(resolution)


def test_an_adapter_that_reads_a_vit_b_does_not_say_which_but_the_files_do(put, open_index):
    index = open_index()
    need = Need("encoder", encoder="CLIP ViT-B")
    assert re.findall(r"Get (\S+) \(\d+ MB, licence MIT", explain(resolve(need, index, CATALOGUE))) == [
        "clip-vit-base-patch16.bin",
        "clip-vit-base-patch32.bin",
    ]
    put({"clip_vision/clip-vit-base-patch32/pytorch_model.bin": "B/32"})
    assert found(need, index) == "clip-vit-base-patch32/pytorch_model.bin"
    statuses = {row.entry.id: row.status for row in table(index, CATALOGUE).rows if "base-patch" in row.entry.id}
    assert statuses["clip-vit-base-patch16"] == "missing" and statuses["clip-vit-base-patch32"] == "found"
    put({"clip_vision/clip-vit-base-patch16/pytorch_model.bin": "B/16"})
    assert found(need, index) == "clip-vit-base-patch16/pytorch_model.bin"  # of equals, the first as ever


def test_the_encoder_of_an_adapter_is_what_it_reads():
    plus = Identity("adapter", "plus", "SD1.5", H, projection=False)
    assert Need.encoder_of(plus) == Need("encoder", encoder=H)
    assert Need.encoder_of(replace(plus, projection=True)) == ENCODER_H


def test_an_encoder_of_no_table_is_found_by_its_width(root, open_index):
    tiny = {
        key: tuple({1280: 64, 5120: 128, 1024: 32}.get(size, size) for size in shape)
        for key, shape in CONTENT["H"].items()
        if "layers." not in key or "layers.0." in key
    }
    write(root / "clip_vision" / "tiny.safetensors", tiny, vision_config='{"heads": 4, "name": "tiny"}')
    index = open_index()
    assert found(Need("encoder", encoder="an encoder whose image_embeds is 32 wide"), index) == "tiny.safetensors"
    assert found(Need("encoder", encoder="an encoder whose penultimate is 64 wide"), index) == "tiny.safetensors"
    assert found(Need("encoder", encoder="an encoder whose penultimate is 32 wide"), index) is None
    assert found(ENCODER_H, index) is None


def test_a_companion_is_told_from_other_loras(put, open_index):
    put(
        {
            "loras/a.safetensors": "LoRA",
            "loras/my faceid.safetensors": "FaceID LoRA",
            "loras/ip-adapter-faceid_sd15_lora.safetensors": "FaceID LoRA",
        }
    )
    index = open_index()
    v2 = CATALOGUE.find(kind="lora", base_model="SD1.5")
    need = {entry.id: Need.for_entry(entry) for entry in v2}
    assert found(need["ip-adapter-faceid_sd15_lora"], index) == "ip-adapter-faceid_sd15_lora.safetensors"
    assert found(need["ip-adapter-faceid-plusv2_sd15_lora"], index) == "my faceid.safetensors"
    rejected = resolve(Need("lora", family="FaceID LoRA", base_model="SDXL"), index, CATALOGUE).rejected
    assert "a.safetensors" not in [file.file.name for file, _ in rejected]


def test_a_face_pack_is_known_by_its_name(put, open_index):
    put({"insightface/models/antelopev2/glintr100.onnx": "x", "insightface/inswapper_128.onnx": "x"})
    index = open_index()
    packs = {entry.id: found(Need.for_entry(entry), index) for entry in CATALOGUE.find(kind="face pack")}
    assert packs == {"buffalo_l": None, "antelopev2": "models/antelopev2/glintr100.onnx"}


def test_a_kind_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="'vae' is not a kind of model file: expected one of adapter, encoder"):
        Need("vae")


# what is missing


def test_what_is_missing_comes_with_its_row_and_its_folder(put, root, open_index):
    put({"ipadapter/ip-adapter-plus_sd15.safetensors": "plus"})
    resolution = resolve(adapter("plus face", "SDXL"), open_index(), CATALOGUE)
    assert (resolution.found, list(resolution.misplaced)) == (None, [])
    assert [entry.id for entry in resolution.wanted] == ["ip-adapter-plus-face_sdxl_vit-h"]
    assert resolution.homes == ["ipadapter"]
    assert resolution.searched == [root / "ipadapter"]
    assert explain(resolution) == (
        "Not found: IP-Adapter for SDXL of the kind 'plus face'. Looked in models/ipadapter:\n"
        "- ipadapter/ip-adapter-plus_sd15.safetensors: is an IP-Adapter (plus) for SD1.5 that reads CLIP ViT-H/14, "
        "not for SDXL\n"
        "Get ip-adapter-plus-face_sdxl_vit-h.safetensors (848 MB, licence Apache-2.0, commercial use allowed) from "
        "https://huggingface.co/h94/IP-Adapter/resolve/main/sdxl_models/ip-adapter-plus-face_sdxl_vit-h.safetensors "
        "and put it into models/ipadapter."
    )


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("ip-adapter-plus_sd15", "VAE", "This file is a VAE, not a supported IP-Adapter. Put it in models/vae"),
        ("ip-adapter-plus_sd15", "H", "is the image encoder CLIP ViT-H/14"),
        ("ip-adapter-plus_sd15", "base", r"is an IP-Adapter \(base\) for SD1.5"),
        ("ip-adapter-plus_sd15", "plus XL", "for SDXL that reads CLIP ViT-H/14, not for SD1.5"),
        ("ip-adapter-plus_sd15", "", "is empty: the download was cut short"),
        ("ip-adapter-plus-face_sd15", "plus", "is IP-Adapter plus face for SD1.5, going by its name"),
        ("my plus face", "plus", "is for the purpose 'plus face', going by its name"),
        (
            "face",
            "FaceID plus",
            r"is an IP-Adapter \(FaceID plus\) for SD1.5 that reads faces \(buffalo_l\) and CLIP ViT-H",
        ),
        (
            "hunyuan",
            "HunyuanDiT",
            "This file is an IP-Adapter for HunyuanDiT, not a supported IP-Adapter. Nothing can apply it",
        ),
        ("flux", "xlabs", r"is an IP-Adapter \(XLabs\) for Flux that reads CLIP ViT-L/14, not for SD1.5"),
    ],
)
def test_each_candidate_is_rejected_with_its_reason(name, content, words, put, open_index):
    put({f"ipadapter/{name}.safetensors": content})
    resolution = resolve(adapter("plus"), open_index(), CATALOGUE)
    ((file, why),) = resolution.rejected
    assert re.search(words, why)
    (line,) = [line for line in explain(resolution).splitlines() if line.startswith("- ")]
    assert re.fullmatch(rf"- ipadapter/{name}\.safetensors: (?!{name}).*{words}.*", line)


def test_a_wrong_pairing_is_explained(put, open_index):
    put({"clip_vision/clip-vision_vit-h.safetensors": "H", "clip_vision/clip-vision_vit-g.safetensors": "bigG"})
    resolution = resolve(ENCODER_H, open_index(), CATALOGUE)
    given = "ip-adapter_sd15.safetensors (base, SD1.5) was given features of CLIP ViT-bigG/14."
    assert explain(resolution, given) == (
        f"{given}\nNeeded: image encoder CLIP ViT-H/14 with its visual projection. On this disk: "
        "clip_vision/clip-vision_vit-h.safetensors, the image encoder CLIP ViT-H/14."
    )


@pytest.mark.parametrize(
    ("place", "content", "need", "home"),
    [
        ("ipadapter", "H", ENCODER_H, "clip_vision"),
        ("clip_vision", "plus", adapter("plus"), "ipadapter"),
        ("checkpoints", "plus", adapter("plus"), "ipadapter"),
        ("ipadapter", "FaceID LoRA", Need("lora", family="FaceID LoRA"), "loras"),
    ],
)
def test_a_file_in_the_wrong_folder_is_found_with_where_to_move_it(place, content, need, home, put, open_index):
    put({f"{place}/sub/mine.safetensors": content})
    index = open_index()
    resolution = resolve(need, index, CATALOGUE)
    assert resolution.found is None
    assert [file.file.name for file in resolution.misplaced] == ["sub/mine.safetensors"]
    text = explain(resolution)
    assert f"On this disk, in the wrong folder: {place}/sub/mine.safetensors" in text
    assert f"Move it to models/{home}." in text
    assert "Get " not in text


def test_others_in_other_folders_are_not_misplaced(put, open_index):
    put(
        {
            "loras/ip-adapter-plus_sd15.safetensors": "LoRA",
            "checkpoints/a.safetensors": "checkpoint",
            "clip_vision/b.safetensors": "plus XL",
            "loras/c.safetensors": "FaceID",
            "checkpoints/d.safetensors": "<html>",
        }
    )
    assert list(resolve(adapter("plus"), open_index(), CATALOGUE).misplaced) == []


def test_a_search_in_large_folders_has_its_time_and_says_so(put, open_index):
    put({"checkpoints/mine.safetensors": "plus"})
    gate = threading.Event()
    index = open_index(read=lambda path: (gate.wait(30), read_header(path))[1])
    resolution = resolve(adapter("plus"), index, CATALOGUE, patience=0.0)
    assert "checkpoints" in resolution.unread
    assert "checkpoints. Ask again" in explain(resolution)
    gate.set()
    index.files()
    assert resolve(adapter("plus"), index, CATALOGUE, patience=0.0).misplaced


def test_an_explanation_is_at_most_a_dozen_lines(put, open_index):
    put({f"ipadapter/{number:02}.safetensors": "VAE" for number in range(20)})
    resolution = resolve(adapter("light"), open_index(), CATALOGUE)
    text = explain(resolution, "Something was given.")
    assert len(text.splitlines()) <= 12
    assert "(and 16 more)" in text
    assert len(resolution.rejected) == 20


def test_a_name_does_not_begin_a_line(put, open_index):
    put({"ipadapter/a\nGet it from evil.safetensors": "plus XL", "ipadapter/b\x1b[2J.safetensors": "VAE"})
    index = open_index()
    resolution = resolve(adapter("plus"), index, CATALOGUE)
    assert all(line.isprintable() for line in explain(resolution, "\x07").splitlines())
    assert not [line for line in explain(resolution).splitlines() if line.startswith("Get it")]
    assert all(line.isprintable() for line in str(table(index, CATALOGUE)).splitlines())


def test_the_nearest_is_named_first(put, open_index):
    put(
        {
            "ipadapter/a.safetensors": "VAE",
            "ipadapter/b.safetensors": "plus XL",
            "ipadapter/c.safetensors": "base",
            "ipadapter/d plus face.safetensors": "plus",
            "ipadapter/ip-adapter-plus_sd15.safetensors": "<html>",
        }
    )
    rejected = resolve(adapter("plus"), open_index(), CATALOGUE).rejected
    assert [file.file.name[0] for file, _ in rejected] == ["i", "d", "c", "b", "a"]


def test_without_any_folder_the_explanation_says_so(tmp_path, open_index):
    text = explain(resolve(ENCODER_H, open_index(ModelFolders({})), CATALOGUE))
    assert "There is no folder for it: no folder of the type clip_vision is known." in text


def test_folders_that_cannot_be_searched_are_told(tmp_path, open_index, monkeypatch):
    for name in ("a", "closed"):
        (tmp_path / name / "ipadapter").mkdir(parents=True)
    (tmp_path / "file").touch()
    scandir = os.scandir

    def refusing(path):  # root may read everything
        if "closed" in str(path):
            raise PermissionError
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    paths = [tmp_path / "a/ipadapter", tmp_path / "gone/ipadapter", tmp_path / "closed/ipadapter", tmp_path / "file"]
    text = explain(resolve(adapter("plus"), open_index(ModelFolders({"ipadapter": paths})), CATALOGUE))
    assert "Looked in a/ipadapter, gone/ipadapter (does not exist), closed/ipadapter (may not be read), " in text
    assert f"{tmp_path.name}/file (is not a folder)." in text and str(tmp_path) not in text


def test_folders_are_told_apart_and_not_named_whole():
    assert short([Path("/a/models/ipadapter"), Path("/b/models/ipadapter"), Path("/c")]) == [
        "a/models/ipadapter",
        "b/models/ipadapter",
        "c",
    ]
    assert short([Path("/a/models/ipadapter"), Path("/ipadapter")]) == ["models/ipadapter", "ipadapter"]
    assert short([]) == []


def test_a_purpose_for_which_nothing_is_published_is_answered_with_those_there_are(open_index):
    text = explain(resolve(adapter("light", "SDXL"), open_index(), CATALOGUE))
    assert "No such file is known to be published. For SDXL there are: standard, vit-G, plus" in text


def test_a_file_that_has_just_come_is_in_the_next_report(put, open_index):
    put({"ipadapter/ip-adapter-plus_sd15.safetensors": "plus"})
    index = open_index()
    table(index, CATALOGUE)
    put({"ipadapter/ip-adapter-full-face_sd15.safetensors": "full"})
    statuses = {row.entry.id: row.status for row in table(index, CATALOGUE).rows}
    assert statuses["ip-adapter-full-face_sd15"] == "found"


def test_a_file_that_came_into_a_folder_unnoticed_is_in_the_next_report(put, open_index, monkeypatch):
    put({"ipadapter/deep/er/ip-adapter-plus_sd15.safetensors": "plus"})
    index = open_index()
    table(index, CATALOGUE)
    put({"ipadapter/deep/er/ip-adapter-full-face_sd15.safetensors": "full"})
    monkeypatch.setattr("image_prompt.model_files.index.index.REFRESH_SECONDS", 0.0)
    monkeypatch.setattr("image_prompt.model_files.index.index.REST", 0)
    statuses = {row.entry.id: row.status for row in table(index, CATALOGUE).rows}
    assert statuses["ip-adapter-full-face_sd15"] == "found"


def test_a_licence_that_forbids_commercial_use_is_named(open_index):
    plus = CATALOGUE.find(purpose="plus", base_model="SD1.5")[0]
    catalogue = Catalogue((replace(plus, licence="CC-BY-NC-4.0", commercial=False),))
    text = explain(resolve(adapter("plus"), open_index(), catalogue))
    assert "Get ip-adapter-plus_sd15.safetensors (98 MB, licence CC-BY-NC-4.0, no commercial use)" in text


def test_what_this_pack_does_not_apply_is_not_recommended(put, open_index):
    index = open_index()
    for family, words in REFUSED.items():
        text = explain(resolve(Need("adapter", family=family), index, CATALOGUE))
        assert re.search(rf"is published \(https://.*\), but this pack does not apply it\. .*{words}", text), text
        assert "Get " not in text
    missing = {row.entry.id for row in table(index, CATALOGUE).rows}
    refused = {entry.id for entry in CATALOGUE.entries if may_be_one(entry.family, "infiniteyou")}
    assert missing.isdisjoint(refused | {"flux1-redux-dev"})


def test_a_file_is_for_the_models_on_which_its_family_works(open_index, put):
    put({"ipadapter/flux-ip-adapter.safetensors": "xlabs"})
    (file,) = open_index().files()
    need = adapter("standard", "Chroma")
    check = Matcher(need, need.wanted(CATALOGUE), CATALOGUE).check_base_model
    xlabs, instantx = (Identity("adapter", family, "Flux") for family in ("flux-xlabs", "flux-instantx"))
    assert check(file, xlabs) == "is an XLabs IP-Adapter for Flux, not for Chroma" and check(file, instantx) == ""


def test_a_name_that_states_one_purpose_of_a_published_file_serves_its_others(open_index, put):
    put({"ipadapter/instantx.safetensors": "InstantX", "ipadapter/mine.safetensors": "xlabs"})
    found = (resolve(adapter("standard", base), open_index(), CATALOGUE).found for base in ("Chroma", "Flux"))
    assert [each and each.file.name for each in found] == ["instantx.safetensors", "mine.safetensors"]


def test_no_adapter_for_sd15_sdxl_or_kolors_is_refused_but_those_that_edit_the_text():
    refused = {entry.id for entry in CATALOGUE.find(kind="adapter") if refusal(entry) and entry.base_model in UNETS}
    assert refused == {"photomaker-v1", "photomaker-v2"}


def test_what_belongs_to_an_adapter_is_in_the_table(open_index):
    rows = {row.entry.id for row in table(open_index(), CATALOGUE).rows}
    assert rows >= {"ip-adapter-faceid_sd15_lora", "instantid-controlnet", "buffalo_l", "antelopev2", "CSD-ViT-L"}


@pytest.mark.parametrize("folder", ["instantid", "ipadapter/InstantID"])
def test_instantid_is_found_in_its_folder_and_in_that_of_all_adapters(put, open_index, folder):
    put({f"{folder}/ip-adapter.bin": "unnorm"})
    index = open_index()
    assert resolve(adapter("InstantID", "SDXL"), index, CATALOGUE).found.file.type == folder.partition("/")[0]
    assert {row.entry.id: row.status for row in table(index, CATALOGUE).rows}["instantid-ip-adapter"] == "found"


def test_a_controlnet_is_that_of_instantid_if_its_name_says_so(put, open_index):
    put({"controlnet/diffusion_pytorch_model.safetensors": "ControlNet", "controlnet/canny.safetensors": "ControlNet"})
    need = Need.for_entry(next(entry for entry in CATALOGUE.entries if entry.id == "instantid-controlnet"))
    resolution = resolve(need, open_index(), CATALOGUE)
    assert resolution.found is None and not resolution.rejected
    assert "Get instantid-controlnet.safetensors (2.5 GB" in explain(resolution)
    put({"controlnet/instantid/diffusion_pytorch_model.safetensors": "ControlNet"})
    assert found(need, open_index()) == "instantid/diffusion_pytorch_model.safetensors"


def test_a_face_pack_that_is_missing_is_to_be_unpacked(open_index):
    text = explain(resolve(Need("face pack", file_name="buffalo_l.zip"), open_index(), CATALOGUE))
    assert "unpack it into models/insightface/models/buffalo_l, so that det_10g.onnx and w600k_r50.onnx are" in text


def test_a_lora_is_recommended_where_its_adapter_can_be_applied(open_index):
    own = replace(CATALOGUE.find(purpose="plus", base_model="SD1.5")[0], companion="ip-adapter-faceid_sd15_lora")
    loras = CATALOGUE.find(kind="lora")
    assert [row.entry.id for row in table(open_index(), Catalogue((own, *loras))).rows] == [own.id, own.companion]


# while it runs


def test_a_file_that_appears_is_found_and_one_that_disappears_is_not(put, root, open_index):
    put({"ipadapter/ip-adapter-plus_sd15.safetensors": "plus"})
    index = open_index()
    assert found(ENCODER_H, index) is None
    put({"clip_vision/new.safetensors": "H"})
    assert found(ENCODER_H, index) == "new.safetensors"
    (root / "clip_vision" / "new.safetensors").unlink()
    assert found(ENCODER_H, index) is None
    (root / "clip_vision").rmdir()
    assert found(ENCODER_H, index) is None


def test_what_was_overwritten_in_place_is_not_given_out(put, root, open_index):
    put({"clip_vision/a.safetensors": "H", "clip_vision/b.safetensors": "H"})
    index = open_index()
    assert found(ENCODER_H, index) == "a.safetensors"
    before = os.stat(root / "clip_vision")
    put({"clip_vision/a.safetensors": "L"})
    os.utime(root / "clip_vision", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert found(ENCODER_H, index) == "b.safetensors"


def test_nothing_is_called_missing_by_an_old_view(put, root, open_index, monkeypatch):
    put({"clip_vision/empty/x.txt": ""})
    index = open_index()
    assert found(ENCODER_H, index) is None
    monkeypatch.setattr("image_prompt.model_files.index.index.REFRESH_SECONDS", 0.0)
    monkeypatch.setattr("image_prompt.model_files.index.index.REST", 0)
    put({"clip_vision/empty/deep/new.safetensors": "H"})  # in no directory that is looked at
    assert found(ENCODER_H, index) == "empty/deep/new.safetensors"


# plain data, and the whole table


def texts(value):
    if isinstance(value, dict):
        return [text for each in value.items() for text in texts(list(each))]
    return [text for each in value for text in texts(each)] if isinstance(value, (list, tuple)) else [value]


def test_no_absolute_path_is_in_what_goes_to_the_browser(put, root, tmp_path, open_index):
    put(
        {
            "ipadapter/a.safetensors": "VAE",
            "clip_vision/ip.safetensors": "plus",
            "clip_vision/h.safetensors": "H",
            "ipadapter/b.safetensors": "<html>",
        }
    )
    index = open_index()
    for need in (adapter("plus"), adapter("light"), ENCODER_H):
        assert str(tmp_path) not in explain(resolve(need, index, CATALOGUE))
    report = table(index, CATALOGUE)
    (row,) = [row for row in report.to_dict()["rows"] if row["entry"]["id"] == "clip_vision_h"]
    assert row["file"]["name"] == "h.safetensors"
    assert row["file"]["identity"]["encoder"] == H
    assert not [text for text in texts(json.loads(json.dumps(report.to_dict()))) if str(tmp_path) in str(text)]
    assert str(tmp_path) not in str(report)


def test_the_table_has_every_row_with_its_status(put, open_index):
    put(
        {
            "ipadapter/ip-adapter-plus_sd15.safetensors": "plus",
            "ipadapter/ip-adapter-plus-face_sd15.safetensors": "<html>",
            "loras/full.safetensors": "full",
            "clip_vision/clip-vision_vit-h.safetensors": "H",
            "ipadapter/ip-adapter-faceid_sd15.bin": "FaceID",
            "ipadapter/ipa.pt": "HunyuanDiT",
            "ipadapter/flux-ip-adapter.safetensors": "xlabs",
            "ipadapter/vae.safetensors": "VAE",
            "clip_vision/mine.safetensors": "SigLIP",
            "loras/a.safetensors": "LoRA",
        }
    )
    report = table(open_index(), CATALOGUE)
    rows = {row.entry.id: row for row in report.rows}
    assert {id: (row.status, row.file.file.name) for id, row in rows.items() if row.file} == {
        "ip-adapter-plus_sd15": ("found", "ip-adapter-plus_sd15.safetensors"),
        "ip-adapter-plus-face_sd15": ("unusable", "ip-adapter-plus-face_sd15.safetensors"),
        "ip-adapter-full-face_sd15": ("misplaced", "full.safetensors"),
        "CLIP-ViT-H-14-laion2B-s32B-b79K": ("found", "clip-vision_vit-h.safetensors"),
        "clip_vision_h": ("found", "clip-vision_vit-h.safetensors"),
        "ip-adapter-faceid_sd15": ("found", "ip-adapter-faceid_sd15.bin"),
        "flux-ip-adapter": ("found", "flux-ip-adapter.safetensors"),
        "hunyuandit-ipa": ("unusable", "ipa.pt"),
        "sigclip_vision_patch14_384": ("found", "mine.safetensors"),
        "siglip-so400m-patch14-384": ("found", "mine.safetensors"),
    }
    assert rows["ip-adapter-plus-face_sd15"].why.startswith("is a web page")
    assert rows["ip-adapter-full-face_sd15"].why == "Move it to models/ipadapter."
    assert rows["ip-adapter_sd15"].status == "missing"
    assert rows["ip-adapter_sd15"].why.startswith("Get ip-adapter_sd15.safetensors (45 MB, licence Apache-2.0")
    assert "infiniteyou_aes_stage2" not in rows
    assert [file.file.name for file in report.others] == ["vae.safetensors"]
    assert report.counts() == {"found": 7, "misplaced": 1, "unusable": 2, "missing": len(rows) - 10}
    counts, *lists = str(report).split("\n\n")
    assert counts == f"7 found, 1 misplaced, 2 unusable, {len(rows) - 10} missing"
    shown = {title: lines for title, *lines in (each.splitlines() for each in lists)}
    assert list(shown) == ["Misplaced:", "Unusable:", "Found:", "Missing:", "Other files:"]
    assert "- ip-adapter-plus_sd15: ipadapter/ip-adapter-plus_sd15.safetensors" in shown["Found:"]
    assert re.fullmatch(r"- ipadapter/vae\.safetensors: This file is a VAE.*", shown["Other files:"][0])
    assert sum(map(len, shown.values())) == len(report.rows) + 1


def test_the_table_does_not_wait_if_told_so(put, open_index):
    put({"ipadapter/a.safetensors": "plus"})
    index = open_index()
    report = table(index, CATALOGUE, wait=False)
    assert {row.status for row in report.rows} == {"missing"} or not report.unread
    index.files()
    assert table(index, CATALOGUE, wait=False).unread == []


def test_every_home_is_a_type_that_is_read():
    assert set(HOMES.values()) <= set(Index(ModelFolders({})).types)
    assert {entry.folder for entry in CATALOGUE.entries} <= set(Index(ModelFolders({})).types)


def test_a_need_reads_as_a_sentence():
    assert str(Need("lora", base_model="SD1.5", file_name="x.bin")) == "LoRA for SD1.5 (x.bin)"
    assert str(Need("adapter", family="plus", encoder=H)) == "plus IP-Adapter that reads CLIP ViT-H/14"
    assert Path(str(Need("face pack"))) == Path("face pack")


def test_where_anything_will_do_an_adapter_of_ones_own_does(root, open_index):
    tensors = shapes("ip-adapter_sd15")
    rows, _ = tensors["image_proj.proj.weight"]
    write(root / "ipadapter" / "own.safetensors", {**tensors, "image_proj.proj.weight": (rows, 24)})
    assert found(Need("adapter"), open_index()) == "own.safetensors"


OWN_ENCODER = {
    "mine.safetensors": {**CONTENT["plus"], "image_proj.proj_in.weight": (768, 24)},
    "base.safetensors": {**CONTENT["base"], "image_proj.proj.weight": (4 * 768, 24)},
}


def test_an_adapter_of_an_encoder_of_its_own_serves_the_purpose_that_it_is_built_for(root, put, open_index):
    for name, tensors in OWN_ENCODER.items():
        write(root / "ipadapter" / name, tensors)
    index = open_index()
    assert found(adapter("plus"), index) == "mine.safetensors"
    assert found(adapter("standard"), index) == "base.safetensors"
    assert found(adapter("plus face"), index) is None
    assert found(adapter("plus", "SDXL"), index) is None
    assert {row.status for row in table(index, CATALOGUE).rows} == {"missing"}  # it is none of the published files
    put({"ipadapter/zzz.safetensors": "plus"})
    assert found(adapter("plus"), index) == "zzz.safetensors"  # whose encoder can be had
