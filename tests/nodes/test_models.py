"""Models are found by content, loaded, shared and reported, and missing ones are explained."""

import os
import re
import threading
from types import SimpleNamespace

import comfy.model_management
import folder_paths
import pytest
import tiny
import torch
from nodes import LoraLoaderModelOnly
from own_files import OWN, put_adapter, put_catalogue, put_encoder, put_face_lora
from safetensors.torch import save_file

from image_prompt.clip_vision.network.packing import PackedLinear
from image_prompt.devtools import published
from image_prompt.ip_adapter import APPLIED_TO
from image_prompt.model_files.environment import parts as environment
from image_prompt.model_files.index import background_passes, index_cache
from image_prompt.nodes import display
from image_prompt.nodes.encoding.encode import EncodeImagePrompt
from image_prompt.nodes.folders import register_folders
from image_prompt.nodes.loading import model_library, models
from image_prompt.nodes.loading.load import LoadImageEncoder, LoadImagePromptAdapter
from image_prompt.nodes.loading.models import PURPOSES, LoadImagePromptModels, ModelPathsReport
from image_prompt.nodes.status import status


def test_adapter_and_encoder_are_found_under_any_name_and_shared(folders, catalogue):
    put_adapter(folders, "of mine/whatever.safetensors")
    put_encoder(folders, "clip_vision/SD1.5/model.safetensors")
    model = tiny.unet("SD1.5")
    given, adapter, encoder = LoadImagePromptModels.execute(model, "standard").args
    assert given is model
    assert adapter is LoadImagePromptAdapter.execute("of mine/whatever.safetensors").args[0]
    assert encoder is LoadImageEncoder.execute("SD1.5/model.safetensors").args[0]
    assert LoadImagePromptModels.execute(model).args[1] is adapter  # auto


@pytest.fixture
def shown(monkeypatch):
    """The texts that nodes show on themselves: {(node id, client): text}."""
    texts = {}

    class Browser:
        client_id = "a browser"

        def send_progress_text(self, text, node_id, client=None):
            texts[node_id, client] = text

    monkeypatch.setattr(display, "prompt_server", Browser)
    return texts


def as_node(node, number):
    return type(node.__name__, (node,), {"hidden": SimpleNamespace(unique_id=number)})


def test_an_encoder_in_the_hugging_face_cache_is_named_and_loaded_once_it_is_linked(folders, catalogue, monkeypatch):
    """ComfyUI lists its own folders alone, so that a loader has no name for the file."""
    entry = {
        **OWN,
        "id": "own",
        "kind": "encoder",
        "family": "tiny CLIP",
        "base_model": "",
        "encoder": "tiny CLIP",
        "purposes": [],
        "folder": "clip_vision",
        "files": ["own.safetensors", "mine/model.safetensors"],
        "url": "https://huggingface.co/me/mine/resolve/main/model.safetensors",
    }
    put_catalogue(folders, OWN, entry)
    put_adapter(folders)
    monkeypatch.setenv("HF_HUB_CACHE", str(folders.parent / "hub"))
    link = folders.parent / "hub/models--me--mine/snapshots/0/model.safetensors"
    link.parent.mkdir(parents=True)
    put_encoder(folders.parent, link)
    with pytest.raises(ValueError) as error:
        LoadImagePromptModels.execute(tiny.unet("SD1.5"), "standard")
    assert "\nOn this disk: Hugging Face cache/me/mine/model.safetensors, the image encoder " in str(error.value)
    assert str(error.value).endswith(". Copy or link it to models/clip_vision.")
    assert "own: Hugging Face cache/me/mine/model.safetensors: Copy or link" in ModelPathsReport.execute().args[0]
    (folders / "clip_vision" / "mine.safetensors").symlink_to(link)
    _, _, encoder = LoadImagePromptModels.execute(tiny.unet("SD1.5"), "standard").args
    assert encoder is LoadImageEncoder.execute("mine.safetensors").args[0]


