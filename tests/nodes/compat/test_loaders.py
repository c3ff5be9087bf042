"""The loaders of IPAdapter_plus give what other packs read, with our adapter in it, and apply what belongs to it."""

import copy
import sys
from types import SimpleNamespace

import pytest
import tiny
import torch
from nodes import LoraLoader
from own_files import OWN, put_adapter, put_catalogue, put_encoder, put_face_lora
from safetensors.torch import load_file, save_file

from image_prompt.demo import face_packs
from image_prompt.devtools import published
from image_prompt.faces import FaceAnalyser
from image_prompt.ip_adapter import IPAdapter
from image_prompt.ip_adapter import load_adapter as load_tensors
from image_prompt.ip_adapter.lora import from_companion
from image_prompt.nodes.compat import middle
from image_prompt.nodes.compat import raw as raw_module
from image_prompt.nodes.compat.methods import loaders, simple
from image_prompt.nodes.compat.node import node_class
from image_prompt.nodes.encoding.features import ImageFeatures
from image_prompt.nodes.loading import face_analyser
from image_prompt.nodes.loading.load import load_adapter, load_encoder
from image_prompt.nodes.loading.wires import OURS, acts_in_middle, as_adapter

ROWS = {row.id: row for row in loaders.ROWS}
(SIMPLE,) = simple.ROWS
PICTURE = torch.from_numpy(face_packs.picture((200, 210, face_packs.RED))).unsqueeze(0) / 255.0
STANDARD = "STANDARD (medium strength)"


def instance(name):
    return node_class(ROWS[name], "custom_nodes.image-prompt")()


def loaded(name):
    return instance("IPAdapterModelLoader").load_ipadapter_model(ipadapter_file=name)[0]


@pytest.fixture
def file(model):
    return tiny.base_file(model)


def as_safetensors(file, path):
    save_file(file, path)


def as_nested(file, path):
    torch.save(published.nested(file), path)


def as_modules(file, path):
    renamed = {key.replace("ip_adapter.", "adapter_modules."): each for key, each in file.items()}
    torch.save(published.nested(renamed), path)


@pytest.mark.parametrize("write", [as_safetensors, as_nested, as_modules])
def test_the_tensors_of_a_file_are_in_their_parts(folders, file, write):
    write(file, folders / "ipadapter" / "a.bin")
    raw = loaded("a.bin")
    for part, tensors in published.nested(file).items():
        assert raw[part].keys() == tensors.keys()
        assert all(torch.equal(raw[part][key], each) for key, each in tensors.items())
    assert raw.keys() == {"image_proj", "ip_adapter", OURS}


@pytest.mark.parametrize("layout", ["ip-adapter-full-face_sd15", "ip-adapter-plus_sd15"])
def test_keys_are_those_of_the_file_where_ours_are_others(folders, model, layout):
    shapes = {"full": published.full_face(768, 32), "plus": published.resampler(768, 32, depth=1)}
    projection = shapes["full" if "full" in layout else "plus"]
    file = tiny.file_for(model, lambda _: projection)
    save_file(file, folders / "ipadapter" / "a.safetensors")
    raw = loaded("a.safetensors")
    assert raw["image_proj"].keys() == projection.keys()
    assert all(torch.equal(each, file[f"image_proj.{key}"]) for key, each in raw["image_proj"].items())


APPLIED = (
    *("ip-adapter_sd15", "ip-adapter-plus_sd15", "ip-adapter-full-face_sd15", "ip-adapter_sdxl_vit-h"),
    *("ip-adapter-plus_sdxl_vit-h", "Kolors-IP-Adapter-Plus", "noobIPAMARK1_mark1"),
)


