"""Adapters of other packs arrive on IPADAPTER wires, raw or in a pipe, and are applied as ours are."""

import asyncio
import gc
import weakref

import execution
import nodes
import pytest
import tiny
import torch
from bad_inputs import good

from image_prompt.devtools import published
from image_prompt.nodes.applying.apply import ApplyImagePrompt
from image_prompt.nodes.compat.node import node_class
from image_prompt.nodes.compat.table import NODES
from image_prompt.nodes.controls.apply_references import ApplyReferences
from image_prompt.nodes.controls.conditioning import ReferencesToConditioning
from image_prompt.nodes.encoding.encode import EncodeImagePrompt
from image_prompt.nodes.encoding.folder import EncodeFolder
from image_prompt.nodes.loading import wires
from image_prompt.nodes.loading.wires import acts_in_middle, as_adapter, encoder_of, insightface_of, with_middle

PICTURE = torch.zeros(1, 8, 8, 3)
IPADAPTER_NEEDED = "The ipadapter is nothing: connect the output of IPAdapter Unified Loader or IPAdapter Model Loader"


@pytest.fixture
def file(model):
    return tiny.base_file(model)


@pytest.fixture
def raw(file):
    return {**published.nested(file), "faceidplusv2": True}


def pipe(raw, **parts):
    return {
        "clipvision": {"file": "a/encoder.safetensors", "model": None},
        "ipadapter": {"file": "/models/ipadapter/mine/a.safetensors", "model": raw},
        "insightface": {"provider": "CPU", "model": None},
        **parts,
    }


def contents(value):
    """All that a wire carries, with the identity of its tensors, to see whether it was changed."""
    if isinstance(value, dict):
        return {key: contents(each) for key, each in value.items()}
    return (id(value), value._version) if isinstance(value, torch.Tensor) and not value.is_inference() else id(value)


@pytest.mark.parametrize("base", ["SD1.5", "SDXL"])
@pytest.mark.parametrize("wire", [lambda raw: raw, pipe], ids=["raw", "pipe"])
def test_an_adapter_of_another_pack_steers_as_ours_does(model, base, file, raw, wire, features, apply):
    given = wire(raw)
    before = contents(given)
    expected = tiny.sample(apply(model, tiny.wrapped(file), features), base)
    assert torch.equal(tiny.sample(apply(model, given, features), base), expected)
    assert contents(given) == before


def test_the_weights_are_not_copied(raw):
    module = as_adapter(raw).module
    assert module.image_proj.state_dict()["proj.weight"].data_ptr() == raw["image_proj"]["proj.weight"].data_ptr()


def test_moving_our_weights_changes_none_of_theirs(raw):
    before = raw["image_proj"]["proj.weight"].clone()
    as_adapter(raw).module.half().image_proj.proj.weight.zero_()
    assert torch.equal(raw["image_proj"]["proj.weight"], before)


def test_parameters_are_taken_too(raw):
    given = {part: {key: torch.nn.Parameter(each) for key, each in raw[part].items()} for part in wires.PARTS}
    expected = as_adapter(raw).module.state_dict()
    assert all(torch.equal(each, expected[key]) for key, each in as_adapter(given).module.state_dict().items())
    assert all(isinstance(each, torch.nn.Parameter) for part in wires.PARTS for each in given[part].values())


def test_it_is_made_once_for_the_same_tensors_and_again_for_others(raw):
    adapter = as_adapter(raw)
    assert as_adapter(pipe(dict(raw))) is adapter
    assert as_adapter({part: dict(raw[part]) for part in wires.PARTS}) is adapter
    last = list(raw["ip_adapter"])[-1]
    raw["ip_adapter"][last] = raw["ip_adapter"][last].clone()
    assert as_adapter(raw) is not adapter


def test_it_lives_as_long_as_the_tensors(raw, file):
    seen = weakref.ref(as_adapter(raw))
    gc.collect()
    assert seen()
    raw.clear(), file.clear()
    gc.collect()
    assert not seen()


@pytest.mark.parametrize("folder", ["/models/ipadapter/mine/", "C:\\models\\", ""])
def test_an_adapter_in_a_pipe_is_called_as_its_file(raw, folder):
    assert as_adapter(pipe(raw, ipadapter={"file": f"{folder}a.safetensors", "model": raw})).name == "a.safetensors"


