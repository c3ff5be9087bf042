"""Image attention equals the formula of the paper, written out with torch's own attention."""

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from image_prompt.ip_adapter import Attended, Beside, Constant, Picked, Plan, image_attention, plan_attention, scale_key
from image_prompt.ip_adapter.attention import heads_apart
from image_prompt.ip_adapter.attention.few_tokens import FEW_TOKENS
from image_prompt.ip_adapter.attention.fused import Fused

HEADS, WIDTH = 4, 32


def all_rows(key, value, mask=None, number=0, rows=3, combine="add"):
    return Attended(slice(0, rows), scale_key(key, HEADS), value, mask, number, combine)


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
    image_attention(q, [all_rows(key, value, mask)], HEADS, out, [weight])
    torch.testing.assert_close(out, expected(q, key, value, text, weight, mask), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tokens", [(4, 16, 1), (4, 4, 4), (16, 257), (257, 300)])
@pytest.mark.parametrize(
    ("references", "dtype"),
    [((1, 1, 1), torch.float32), ((3, 1, 3), torch.float32), ((3, 3, 3), torch.float32), ((3, 1, 3), torch.bfloat16)],
)
@pytest.mark.parametrize("weights", [(0.6, 0.6, 0.6), (0.6, -1.0, 1.3)])
def test_several_prompts_are_the_sum_of_each(tokens, references, dtype, weights):
    q, text = torch.randn(2, 3, 20, WIDTH, dtype=dtype)
    masks = (None, torch.rand(1, 20, dtype=dtype), torch.rand(3, 20, dtype=dtype))
    prompts = [
        all_rows(*torch.randn(2, count, length, WIDTH, dtype=dtype), mask, number)
        for number, (length, count, mask) in enumerate(zip(tokens, references, masks))
    ]
    together, one_by_one = text.clone(), text.clone()
    image_attention(q, prompts, HEADS, together, weights)
    for prompt in prompts:
        image_attention(q, [prompt], HEADS, one_by_one, weights)
    near = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(together, one_by_one, rtol=near, atol=near)


@pytest.mark.parametrize("tokens", [4, 257])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_near(dtype, tokens):
    q, text = torch.randn(2, 2, 20, WIDTH)
    key, value = torch.randn(2, 1, tokens, WIDTH)
    out = text.to(dtype)
    prompt = Attended(slice(0, 2), scale_key(key, HEADS).to(dtype), value.to(dtype))
    image_attention(q.to(dtype), [prompt], HEADS, out)
    torch.testing.assert_close(out.float(), expected(q, key, value, text, 1.0, None), rtol=0.02, atol=0.05)


def test_large_scores_do_not_overflow():
    q, key, value = torch.randn(3, 1, 20, WIDTH) * 1000
    out = torch.zeros(1, 20, WIDTH)
    image_attention(q, [all_rows(key[:, :4], value[:, :4], rows=1)], HEADS, out)
    assert out.isfinite().all()


def test_references_and_pictures_must_match():
    q, out = torch.zeros(2, 3, 20, WIDTH)
    key = torch.zeros(2, 4, WIDTH)
    with pytest.raises(ValueError, match="2 image prompts for 3 pictures"):
        image_attention(q, [all_rows(key, key)], HEADS, out)


def test_key_values_come_back_as_they_went_in():
    widths, given = (8, 16), [tuple(torch.randn(2, 2, 5, width)) for width in (8, 16)]
    kept = Constant(2, [5] * len(widths), widths)
    for number, pair in enumerate(given):
        for room, tensor in zip(kept.layer(number), pair):
            room.copy_(tensor)
    for number, pair in enumerate(given):
        torch.testing.assert_close(kept.layer(number), pair, rtol=0, atol=0)
    assert sum(p.numel() for p in kept.parameters()) == sum(t.numel() for pair in given for t in pair)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [20, 1100])  # small grids have ways of their own