@pytest.mark.parametrize("layout", APPLIED)
def test_a_published_file_is_divided_by_its_prefixes(folders, layout, monkeypatch):
    shapes = published.shapes(layout)
    published.write_header(folders / "ipadapter" / "a.safetensors", shapes)
    meta = load_tensors({key: torch.empty(shape, device="meta") for key, shape in shapes.items()}).state_dict()
    held = {key: torch.zeros(()).expand(tensor.shape) for key, tensor in meta.items()}  # without memory
    adapter = SimpleNamespace(module=SimpleNamespace(state_dict=lambda: held), as_family=lambda _: adapter)
    monkeypatch.setattr(raw_module, "load_adapter", lambda _, folder: adapter)
    found = loaded("a.safetensors")
    for part, prefixes in (("image_proj", ["image_proj."]), ("ip_adapter", ["ip_adapter.", "adapter_modules."])):
        keys = {key.removeprefix(p): shape for p in prefixes for key, shape in shapes.items() if key.startswith(p)}
        assert {key: tuple(tensor.shape) for key, tensor in found[part].items()} == keys


def test_the_weights_are_in_memory_once(folders, file):
    save_file(file, folders / "ipadapter" / "a.safetensors")
    raw = loaded("a.safetensors")
    held = {tensor.data_ptr() for tensor in raw[OURS].module.state_dict().values()}
    assert {tensor.data_ptr() for part in ("image_proj", "ip_adapter") for tensor in raw[part].values()} == held


def test_it_is_the_adapter_that_our_own_loader_gives(folders, file):
    save_file(file, folders / "ipadapter" / "a.safetensors")
    raw = loaded("a.safetensors")
    assert as_adapter(raw) is load_adapter("a.safetensors") is as_adapter(loaded("a.safetensors"))
    assert as_adapter({part: raw[part] for part in ("image_proj", "ip_adapter")}) is raw[OURS]


def test_a_copy_without_our_adapter_is_read_as_that_of_another_pack(folders, file, features, model, apply):
    save_file(file, folders / "ipadapter" / "a.safetensors")
    raw = loaded("a.safetensors")
    theirs = {part: copy.deepcopy(raw[part]) for part in ("image_proj", "ip_adapter")}
    outputs = [tiny.sample(apply(model, each, features), "SD1.5") for each in (raw, theirs)]
    assert as_adapter(theirs) is not raw[OURS] and torch.equal(*outputs)


def test_what_our_adapter_does_not_hold_is_read_from_the_file(folders, file, monkeypatch):
    save_file(file, folders / "ipadapter" / "a.safetensors")
    adapter, held = load_adapter("a.safetensors"), IPAdapter.state_dict
    monkeypatch.setattr(
        IPAdapter,
        "state_dict",
        lambda self: {key: each for key, each in held(self).items() if "proj.weight" not in key},
    )
    found = loaded("a.safetensors")
    assert found[OURS] is adapter and torch.equal(found["image_proj"]["proj.weight"], file["image_proj.proj.weight"])


def test_an_adapter_for_flux_has_parts_too(folders):
    save_file(tiny.flux_file(tiny.flux()), folders / "ipadapter" / "a.safetensors")
    raw = loaded("a.safetensors")
    assert raw["image_proj"].keys() == {"proj.weight", "proj.bias", "norm.weight", "norm.bias"}
    assert len(raw["ip_adapter"]) == 19 * 4 and "18.to_v_ip.bias" in raw["ip_adapter"]


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("ip-adapter-faceid-plusv2_sd15.bin", {"faceidplusv2"}),
        ("mine-PlusV2.bin", {"faceidplusv2"}),
        ("plusv2/ip-adapter-faceid-plus_sd15.bin", set()),
        ("plusv2/mine.bin", set()),
        ("ip-adapter-faceid-portrait_sdxl_unnorm.bin", {"portraitunnorm"}),
        ("plusv2-of-mine.bin", set()),
    ],
)
def test_flags_come_from_the_catalogue_and_then_from_the_name(folders, file, name, flags):
    put_catalogue(folders, {**OWN, "files": ["plusv2-of-mine.bin"]})
    (folders / "ipadapter" / name).parent.mkdir(exist_ok=True)
    as_nested(file, folders / "ipadapter" / name)
    assert {key: True for key in flags} == {
        key: value for key, value in loaded(name).items() if key not in ("image_proj", "ip_adapter", OURS)
    }