def test_what_was_taken_is_said_on_the_node(folders, with_companion, shown):
    plain = tiny.unet("SD1.5")
    put_face_lora(folders, plain)
    as_node(LoadImagePromptModels, "5").execute(plain)
    lines = shown["5", "a browser"].split("  \n")
    assert lines[::2] == ["standard: tiny", "anything", "companion"]
    assert [line.split(", ")[0] for line in lines[1::2]] == ["base for SD1.5", "tiny CLIP", "LoRA"]
    assert all(re.fullmatch(r".*, \d+\.\d MB", line) for line in lines[1::2])


def test_what_was_taken_is_sent_again_from_the_cache(folders, with_companion, shown):
    put_face_lora(folders, tiny.unet("SD1.5"))
    output = as_node(LoadImagePromptModels, "5").execute(tiny.unet("SD1.5"))
    assert output.ui == {"image_prompt_said": [shown["5", "a browser"].replace("  \n", "\n")]}


def test_the_report_is_short_on_the_node(folders, catalogue, shown):
    put_adapter(folders)
    counts, *lists = as_node(ModelPathsReport, "7").execute().args[0].split("\n\n")
    assert re.fullmatch(r"1 found, \d+ missing", counts) and len(lists) == 2
    assert shown == {("7", "a browser"): counts}


def test_they_fit_together(folders, catalogue, pictures, apply):
    put_adapter(folders)
    put_encoder(folders)
    model, adapter, encoder = LoadImagePromptModels.execute(tiny.unet("SD1.5"), "standard").args
    features = EncodeImagePrompt.execute(encoder, pictures[:1]).args[0]
    steered = tiny.sample(apply(model, adapter, features), "SD1.5")
    assert (steered - tiny.sample(model, "SD1.5")).abs().max() > 0.01


@pytest.fixture
def with_companion(folders):
    own = {**OWN, "companion": "ip-adapter-faceid_sd15_lora"}
    put_catalogue(folders, own)
    put_adapter(folders)
    put_encoder(folders)


def test_the_lora_that_belongs_to_an_adapter_is_applied(folders, with_companion):
    plain = tiny.unet("SD1.5")
    put_face_lora(folders, plain)
    model, *_ = LoadImagePromptModels.execute(plain, "standard").args
    (expected,) = LoraLoaderModelOnly().load_lora_model_only(plain, "companion.safetensors", 1.0)
    assert torch.equal(tiny.sample(model, "SD1.5"), tiny.sample(expected, "SD1.5"))
    assert not torch.equal(tiny.sample(model, "SD1.5"), tiny.sample(plain, "SD1.5"))


FACEID = {
    **OWN,
    "family": "faceid",
    "encoder": "",
    "purposes": ["FaceID"],
    "companion": "ip-adapter-faceid_sd15_lora",
    "face_pack": "buffalo_l",
}


def put_faceid(folders, with_lora):
    """A FaceID adapter as narrow as the model is, with its LoRA inside or without one."""
    put_catalogue(folders, FACEID)
    file = tiny.file_for(tiny.unet("SD1.5"), lambda context: published.identity(context))
    widths = [file[f"ip_adapter.{number}.to_k_ip.weight"].shape[0] for number in range(1, 32, 2)]
    lora = published.fill(published.lora(widths, 768), 7) if with_lora else {}
    save_file(file | lora, folders / "ipadapter" / "tiny.safetensors")


@pytest.mark.parametrize("inside", [True, False])
def test_an_adapter_for_faces_needs_no_encoder_and_names_its_face_pack(folders, shown, inside):
    put_faceid(folders, inside)
    plain = tiny.unet("SD1.5")
    put_face_lora(folders, plain)
    model, adapter, encoder = as_node(LoadImagePromptModels, "7").execute(plain, "FaceID").args
    assert encoder is None and adapter.module.family.id == "faceid" and adapter.module.lora
    assert model is plain  # its LoRA acts with it, in the nodes that apply it, wherever it is from
    assert list(shown.values()) == [
        "FaceID: tiny  \nFaceID for SD1.5, 21.3 MB  \n"
        "face pack buffalo_l, licence non-commercial research (InsightFace), no commercial use"
    ]


def test_an_adapter_for_faces_without_its_lora_is_explained(folders):
    put_faceid(folders, with_lora=False)
    with pytest.raises(ValueError, match=r"(?s)trained with a LoRA.*Get ip-adapter-faceid_sd15_lora\.safetensors"):
        LoadImagePromptModels.execute(tiny.unet("SD1.5"), "FaceID")


