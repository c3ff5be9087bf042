"""The encoder equals transformers, feature by feature."""

import pytest
import torch
import witness
from witness import ROWS

from image_prompt.clip_vision import encode_pixels, load_encoder, to_transformers

SIGLIP, CLIP = ROWS["SigLIP base/16-224"], ROWS["CLIP ViT-B/32"]


def close(ours, theirs, tolerance=1e-5):
    """Whether two tensors are equal: their largest difference is small relative to the largest value."""
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


def ours(row, model, **options):
    return load_encoder(witness.state_dict(model), metadata=witness.description(row), **options)


@pytest.mark.parametrize(
    "name",
    [
        "CLIP ViT-B/32",
        "CLIP ViT-B/16 gelu",
        "CLIP ViT-g/14",  # with another ratio of widths
        "CLIP ViT-L/14-336",
        "SigLIP base/16-224",
        "SigLIP so400m/14-384",  # with patches that do not fill the picture
    ],
)
def test_encoder_matches_transformers(name):
    row = ROWS[name]
    model = witness.narrow(row)
    pixel_values = witness.pixels(row, batch=1 if row.grid > 20 else 2)
    theirs = model(pixel_values, output_hidden_states=True)
    own = {"clip": ("image_embeds", "cls"), "siglip": ("image_embeds", "pooled")}[row.kind]

    got = ours(row, model)(pixel_values, want=(*own, "patches", "penultimate", "last"), hidden_layers=(0, 1, 2, 3, -1))

    close(got.last, theirs.last_hidden_state)
    close(got.penultimate, theirs.hidden_states[-2])
    for index, state in got.hidden.items():
        close(state, theirs.hidden_states[index])
    if row.kind == "clip":
        close(got.image_embeds, theirs.image_embeds)
        close(got.cls, model.vision_model(pixel_values).pooler_output)
        assert torch.equal(got.patches, got.last[:, 1:])
        assert got.pooled is None
    else:
        close(got.pooled, theirs.pooler_output)
        assert torch.equal(got.image_embeds, got.pooled)
        assert torch.equal(got.patches, got.last)
        assert got.cls is None


@pytest.mark.parametrize("name", ["CLIP ViT-B/32", "CLIP ViT-L/14"])
def test_projected_patches_are_the_projection_of_the_normed_last_states(name):
    row = ROWS[name]
    model, pixel_values = witness.narrow(row), witness.pixels(row)
    last = model(pixel_values, output_hidden_states=True).hidden_states[-1]
    theirs = model.visual_projection(model.vision_model.post_layernorm(last))  # (B, N + 1, D)
    encoder = ours(row, model)
    alone = encoder(pixel_values, want=("projected_patches",))
    close(alone.projected_patches, theirs)
    assert alone.names() == ["projected_patches"]
    close(alone.projected_patches[:, 0], model(pixel_values).image_embeds)
    both = encode_pixels(encoder, pixel_values, want=("image_embeds", "cls", "projected_patches"), chunk_size=1)
    close(both.projected_patches, theirs)
    assert torch.equal(both.image_embeds, both.projected_patches[:, 0])
    close(both.cls, model.vision_model(pixel_values).pooler_output)


def test_without_a_projection_there_are_no_projected_patches():
    sd = witness.state_dict(witness.narrow(CLIP))
    del sd["visual_projection.weight"]
    encoder = load_encoder(sd, metadata=witness.description(CLIP))
    with pytest.raises(ValueError, match="cannot give 'projected_patches': its file holds no visual projection"):
        encoder(witness.pixels(CLIP), want=("projected_patches",))
    with pytest.raises(ValueError, match="cannot give 'projected_patches': SigLIP has no visual projection. Ask for"):
        ours(SIGLIP, witness.narrow(SIGLIP))(witness.pixels(SIGLIP), want=("projected_patches",))


@pytest.mark.parametrize(("row", "own", "not_its"), [(CLIP, "cls", "pooled"), (SIGLIP, "pooled", "cls")])
def test_one_feature_alone_is_the_same_and_the_only_one(row, own, not_its):
    encoder, pixel_values = ours(row, witness.narrow(row)), witness.pixels(row)
    wants = ("image_embeds", own, "patches", "penultimate", "last")
    everything = encoder(pixel_values, want=wants)
    for want in wants:
        alone = encoder(pixel_values, want=(want,))
        close(alone.select(want), everything.select(want))
        assert alone.names() == [want] and alone.hidden is None
    with pytest.raises(ValueError, match=f"cannot give '{not_its}'"):
        encoder(pixel_values, want=(not_its,))


def count_layers(encoder):
    """A list that grows by the number of tokens of each layer's output."""
    calls = []
    for layer in encoder.layers:
        layer.register_forward_hook(lambda module, args, output: calls.append(output.shape[1]))
    return calls


@pytest.mark.parametrize("row", [CLIP, SIGLIP], ids=["clip", "siglip"])
def test_penultimate_does_not_run_the_last_layer(row):
    encoder, pixel_values = ours(row, witness.narrow(row)), witness.pixels(row)
    calls = count_layers(encoder)
    before = encoder(pixel_values, want=("penultimate",)).penultimate
    assert len(calls) == 2
    for parameter in (*encoder.layers[-1].parameters(), *encoder.post_norm.parameters()):
        parameter.fill_(float("nan"))
    assert torch.equal(encoder(pixel_values, want=("penultimate",)).penultimate, before)
    assert encoder(pixel_values, want=("last",)).last.isnan().any()


