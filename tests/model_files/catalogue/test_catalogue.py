import json
import os
import re
from dataclasses import fields
from pathlib import Path

import pytest

from image_prompt.clip_vision import PRESETS
from image_prompt.ip_adapter import APPLIED, BASE_MODELS, ENCODERS, FAMILIES
from image_prompt.model_files.catalogue import BrokenCatalogue, Catalogue, Entry, place_in, place_named, works_on
from image_prompt.model_files.catalogue.catalogue import OWN
from image_prompt.model_files.catalogue.catalogue_file import LARGEST, RULES

ROOT = Path(__file__).resolve().parents[3]
CATALOGUE = Catalogue.load()
ENTRIES = {entry.id: entry for entry in CATALOGUE.entries}
H, BIG_G = "CLIP-ViT-H-14-laion2B-s32B-b79K", "CLIP-ViT-bigG-14-laion2B-39B-b160k"
CONTROLNET = "instantid-controlnet"
EVA = "eva02_large_patch14_clip_336.merged2b_s6b_b61k"

PURPOSES = {
    "light",
    "standard",
    "plus",
    "plus face",
    "full face",
    "vit-G",
    "NoobAI",
    "composition",
    "FaceID",
    "FaceID plus",
    "FaceID plus v2",
    "FaceID portrait",
    "FaceID portrait unnorm",
    "InstantID",
    "PuLID",
    "style",
    "style and content",
    "instruct",
    "InstantX",
    "character",
}
NOT_IN_THE_CATALOGUE = {"", "Chinese-CLIP H"}  # none, because a face pack is all that they read, or their own

