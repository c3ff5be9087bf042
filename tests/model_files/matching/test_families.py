"""A family is known by its id everywhere: old words mean the same, and no sentence decides anything."""

import json
from dataclasses import replace

import pytest
from published import LAYOUTS, published, shapes, write

from image_prompt.ip_adapter import FAMILIES, normalise, purposes
from image_prompt.ip_adapter.families import foreign as foreign_files
from image_prompt.model_files.catalogue import Catalogue, id_of, may_be_one
from image_prompt.model_files.catalogue.old_family_words import WORDS
from image_prompt.model_files.folders import ModelFolders
from image_prompt.model_files.index import Index, identify
from image_prompt.model_files.matching import Need, resolve, table, wording
from image_prompt.model_files.matching.support import refusal
from image_prompt.tensor_files.weights import on_meta

CATALOGUE = Catalogue.load()
OWN = {entry.id: entry for entry in CATALOGUE.entries}
OLD = {  # what the catalogue called the families before they had ids -> its entries
    "base": "ip-adapter_sd15 ip-adapter_sd15_light_v11 ip-adapter_sd15_light ip-adapter_sd15_vit-G "
    "ip-adapter_sdxl_vit-h ip-adapter_sdxl noobIPAMARK1_mark1",
    "plus": "ip-adapter-plus_sd15 ip-adapter-plus-face_sd15 ip-adapter-plus_sdxl_vit-h "
    "ip-adapter-plus-face_sdxl_vit-h ip_plus_composition_sd15 ip_plus_composition_sdxl",
    "full-face": "ip-adapter-full-face_sd15",
    "Kolors plus": "Kolors-IP-Adapter-Plus",
    "FaceID": "ip-adapter-faceid_sd15 ip-adapter-faceid_sdxl",
    "FaceID plus v2": "ip-adapter-faceid-plusv2_sd15 ip-adapter-faceid-plusv2_sdxl",
    "FaceID plus": "ip-adapter-faceid-plus_sd15",
    "FaceID portrait": "ip-adapter-faceid-portrait-v11_sd15 ip-adapter-faceid-portrait_sd15 "
    "ip-adapter-faceid-portrait_sdxl",
    "FaceID portrait unnorm": "ip-adapter-faceid-portrait_sdxl_unnorm",
    "Kolors FaceID plus": "Kolors-IP-Adapter-FaceID-Plus",
    "FaceID LoRA": "ip-adapter-faceid_sd15_lora ip-adapter-faceid_sdxl_lora ip-adapter-faceid-plusv2_sd15_lora "
    "ip-adapter-faceid-plusv2_sdxl_lora ip-adapter-faceid-plus_sd15_lora",
    "an XLabs IP-Adapter for Flux": "flux-ip-adapter-v2 flux-ip-adapter",
    "InstantX's IP-Adapter for Flux": "FLUX.1-dev-IP-Adapter",
    "InstantCharacter for Flux": "InstantCharacter",
    "InstantX's IP-Adapter for Stable Diffusion 3.5": "SD3.5-Large-IP-Adapter",
    "an IP-Adapter for Anima": "ip_adapter-Character_Reference-10",
    "FLUX.1 Redux": "flux1-redux-dev",
    "USO's style projector": "uso-flux1-projector-v1",
    "InstantID": "instantid-ip-adapter",
    "PuLID": "pulid_v1.1 pulid_v1 ip-adapter_pulid_sdxl_fp16 pulid_flux_v0.9.1 pulid_flux_v0.9.0",
    "InfiniteYou": "infiniteyou_aes_stage2 infiniteyou_sim_stage1",
    "PhotoMaker": "photomaker-v1",
    "PhotoMaker v2": "photomaker-v2",
    "an IP-Adapter for HunyuanDiT": "hunyuandit-ipa",
    "IP-Adapter-Instruct": "ip-adapter-instruct-sd15 ip-adapter-instruct-sdxl",
    "IP-Adapter-Art": "ip_adapter_art_sdxl_512",
    "CSGO": "csgo_4_32 csgo",
}
OTHERS = ("lora_unet_a.lora_down.weight", "decoder.conv_in.weight", "control_model.a", "cls_token", "emb_params", "a.b")