def test_hidden_layers_run_no_further_than_asked():
    encoder = ours(CLIP, witness.narrow(CLIP))
    calls = count_layers(encoder)
    features = encoder(witness.pixels(CLIP), want=(), hidden_layers=(1, 0))
    assert len(calls) == 1 and set(features.hidden) == {0, 1} and features.names() == []


def test_only_the_class_token_leaves_the_last_layer_when_nothing_else_is_wanted():
    encoder = ours(CLIP, witness.narrow(CLIP))
    calls = count_layers(encoder)
    encoder(witness.pixels(CLIP), want=("image_embeds", "cls"))
    assert calls == [50, 50, 1]


@pytest.mark.parametrize(("row", "chunk"), [(CLIP, 2), (SIGLIP, 8)])
def test_chunked_equals_unchunked(row, chunk):
    encoder, pixel_values = ours(row, witness.narrow(row)), witness.pixels(row, batch=5)
    want = ("image_embeds", "penultimate", "last")
    whole = encoder(pixel_values, want=want, hidden_layers=(1,))
    parts = encode_pixels(encoder, pixel_values, want=want, hidden_layers=(1,), chunk_size=chunk)
    for name in want:
        close(parts.select(name), whole.select(name), tolerance=2e-6)
    close(parts.hidden[1], whole.hidden[1], tolerance=2e-6)


@pytest.mark.parametrize(
    ("name", "chunk", "sizes"),
    [
        ("CLIP ViT-B/32", 2, [2, 2, 1]),
        ("CLIP ViT-B/32", 8, [5]),
        ("SigLIP base/16-224", 8, [5]),
        ("CLIP ViT-L/14", 8, [3, 2]),
    ],
)
def test_chunks_are_as_small_as_asked_and_on_a_cpu_no_larger_than_is_good(name, chunk, sizes):
    row, seen = ROWS[name], []
    encoder = ours(row, witness.narrow(row))
    encoder.patch_embedding.register_forward_hook(lambda module, args, output: seen.append(len(output)))
    encode_pixels(encoder, witness.pixels(row, batch=5), chunk_size=chunk)
    assert seen == sizes


def test_features_are_float32_whatever_the_weights_are():
    encoder = ours(CLIP, witness.narrow(CLIP), dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in encoder.parameters()} == {torch.bfloat16}
    features = encode_pixels(encoder, witness.pixels(CLIP), want=("image_embeds", "last"), hidden_layers=(1,))
    assert features.image_embeds.dtype == features.last.dtype == features.hidden[1].dtype == torch.float32


@pytest.mark.parametrize("name", ["CLIP ViT-L/14", "SigLIP so400m/14-224"])
def test_bf16_features_point_where_fp32_ones_do(name):
    row = ROWS[name]
    model, pixel_values = witness.narrow(row), witness.pixels(row)
    want = ("image_embeds", "penultimate", "last")
    full, half = (ours(row, model, dtype=dtype)(pixel_values, want) for dtype in (torch.float32, torch.bfloat16))
    for feature in want:
        cosine = torch.cosine_similarity(full.select(feature), half.select(feature).float(), dim=-1)
        assert cosine.min() > 0.999


@pytest.mark.parametrize("row", [CLIP, SIGLIP], ids=["clip", "siglip"])
def test_weights_go_back_to_the_transformers_layout_bit_for_bit(row):
    sd = witness.state_dict(witness.narrow(row))
    back = to_transformers(load_encoder(sd, metadata=witness.description(row)))
    assert back.keys() == sd.keys()
    assert all(torch.equal(back[key], sd[key]) for key in sd)


@pytest.mark.parametrize(
    ("want", "hidden", "message"),
    [
        (("image_embed",), (), "Unknown feature 'image_embed'.*image_embeds"),
        ("image_embeds", (), "collection of names"),
        ((), (), "No feature was asked for"),
        ((), (4,), "Hidden layer 4 .*-4 to 3"),
        ((), (-5,), "Hidden layer -5"),
    ],
)
def test_wrong_wishes_are_refused(want, hidden, message):
    encoder = ours(CLIP, witness.narrow(CLIP))
    with pytest.raises(ValueError, match=message):
        encoder(witness.pixels(CLIP), want=want, hidden_layers=hidden)


@pytest.mark.parametrize("shape", [(2, 3, 224, 225), (2, 4, 224, 224), (3, 224, 224), (0, 3, 224, 224)])
def test_pixel_values_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"reads pixel values of shape \(B, 3, 224, 224\)"):
        encode_pixels(ours(CLIP, witness.narrow(CLIP)), torch.zeros(shape))


def test_a_chunk_of_nothing_is_refused():
    with pytest.raises(ValueError, match="chunk of 0"):
        encode_pixels(ours(CLIP, witness.narrow(CLIP)), witness.pixels(CLIP), chunk_size=0)


def test_a_feature_that_was_not_asked_for_is_named():
    features = ours(CLIP, witness.narrow(CLIP))(witness.pixels(CLIP))
    with pytest.raises(ValueError, match="hold no 'penultimate', only .'image_embeds'.*want=..penultimate"):
        features.select("penultimate")


def test_each_chunk_is_told_and_may_be_the_last():
    encoder, told = ours(CLIP, witness.narrow(CLIP)), []

    def stop(number):
        told.append(number)
        if len(told) == 2:
            raise InterruptedError

    encode_pixels(encoder, witness.pixels(CLIP, batch=12), on_chunk=told.append)
    assert told == [12]  # a small encoder takes more than 8 at a time
    told.clear()
    with pytest.raises(InterruptedError):
        encode_pixels(encoder, witness.pixels(CLIP, batch=5), chunk_size=2, on_chunk=stop)
    assert told == [2, 2]