NAMES = {
    # the authors' repositories
    "ip-adapter_sd15.safetensors": "ip-adapter_sd15",
    "ip-adapter_sd15_light.safetensors": "ip-adapter_sd15_light",
    "ip-adapter_sd15_light_v11.bin": "ip-adapter_sd15_light_v11",
    "ip-adapter_sd15_vit-G.safetensors": "ip-adapter_sd15_vit-G",
    "models/ip-adapter-plus_sd15.bin": "ip-adapter-plus_sd15",
    "ip-adapter-plus-face_sd15.safetensors": "ip-adapter-plus-face_sd15",
    "ip-adapter-full-face_sd15.safetensors": "ip-adapter-full-face_sd15",
    "sdxl_models/ip-adapter_sdxl.safetensors": "ip-adapter_sdxl",
    "sdxl_models/ip-adapter_sdxl_vit-h.safetensors": "ip-adapter_sdxl_vit-h",
    "ip-adapter-plus_sdxl_vit-h.safetensors": "ip-adapter-plus_sdxl_vit-h",
    "ip-adapter-plus-face_sdxl_vit-h.bin": "ip-adapter-plus-face_sdxl_vit-h",
    "ip-adapter-faceid_sdxl.bin": "ip-adapter-faceid_sdxl",
    "ip-adapter-faceid-plus_sd15.bin": "ip-adapter-faceid-plus_sd15",
    "ip-adapter-faceid-portrait_sd15.bin": "ip-adapter-faceid-portrait_sd15",
    "ip-adapter-faceid-portrait_sdxl_unnorm.bin": "ip-adapter-faceid-portrait_sdxl_unnorm",
    "ip_plus_composition_sd15.safetensors": "ip_plus_composition_sd15",
    "ip_plus_composition_sdxl.safetensors": "ip_plus_composition_sdxl",
    "ip_adapter_plus_general.bin": "Kolors-IP-Adapter-Plus",
    "ipa-faceid-plus.bin": "Kolors-IP-Adapter-FaceID-Plus",
    "InstantID/ip-adapter.bin": "instantid-ip-adapter",
    "InstantID/ControlNetModel/diffusion_pytorch_model.safetensors": "instantid-controlnet",
    "EVA02_CLIP_L_336_psz14_s6B.pt": "EVA02_CLIP_L_336_psz14_s6B",
    "eva02_large_patch14_clip_336.merged2b_s6b_b61k/open_clip_model.safetensors": EVA,
    "eva02_large_patch14_clip_336.merged2b_s6b_b61k/open_clip_pytorch_model.bin": EVA,
    "CSD-ViT-L/pytorch_model.bin": "CSD-ViT-L",
    "flux-ip-adapter-v2/ip_adapter.safetensors": "flux-ip-adapter-v2",
    "flux-ip-adapter/ip_adapter.safetensors": "flux-ip-adapter",
    "models/image_encoder/model.safetensors": H,
    "models/image_encoder/pytorch_model.bin": H,
    "sdxl_models/image_encoder/model.safetensors": BIG_G,
    "CLIP-ViT-H-14-laion2B-s32B-b79K/open_clip_pytorch_model.bin": H,
    "clip-vit-large-patch14/model.safetensors": "clip-vit-large-patch14",
    "clip-vit-large-patch14-336/pytorch_model.bin": "clip-vit-large-patch14-336",
    "clip-vit-base-patch16/pytorch_model.bin": "clip-vit-base-patch16",
    "clip-vit-base-patch32/model.safetensors": "clip-vit-base-patch32",
    "facebook/dinov2-giant/model.safetensors": "dinov2-giant",
    "siglip2/siglip2-base-patch16-512/model.safetensors": "siglip2-base-patch16-512",
    # cubiq's list, and the examples of ComfyUI
    "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors": H,
    "CLIP-ViT-bigG-14-laion2B-39B-b160k.safetensors": BIG_G,
    "clip-vit-large-patch14-336.bin": "clip-vit-large-patch14-336",
    "Kolors-IP-Adapter-Plus.bin": "Kolors-IP-Adapter-Plus",
    "Kolors-IP-Adapter-FaceID-Plus.bin": "Kolors-IP-Adapter-FaceID-Plus",
    "SD1.5/model.safetensors": H,
    "clip_vision/SD1.5/pytorch_model.bin": H,
    "SDXL/model.safetensors": BIG_G,
    "flux1-redux-dev.safetensors": "flux1-redux-dev",
    "insightface/models/antelopev2/glintr100.onnx": "antelopev2",
    "models/buffalo_l/w600k_r50.onnx": "buffalo_l",
    # Krita AI Diffusion
    "clip-vision_vit-h.safetensors": H,
    "clip-vision_vit-g.safetensors": BIG_G,
    "noobIPAMARK1_mark1.safetensors": "noobIPAMARK1_mark1",
    "sigclip_vision_patch14_384.safetensors": "sigclip_vision_patch14_384",
    "ip-adapter-faceid-plusv2_sd15.bin": "ip-adapter-faceid-plusv2_sd15",
    "ip-adapter-faceid-plusv2_sdxl_lora.safetensors": "ip-adapter-faceid-plusv2_sdxl_lora",
    "ip_adapter-Character_Reference-10.safetensors": "ip_adapter-Character_Reference-10",
    # SwarmUI
    "sd15_light_v11.bin": "ip-adapter_sd15_light_v11",
    "full_face_sd15.safetensors": "ip-adapter-full-face_sd15",
    "ipadapter/ip-adapter-faceid_sd15_lora.safetensors": "ip-adapter-faceid_sd15_lora",
    "clip_vision_g.safetensors": "clip_vision_g",
    # Comfy-Org
    "clip_vision_h.safetensors": "clip_vision_h",
    # Forge, the A1111 extension, InvokeAI
    "ip-adapter_instant_id_sdxl.bin": "instantid-ip-adapter",
    "control_instant_id_sdxl.safetensors": "instantid-controlnet",
    "CLIP-ViT-H-14.safetensors": H,
    "CLIP-ViT-bigG.safetensors": BIG_G,
    "clip_h.pth": H,
    "clip_vitl.pth": "clip-vit-large-patch14",
    "ip_adapter_sd_image_encoder/model.safetensors": H,
    "ip_adapter_plus_sd15/ip_adapter.bin": "ip-adapter-plus_sd15",
}


def ids(found: list[Entry]) -> list[str]:
    return [entry.id for entry in found]


def test_a_file_is_known_by_the_names_that_programs_give_it():
    for name, expected in NAMES.items():
        found = ids(CATALOGUE.named(name))
        assert expected in found, name
        assert len({(ENTRIES[id].kind, ENTRIES[id].encoder, ENTRIES[id].family) for id in found}) == 1, name


def test_case_spaces_slashes_and_folders_above_do_not_matter():
    name = "sdxl_models/image_encoder/model.safetensors"
    for spelled in (name.upper(), f" {name} ", name.replace(".", " .", 1), name.replace("/", "\\"), f"a/b/c/{name}"):
        assert ids(CATALOGUE.named(spelled)) == [BIG_G]