@pytest.mark.parametrize("tokens", [(4,), (4, 4), (4, 16)])
@pytest.mark.parametrize("masked", [False, True])
def test_positive_and_negative_rows_are_as_each_alone(dtype, length, tokens, masked):
    """Rows 0 and 1 see other keys than rows 2 and 3, as in a call with guidance."""
    q, text = torch.randn(2, 4, length, WIDTH, dtype=dtype)
    weights = (0.7, -0.4)[: len(tokens)]
    groups = [
        [
            Attended(rows, *torch.randn(2, 1, count, WIDTH, dtype=dtype), mask, number)
            for number, count in enumerate(tokens)
            for mask in [torch.rand(2, length, dtype=dtype) if masked and rows.start + number == 2 else None]
        ]
        for rows in (slice(0, 2), slice(2, 4))
    ]
    together, alone = text.clone(), text.clone()
    image_attention(q, [*groups[0], *groups[1]], HEADS, together, weights)
    for group in groups:
        image_attention(q, group, HEADS, alone, weights)
    near = 1e-5 if dtype == torch.float32 else 0.05
    torch.testing.assert_close(together, alone, rtol=near, atol=near)


def apart(q):
    """The query (B, L, I) as (B, L, H, D), in memory that holds each head by itself, after seven tokens of text."""
    heads = q.unflatten(-1, (HEADS, -1)).transpose(1, 2)
    return torch.cat((torch.randn_like(heads)[:, :, :7], heads), 2)[:, :, 7:].transpose(1, 2)


def after_text(tensor):
    """A copy of (B, L, I) that follows seven tokens of text in a larger tensor, and that text."""
    whole = torch.cat((torch.full_like(tensor, 9.0)[:, :7], tensor), 1)
    return whole[:, 7:], whole[:, :7]


LENGTHS = (1, *(limit + more for limit in (15, 32, 128) for more in (0, 1)))  # each side of all limits in heads_apart


@pytest.mark.parametrize("tokens", LENGTHS)
@pytest.mark.parametrize(("references", "masks", "weight"), [(1, 0, 1.0), (3, 1, 0.6), (1, 3, -0.5), (3, 3, 0.6)])
@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03), (torch.float16, 0.01)])
def test_a_query_with_its_heads_apart_is_the_same_query(tokens, references, masks, weight, dtype, near, monkeypatch):
    monkeypatch.setattr(heads_apart, "PART", 8)  # three parts, the last one shorter
    q, text = torch.randn(2, 3, 20, WIDTH).to(dtype)
    key, value = torch.randn(2, references, tokens, WIDTH).to(dtype)
    mask = torch.rand(masks, 20).to(dtype) if masks else None
    out, before = after_text(text)
    image_attention(apart(q), [all_rows(key, value, mask)], HEADS, out, [weight])
    formula = expected(
        q.float(), key.float(), value.float(), text.float(), weight, None if mask is None else mask.float()
    )
    torch.testing.assert_close(out.float(), formula, rtol=near, atol=near)
    assert (before == 9.0).all()


