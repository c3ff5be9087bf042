"""Image attention against the formula of the paper, written out with torch's own attention."""

import pytest
import torch
from torch.nn import functional as F

from image_prompt.ip_adapter import ImageKeyValues, ImagePrompt, fold, image_attention
from image_prompt.ip_adapter.attention import FEW_TOKENS

HEADS, WIDTH = 4, 32


def expected(q, key, value, text, weight, mask):
    """text + weight * mask * softmax(q k^T / sqrt(D)) v"""
    q, key, value = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in (q, key, value))
    batch = (len(q), *key.shape[1:])
    image = F.scaled_dot_product_attention(q, key.expand(batch), value.expand(batch)).transpose(1, 2).flatten(2)
    return text + weight * image * (1.0 if mask is None else mask.unsqueeze(-1))


@pytest.mark.parametrize("tokens", [1, FEW_TOKENS, FEW_TOKENS + 1])  # the two ways of computing it, and a row alone
@pytest.mark.parametrize(("references", "masks", "weight"), [(1, 0, 1.0), (3, 1, 0.6), (1, 3, -0.5), (3, 3, 0.6)])
def test_image_attention_is_the_papers_formula(tokens, references, masks, weight):
    q, text = torch.randn(2, 3, 20, WIDTH)
    key, value = torch.randn(2, references, tokens, WIDTH)
    mask = torch.rand(masks, 20) if masks else None
    out = text.clone()
    image_attention(q, [ImagePrompt(*fold(key, value, HEADS, weight), mask)], HEADS, out)
    torch.testing.assert_close(out, expected(q, key, value, text, weight, mask), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tokens", [(4, 16, 1), (16, 257), (257, 300)])
@pytest.mark.parametrize(
    ("references", "dtype"),
    [((1, 1, 1), torch.float32), ((3, 1, 3), torch.float32), ((3, 3, 3), torch.float32), ((3, 1, 3), torch.bfloat16)],
)
def test_several_prompts_are_the_sum_of_each(tokens, references, dtype):
    q, text = torch.randn(2, 3, 20, WIDTH, dtype=dtype)
    masks = (None, torch.rand(1, 20, dtype=dtype), torch.rand(3, 20, dtype=dtype))
    prompts = [
        ImagePrompt(*torch.randn(2, count, length, WIDTH, dtype=dtype), mask)
        for length, count, mask in zip(tokens, references, masks)
    ]
    together, one_by_one = text.clone(), text.clone()
    image_attention(q, prompts, HEADS, together)
    for prompt in prompts:
        image_attention(q, [prompt], HEADS, one_by_one)
    near = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(together, one_by_one, rtol=near, atol=near)


@pytest.mark.parametrize("tokens", [4, 257])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_near(dtype, tokens):
    q, text = torch.randn(2, 2, 20, WIDTH)
    key, value = torch.randn(2, 1, tokens, WIDTH)
    out = text.to(dtype)
    prompt = ImagePrompt(*(t.to(dtype) for t in fold(key, value, HEADS, 1.0)))
    image_attention(q.to(dtype), [prompt], HEADS, out)
    torch.testing.assert_close(out.float(), expected(q, key, value, text, 1.0, None), rtol=0.02, atol=0.05)


def test_large_scores_do_not_overflow():
    q, key, value = torch.randn(3, 1, 20, WIDTH) * 1000
    out = torch.zeros(1, 20, WIDTH)
    image_attention(q, [ImagePrompt(*fold(key[:, :4], value[:, :4], HEADS, 1.0))], HEADS, out)
    assert out.isfinite().all()


def test_references_and_pictures_must_match():
    q, out = torch.zeros(2, 3, 20, WIDTH)
    key = torch.zeros(2, 4, WIDTH)
    with pytest.raises(ValueError, match="2 image prompts for 3 pictures"):
        image_attention(q, [ImagePrompt(key, key)], HEADS, out)


def test_key_values_come_back_as_they_went_in():
    cond = [tuple(torch.randn(2, 2, 5, width)) for width in (8, 16)]
    uncond = [tuple(torch.randn(2, 1, 3, width)) for width in (8, 16)]
    bank = ImageKeyValues(cond, uncond)
    for side, pairs in (("cond", cond), ("uncond", uncond)):
        for number, (key, value) in enumerate(pairs):
            found = bank.layer(side, number)
            torch.testing.assert_close(found, (key, value), rtol=0, atol=0)
    assert sum(p.numel() for p in bank.parameters()) == sum(t.numel() for pair in cond + uncond for t in pair)
