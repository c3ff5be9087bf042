"""Encoders and features can be exchanged between our nodes and core's."""

import copy
import sys
import weakref

import comfy.ldm.flux.redux
import comfy.model_management
import comfy.ops
import comfy.sd
import comfy.utils
import nodes as core
import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Dinov2Model,
    Dinov2WithRegistersModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)

from image_prompt.clip_vision import encode_pixels, load_encoder
from image_prompt.clip_vision.network import packing
from image_prompt.nodes.display import SAID
from image_prompt.nodes.encoding.encode import CombineImagePrompts, EncodeImagePrompt
from image_prompt.nodes.encoding.encoder import ImageEncoder, known_features
from image_prompt.nodes.loading import load

FIELDS = ("image_embeds", "last_hidden_state", "penultimate_hidden_states")
NEGATIVES = ("negative_penultimate", "negative_image_embeds")


def encode(clip_vision, image, **options):
    return EncodeImagePrompt.execute(clip_vision, image, **options).args


def test_core_encodes_with_our_encoder(encoder, core_encoder, pictures):
    pictures = torch.nn.functional.interpolate(pictures.movedim(-1, 1)[..., :4, :6], (40, 60), mode="bicubic")
    pictures = pictures.clamp(0, 1).movedim(1, -1)  # smooth: core resizes in floating point, we in 8 bit as PIL does
    for crop in ("center", "none"):
        (ours,) = core.CLIPVisionEncode().encode(encoder, pictures, crop)
        (theirs,) = core.CLIPVisionEncode().encode(core_encoder, pictures, crop)
        for field in FIELDS:
            assert getattr(ours, field).shape == getattr(theirs, field).shape
            alike = torch.cosine_similarity(getattr(ours, field), getattr(theirs, field), dim=-1)
            assert alike.min() > 0.999
        assert ours.image_sizes == theirs.image_sizes


def test_our_encoding_is_transformers(encoder, pictures):
    reference = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            projection_dim=24,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=32,
            patch_size=8,
        )
    )
    reference.load_state_dict(tiny.encoder_file())
    features, seen = encode(encoder, pictures)
    mean, std = torch.tensor(encoder.image_mean), torch.tensor(encoder.image_std)
    pixels = ((seen - mean) / std).permute(0, 3, 1, 2)
    expected = reference(pixels, output_hidden_states=True)
    zeros = reference(torch.zeros_like(pixels[:1]), output_hidden_states=True)
    near = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(features.image_embeds, expected.image_embeds, **near)
    torch.testing.assert_close(features.last_hidden_state, expected.last_hidden_state, **near)
    torch.testing.assert_close(features.penultimate_hidden_states, expected.hidden_states[-2], **near)
    torch.testing.assert_close(features.negative_penultimate, zeros.hidden_states[-2], **near)
    black = (-mean / std).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    torch.testing.assert_close(features.negative_image_embeds, reference(black).image_embeds, **near)


@pytest.mark.parametrize("crop", ["center", "pad"])
def test_an_encoder_that_core_loaded_gives_the_same(encoder, core_encoder, pictures, crop):
    ours, seen = encode(encoder, pictures, crop=crop, background="grey")
    theirs, also_seen = encode(core_encoder, pictures, crop=crop, background="grey")
    torch.testing.assert_close(seen, also_seen, rtol=0, atol=0)
    for field in (*FIELDS, *NEGATIVES):
        torch.testing.assert_close(getattr(ours, field), getattr(theirs, field), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["ours", "core's"])
def test_the_fifth_encoding_equals_the_first(core_encoder, pictures, kind):
    encoder = tiny.encoder() if kind == "ours" else core_encoder
    runs = []
    for run in range(5):
        if run != 3:  # the fourth run finds what the third encoded
            known_features.clear()
        runs.append(encode(encoder, pictures)[0])
        for field in (*FIELDS, *NEGATIVES):
            assert torch.equal(getattr(runs[-1], field), getattr(runs[0], field))