def test_a_missing_adapter_for_faces_is_to_be_got(folders):
    with pytest.raises(
        ValueError, match=r"(?s)kind 'InstantID'\. Looked in .*instantid.*Get instantid-ip-adapter\.bin"
    ):
        LoadImagePromptModels.execute(tiny.unet("SDXL"), "InstantID")


def instantid_file():
    projection = lambda context: published.resampler(context, 512, dim=64, depth=1)  # noqa: E731
    return tiny.file_for(tiny.unet("SDXL"), projection)


def listed_adapters():
    return LoadImagePromptAdapter.define_schema().inputs[0].options


def test_adapters_in_the_folders_of_other_packs_are_listed_last_and_loaded(folders):
    put_adapter(folders, "z.safetensors")
    save_file(published.halves(instantid_file()), folders / "instantid" / "a.safetensors")
    assert listed_adapters() == ["z.safetensors", "instantid/a.safetensors"]
    adapter = LoadImagePromptAdapter.execute("instantid/a.safetensors").args[0]
    assert (adapter.module.family.id, adapter.name) == ("instantid", "a.safetensors")  # by its folder: it is in fp16
    assert LoadImagePromptModels.execute(tiny.unet("SDXL"), "InstantID").args[1] is adapter
    before = LoadImagePromptAdapter.fingerprint_inputs("instantid/a.safetensors")
    (folders / "instantid" / "a.safetensors").touch()
    assert LoadImagePromptAdapter.fingerprint_inputs("instantid/a.safetensors") != before


@pytest.mark.parametrize("folder", ["ipadapter-flux", "xlabs_ipadapters"])
def test_adapters_in_the_folders_of_packs_for_flux_are_found(folders, catalogue, folder):
    save_file(tiny.flux_file(tiny.flux()), folders / folder / "mine.safetensors")
    assert listed_adapters() == [f"{folder}/mine.safetensors"]
    put_catalogue(folders, {**OWN, "id": "flux", "family": "flux-xlabs", "base_model": "Flux", "encoder": ""})
    found = model_library.look_for(model_library.Need("adapter", "standard", "Flux")).found
    assert (found and found.file.name) == "mine.safetensors"


def test_the_folder_of_xlabs_is_where_its_pack_has_it(monkeypatch):
    monkeypatch.delitem(folder_paths.folder_names_and_paths, "xlabs_ipadapters", raising=False)
    register_folders()
    wanted = [os.path.join(folder_paths.models_dir, "xlabs/ipadapters")]
    assert folder_paths.get_folder_paths("xlabs_ipadapters") == wanted


def test_what_is_in_models_ipadapter_keeps_its_name(folders):
    put_adapter(folders, "pulid/a.safetensors")
    put_adapter(folders, "../pulid/a.safetensors", "SDXL")
    assert listed_adapters() == ["pulid/a.safetensors"]
    assert LoadImagePromptAdapter.execute("pulid/a.safetensors").args[0].module.base_model == "SD1.5"


def test_a_name_that_is_in_no_folder_of_adapters_is_refused(folders):
    with pytest.raises(ValueError, match="gone.safetensors is not in models/pulid: choose a file"):
        LoadImagePromptAdapter.execute("pulid/gone.safetensors")


def test_a_missing_lora_is_explained(folders, with_companion):
    with pytest.raises(
        ValueError,
        match=r"(?s)tiny\.safetensors was trained with a LoRA.*Not found: FaceID LoRA for "
        r"SD1\.5.*models/loras",
    ):
        LoadImagePromptModels.execute(tiny.unet("SD1.5"), "standard")


@pytest.mark.parametrize("purpose", ["auto", "plus face"])
def test_a_missing_adapter_is_explained(folders, purpose):
    with pytest.raises(ValueError) as error:
        LoadImagePromptModels.execute(tiny.unet("SDXL"), purpose)
    said = str(error.value)
    for words in (
        "IP-Adapter for SDXL",
        "_sdxl_vit-h.safetensors",
        "https://huggingface.co/",
        "Apache-2.0",
        "MB",
        "models/ipadapter",
    ):
        assert words in said
    assert str(folders) not in said