def test_bin_stands_for_safetensors_and_the_other_way_round():
    assert ids(CATALOGUE.named("ip-adapter-plus_sd15.bin")) == ["ip-adapter-plus_sd15"]
    assert ids(CATALOGUE.named("ip-adapter-faceid_sd15.safetensors")) == ["ip-adapter-faceid_sd15"]
    assert CATALOGUE.named("clip_g.safetensors") == []  # SDXL's text encoder, not the clip_g.pth of A1111


def test_names_that_say_nothing_find_nothing():
    shared = ("model.safetensors", "ip_adapter.bin", "image_encoder/model.safetensors")
    part = "xsdxl_models/image_encoder/model.safetensors"
    for name in (*shared, part, "", " ", "/", "..", ".bin", "a/" * 100_000):
        assert CATALOGUE.named(name) == [], name[:80]


def test_a_name_of_two_files_finds_both_and_the_longer_name_comes_first(tmp_path):
    assert set(ids(CATALOGUE.named("clip_vision_h.safetensors"))) == {H, "clip_vision_h"}
    user = written(tmp_path, entry("mine", files=["mine.bin", "special/clip_vision_h.safetensors"]))
    assert ids(Catalogue.load(user).named("special/clip_vision_h.bin"))[0] == "mine"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("openai/clip-vit-base-patch32", ("openai/clip-vit-base-patch32", "")),
        ("https://huggingface.co/h94/IP-Adapter", ("h94/IP-Adapter", "")),
        ("huggingface.co/h94/IP-Adapter/", ("h94/IP-Adapter", "")),
        ("https://hf.co/h94/IP-Adapter/tree/main/models?x=1", ("h94/IP-Adapter", "")),
        ("https://huggingface.co/a/b/resolve/main/c/d%20e.bin?download=true", ("a/b", "c/d e.bin")),
        ("https://www.huggingface.co/a/b.c/blob/main/d.bin#x", ("a/b.c", "d.bin")),
        ("https://huggingface.co/datasets/a/b", ("", "")),
        ("https://huggingface.co/spaces/a", ("", "")),
        ("https://example.org/huggingface.co/a/b", ("", "")),
        ("ip-adapter_sd15", ("", "")),
        ("a/b/c", ("", "")),
        ("ä/b", ("", "")),
        ("", ("", "")),
    ],
)
def test_a_repository_is_read_from_its_name_or_an_address(text, place):
    assert place_named(text) == place
    assert place_in(text) == (place if "huggingface.co" in text or "hf.co" in text else ("", ""))


def test_entries_are_found_by_their_repository_and_the_path_in_it():
    assert ids(CATALOGUE.in_repository("OpenAI/clip-vit-base-patch32")) == ["clip-vit-base-patch32"]
    assert len(CATALOGUE.in_repository("h94/IP-Adapter")) > 5
    assert ids(CATALOGUE.in_repository("h94/IP-Adapter", "models/ip-adapter_sd15.bin")) == ["ip-adapter_sd15"]
    assert CATALOGUE.in_repository("h94/IP-Adapter", "models/readme.txt") == []
    assert CATALOGUE.in_repository("nobody/nothing") == CATALOGUE.in_repository("") == []
    for entry in CATALOGUE.entries:
        if entry.url.startswith("https://huggingface.co/"):
            assert ids(CATALOGUE.in_repository(*place_in(entry.url))) == [entry.id]


def test_find_takes_all_conditions_together_and_prefers_the_first():
    assert len(CATALOGUE.find()) == len(CATALOGUE.entries)
    assert ids(CATALOGUE.find(purpose="light")) == ["ip-adapter_sd15_light_v11", "ip-adapter_sd15_light"]
    assert ids(CATALOGUE.find(purpose="standard", base_model="SDXL")) == ["ip-adapter_sdxl_vit-h"]
    assert ids(CATALOGUE.find(kind="encoder", encoder="CLIP ViT-bigG/14")) == [BIG_G, "clip_vision_g"]
    assert ids(CATALOGUE.find(kind="adapter", family="Kolors plus")) == ["Kolors-IP-Adapter-Plus"]
    assert CATALOGUE.find(kind="lora", purpose="plus") == []


def test_every_purpose_has_an_adapter_and_no_other_word_is_used():
    assert {purpose for entry in CATALOGUE.entries for purpose in entry.purposes} == PURPOSES
    assert {entry.kind for entry in CATALOGUE.entries if entry.purposes} == {"adapter"}