def test_a_picture_is_encoded_once_whatever_node_batch_or_crop_it_comes_from(pictures, adapter):
    encoder, other = tiny.encoder(), tiny.encoder()
    passes = pictures_encoded(encoder)
    square = pictures[:1, :, :40]
    whole = encode(encoder, square)[0]
    whole.image_embeds.zero_()  # a node may write into what it was given
    both = encode(encoder, torch.cat([pictures[1:, :, :40], square, square]), crop="squash", adapter=adapter)[0]
    assert passes == [1, 1]
    torch.testing.assert_close(both.image_embeds[1:], encode(other, square)[0].image_embeds.expand(2, -1))
    assert both.image_embeds[0].ne(both.image_embeds[1]).any()


def pictures_encoded(encoder):
    """A list that grows by the number of pictures of each pass."""
    passes = []
    encoder.model.patch_embedding.register_forward_hook(lambda module, args, output: passes.append(len(output)))
    return passes


def test_the_empty_picture_is_encoded_when_it_is_first_read(pictures):
    encoder = tiny.encoder()
    passes = pictures_encoded(encoder)
    one, two = encode(encoder, pictures)[0], encode(encoder, pictures)[0]
    joined = CombineImagePrompts.execute("concat", features_1=one, features_2=two).args[0]
    assert passes == [2] and joined.patcher is encoder.patcher
    assert torch.equal(joined.negative_penultimate, one.negative_penultimate)
    assert torch.equal(joined.negative_penultimate, two.negative_penultimate)
    assert passes == [2, 1] and joined.patcher is encoder.patcher
    assert torch.equal(joined.negative_image_embeds, one.negative_image_embeds)
    assert torch.equal(joined.negative_image_embeds, two.negative_image_embeds)
    assert passes == [2, 1, 1]
    assert joined.patcher is one.patcher is None  # nothing holds the encoder any more


def test_a_copy_of_features_leaves_their_encoder_behind(encoder, pictures):
    features = encode(encoder, pictures)[0]
    copied = copy.deepcopy(features)
    assert copied.patcher is None and features.patcher is encoder.patcher
    assert torch.equal(copied.negative_penultimate, features.negative_penultimate)


@pytest.mark.parametrize("kind, field", [(tiny.adapter, FIELDS[0]), (tiny.plus_adapter, FIELDS[2])])
def test_what_an_adapter_does_not_read_is_not_kept(pictures, apply, kind, field):
    model, encoder = tiny.unet("SD1.5"), tiny.encoder()
    adapter = kind(model)
    expected = encode(tiny.encoder(), pictures)[0]
    passes = pictures_encoded(encoder)
    features = encode(encoder, pictures, adapter=adapter)[0]
    assert [name for name in FIELDS if getattr(features, name, None) is not None] == [field]
    kept = getattr(features, field)
    assert kept.untyped_storage().nbytes() == kept.nbytes  # no view of more
    torch.testing.assert_close(getattr(features, field), getattr(expected, field), rtol=1e-5, atol=1e-5)
    reads_a_negative = kind is tiny.plus_adapter
    assert passes == ([2, 1] if reads_a_negative else [2]) and features.patcher is None
    apply(model, adapter, features)


def test_features_for_one_adapter_say_so(features, pictures, encoder, apply):
    model = tiny.unet("SD1.5")
    narrow = encode(encoder, pictures, adapter=tiny.adapter(model))[0]
    with pytest.raises(AttributeError, match="no last_hidden_state: they were encoded for tiny.* only. Remove the"):
        narrow["last_hidden_state"]
    both = CombineImagePrompts.execute("concat", features_1=narrow, features_2=features).args[0]
    for each in (narrow, both):
        with pytest.raises(ValueError, match="penultimate_hidden_states, .* encoded for tiny.* only. Connect this"):
            apply(model, tiny.plus_adapter(model), each)
    other = encode(encoder, pictures, adapter=tiny.plus_adapter(model))[0]
    with pytest.raises(ValueError, match="no features in common: .* for the same adapter or for none"):
        CombineImagePrompts.execute("concat", features_1=narrow, features_2=other)