def test_every_id_is_of_one_row_and_has_the_word_it_always_had():
    rows = [*FAMILIES, *foreign_files.FOREIGN]
    ids = [row.id for row in rows] + [*wording.OTHERS]
    assert len(ids) == len(set(ids)) and set(wording.COMPANIONS) <= set(ids)
    assert set(WORDS) <= set(ids)
    assert {each.like for each in FAMILIES} - {""} <= {each.id for each in FAMILIES if each.detect}


def test_the_catalogue_refers_to_rows_and_answers_with_the_old_words():
    answered = {entry.id: entry.to_dict()["family"] for entry in CATALOGUE.entries if entry.kind in ("adapter", "lora")}
    assert answered == {id: word for word, entries in OLD.items() for id in entries.split()}
    assert {OWN[id].family for id in answered} <= {family.id for family in FAMILIES} | set(wording.COMPANIONS)


@pytest.mark.parametrize("word", OLD)
def test_a_file_of_a_user_may_call_a_family_by_its_old_word(tmp_path, word):
    path = tmp_path / "user.json"
    entries = [OWN[id] for id in OLD[word].split()]
    path.write_text(json.dumps({"entries": [{**entry.to_dict(), "id": f"my-{entry.id}"} for entry in entries]}))
    mine = Catalogue.load(path).entries[-len(entries) :]
    assert all(may_be_one(*(entry.family for entry in pair)) for pair in zip(mine, entries, strict=True))
    assert [refusal(entry) for entry in mine] == [refusal(entry) for entry in entries]
    assert CATALOGUE.find(family=word) == entries


def test_a_word_says_which_family_is_meant_as_far_as_there_is_one(tmp_path):
    assert {word: id_of(word, "SD1.5") for word in OLD if word != "PuLID"} == {
        word: OWN[OLD[word].split()[0]].family for word in OLD if word != "PuLID"
    }


def test_a_word_of_two_families_means_the_one_of_the_base_model(tmp_path):
    path = tmp_path / "user.json"
    pulid = OWN["pulid_v1"].to_dict()
    bases = ("SDXL", "Flux", "")
    path.write_text(json.dumps({"entries": [{**pulid, "id": f"mine{base}", "base_model": base} for base in bases]}))
    loaded = Catalogue.load(path)
    assert [entry.family for entry in loaded.entries[-3:]] == ["PuLID", "pulid-flux", "PuLID"]
    assert [entry.id for entry in loaded.find(family="pulid-sdxl-v1.1")] == ["pulid_v1.1", "mineSDXL", "mine"]
    assert [entry.id for entry in loaded.find(family="pulid-flux")][-2:] == ["mineFlux", "mine"]


def test_a_word_that_nobody_knows_is_kept(tmp_path):
    path = tmp_path / "user.json"
    path.write_text(json.dumps({"entries": [{**OWN["csgo"].to_dict(), "id": "mine", "family": "something new"}]}))
    mine = Catalogue.load(path).entries[-1]
    assert mine.family == mine.to_dict()["family"] == "something new"
    assert refusal(mine) == foreign_files.REMEDIES["architecture"]


def test_files_are_answered_with_the_old_words():
    before = {"PuLID v1.1": {"PuLID"}}  # name of a family -> its words; transformers' were called by their kind
    for each in FAMILIES:
        before.setdefault(each.name, {each.name}).add(each.name if each.host == "unet" else each.kind)
    for name, layout in LAYOUTS.items():
        found = identify(published(name))
        word, family = found.to_dict()["family"], layout.get("family")
        if found.kind in ("adapter", "other"):
            assert word in {*before.get(family, ()), layout.get("refused")}, name
        elif found.kind == "face adapter":
            assert word in OLD, name