def test_what_there_is_for_flux_is_named_where_it_is_missing(folders):
    with pytest.raises(ValueError, match=r"kind 'standard'.*\n.*Get flux-ip-adapter-v2\.safetensors \(licence FLUX"):
        LoadImagePromptModels.execute(tiny.flux())


def test_for_flux_they_are_found_and_fit_together(folders, pictures, apply):
    save_file(tiny.flux_file(tiny.flux()), folders / "ipadapter" / "anything.safetensors")
    put_encoder(folders)
    model, adapter, encoder = LoadImagePromptModels.execute(tiny.flux()).args
    assert adapter.module.family.id == "flux-xlabs"
    features = EncodeImagePrompt.execute(encoder, pictures[:1], adapter=adapter).args[0]
    steered = tiny.sample(apply(model, adapter, features), "Flux")
    assert (steered - tiny.sample(model, "Flux")).abs().max() > 0.01


def test_a_missing_encoder_is_explained_with_the_adapter_that_needs_it(folders, catalogue):
    put_adapter(folders)
    put_encoder(folders, "ipadapter/encoder.safetensors")
    with pytest.raises(
        ValueError,
        match=r"(?s)tiny\.safetensors is an IP-Adapter for SD1\.5 that reads an encoder "
        r"whose image_embeds is 24 wide.*ipadapter/encoder\.safetensors.*Move it to models/clip_vision",
    ):
        LoadImagePromptModels.execute(tiny.unet("SD1.5"), "standard")


def test_a_model_that_no_adapter_is_made_for(folders):
    applied = f"IP-Adapters are applied to {', '.join(APPLIED_TO)} models"
    with pytest.raises(ValueError, match=rf"The model is Flux\.2: {applied}"):
        LoadImagePromptModels.execute(tiny.flux2())


def test_auto_looks_no_further_than_what_it_takes(folders, catalogue, monkeypatch):
    put_adapter(folders)
    put_encoder(folders)
    asked = []
    monkeypatch.setattr(
        models,
        "look_for",
        lambda need, *patience, **named: (
            asked.append(need.purpose or need.kind) or model_library.look_for(need, *patience, **named)
        ),
    )
    LoadImagePromptModels.execute(tiny.unet("SD1.5"))
    assert asked == ["plus", "standard", "encoder"]


def test_cancel_ends_the_waiting(folders, monkeypatch):
    put_adapter(folders)
    monkeypatch.setattr(background_passes, "TICK", 0.01)
    slow = threading.Event()
    real = model_library.Index._look_into
    monkeypatch.setattr(model_library.Index, "_look_into", lambda self, file: slow.wait(20) and real(self, file))
    comfy.model_management.interrupt_current_processing()
    try:
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            ModelPathsReport.execute()
    finally:
        comfy.model_management.interrupt_current_processing(False)
        slow.set()


def test_an_adapter_in_the_place_of_an_encoder_ends_in_the_explanation(folders):
    put_adapter(folders)
    (folders / "ipadapter" / "tiny.safetensors").rename(folders / "clip_vision" / "tiny.safetensors")
    with pytest.raises(ValueError, match=r"(?s)Not found: image encoder\..*Get .*\.safetensors.*huggingface\.co"):
        LoadImageEncoder.execute("tiny.safetensors")


def test_an_encoder_in_the_place_of_an_adapter_ends_in_the_explanation(folders, catalogue):
    put_encoder(folders, "ipadapter/encoder.safetensors")
    put_adapter(folders)
    with pytest.raises(ValueError, match=r"(?s)Needed: IP-Adapter\. On this disk: ipadapter/tiny\.safetensors"):
        LoadImagePromptAdapter.execute("encoder.safetensors")


def test_a_broken_file_under_a_published_name_is_to_be_got_again(folders):
    (folders / "ipadapter" / "ip-adapter-plus_sdxl_vit-h.safetensors").write_text("<html>Sign in</html>")
    with pytest.raises(ValueError, match=r"(?s)is a web page.*Get ip-adapter-plus_sdxl_vit-h\.safet") as error:
        LoadImagePromptAdapter.execute("ip-adapter-plus_sdxl_vit-h.safetensors")
    assert str(error.value).count("Get ip-adapter") == 1