def test_a_core_encoder_keeps_what_the_adapter_reads(core_encoder, pictures):
    features = encode(core_encoder, pictures, adapter=tiny.plus_adapter(tiny.unet("SD1.5")))[0]
    assert [name for name in FIELDS if getattr(features, name, None) is not None] == ["penultimate_hidden_states"]
    assert features.negative_penultimate.shape == (1, 17, 32)


@pytest.mark.parametrize("kind", ["ours", "core's"])
def test_encoding_tells_its_progress_and_ends_when_it_is_cancelled(core_encoder, pictures, monkeypatch, kind):
    encoder = tiny.encoder() if kind == "ours" else core_encoder
    many, told = torch.rand(20, 40, 60, 3, generator=torch.Generator().manual_seed(1)), []
    monkeypatch.setattr(sys.modules[encode_pixels.__module__], "CPU_TOKENS", 8 * 17)  # eight pictures

    def hook(now, total, *_, **__):
        told.append((now, total))
        comfy.model_management.interrupt_current_processing(len(told) == 4)

    monkeypatch.setattr(comfy.utils, "PROGRESS_BAR_HOOK", hook)
    monkeypatch.setattr(comfy.utils, "PROGRESS_THROTTLE_MIN_INTERVAL", 0)
    encode(encoder, many)
    assert told == [(8, 20), (16, 20), (20, 20)]
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        encode(encoder, 1 - many)
    assert told[3:] == [(8, 20)]
    whole = encode(encoder, 1 - many)[0]
    assert told[4:] == [(8, 20), (16, 20), (20, 20)] and len(whole.image_embeds) == 20


@pytest.fixture
def packed(monkeypatch):
    """A list that grows by each weight that is packed."""
    weights, pack = [], packing.PackedLinear.pack
    monkeypatch.setattr(packing.PackedLinear, "pack", lambda self, weight: weights.append(weight) or pack(self, weight))
    return weights


def packed_layers(encoder):
    return [module for module in encoder.model.modules() if isinstance(module, packing.PackedLinear)]


def test_weights_are_packed_once_and_stay_exact(pictures, packed):
    encoder = tiny.encoder()
    weights = {key: value.clone() for key, value in encoder.get_sd().items()}
    for run in range(3):
        encode(encoder, pictures / (run + 1))
    assert len(packed) == len(packed_layers(encoder)) > 0
    comfy.model_management.unload_all_models()
    assert not packed_layers(encoder)
    assert all(torch.equal(value, weights[key]) for key, value in encoder.get_sd().items())
    encode(encoder, 1 - pictures)
    assert len(packed) == 2 * len(packed_layers(encoder))


def test_part_of_an_encoder_may_be_unloaded(pictures):
    encoder = tiny.encoder()
    before = encode(encoder, pictures)[0]
    (loaded,) = (each for each in comfy.model_management.current_loaded_models if each.model is encoder.patcher)
    assert not loaded.model_unload(memory_to_free=16)
    known_features.clear()
    torch.testing.assert_close(encode(encoder, pictures)[0].last_hidden_state, before.last_hidden_state)


def test_packed_weights_go_with_their_encoder(pictures):
    encoder = tiny.encoder()
    encode(encoder, pictures)
    kept = [weakref.ref(layer.packed) for layer in packed_layers(encoder)]
    del encoder
    assert kept and not any(each() is not None for each in kept)


def test_the_loader_says_on_its_node_what_it_chose(encoder, monkeypatch):
    monkeypatch.setattr(load, "load_encoder", lambda *_: encoder)
    output = load.LoadImageEncoder.execute("any")
    assert output.args == (encoder,)
    assert output.ui == {SAID: [f"tiny CLIP, fp32, cpu, {encoder.patcher.model_size() / 2**20:.1f} MB"]}