def test_our_own_adapter_is_taken_as_it_is(adapter):
    assert as_adapter(adapter) is as_adapter(pipe(adapter)) is as_adapter({wires.OURS: adapter}) is adapter


def test_a_pipe_made_of_a_raw_dict_is_read(raw):
    """IPAdapter_plus writes the keys of an empty pipe into a raw dict that its loaders are given."""
    assert as_adapter({**raw, **pipe(None)}) is as_adapter(raw)


def test_what_comes_with_an_adapter(raw):
    encoder, faces = object(), object()
    given = pipe(raw, clipvision={"file": "a", "model": encoder}, insightface={"provider": "CPU", "model": faces})
    assert encoder_of(given) is encoder and insightface_of(given) is faces
    for other in (raw, None, pipe(raw, clipvision=None, insightface={}), pipe(raw)):
        assert encoder_of(other) is None and insightface_of(other) is None


def test_a_copy_says_whether_to_act_in_the_middle_block(raw, adapter):
    for given in (raw, pipe(raw), adapter):
        before = contents(given)
        copied = with_middle(given)
        assert acts_in_middle(copied) and as_adapter(copied) is as_adapter(given)
        assert not acts_in_middle(with_middle(copied, on=False))
        assert not acts_in_middle(given) and contents(given) == before
    with pytest.raises(ValueError, match=IPADAPTER_NEEDED):
        with_middle(None)


def test_a_pipe_says_it_before_the_adapter_in_it(raw):
    """Other packs put an adapter into a pipe of their own."""
    assert acts_in_middle(pipe(with_middle(raw)))
    assert not acts_in_middle(with_middle(pipe(with_middle(raw)), on=False))
    assert not acts_in_middle(pipe(None)) and not acts_in_middle(None)


def test_an_adapter_without_a_name_is_called_so(raw, features, apply, folders):
    with pytest.raises(ValueError, match="^ipadapter of another pack is an IP-Adapter for SD1.5, the model is SDXL"):
        apply(tiny.unet("SDXL"), raw, features)


def test_flags_say_which_family_it_is_where_shapes_leave_a_choice(model):
    """The same tensors may be in several dicts."""
    file = tiny.file_for(model, lambda context: published.identity_perceiver(context, width=32, depth=1))
    raw = published.nested(file)
    families = [as_adapter({**raw, **flags}).module.family.id for flags in ({}, {"faceidplusv2": True}, {})]
    assert families == ["faceid-plus", "faceid-plus-v2", "faceid-plus"]
    assert as_adapter({**raw, "faceidplusv2": True}).module is as_adapter({**raw, "faceidplusv2": True}).module
    shared = [as_adapter({**raw, **flags}).module.state_dict() for flags in ({}, {"faceidplusv2": True})]
    assert all(one.data_ptr() == two.data_ptr() for one, two in zip(*(each.values() for each in shared), strict=True))


def test_what_was_asked_before_does_not_matter():
    """Of embeddings as they come, either flag or none may be asked for first."""
    for order in ((False, True, False), (True, False, True)):
        file = tiny.file_for(tiny.unet("SDXL"), lambda context: published.resampler(context, width=512))
        raw = published.nested(file)
        found = [as_adapter({**raw, **({"portraitunnorm": True} if flag else {})}).module.family.id for flag in order]
        assert found == ["faceid-portrait-unnorm" if flag else "instantid" for flag in order]


def test_what_is_not_applied_is_named():
    foreign = {"image_proj": {"latents": torch.rand(1, 8, 8), "proj_in.weight": torch.rand(8, 512)}, "ip_adapter": {}}
    for given in (foreign, pipe(foreign)):
        with pytest.raises(ValueError, match=r"The adapter cannot be applied"):
            as_adapter(given)