def test_a_broken_catalogue_hinders_no_loader(folders, file):
    put_catalogue(folders, text="{")
    as_nested(file, folders / "ipadapter" / "plusv2.bin")
    assert loaded("plusv2.bin")["faceidplusv2"] is True


@pytest.mark.parametrize(
    ("name", "flags", "family"),
    [
        ("ip-adapter-faceid-plusv2_sd15.bin", {"faceidplusv2"}, "faceid-plus-v2"),
        ("plusv2/ip-adapter-faceid-plus_sd15.bin", set(), "faceid-plus"),
    ],
)
def test_which_family_a_file_is_of_is_told_as_its_flags_are(folders, model, name, flags, family):
    file = tiny.file_for(model, lambda context: published.identity_perceiver(context, width=32, depth=1))
    (folders / "ipadapter" / name).parent.mkdir(exist_ok=True)
    as_nested(file, folders / "ipadapter" / name)
    raw = loaded(name)
    assert as_adapter(raw).module.family.id == family and raw.keys() & {"faceidplusv2"} == flags


def test_what_is_not_applied_ends_in_the_explanation(folders):
    published.write_header(folders / "ipadapter" / "a.bin", {"id_encoder.fuse_module.mlp1.fc1.weight": (4, 4)})
    with pytest.raises(ValueError, match=r"(?s)This file is PhotoMaker"):
        loaded("a.bin")
    with pytest.raises(ValueError, match=r"b\.bin is not in models/ipadapter"):
        loaded("b.bin")


@pytest.fixture
def files(folders):
    """A tiny adapter that the catalogue calls standard, its encoder and their names, which no pattern finds."""
    put_catalogue(folders, OWN)
    put_adapter(folders)
    put_encoder(folders)
    return folders


def unified(model, preset=STANDARD, **options):
    return instance("IPAdapterUnifiedLoader").load_models(model, preset, **options)


def test_a_unified_loader_gives_a_pipe_and_the_model_as_it_was(files, model):
    steered, pipe = unified(model)
    assert steered is model
    assert pipe == {
        "clipvision": {
            "file": str(files / "clip_vision" / "anything.safetensors"),
            "model": pipe["clipvision"]["model"],
        },
        "ipadapter": {"file": str(files / "ipadapter" / "tiny.safetensors"), "model": pipe["ipadapter"]["model"]},
        "insightface": {"provider": None, "model": None},
    }
    assert as_adapter(pipe) is load_adapter("tiny.safetensors")
    assert pipe["clipvision"]["model"] is load_encoder("anything.safetensors")


def test_parts_of_a_connected_pipe_are_used_again_if_they_are_of_the_same_files(files, model):
    _, first = unified(model)
    theirs = copy.copy(first["ipadapter"]["model"])
    given = {**first, "ipadapter": {**first["ipadapter"], "model": theirs}}
    _, pipe = unified(model, ipadapter=given)
    assert pipe["ipadapter"]["model"] is theirs and pipe["clipvision"]["model"] is first["clipvision"]["model"]
    for part in ("ipadapter", "clipvision"):
        other = {**given, part: {"file": "another.safetensors", "model": theirs}}
        assert unified(model, ipadapter=other)[1][part]["file"] == first[part]["file"]
        assert unified(model, ipadapter=other)[1][part]["model"] is not theirs
        empty = {**given, part: {**given[part], "model": None}}
        assert unified(model, ipadapter=empty)[1][part]["model"] is not None


def test_a_connected_raw_dict_stays_as_it_is(files, model):
    raw = loaded("tiny.safetensors")
    before = dict(raw)
    unified(model, ipadapter=raw)
    assert raw == before