def test_unclip_takes_our_features(features):
    (conditioning,) = core.unCLIPConditioning().apply_adm([[torch.zeros(1, 77, 768), {}]], features, 1.0, 0.1)
    assert conditioning[0][1]["unclip_conditioning"][0]["clip_vision_output"].image_embeds.shape == (1, 24)


def test_style_model_takes_our_features(features):
    redux = comfy.ldm.flux.redux.ReduxImageEncoder(redux_dim=32, txt_in_features=64)
    style_model = comfy.sd.StyleModel(tiny.fill(redux, 0).float())
    (conditioning,) = core.StyleModelApply().apply_stylemodel(
        [[torch.zeros(1, 5, 64), {}]], style_model, features, 1.0, "multiply"
    )
    assert conditioning[0][0].shape == (1, 5 + 17, 64)


@pytest.mark.parametrize(
    "method, expected",
    [
        ("concat", lambda a, b: torch.cat([a, b])),
        ("add", lambda a, b: a + b),
        ("subtract", lambda a, b: a - b),
        ("average", lambda a, b: (a + b) / 2),
    ],
)
def test_combine(encoder, pictures, method, expected):
    one, two = encode(encoder, pictures[:1])[0], encode(encoder, pictures[1:])[0]
    joined = CombineImagePrompts.execute(method, features_1=one, features_3=two).args[0]
    for field in FIELDS:
        torch.testing.assert_close(getattr(joined, field), expected(getattr(one, field), getattr(two, field)))
    torch.testing.assert_close(joined.negative_penultimate, one.negative_penultimate)
    assert len(joined.image_sizes) == len(joined.image_embeds)


def test_combine_reads_weights_and_an_interpolation(encoder, pictures):
    batch, one, two = (encode(encoder, images)[0] for images in (pictures, pictures[:1], pictures[1:]))
    each, inputs = (one.image_embeds, two.image_embeds), {"features_1": one, "features_3": two}

    def joined(method, **options):
        return CombineImagePrompts.execute(method, **options).args[0].image_embeds

    torch.testing.assert_close(
        joined("weighted average", weights="3, 1", **inputs), torch.lerp(*each, 0.25), rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(
        joined("interpolate", interpolation=0.3, **inputs), torch.lerp(*each, 0.3), rtol=1e-5, atol=1e-6
    )
    apart = joined("weighted average", weights="0, 2.5", features_1=batch)  # the rows of a lone batch are references
    assert torch.equal(apart, batch.image_embeds[1:])


def test_combine_takes_a_lone_batch_apart(encoder, pictures):
    batch, one, two = (encode(encoder, images)[0] for images in (pictures, pictures[:1], pictures[1:]))
    apart = CombineImagePrompts.execute("norm average", features_1=batch).args[0]
    joined = CombineImagePrompts.execute("norm average", features_1=one, features_2=two).args[0]
    torch.testing.assert_close(apart.image_embeds, joined.image_embeds, rtol=1e-5, atol=1e-5)


def test_combine_says_what_the_rows_of_batches_are(encoder, pictures):
    batch, one = encode(encoder, pictures)[0], encode(encoder, pictures[:1])[0]
    method, *_, rows, weights, interpolation = CombineImagePrompts.define_schema().inputs  # new inputs come last
    assert (method.id, rows.id, rows.default, rows.optional) == ("method", "rows", "auto", True)
    assert (weights.id, weights.default, interpolation.id, interpolation.default) == (
        "weights",
        "",
        "interpolation",
        0.5,
    )
    lengths = {
        rows: len(
            CombineImagePrompts.execute("average", **options, features_1=batch, features_2=one).args[0].image_embeds
        )
        for rows, options in {
            "": {},
            "all together": {"rows": "all together"},
            "row by row": {"rows": "row by row"},
        }.items()
    }
    assert lengths == {"": 2, "all together": 1, "row by row": 2}


def test_combine_refuses_two_encoders(encoder, pictures):
    other = encode(tiny.encoder(projection=16), pictures)[0]
    other.encoder = ""  # as core's features have none
    with pytest.raises(
        ValueError, match=r"image_embeds are \(2, 24\) from tiny CLIP, \(2, 16\) from an encoder without"
    ):
        CombineImagePrompts.execute("average", features_1=encode(encoder, pictures)[0], features_2=other)


def test_combine_refuses_two_encoders_of_one_shape(encoder, pictures):
    one, two = encode(encoder, pictures)[0], encode(encoder, pictures)[0]
    two.encoder = "another CLIP"
    with pytest.raises(ValueError, match="another CLIP, tiny CLIP"):
        CombineImagePrompts.execute("concat", features_1=one, features_2=two)


def test_combine_finds_the_empty_picture_of_any_reference(encoder, core_encoder, pictures):
    (theirs,) = core.CLIPVisionEncode().encode(core_encoder, pictures, "center")
    ours = encode(encoder, pictures)[0]
    joined = CombineImagePrompts.execute("concat", features_1=theirs, features_2=ours).args[0]
    torch.testing.assert_close(joined.negative_penultimate, ours.negative_penultimate)


def test_core_reads_every_layer_of_our_siglip(pictures):
    config = SiglipVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4, image_size=32, patch_size=8
    )
    torch.manual_seed(0)
    reference = SiglipVisionModel(config)
    file = {key: value.clone() for key, value in reference.state_dict().items()}
    description = {"vision_config": '{"heads": 4, "activation": "gelu_pytorch_tanh"}'}
    module = load_encoder(file, metadata=description, ops=comfy.ops.disable_weight_init)
    siglip = ImageEncoder(module, torch.device("cpu"))
    (features,) = core.CLIPVisionEncode().encode(siglip, pictures, "center")
    seen = encode(siglip, pictures)[1]
    expected = reference((seen.permute(0, 3, 1, 2) - 0.5) / 0.5, output_hidden_states=True)
    near = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(features.all_hidden_states, torch.stack(expected.hidden_states[1:], 1), **near)
    torch.testing.assert_close(features.last_hidden_state, expected.last_hidden_state, **near)
    torch.testing.assert_close(features.image_embeds, expected.pooler_output, **near)