@pytest.mark.parametrize("tokens", [(4, 4, 4), (4, 16, 1), (16, 40, 128), (15, 257, 4)])
@pytest.mark.parametrize("weights", [(0.6, 0.6, 0.6), (0.6, -1.0, 1.3)])
@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_several_prompts_of_a_query_with_its_heads_apart(tokens, weights, dtype, near):
    """Of different rows, with references of their own and shared ones."""
    q, text = torch.randn(2, 4, 20, WIDTH).to(dtype)
    rows = (slice(0, 4), slice(1, 4), slice(0, 2))
    masks = (None, torch.rand(1, 20).to(dtype), torch.rand(2, 20).to(dtype))
    prompts = [
        Attended(some, *torch.randn(2, count, length, WIDTH).to(dtype), mask, number)
        for number, (some, count, length, mask) in enumerate(zip(rows, (4, 1, 1), tokens, masks))
    ]
    out, _ = after_text(text)
    image_attention(apart(q), prompts, HEADS, out, weights)
    formula = text.float()
    for prompt, weight in zip(prompts, weights):
        some, scale = prompt.rows, (WIDTH // HEADS) ** 0.5  # these keys hold the scale
        mask = None if prompt.mask is None else prompt.mask.float()
        formula[some] = expected(
            q[some].float(), prompt.key.float() * scale, prompt.value.float(), formula[some], weight, mask
        )
    torch.testing.assert_close(out.float(), formula, rtol=near, atol=near)


class Made(TorchDispatchMode):
    """The sizes of the tensors that operations make in memory of their own."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if not func.is_view and isinstance(result, torch.Tensor) and not any(result is each for each in args):
            self.sizes.append(result.numel())
        return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_query_with_its_heads_apart_is_not_copied(dtype):
    q, text = torch.randn(2, 2, 600, WIDTH).to(dtype)
    q, (out, _) = apart(q), after_text(text)
    plan = plan_attention(q, [all_rows(*torch.randn(2, 1, 4, WIDTH).to(dtype), rows=2)], HEADS)
    with Made() as made:
        plan(q, out, [1.0])
    assert made.sizes and max(made.sizes) == HEADS * 4 * heads_apart.PART  # the scores of a part


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("length", [20, 1100])  # small grids have ways of their own
@pytest.mark.parametrize("tokens", [(4,), (4, 4), (257,)])
def test_an_output_that_follows_the_text_is_changed_as_any_other(dtype, length, tokens):
    q, text = torch.randn(2, 4, length, WIDTH, dtype=dtype)
    prompts = [
        Attended(rows, *torch.randn(2, 1, count, WIDTH, dtype=dtype), mask, number)
        for rows, mask in ((slice(0, 2), torch.rand(2, length, dtype=dtype)), (slice(2, 4), None))
        for number, count in enumerate(tokens)
    ]
    (out, before), alone = after_text(text), text.clone()
    image_attention(q, prompts, HEADS, out, (0.7, -0.4))
    image_attention(q, prompts, HEADS, alone, (0.7, -0.4))
    torch.testing.assert_close(out, alone, rtol=1e-6, atol=1e-6)
    assert (before == 9.0).all()


def orthogonal(q, key, value, text, weight, mask, combine):
    """text + weight * mask * (i - shared), or with the identity's attention a, (i + (a - 1) * shared)"""
    q, key, value, text = (t.float() for t in (q, key, value, text))
    image = expected(q, key, value, torch.zeros_like(text), 1.0, None)
    shared = torch.empty_like(text)
    for row in range(text.shape[0]):
        for channel in range(text.shape[2]):
            t, i = text[row, :, channel], image[row, :, channel]
            shared[row, :, channel] = t.dot(i) / t.dot(t) * t
    if combine == "orthogonal v2, one head":
        image = image + (q @ key.mT).softmax(-1).mean(1, keepdim=True)[..., :5].sum(-1, keepdim=True) * shared
    if combine == "orthogonal v2":
        q, key = (t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in (q, key))
        identity = (q @ key.mT).softmax(-1).mean(1)[..., :5].sum(-1, keepdim=True)
        image = image + identity * shared
    return text + weight * (1.0 if mask is None else mask.unsqueeze(-1)) * (image - shared)


@pytest.mark.parametrize("combine", ["orthogonal", "orthogonal v2", "orthogonal v2, one head"])
@pytest.mark.parametrize(("references", "masks", "weight"), [(1, 0, 1.0), (3, 1, 0.6), (1, 3, -0.5), (3, 3, 0.6)])
@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
def test_an_orthogonal_prompt_is_pulids_formula(combine, references, masks, weight, dtype, near):
    q, text = torch.randn(2, 3, 20, 64).to(dtype)  # heads 16 wide: the scale is a power of 2, exact in every dtype
    key, value = torch.randn(2, references, 18, 64).to(dtype)
    mask = torch.rand(masks, 20).to(dtype) if masks else None
    out = text.clone()
    image_attention(q, [all_rows(key, value, mask, combine=combine)], HEADS, out, [weight])
    formula = orthogonal(q, key, value, text, weight, mask, combine)
    torch.testing.assert_close(out.float(), formula, rtol=near, atol=near)


@pytest.mark.parametrize(("references", "masks", "weight"), [(1, 0, 1.0), (3, 1, 0.6), (1, 3, -0.5), (3, 3, 0.6)])
@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.float16, 5e-3)])
def test_a_gated_prompt_is_animas_formula(references, masks, weight, dtype, near):
    """Into an output in fp32, as Anima keeps its hidden states."""
    q, embedding = torch.randn(3, 20, WIDTH).to(dtype), torch.randn(4, 7)
    out, gate = torch.randn(4, 20, WIDTH), torch.nn.Linear(7, WIDTH)
    key, value = torch.randn(2, references, 300, WIDTH).to(dtype)
    mask = torch.rand(masks, 20).to(dtype) if masks else None
    image = expected(*(t.float() for t in (q, key, value)), 0.0, weight, None if mask is None else mask.float())
    formula = out + torch.cat((torch.zeros(1, 20, WIDTH), image * gate(embedding[1:]).unsqueeze(1)))
    prompt = Attended(slice(1, 4), scale_key(key, HEADS), value, mask, 0, "gated", gate)
    with torch.no_grad():
        image_attention(torch.cat((q[:1], q)), [prompt], HEADS, out, [weight], Beside(embedding=embedding))
    torch.testing.assert_close(out, formula, rtol=near, atol=near)