def test_the_middle_block_and_the_faces_of_a_connected_pipe_stay(files, model):
    faces = {"provider": "CUDA", "model": object()}
    _, pipe = unified(model, ipadapter={**unified(model)[1], "insightface": faces})
    assert pipe["insightface"] == faces and not acts_in_middle(pipe)
    (on,) = middle.IPAdapterMiddleBlock.execute(pipe).args
    assert acts_in_middle(unified(model, ipadapter=on)[1])
    (off,) = middle.IPAdapterMiddleBlock.execute(on, on=False).args
    assert not acts_in_middle(unified(model, ipadapter=off)[1])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "a word"}, "The model is the text 'a word'"),
        ({"preset": "strong"}, "The preset is 'strong': choose one of"),
        ({"preset": "Kolors"}, "'Kolors' is for SDXL and Kolors models, and the model is SD1"),
        ({"lora_strength": "a"}, "The lora_strength is the text 'a': it must be a number"),
    ],
)
def test_bad_input_is_named(files, model, options, words):
    with pytest.raises(ValueError, match=words):
        instance("IPAdapterUnifiedLoader").load_models(**{"model": model, "preset": STANDARD, **options})


@pytest.fixture
def face_pack(folders):
    """The files of buffalo_l."""
    face_packs.write_pack(folders / "insightface" / "models")
    return folders


CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"


def test_a_face_analyser_is_loaded_from_its_folder(face_pack, monkeypatch):
    """All but the CPU stand for what is installed."""
    (old,) = instance("InsightFaceLoader").load_insight_face(provider="CPU")
    assert isinstance(old, FaceAnalyser) and (old.name, old.providers) == ("buffalo_l", (CPU,))
    monkeypatch.setattr(face_analyser, "available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(FaceAnalyser, "load", lambda folder, providers, name: (folder, providers))
    for provider, expected in (("CPU", [CPU]), ("CUDA", [CUDA, CPU]), ("ROCM", [CUDA, CPU])):
        (asked,) = instance("IPAdapterInsightFaceLoader").load_insightface(provider=provider)
        assert asked == (face_pack / "insightface" / "models" / "buffalo_l", expected)


def test_what_is_missing_to_find_faces_is_said(face_pack, monkeypatch):
    with pytest.raises(ValueError, match=r"(?s)antelopev2 is not in models/insightface.*Get antelopev2\.zip.*research"):
        instance("IPAdapterInsightFaceLoader").load_insightface("CPU", "antelopev2")
    with pytest.raises(ValueError, match="The input provider is the text 'TPU': choose one of CPU, CUDA"):
        instance("InsightFaceLoader").load_insight_face("TPU")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match="onnxruntime"):
        instance("InsightFaceLoader").load_insight_face("CPU")


FACE, LORA = "ip-adapter-faceid_sd15.bin", "ip-adapter-faceid_sd15_lora.safetensors"


@pytest.fixture
def with_faces(face_pack, model):
    """A tiny FaceID adapter without a LoRA inside."""
    save_file(tiny.file_for(model, published.identity), face_pack / "ipadapter" / FACE)
    return face_pack


def for_faces(model, lora_strength, **options):
    row = {"preset": "FACEID", "provider": "CPU", **options}
    return instance("IPAdapterUnifiedLoaderFaceID").load_models(model, lora_strength=lora_strength, **row)


def test_the_lora_is_applied_with_its_strength_and_faces_are_found(with_faces, model):
    put_face_lora(with_faces, model, f"0-{LORA}")
    put_face_lora(with_faces, model, LORA)
    steered, pipe = for_faces(model, 0.6)
    expected, _ = LoraLoader().load_lora(model, None, f"0-{LORA}", 0.6, 0.0)
    assert torch.equal(tiny.sample(steered, "SD1.5"), tiny.sample(expected, "SD1.5"))
    assert not torch.equal(tiny.sample(steered, "SD1.5"), tiny.sample(model, "SD1.5"))
    assert pipe["clipvision"] == {"file": None, "model": None}
    faces = pipe["insightface"]
    assert faces["provider"] == "CPU" and isinstance(faces["model"], FaceAnalyser)
    assert for_faces(model, 0.0, ipadapter=pipe)[1]["insightface"]["model"] is faces["model"]
    assert for_faces(model, 0.0, ipadapter=pipe, provider="CUDA")[1]["insightface"]["model"] is not faces["model"]