@pytest.mark.parametrize("registers", [0, 4])
def test_dino_gives_hidden_states_and_no_image_embeds(tmp_path, pictures, registers):
    config = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 56, "patch_size": 14}
    torch.manual_seed(0)
    kind = Dinov2WithRegistersModel if registers else Dinov2Model
    reference = kind(kind.config_class(layerscale_value=0.7, **config)).eval()
    reference.save_pretrained(tmp_path)
    save_file(load_file(tmp_path / "model.safetensors"), tmp_path / "d.safetensors", {"vision_config": '{"heads": 4}'})
    encoder = ImageEncoder.from_file(str(tmp_path / "d.safetensors"), dtype=torch.float32)
    features, seen = encode(encoder, pictures)[:2]
    mean, std = (torch.tensor(each) for each in (encoder.image_mean, encoder.image_std))
    expected = reference(((seen - mean) / std).permute(0, 3, 1, 2), output_hidden_states=True)
    near = {"rtol": 1e-5, "atol": 1e-5}
    assert features.last_hidden_state.shape[1] == 17 + registers
    torch.testing.assert_close(features.last_hidden_state, expected.last_hidden_state, **near)
    torch.testing.assert_close(features.penultimate_hidden_states, expected.hidden_states[-2], **near)
    assert getattr(features, "image_embeds", None) is None and features.negative_image_embeds is None
    empty = reference(torch.zeros(1, 3, 56, 56), output_hidden_states=True)
    torch.testing.assert_close(features.negative_penultimate, empty.hidden_states[-2], **near)
    (theirs,) = core.CLIPVisionEncode().encode(encoder, pictures, "center")
    torch.testing.assert_close(theirs.last_hidden_state, features.last_hidden_state, **near)