def test_an_adapter_is_found_for_every_model_on_which_it_works():
    assert ids(CATALOGUE.find(purpose="standard", base_model="Chroma")) == ["FLUX.1-dev-IP-Adapter"]
    assert ids(CATALOGUE.find(purpose="standard", base_model="Flux"))[:2] == ["flux-ip-adapter-v2", "flux-ip-adapter"]
    assert works_on("InstantX's IP-Adapter for Flux", "Flux", "Chroma") and works_on("flux-xlabs", "Flux", "Flux")
    assert not works_on("flux-xlabs", "Flux", "Chroma") and not works_on("something new", "Flux", "Chroma")


def test_every_adapter_needs_an_encoder_that_is_in_the_catalogue():
    encoders = {entry.encoder for entry in CATALOGUE.find(kind="encoder")}
    adapters = CATALOGUE.find(kind="adapter")
    assert {entry.encoder for entry in adapters} - encoders == NOT_IN_THE_CATALOGUE
    given = {reads.encoder for family in APPLIED for reads in family.reads}
    usable = {entry.encoder for entry in adapters if entry.family in {family.id for family in APPLIED}}
    assert usable <= {*ENCODERS.values(), *given}


def test_families_and_base_models_have_the_words_of_the_two_cores():
    adapters = {family.id for family in FAMILIES}
    assert {entry.family for entry in CATALOGUE.find(kind="adapter")} <= adapters
    assert {entry.family for entry in CATALOGUE.find(kind="encoder")} <= {preset.name for preset in PRESETS}
    used = {entry.base_model for entry in CATALOGUE.entries if entry.purposes}
    more = {name for family in FAMILIES for name in family.also_for}
    assert used | more == {base.name for base in BASE_MODELS} and not used & more


def test_face_adapters_carry_what_belongs_to_them_and_are_not_for_commerce():
    whole = [entry for entry in CATALOGUE.entries if entry.companion]
    assert len(whole) == len({entry.companion for entry in whole}) == 6
    assert {entry.companion for entry in whole} == set(ids([*CATALOGUE.find(kind="lora"), ENTRIES[CONTROLNET]]))
    assert all(ENTRIES[entry.companion].base_model == entry.base_model for entry in whole)
    assert ENTRIES["instantid-ip-adapter"].companion == CONTROLNET
    faces = [entry for entry in CATALOGUE.entries if entry.kind == "face pack" or entry.face_pack]
    assert [entry.id for entry in faces if entry.commercial is not False] == []


def test_adapters_name_the_face_pack_and_the_lora_that_their_family_says():
    for family in APPLIED:
        entries = [entry for entry in CATALOGUE.find(kind="adapter") if entry.family == family.id]
        assert entries and {entry.face_pack for entry in entries} == {family.face_pack}, family.id
        with_lora = {bool(entry.companion) and ENTRIES[entry.companion].kind == "lora" for entry in entries}
        assert with_lora == {family.has_lora and family.reads_faces}, family.id  # Anima's is in its file alone


def test_a_face_pack_begins_with_its_archive_and_the_two_files_that_are_needed():
    for pack in CATALOGUE.find(kind="face pack"):
        archive, *files = pack.files
        assert archive == f"{pack.id}.zip" and {file.split("/")[0] for file in files} == {pack.id}
        assert re.search("det_|scrfd_", files[0]) and re.search("w600k|glint", files[1])


def test_every_own_entry_is_complete():
    for entry in CATALOGUE.entries:
        assert entry.page.startswith("https://"), entry
        assert entry.url.startswith("https://") or not entry.purposes and not entry.sha256, entry
        assert re.fullmatch(r"[0-9a-f]{64}|", entry.sha256), entry
        assert entry in CATALOGUE.named(entry.files[0]), entry
        assert entry.licence or entry.commercial is None, entry


def test_no_two_entries_have_the_same_hash_or_link():
    hashes = [entry.sha256 for entry in CATALOGUE.entries if entry.sha256]
    assert len(hashes) == len(set(hashes))
    assert len({entry.url for entry in CATALOGUE.entries}) == len(CATALOGUE.entries)


def test_there_is_a_rule_for_every_field_in_the_order_of_the_file():
    names = [field.name for field in fields(Entry)]
    assert list(RULES) == names
    assert all(list(given) == names for given in json.loads(OWN.read_text(encoding="utf-8"))["entries"])


def listed_models(value) -> list[dict]:
    """The `models` that a workflow names for the missing-models panel, at any depth."""
    if isinstance(value, list):
        return [model for item in value for model in listed_models(item)]
    if not isinstance(value, dict):
        return []
    own = [model for model in value.get("models") or [] if isinstance(model, dict)]
    return own + [model for item in value.values() for model in listed_models(item)]