def test_a_damaged_adapter_is_named(raw):
    raw["ip_adapter"].pop("3.to_k_ip.weight")
    with pytest.raises(ValueError, match=r"cannot be applied\. Layer 3: .*to_k_ip\.weight is missing"):
        as_adapter(raw)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (pipe(None), "The adapter is nothing: connect the output of Load IP-Adapter"),
        ({"ipadapter": None}, "The adapter is nothing: connect"),
        (pipe("a word"), "The adapter is the text 'a word': connect"),
        ({"image_proj": None, "ip_adapter": [1]}, "The adapter is a dict with image_proj, ip_adapter: connect"),
        ({"image_proj": {"proj.weight": "a"}}, "The adapter is a dict with image_proj: connect"),
    ],
)
def test_what_carries_no_adapter_is_refused(given, words):
    with pytest.raises(ValueError, match=words):
        as_adapter(given)


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("IPAdapterAdvanced", {"image": PICTURE}),
        ("IPAdapterEncoder", {"image": PICTURE}),
        ("IPAdapterEmbeds", {"pos_embed": torch.zeros(1, 8)}),
    ],
)
def test_nodes_of_the_other_pack_name_the_loaders_that_fit_them(name, inputs, model):
    (row,) = (each for each in NODES if each.id == name)
    node = node_class(row, "custom_nodes.image-prompt")()
    given = {"model": model, **inputs} if name != "IPAdapterEncoder" else inputs
    with pytest.raises(ValueError, match=IPADAPTER_NEEDED):
        getattr(node, node.FUNCTION)(ipadapter=None, **given)


@pytest.mark.parametrize(
    ("name", "inputs"), [("IPAdapterAdvanced", {"image": PICTURE}), ("IPAdapterEmbeds", {"pos_embed": PICTURE})]
)
def test_nodes_of_the_other_pack_refuse_models_whose_blocks_no_weight_type_names(name, inputs):
    (row,) = (each for each in NODES if each.id == name)
    node = node_class(row, "custom_nodes.image-prompt")()
    adapter, encoder = tiny.wrapped(tiny.anima_file()), tiny.encoder(width=768, depth=1)
    with pytest.raises(ValueError, match=f"{row.title} does not act on Anima models: use Apply IP-Adapter"):
        getattr(node, node.FUNCTION)(model=tiny.anima(), ipadapter=adapter, clip_vision=encoder, **inputs)


def test_its_encoder_reads_the_last_states_as_well():
    (row,) = (each for each in NODES if each.id == "IPAdapterEncoder")
    node = node_class(row, "custom_nodes.image-prompt")()
    adapter, encoder = tiny.wrapped(tiny.anima_file()), tiny.encoder(width=768, depth=1, patch=64, size=512)
    positive, negative = getattr(node, node.FUNCTION)(ipadapter=adapter, image=PICTURE, clip_vision=encoder)
    assert positive.shape == (1, 65, 768) and not negative.any()


class Theirs:
    """A loader of another pack."""

    RETURN_TYPES = ("IPADAPTER",)
    FUNCTION = "load"
    CATEGORY = "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}


OURS = [ApplyImagePrompt, ApplyReferences, ReferencesToConditioning, EncodeImagePrompt, EncodeFolder]


@pytest.mark.parametrize("node", OURS)
@pytest.mark.parametrize(
    ("type", "fits"), [("IPADAPTER", True), ("IMAGE_PROMPT_ADAPTER", True), ("CLIP_VISION", False)]
)
def test_comfyui_lets_both_types_in(node, type, fits, monkeypatch):
    loader = builtin(type)
    for name, kind in (("theirs", loader), ("ours", node)):
        monkeypatch.setitem(nodes.NODE_CLASS_MAPPINGS, name, kind)
    linked = {"1": {"class_type": "theirs", "inputs": {}}, "2": {"class_type": "ours", "inputs": {"adapter": ["1", 0]}}}
    _, errors, _ = asyncio.run(execution.validate_inputs("a prompt", linked, "2", {}))
    assert any(error["extra_info"].get("input_name") == "adapter" for error in errors) is not fits


def builtin(type):
    class Loader(Theirs):
        RETURN_TYPES = (type,)

    return Loader


@pytest.mark.parametrize("node", OURS)
def test_every_node_of_ours_takes_both_kinds(node, raw, folders):
    inputs = good(node)
    for given in (raw, pipe(raw)):
        assert node.execute(**{**inputs, "adapter": given}).args