def test_a_broken_catalogue_does_not_hide_the_error(folders, pictures, apply):
    put_catalogue(folders, text="{")
    model = tiny.unet("SD1.5")
    wrong = EncodeImagePrompt.execute(tiny.encoder(projection=16), pictures[:1]).args[0]
    with pytest.raises(ValueError, match=r"(?s)was given 16 wide ones.*image-prompt-catalogue\.json cannot be read"):
        apply(model, tiny.adapter(model), wrong)


def test_the_second_encoder_of_an_adapter_is_named(folders, catalogue):
    assert models.second_encoder("") == []
    assert models.second_encoder("DINOv2 giant/14") == [
        "second encoder DINOv2 giant/14: missing, see Model Paths Report"
    ]
    described = {"vision_config": '{"heads": 4, "name": "DINOv2 giant/14"}'}
    save_file(tiny.encoder_file(), folders / "clip_vision" / "dino.safetensors", metadata=described)
    model_library.close_index()
    assert models.second_encoder("DINOv2 giant/14") == ["second encoder DINOv2 giant/14: dino, for Load Image Encoder"]


def test_purposes_keep_their_order():
    assert PURPOSES == (
        *("plus", "standard", "vit-G", "light", "composition", "plus face", "full face", "NoobAI"),
        *("FaceID", "FaceID plus", "FaceID plus v2", "FaceID portrait", "FaceID portrait unnorm"),
        *("PuLID", "InstantID", "style and content", "instruct", "style", "InstantX", "character"),
    )


def test_a_wrong_base_ends_in_the_explanation(folders, features, apply):
    put_adapter(folders, "ip-adapter_sdxl_vit-h.safetensors", "SDXL")
    with pytest.raises(
        ValueError,
        match=r"(?s)tiny\.safetensors is an IP-Adapter for SD1\.5, the model is SDXL.*"
        r"ipadapter/ip-adapter_sdxl_vit-h\.safetensors",
    ):
        apply(tiny.unet("SDXL"), tiny.adapter(tiny.unet("SD1.5")), features)


def test_a_wrong_encoder_ends_in_the_explanation(folders, pictures, apply):
    put_encoder(folders, "clip_vision/right.safetensors")
    model = tiny.unet("SD1.5")
    wrong = EncodeImagePrompt.execute(tiny.encoder(projection=16), pictures[:1]).args[0]
    with pytest.raises(ValueError, match=r"(?s)was given 16 wide ones.*On this disk: clip_vision/right\.safetensors"):
        apply(model, tiny.adapter(model), wrong)


def test_the_report_accounts_for_every_file(folders, catalogue):
    put_adapter(folders)
    put_encoder(folders, "loras/lost.safetensors")
    (folders / "ipadapter" / "page.safetensors").write_text("<html>Sign in</html>")
    text = ModelPathsReport.execute().args[0]
    lists = {title: lines for title, *lines in (each.splitlines() for each in text.split("\n\n")[1:])}
    assert "- tiny: ipadapter/tiny.safetensors" in lists["Found:"]
    assert any(line.startswith("- ip-adapter-plus_sd15: Get ") for line in lists["Missing:"])
    assert any(re.match(r"- ipadapter/page\.safetensors: .*web page", line) for line in lists["Other files:"])
    assert str(folders) not in text


def test_the_report_says_as_data_what_to_get_and_where_to_put_it(folders, catalogue):
    put_adapter(folders, "mine/tiny.safetensors")
    rows = {row["entry"]["id"]: row for row in model_library.report().to_dict()["rows"]}
    file = rows["tiny"]["file"]
    assert (rows["tiny"]["status"], file["folder"], file["name"]) == (
        "found",
        "models/ipadapter",
        "mine/tiny.safetensors",
    )
    assert rows["ip-adapter-plus_sd15"]["get"] == {
        "name": "ip-adapter-plus_sd15.safetensors",
        "size": "98 MB",
        "licence": "licence Apache-2.0, commercial use allowed",
        "link": "https://huggingface.co/h94/IP-Adapter/resolve/main/models/ip-adapter-plus_sd15.safetensors",
        "folder": "models/ipadapter",
        "plain": True,
    }
    assert not rows["buffalo_l"]["get"]["plain"]  # it is unpacked


