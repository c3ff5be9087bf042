"""Weights packed for oneDNN give the same features and the same state dict, and can be unpacked."""

import copy
import pickle

import pytest
import torch
import witness
from witness import ROWS

from image_prompt.clip_vision import load_encoder, pack_weights, to_transformers, unpack_weights
from image_prompt.clip_vision.network import packing

WANT = ("image_embeds", "penultimate", "last")


def encoder_of(name, **options):
    row = ROWS[name]
    return load_encoder(witness.state_dict(witness.narrow(row)), metadata=witness.description(row), **options)


@pytest.mark.parametrize(("name", "linears"), [("CLIP ViT-L/14", 13), ("SigLIP base/16-224", 17)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.bfloat16, 2e-2)])
def test_packed_equals_unpacked(name, linears, dtype, tolerance):
    encoder, pixel_values = encoder_of(name, dtype=dtype), witness.pixels(ROWS[name])
    plain = encoder(pixel_values, WANT)
    packs = dtype != torch.bfloat16 or packing.bf16_packs()  # not every processor can
    assert pack_weights(encoder) == packs * linears
    assert any(isinstance(module, torch.nn.Linear) for module in encoder.modules()) == (not packs)
    packed = encoder(pixel_values, WANT)
    for want in WANT:
        difference = (packed.select(want) - plain.select(want)).abs().max()
        assert difference <= tolerance * plain.select(want).abs().max()


def test_packing_twice_does_nothing_and_unpacking_gives_the_same_bits():
    encoder, pixel_values = encoder_of("CLIP ViT-L/14"), witness.pixels(ROWS["CLIP ViT-L/14"])
    before, weights = encoder(pixel_values, WANT), {k: v.clone() for k, v in encoder.state_dict().items()}
    assert [act(encoder) for act in (pack_weights, pack_weights, unpack_weights, unpack_weights)] == [13, 0, 13, 0]
    after = encoder.state_dict()
    assert list(after) == list(weights) and all(torch.equal(after[key], weights[key]) for key in weights)
    assert all(torch.equal(before.select(want), encoder(pixel_values, WANT).select(want)) for want in WANT)


def test_the_state_dict_is_that_of_the_plain_encoder_both_ways():
    encoder, other = encoder_of("CLIP ViT-L/14"), encoder_of("CLIP ViT-L/14")
    plain = {key: tensor.clone() for key, tensor in encoder.state_dict().items()}
    published = to_transformers(encoder)
    pack_weights(encoder)
    pack_weights(other)
    assert encoder.state_dict().keys() == plain.keys()
    assert all(torch.equal(encoder.state_dict()[key], plain[key]) for key in plain)
    assert all(torch.equal(tensor, published[key]) for key, tensor in to_transformers(encoder).items())
    other.load_state_dict(plain)
    pixel_values = witness.pixels(ROWS["CLIP ViT-L/14"])
    assert torch.equal(other(pixel_values, WANT).last, encoder(pixel_values, WANT).last)
    with pytest.raises(RuntimeError, match="layers.0.mlp.fc1.weight"):
        other.load_state_dict({key: tensor for key, tensor in plain.items() if key != "layers.0.mlp.fc1.weight"})


def test_the_plain_weights_are_not_held_beside_the_packed_ones():
    encoder = encoder_of("CLIP ViT-L/14")
    mlp = encoder.layers[0].mlp.fc1
    pack_weights(encoder)
    assert mlp.weight.numel() == 0
    assert sum(p.numel() for p in encoder.layers[0].mlp.parameters()) == mlp.out_features + mlp.in_features


def test_a_packed_encoder_does_not_leave_the_cpu_or_its_dtype():
    encoder = encoder_of("CLIP ViT-B/32")
    pack_weights(encoder)
    encoder.to("cpu")
    with pytest.raises(RuntimeError, match="unpack_weights"):
        encoder.to("meta")
    with pytest.raises(RuntimeError, match="unpack_weights"):
        encoder.half()


def test_nothing_is_packed_where_it_cannot_be(monkeypatch):
    assert pack_weights(encoder_of("CLIP ViT-B/32", dtype=torch.float16)) == 0
    monkeypatch.setattr(packing, "bf16_packs", lambda: False)
    assert pack_weights(encoder_of("CLIP ViT-B/32", dtype=torch.bfloat16)) == 0
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert pack_weights(encoder_of("CLIP ViT-B/32")) == 0
    monkeypatch.undo()
    monkeypatch.setattr(packing, "OPERATIONS", ("_linear_pointwise", "_no_such_operation"))
    assert pack_weights(encoder_of("CLIP ViT-B/32")) == 0


def test_a_packed_encoder_can_be_copied_and_pickled():
    encoder, pixel_values = encoder_of("CLIP ViT-L/14"), witness.pixels(ROWS["CLIP ViT-L/14"])
    pack_weights(encoder)
    for other in (copy.deepcopy(encoder), pickle.loads(pickle.dumps(encoder))):
        assert torch.equal(other(pixel_values, WANT).last, encoder(pixel_values, WANT).last)
        assert unpack_weights(other) == 13


def test_weights_that_are_packed_as_they_are_read_are_those_that_are_packed_later():
    row = ROWS["CLIP ViT-L/14"]
    file = witness.state_dict(witness.narrow(row))
    early = load_encoder(file, metadata=witness.description(row), pack=True)
    late = load_encoder(file, metadata=witness.description(row))
    assert pack_weights(early) == 0 and pack_weights(late) == 13
    pixel_values = witness.pixels(row)
    assert torch.equal(early(pixel_values, WANT).last, late(pixel_values, WANT).last)
    assert all(torch.equal(early.state_dict()[key], tensor) for key, tensor in late.state_dict().items())
    assert unpack_weights(early) == 13 and not any(parameter.is_meta for parameter in early.parameters())
