"""The nodes that load face analysers, tell families apart, and choose how adapters for faces act."""

from types import SimpleNamespace

import face_tools
import numpy as np
import pytest
import tiny
import torch
from safetensors.torch import save_file

from image_prompt.demo import face_packs
from image_prompt.faces import FaceAnalyser
from image_prompt.nodes.applying.apply import ApplyImagePrompt
from image_prompt.nodes.encoding.faces.encode_face import EncodeFacePrompt
from image_prompt.nodes.loading import face_analyser
from image_prompt.nodes.loading.face_analyser import LoadFaceAnalyser
from image_prompt.nodes.loading.face_options import FaceAdapterOptions
from image_prompt.nodes.loading.load import LoadImagePromptAdapter

PICTURE = face_packs.picture((200, 210, face_packs.RED))


@pytest.fixture
def pack(folders):
    return face_packs.write_pack(folders / "insightface" / "models")


def test_the_loaded_analyser_finds_faces_for_our_nodes_and_for_those_of_other_packs(pack):
    analyser = LoadFaceAnalyser.execute("buffalo_l").args[0]
    (expected,) = FaceAnalyser.load(pack).find(PICTURE)
    found = EncodeFacePrompt.execute(analyser, torch.from_numpy(PICTURE)[None] / 255).args[0]
    assert torch.equal(found.face_embeds_raw[0], torch.from_numpy(expected.embedding))
    (theirs,) = analyser.get(np.ascontiguousarray(PICTURE[..., ::-1]))
    assert np.array_equal(theirs.embedding, expected.embedding) and analyser.name == "buffalo_l"


def test_a_pack_that_is_not_there_is_explained(folders):
    with pytest.raises(
        ValueError, match=r"antelopev2 is not in models/insightface\. Get antelopev2\.zip .*licence non-"
    ):
        LoadFaceAnalyser.execute("antelopev2")


@pytest.mark.parametrize(
    ("chosen", "tried"), [("auto", ["CUDA", "CPU"]), ("CPU", ["CPU"]), ("Tensorrt", ["Tensorrt", "CPU"])]
)
def test_what_computes_is_chosen_among_what_onnxruntime_lists(pack, monkeypatch, chosen, tried):
    listed = [f"{name}ExecutionProvider" for name in ("Tensorrt", "CUDA", "Azure", "CPU")]
    monkeypatch.setattr(face_analyser, "available_providers", lambda: listed)
    asked = []
    monkeypatch.setattr(
        FaceAnalyser, "load", lambda _, providers, name: asked.append(providers) or SimpleNamespace(name=name)
    )
    LoadFaceAnalyser.execute("buffalo_l", chosen)
    assert asked == [[f"{name}ExecutionProvider" for name in tried]]
    assert LoadFaceAnalyser.define_schema().inputs[1].options == ["auto", "CPU", "Tensorrt", "CUDA", "Azure"]


def test_a_changed_pack_is_loaded_again(pack):
    before = LoadFaceAnalyser.fingerprint_inputs("buffalo_l")
    assert LoadFaceAnalyser.fingerprint_inputs("buffalo_l", provider="CPU") == before
    face_packs.write_pack(pack.parent, seed=1)
    assert LoadFaceAnalyser.fingerprint_inputs("buffalo_l") != before
    assert LoadFaceAnalyser.fingerprint_inputs("antelopev2") != before


def load(name, variant="auto"):
    return LoadImagePromptAdapter.execute(name, variant).args[0]


def test_the_family_of_a_file_can_be_said_where_shapes_leave_a_choice(folders):
    file = tiny.file_for(
        tiny.unet("SD1.5"), lambda context: face_tools.published.identity_perceiver(context, 32, depth=1)
    )
    save_file(file, folders / "ipadapter" / "renamed.safetensors")
    assert load("renamed.safetensors").module.family.name == "FaceID plus"
    chosen = load("renamed.safetensors", "FaceID plus v2")
    assert chosen.module.family.name == "FaceID plus v2"
    assert load("renamed.safetensors", "FaceID plus v2") is chosen
    with pytest.raises(
        ValueError, match=r"renamed\.safetensors is an IP-Adapter \(FaceID plus\) .* cannot be InstantID"
    ):
        load("renamed.safetensors", "InstantID")
    assert load("renamed.safetensors").module.family.name == "FaceID plus"  # which the refusal has not changed


def test_the_choices_are_the_families_of_equal_shapes(folders):
    names = ["auto", "FaceID plus", "FaceID plus v2", "FaceID portrait unnorm", "InstantID"]
    assert LoadImagePromptAdapter.define_schema().inputs[1].options == names


PULID = {
    "as trained": ("orthogonal v2", 8),
    "fidelity": ("orthogonal v2", 8),
    "style": ("orthogonal", 16),
    "neutral": ("add", 0),
}


@pytest.mark.parametrize("method", PULID)
def test_the_methods_of_pulid(method):
    adapter = face_tools.adapter(tiny.unet("SDXL"), "pulid")
    made = FaceAdapterOptions.execute(adapter, method=method).args[0]
    assert (made.combine, made.token_options.zero_tokens) == PULID[method]
    assert made.module is adapter.module and (adapter.combine, adapter.token_options.zero_tokens) == PULID["fidelity"]


def test_the_shortcut_scales_the_look_of_a_face(encoder, folders):
    model = tiny.unet("SD1.5")
    file = tiny.file_for(model, lambda context: face_tools.published.identity_perceiver(context, 32, depth=1))
    save_file(file, folders / "ipadapter" / "v2.safetensors")
    adapter = load("v2.safetensors")
    features = EncodeFacePrompt.execute(face_tools.two(), face_tools.pictures(), clip_vision=encoder).args[0]

    def sampled(**options):
        changed = FaceAdapterOptions.execute(adapter, **options).args[0]
        return tiny.sample(ApplyImagePrompt.execute(model, changed, features).args[0], "SD1.5")

    as_it_is = tiny.sample(ApplyImagePrompt.execute(model, adapter, features).args[0], "SD1.5")
    assert torch.equal(sampled(), as_it_is) and torch.equal(sampled(lora_strength=0.5), as_it_is)  # the file has none
    assert not torch.equal(sampled(shortcut=0.3), as_it_is)