def test_example_workflows_offer_the_files_of_the_catalogue():
    folders = {entry.folder for entry in CATALOGUE.entries} - {"loras"}
    paths = sorted(ROOT.glob("example_workflows/**/*.json"))
    listed = [(path.name, model) for path in paths for model in listed_models(json.loads(path.read_text("utf-8")))]
    offered = [(name, model) for name, model in listed if model["directory"] in folders]
    assert offered
    for name, model in offered:
        found = [entry for entry in CATALOGUE.named(model["name"]) if entry.url == model["url"]]
        homes = {found[0].folder, "ipadapter"} if found[0].kind == "adapter" else {found[0].folder}
        assert len(found) == 1 and model["directory"] in homes, name  # Load IP-Adapter lists both
        assert "hash" not in model or model["hash"] == found[0].sha256, name


# files of users


def entry(id: str = "mine", **changes) -> dict:
    return {
        "id": id,
        "title": "Mine",
        "kind": "adapter",
        "family": "plus",
        "base_model": "SDXL",
        "encoder": "CLIP ViT-H/14",
        "purposes": ["plus"],
        "folder": "ipadapter",
        "files": ["mine.safetensors"],
        **changes,
    }


def written(folder: Path, *entries: object, name: str = "user.json") -> Path:
    path = folder / name
    path.write_text(json.dumps({"entries": entries}), encoding="utf-8")
    return path


def test_a_new_entry_is_added_last_and_what_it_leaves_out_is_unknown(tmp_path):
    loaded = Catalogue.load(written(tmp_path, entry()))
    mine = loaded.entries[-1]
    assert loaded.entries[:-1] == CATALOGUE.entries
    assert (mine.size, mine.sha256, mine.url, mine.licence, mine.commercial) == (None, "", "", "", None)
    assert loaded.find(purpose="plus", base_model="SDXL")[-1] is mine is loaded.named("Mine.BIN")[0]


def test_a_known_entry_changes_in_the_given_fields_alone_and_stays_in_its_place(tmp_path):
    changed = Catalogue.load(written(tmp_path, {"id": H, "files": ["my encoder.safetensors"], "size": None}))
    assert ids(changed.entries) == ids(CATALOGUE.entries)
    after = next(entry for entry in changed.entries if entry.id == H)
    assert (after.files, after.size, after.sha256) == (("my encoder.safetensors",), None, ENTRIES[H].sha256)
    assert changed.named("clip-vision_vit-h.safetensors") == []


def test_later_files_go_on_where_earlier_ones_ended(tmp_path):
    lora = {"kind": "lora", "purposes": [], "folder": "loras"}
    first = written(tmp_path, entry("my_lora", **lora), entry(title="One"), name="1.json")
    second = written(tmp_path, {"id": "mine", "title": "Two", "companion": "my_lora"}, name="2.json")
    mine = Catalogue.load(first, second).entries[-1]
    assert (mine.title, mine.companion) == ("Two", "my_lora")


def test_a_byte_order_mark_does_not_matter(tmp_path):
    path = tmp_path / "notepad.json"
    path.write_text(json.dumps({"entries": [entry()]}), encoding="utf-8-sig")
    assert Catalogue.load(path).entries[-1].id == "mine"


WRONG = {  # a value for each part of the field's rule
    "id": ["", "a b", "..", 7, None, "aä", "a\n"],
    "title": ["", " ", None, "two\nlines", "\x1b[31mred"],
    "kind": ["", "Adapter", "checkpoint", None],
    "family": ["", None],
    "base_model": [None, "a\tb"],
    "encoder": [None, ["CLIP ViT-H/14"]],
    "purposes": [None, "plus", [1], [""]],
    "folder": ["", "..", "a/b", "a\\b", "C:", "ipadapter ", None],
    "files": [
        None,
        [],
        "a.bin",
        [""],
        [None],
        ["/a.bin"],
        ["a.bin", "b/../../c.bin"],
        ["a.bin", "b//c"],
        ["a.bin", "./b"],
        ["a.bin", "b/"],
        ["a.bin", ".. /b"],
        ["C:a.bin"],
        ["a\\b.bin"],
        ["*.bin"],
        ["x/a.bin"],
        ["a\n.bin"],
    ],
    "companion": [None, "nobody", "ip-adapter_sd15", "mine", "a b"],
    "face_pack": [None, "nobody", "ip-adapter-faceid_sd15_lora", "mine", "a b"],
    "size": [0, -1, 1.5, "1", True, 1 << 60, 10**400],
    "sha256": [None, "0" * 63, "0" * 65, "g" * 64],
    "url": [
        None,
        "http://example.com/a",
        "https://",
        "https:///a",
        "https://user:pw@example.com/a",
        "https://example.com/a b",
        "https://example.com/é",
        "https://[::1",
        "javascript:1",
    ],
    "page": [None, "http://example.com", "https://localhost"],
    "licence": [None, "a\rb"],
    "commercial": ["true", 1],
}