def test_scores_without_their_scale_do_not_overflow():
    q, key, value, text = (torch.randn(1, 20, WIDTH).half() * factor for factor in (300, 300, 1, 1))
    out = text.clone()
    image_attention(q, [all_rows(key, value, rows=1, combine="orthogonal v2")], HEADS, out)
    torch.testing.assert_close(
        out.float(), orthogonal(q, key, value, text, 1.0, None, "orthogonal v2"), rtol=0.02, atol=0.02
    )


def test_each_orthogonal_prompt_sees_the_text_alone():
    """Whatever the order, and also beside prompts that are added, of all rows or of some."""
    q, text = torch.randn(2, 3, 20, WIDTH)
    combines = ("add", "orthogonal", "orthogonal v2", "orthogonal")
    prompts = [
        Attended(rows, *torch.randn(2, 1, 8, WIDTH), None, number, combine)
        for number, combine in enumerate(combines)
        for rows in (slice(0, 2), slice(2, 3))
    ]
    out, weights = text.clone(), (0.5, 0.6, -0.7, 0.8)
    image_attention(q, prompts, HEADS, out, weights)
    added = torch.zeros_like(text)
    for prompt in prompts:
        image_attention(q, [prompt], HEADS, added, weights, Beside(text=text))
    torch.testing.assert_close(out, text + added, rtol=1e-5, atol=1e-5)


def test_without_text_an_orthogonal_prompt_shares_nothing_with_it():
    q, key, value = torch.randn(3, 1, 20, WIDTH)
    out, added = torch.zeros(2, 1, 20, WIDTH)
    image_attention(q, [all_rows(key, value, rows=1, combine="orthogonal")], HEADS, out)
    image_attention(q, [all_rows(key, value, rows=1)], HEADS, added)
    torch.testing.assert_close(out, added, rtol=1e-5, atol=1e-5)


def test_pictures_with_references_of_their_own_are_orthogonal_too():
    """More of them than a step projects at a time, beside another one that reads the same text."""
    q, text = torch.randn(2, 20, 6, WIDTH)
    (key, value), other = torch.randn(2, 5, 8, WIDTH), torch.randn(2, 1, 8, WIDTH)
    numbers = torch.arange(20) % 5
    picked = Picked(
        lambda references, like: (scale_key(key[references], HEADS), value[references]),
        slice(0, 20),
        numbers,
        None,
        0,
        HEADS,
        "orthogonal v2",
    )
    both = [all_rows(key[numbers], value[numbers], rows=20, combine="orthogonal v2")]
    both.append(all_rows(*other, number=1, rows=20, combine="orthogonal"))
    out, together = text.clone(), text.clone()
    Plan([], [*plan_attention(q, both[1:], HEADS).reading, picked])(q, out, (0.7, 0.5))
    image_attention(q, both, HEADS, together, (0.7, 0.5))
    torch.testing.assert_close(out, together, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 20, WIDTH), (3, 20, HEADS, WIDTH // HEADS)])
@pytest.mark.parametrize(
    ("device", "dtype", "fused"),
    [
        ("cpu", torch.float32, False),
        ("cpu", torch.float16, True),
        ("cpu", torch.float64, True),
        ("meta", torch.float32, True),
        ("meta", torch.bfloat16, True),
    ],
)
def test_a_device_and_a_dtype_that_were_never_measured_keep_the_fused_kernel(shape, device, dtype, fused):
    key, value = torch.empty(2, 1, 4, WIDTH, device=device, dtype=dtype)
    plan = plan_attention(torch.empty(shape, device=device, dtype=dtype), [all_rows(key, value)], HEADS)
    assert {isinstance(step, Fused) for step in plan.steps} == {fused}