@pytest.fixture
def models(tmp_path):
    """A models folder with every published file, and one file of each other kind."""
    for name in LAYOUTS:
        write(tmp_path / "ipadapter" / f"{name}.safetensors", shapes(name))
    for number, key in enumerate(OTHERS):
        write(tmp_path / "loras" / f"{number}.safetensors", {key: (4, 4)})
    return ModelFolders({type: [tmp_path / type] for type in ("ipadapter", "loras")})


def results(folders):
    """The identities, refusals and matches of all files, without the sentences in them."""
    index = Index(folders, types=("ipadapter", "loras"))
    files = {each.file.name: each.identity and replace(each.identity, problem="") for each in index.files()}
    unusable = {each.file.name for each in index.files() if each.problem}
    needs = [*map(Need.for_entry, CATALOGUE.entries), *(Need("adapter", family=word) for word in OLD)]
    found = [resolve(need, index, CATALOGUE) for need in needs]
    rows = [(row.entry.id, row.status, row.file and row.file.file.name) for row in table(index, CATALOGUE).rows]
    index.close()
    return (
        files,
        unusable,
        [entry.id for entry in CATALOGUE.entries if refusal(entry)],
        [(each.found and each.found.file.name, [entry.id for entry in each.wanted]) for each in found],
        [sorted(file.file.name for file, _ in each.rejected) for each in found],
        rows,
    )


@pytest.fixture
def reworded(monkeypatch):
    """Change every name, every remedy and every sentence about a kind of file."""
    rows = [(row, field) for row in (*FAMILIES, *foreign_files.FOREIGN) for field in ("kind", "name", "files")]
    before = [(row, field, getattr(row, field)) for row, field in rows if hasattr(row, field)]

    def reword():
        for number, (row, field, _) in enumerate(before):
            object.__setattr__(row, field, f"nonsense {number}")
        for sentences in (foreign_files.REMEDIES, wording.OTHERS, wording.COMPANIONS):
            for key in sentences:
                monkeypatch.setitem(sentences, key, f"nonsense about {key}")

    yield reword
    for row, field, text in before:
        object.__setattr__(row, field, text)


def test_no_sentence_decides_anything(models, reworded):
    before = results(models)
    reworded()
    assert "nonsense" in identify(published("infiniteyou-image_proj_model")).problem
    assert results(models) == before
    assert {identity.family for identity in before[0].values()} >= {"plus", "faceid", "flux-xlabs", "lora", "vae"}


def test_purposes_are_those_of_the_catalogue():
    assert set(purposes()) == {purpose for entry in CATALOGUE.entries for purpose in entry.purposes}
    for entry in CATALOGUE.entries:
        row = next((family for family in FAMILIES if family.id == entry.family), None)
        assert set(entry.purposes) <= set(row.purposes if row else ()), entry.id


def test_a_family_with_loras_gets_them_as_a_part(monkeypatch):
    row = next(family for family in FAMILIES if family.id == "faceid")
    file = published("ip-adapter-faceid_sd15").state_dict
    parts = normalise(on_meta(file))
    assert parts.family is row and len(parts.lora) == 256 and not parts.others
    assert {"0.to_q.down.weight", "31.to_out.up.weight"} <= parts.lora.keys()
    assert set(parts.ip_adapter) == {f"{n}.to_{x}_ip.weight" for n in range(1, 32, 2) for x in "kv"}
    monkeypatch.setattr(foreign_files, "ROWS", (replace(row, optional=()),))
    with pytest.raises(ValueError, match="keys that no known IP-Adapter has: lora.0.to_q.down.weight"):
        normalise(on_meta(file))


def test_a_family_may_read_what_is_of_no_common_part(monkeypatch):
    row = replace(
        next(family for family in FAMILIES if family.id == "base"), parts=("image_proj", "ip_adapter", "others")
    )
    monkeypatch.setattr(foreign_files, "ROWS", (row,))
    file = published("ip-adapter_sd15").state_dict
    with pytest.raises(ValueError, match="no others part"):
        normalise(on_meta(file))
    parts = normalise(on_meta(file | {"gate": file["image_proj.norm.weight"]}))
    assert list(parts.others) == ["gate"]
