"""Encoders that read pictures of another size equal transformers with interpolated position embeddings."""

import pytest
import test_eva
import torch
import torch.nn.functional as F
import witness
from witness import ROWS

from image_prompt.clip_vision import encode, load_encoder
from image_prompt.clip_vision.encoding import _chunk_size

CLIP, SIGLIP, SO400M = ROWS["CLIP ViT-H/14"], ROWS["SigLIP base/16-224"], ROWS["SigLIP so400m/14-384"]


def close(one, other):
    assert one.shape == other.shape
    assert (one - other).abs().max() <= 1e-5 * other.abs().max()


def at(size, row=CLIP, sd=None, **options):
    sd = witness.state_dict(witness.narrow(row, layers=2)) if sd is None else sd
    return load_encoder(sd, metadata=witness.description(row), image_size=size, **options)


@pytest.mark.parametrize(
    ("row", "size"),
    [(CLIP, 448), (CLIP, 112), (SIGLIP, 320), (SO400M, 448)],
    ids=lambda each: getattr(each, "name", each),
)
def test_another_size_equals_transformers_with_interpolated_positions(row, size):
    model, pixel_values = witness.narrow(row, layers=2), torch.randn(1, 3, size, size)
    theirs = model(pixel_values, output_hidden_states=True, interpolate_pos_encoding=True)
    encoder = at(size, row, witness.state_dict(model))
    got = encoder(pixel_values, want=("image_embeds", "penultimate", "last"), hidden_layers=(0,))
    close(got.image_embeds, theirs.image_embeds if row.kind == "clip" else theirs.pooler_output)
    close(got.last, theirs.last_hidden_state)
    close(got.penultimate, theirs.hidden_states[-2])
    close(got.hidden[0], theirs.hidden_states[0])
    assert (encoder.config.image_size, encoder.config.tokens) == (size, got.last.shape[1])
    assert encoder.config.name == row.name


def test_eva_at_another_size_has_positions_and_angles_of_the_new_grid():
    model, larger, pixel_values = test_eva.narrow(), test_eva.narrow(448), torch.randn(1, 3, 448, 448)
    sd = model.state_dict()
    places = sd["pos_embed"][:, 1:].transpose(1, 2).unflatten(2, (24, 24))
    places = F.interpolate(places, size=(32, 32), mode="bicubic").flatten(2).transpose(1, 2)
    larger.load_state_dict(sd | {"pos_embed": torch.cat((sd["pos_embed"][:, :1], places), dim=1)})
    close(test_eva.ours(sd, image_size=448)(pixel_values).image_embeds, larger(pixel_values))


def test_its_own_size_changes_nothing():
    sd = witness.state_dict(witness.narrow(SO400M, layers=2))
    one, other = at(384, SO400M, sd), at(None, SO400M, sd)
    assert one.config == other.config and torch.equal(one.position_embedding, other.position_embedding)


def test_what_is_saved_of_it_is_loaded_again_at_that_size():
    from image_prompt.clip_vision import to_transformers

    encoder = at(448)
    again = load_encoder(to_transformers(encoder), metadata={"vision_config": '{"heads": 16}'})
    assert again.config.image_size == 448
    assert torch.equal(again.position_embedding, encoder.position_embedding)


def test_pictures_are_prepared_in_the_size_that_was_asked_for():
    seen = []
    encoder = at(112)
    encoder.register_forward_pre_hook(lambda module, args: seen.append(args[0].shape))
    encode(encoder, torch.rand(2, 200, 300, 3))
    assert seen == [(2, 3, 112, 112)]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_positions_are_interpolated_in_fp32(dtype):
    sd = witness.state_dict(witness.narrow(CLIP, layers=1))
    half = at(448, sd=sd, dtype=dtype)
    full = at(448, sd={key: tensor.to(dtype).float() for key, tensor in sd.items()})
    assert half.position_embedding.dtype == dtype
    assert torch.equal(half.position_embedding, full.position_embedding.to(dtype))


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (
            450,
            "no whole number of the patches of CLIP ViT-H/14, which are 14 pixels wide: give 448 or 462, or leave it "
            "at its own 224",
        ),
        (0, "Pictures of 0 pixels: give a whole number from 14 to 2048, or leave it at that of CLIP ViT-H/14, 224"),
        (-14, "Pictures of -14 pixels: give a whole number"),
        (2800, "Pictures of 2800 pixels: give a whole number"),
        (448.0, "Pictures of 448.0 pixels: give a whole number"),
        (True, "Pictures of True pixels: give a whole number"),
    ],
)
def test_a_size_that_is_none_is_refused(size, message):
    with pytest.raises(ValueError, match=message):
        at(size)


@pytest.mark.parametrize(
    ("device", "size", "asked", "pictures"),
    [
        ("cpu", 224, None, 3),
        ("cpu", 448, None, 1),
        ("meta", 224, None, 8),
        ("meta", 448, 8, 7),
        ("meta", 448, 2, 2),
        ("meta", 1792, None, 1),
    ],
)
def test_there_are_fewer_pictures_in_a_chunk_the_more_tokens_they_have(device, size, asked, pictures):
    assert _chunk_size(at(size).to(device), asked) == pictures