@pytest.mark.parametrize("field", WRONG)
def test_a_wrong_value_is_named_with_its_file_entry_and_field(tmp_path, field):
    for value in WRONG[field]:
        path = written(tmp_path, entry("other", files=["other.bin"]), {**entry(), field: value})
        with pytest.raises(BrokenCatalogue) as error:
            Catalogue.load(path)
        said = str(error.value)
        assert said.startswith("user.json: entry ") and f"field '{field}'" in said and "; expected " in said, value
        assert field == "id" or "entry 'mine'" in said, value
        assert len(said) < 500 and said.isprintable(), value


def test_a_new_entry_needs_what_nobody_can_guess(tmp_path):
    for field in ("title", "kind", "family", "base_model", "encoder", "purposes", "folder", "files"):
        given = entry()
        del given[field]
        with pytest.raises(BrokenCatalogue, match=f"user.json: entry 'mine': field '{field}' is missing"):
            Catalogue.load(written(tmp_path, given))


@pytest.mark.parametrize(
    "entries,said",
    [
        ([{**entry(), "sha": ""}], "user.json: entry 'mine': there is no field 'sha'"),
        ([{**entry(), "": 1}], "there is no field ''"),
        ([{key: value for key, value in entry().items() if key != "id"}], "user.json: entry 1: field 'id' is missing"),
        ([entry(), entry(title="Again")], "user.json: entry 'mine': field 'id' is also the id of an earlier entry"),
        (
            [{"id": "ip-adapter-faceid_sd15_lora", "kind": "adapter"}],
            "entry 'ip-adapter-faceid_sd15': field 'companion' is 'ip-adapter-faceid_sd15_lora'",
        ),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, entries, said):
    with pytest.raises(BrokenCatalogue, match=re.escape(said)):
        Catalogue.load(written(tmp_path, *entries))


FILES = {  # name: (content, what the message says)
    "no JSON": (b"entries", "cannot be read as a catalogue: Expecting value"),
    "list": (b"[]", "is not a catalogue"),
    "other field": (b'{"models": []}', "is not a catalogue"),
    "one field more": (b'{"entries": [], "version": 1}', "is not a catalogue"),
    "object entries": (b'{"entries": {}}', "is not a catalogue"),
    "text entry": (b'{"entries": ["a"]}', "is not a catalogue"),
    "deep": (b"[" * 200_000, "cannot be read as a catalogue: .*recursion"),
    "no UTF-8": (b'{"entries": ["\xff"]}', "cannot be read as a catalogue: .*utf-8"),
    "large": (b" " * (LARGEST + 1), "is larger than 1,048,576 bytes"),
    "number": (b"9" * 5000, "cannot be read as a catalogue: .*digits"),
    "double field": (b'{"entries": [], "entries": []}', "the field 'entries' is given twice"),
    "double field below": (b'{"entries": [{"id": "a", "id": "b"}]}', "the field 'id' is given twice"),
    "many doubles": (b"{" + b",".join(b'"%d":1' % (n // 2) for n in range(90_000)) + b"}", "the field '0' is given"),
}


@pytest.mark.parametrize("content, said", FILES.values(), ids=FILES)
def test_a_file_that_is_no_catalogue_is_refused(tmp_path, content, said):
    path = tmp_path / "user.json"
    path.write_bytes(content)
    with pytest.raises(BrokenCatalogue, match=f"^user.json .*{said}") as error:
        Catalogue.load(path)
    assert len(str(error.value)) < 500


def test_what_is_no_file_is_refused_without_a_word_about_where_it_was(tmp_path):
    folder, pipe = tmp_path / "folder.json", tmp_path / "pipe.json"
    folder.mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(pipe)
    for path in (folder, pipe, tmp_path / "absent.json", tmp_path / "a\x00b.json"):
        with pytest.raises(BrokenCatalogue) as error:
            Catalogue.load(path)
        assert str(tmp_path) not in str(error.value)
