"""The text encoders equal those of transformers, in every layout and width, and files without one are refused."""

import pytest
import text_witness
import torch
from witness import openai_numbers

from image_prompt.clip_vision import encode_texts, load_text_encoder
from image_prompt.clip_vision.text.bpe import BytePairs

TEXTS = ["a photo of a red bicycle", "Ein ½ Ⅷ!  don't", "word " * 90, "x"]


def tokens_of(texts, context=77):
    """Ids as CLIPTokenizer pads and cuts them."""
    pairs = BytePairs()
    rows = [[49406, *pairs(text)[: context - 2], 49407] for text in texts]
    return torch.tensor([row + [49407] * (context - len(row)) for row in rows])


def close(ours, theirs, tolerance=1e-5):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= tolerance * theirs.abs().max()


LAYOUTS = {
    "transformers": lambda sd: sd,
    "openclip": text_witness.openclip,
    "openclip under text.": lambda sd: text_witness.openclip(sd, "text."),
    "openai": lambda sd: text_witness.openclip(sd) | openai_numbers(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("width", "heads", "activation"), [(128, 4, "quick_gelu"), (64, 1, "gelu"), (96, 4, "gelu")])
def test_clip_equals_transformers_in_every_layout(layout, width, heads, activation):
    model = text_witness.clip(width, heads, activation=activation)
    sd = LAYOUTS[layout](model.state_dict())
    encoder = load_text_encoder(sd, metadata=text_witness.description(model))
    theirs = model.text_projection(model.text_model(tokens_of(TEXTS)).pooler_output)
    close(encode_texts(encoder, TEXTS), theirs)
    close(encode_texts(encoder, TEXTS, chunk_size=1), theirs)
    assert encoder.logit_scale == pytest.approx(model.logit_scale.exp().item())
    assert encoder.too_long(TEXTS) == [2]