def test_without_strength_no_lora_is_needed(with_faces, model):
    assert for_faces(model, 0.0)[0] is model
    with pytest.raises(ValueError, match=rf"(?s)^{FACE} was trained with a LoRA\..*Get ip-adapter-faceid_sd15_lora"):
        for_faces(model, 0.6)


def test_without_a_file_of_its_own_the_lora_is_that_in_the_adapters_file(with_faces, model):
    put_face_lora(with_faces, model, LORA)
    expected = tiny.sample(for_faces(model, 0.6)[0], "SD1.5")
    inner = from_companion(load_file(with_faces / "loras" / LORA))
    file = tiny.file_for(model, published.identity)
    file |= {
        f"ip_adapter.{key.replace('.down', '_lora.down').replace('.up', '_lora.up')}": each
        for key, each in inner.items()
    }
    save_file(file, with_faces / "ipadapter" / FACE)
    (with_faces / "loras" / LORA).unlink()
    steered, _ = for_faces(model, 0.6)
    torch.testing.assert_close(tiny.sample(steered, "SD1.5"), expected, rtol=1e-5, atol=1e-5)
    assert for_faces(model, 0.0)[0] is model


def test_the_lora_is_applied_once_whatever_applies_the_adapter(with_faces, model, apply):
    """The nodes of the other pack add none, and ours sees that it is there."""
    put_face_lora(with_faces, model, LORA)
    steered, pipe = for_faces(model, 0.6)
    assert as_adapter(pipe).module.lora
    theirs, _ = node_class(SIMPLE, "m")().apply_ipadapter(steered, pipe, PICTURE, weight=0.5)
    ours = apply(steered, pipe, ImageFeatures(face_embeds=torch.rand(1, 512), negative_penultimate=None, encoder=""))
    alone, _ = node_class(SIMPLE, "m")().apply_ipadapter(model, pipe, PICTURE, weight=0.5)
    assert not alone.patches and steered.patches
    assert all(each.patches.keys() == steered.patches.keys() for each in (theirs, ours))
    assert {len(each.patches[key]) for each in (theirs, ours) for key in each.patches} == {1}
    unsteered, without = for_faces(model, 0.0)
    features = ImageFeatures(face_embeds=torch.rand(1, 512), negative_penultimate=None, encoder="")
    assert not apply(unsteered, without, features).patches


def test_comfyui_runs_loaders_again_once_their_files_are_others(files):
    loader, preset = node_class(ROWS["IPAdapterModelLoader"], "m"), node_class(ROWS["IPAdapterUnifiedLoader"], "m")
    before = loader.IS_CHANGED("tiny.safetensors"), preset.IS_CHANGED(preset=STANDARD, model=None)
    assert before == (loader.IS_CHANGED(ipadapter_file="tiny.safetensors"), preset.IS_CHANGED(preset=STANDARD))
    put_adapter(files, "tiny.safetensors", "SDXL")
    put_adapter(files, "ip-adapter_sd15.safetensors")
    assert loader.IS_CHANGED("tiny.safetensors") != before[0] and preset.IS_CHANGED(preset=STANDARD) != before[1]
    assert preset.IS_CHANGED(preset="strong") != preset.IS_CHANGED(preset="strong")  # it says so when it runs
    assert preset.IS_CHANGED(preset=None) == preset.IS_CHANGED(preset=None)


def test_files_are_listed_for_the_loader(files):
    listed, _ = node_class(ROWS["IPAdapterModelLoader"], "m").INPUT_TYPES()["required"]["ipadapter_file"]
    assert listed == ["tiny.safetensors"]