def test_what_is_broken_is_in_the_report_and_in_the_state(folders, tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "image_prompt_part.py").write_text("raise ImportError('needs numpy<2')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    package = environment.Package("part", "image_prompt_part", ("no-such-thing",), "absent")
    monkeypatch.setattr(environment, "OPTIONAL", (package,))
    problem = "of unknown version, which cannot be imported: ImportError: needs numpy<2"
    title, line = ModelPathsReport.execute().args[0].split("\n\n")[-1].splitlines()
    assert title == "Broken optional parts:" and line.startswith(f"- part: {problem}. `python -m pip check`")
    part = {"name": "part", "present": False, "detail": problem, "state": "broken"}
    assert status()["optional"][0] == part
    assert index_cache.load_imports(model_library.index_file())["image_prompt_part"].problem


def test_the_report_is_never_kept():
    assert ModelPathsReport.fingerprint_inputs() != ModelPathsReport.fingerprint_inputs()


class OutOfMemory:
    """An encoder's device on which only so many pictures fit."""

    def __init__(self, encoder, fits):
        self.compute, self.fits, self.tried = encoder.features, fits, []
        encoder.load_device = torch.device("meta")  # any device but the CPU
        encoder.load = lambda: None
        encoder.features = self

    def __call__(self, pixels, chunk, **options):
        self.tried.append(chunk)
        if chunk > self.fits:
            raise torch.cuda.OutOfMemoryError("out of memory")
        return self.compute(pixels, chunk, **options)


@pytest.mark.parametrize(("fits", "tried"), [(8, [8]), (2, [8, 2]), (1, [8, 2, 1])])
def test_out_of_memory_takes_fewer_pictures_at_a_time(pictures, caplog, fits, tried):
    expected = EncodeImagePrompt.execute(tiny.encoder(), pictures).args[0]
    encoder = tiny.encoder()
    device = OutOfMemory(encoder, fits)
    found = EncodeImagePrompt.execute(encoder, pictures).args[0]
    assert device.tried == tried
    assert len(caplog.records) == len(tried) - 1
    torch.testing.assert_close(found.image_embeds, expected.image_embeds, rtol=0, atol=1e-5)


def test_out_of_memory_for_one_picture_takes_the_cpu(pictures, caplog, monkeypatch):
    monkeypatch.setattr(comfy.model_management, "unload_model_and_clones", lambda *_: None)  # it knows the GPU only
    expected = EncodeImagePrompt.execute(tiny.encoder(), pictures).args[0]
    encoder = tiny.encoder()
    device = OutOfMemory(encoder, fits=0)
    fits_on_the_cpu = type(encoder).features
    encoder.__class__ = type("Shared", (type(encoder),), {"__copy__": lambda self: plain(self, fits_on_the_cpu)})
    found = EncodeImagePrompt.execute(encoder, pictures).args[0]
    assert device.tried == [8, 2, 1]
    assert "trying the CPU" in caplog.text
    assert encoder.model not in [loaded.real_model() for loaded in comfy.model_management.current_loaded_models]
    assert not any(isinstance(module, PackedLinear) for module in encoder.model.modules())
    torch.testing.assert_close(found.image_embeds, expected.image_embeds, rtol=0, atol=1e-5)


def plain(encoder, features):
    """A copy of an object without the methods that a test has replaced."""
    made = object.__new__(type(encoder).__mro__[1])
    made.__dict__.update({name: value for name, value in vars(encoder).items() if name not in ("load", "features")})
    return made


def test_another_error_is_not_tried_again(pictures):
    encoder = tiny.encoder()
    encoder.load_device, calls = torch.device("meta"), []

    def fails(*_, **__):
        calls.append(1)
        raise RuntimeError("something else")

    encoder.features = fails
    encoder.load = lambda: None
    with pytest.raises(RuntimeError, match="something else"):
        EncodeImagePrompt.execute(encoder, pictures)
    assert len(calls) == 1
