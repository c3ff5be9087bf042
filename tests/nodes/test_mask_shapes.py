"""Masks with soft edges, inside out, and normalised where they overlap: closed forms, in plain torch."""

import time

import pytest
import torch

from image_prompt.nodes.controls.mask_shapes import feathered, inverted, normalised


def half(height, width):
    """Black on the left, white on the right."""
    mask = torch.zeros(1, height, width)
    mask[..., width // 2 :] = 1.0
    return mask


def block(rows, columns, size=(8, 8)):
    mask = torch.zeros(1, *size)
    mask[:, rows, columns] = 1.0
    return mask


def edge(size, radius):
    """What a raised cosine makes of a step in the middle: its integral. Both in pixels."""
    x = ((torch.arange(size) + 0.5 - size / 2) / radius).clamp(-1, 1)
    return 0.5 + x / 2 + torch.sin(torch.pi * x) / (2 * torch.pi)


@pytest.mark.parametrize("height, width", [(200, 200), (200, 320), (160, 1000)])
def test_an_edge_is_as_wide_as_the_radius_says(height, width):
    soft = feathered(half(height, width), 0.25)
    expected = edge(width, 0.25 * min(height, width))
    torch.testing.assert_close(soft[0], expected.expand(height, -1), rtol=0, atol=2e-4)


def test_an_edge_looks_the_same_at_every_resolution():
    large = feathered(block(slice(64, 160), slice(96, 256), (256, 256)), 0.2)
    small = feathered(block(slice(16, 40), slice(24, 64), (64, 64)), 0.2)
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(large, 4), small, rtol=0, atol=0.01)


def test_what_is_far_from_an_edge_keeps_its_bits():
    mask = half(40, 100)
    soft = feathered(mask, 0.5)  # 20 pixels
    assert torch.equal(soft[..., :30], mask[..., :30]) and (soft[..., 31:50] > 0).all()
    torch.testing.assert_close(soft[..., 70:], mask[..., 70:], rtol=0, atol=1e-6)


def test_no_radius_is_the_same_mask_and_no_edge_stays_none():
    mask = half(8, 8)
    assert feathered(mask, 0.0) is mask
    assert feathered(mask, 0) is mask
    torch.testing.assert_close(feathered(torch.full((2, 7, 9), 0.3), 1.0), torch.full((2, 7, 9), 0.3))


def test_every_mask_of_a_batch_is_feathered_alone_and_stays_in_range():
    masks = (torch.rand(3, 33, 20, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    soft = feathered(masks, 0.3)
    for one, alone in zip(soft, masks):
        torch.testing.assert_close(one, feathered(alone.unsqueeze(0), 0.3)[0])
    assert soft.min() >= 0 and soft.max() <= 1
    assert feathered(torch.ones(1, 333, 777), 0.1).max() <= 1


def test_feathering_a_large_mask_takes_no_time():
    mask = half(1024, 1024)
    start = time.process_time()
    feathered(mask, 0.5)
    assert time.process_time() - start < 1.0


@pytest.mark.parametrize("radius", [-0.1, 1.5, float("nan"), float("inf")])
def test_a_radius_that_is_no_part_of_the_picture(radius):
    with pytest.raises(ValueError, match=f"radius of a feathered mask is {radius:g}: .* give 0 .* to 1"):
        feathered(half(8, 8), radius)


def test_inverted():
    mask = torch.tensor([[[0.0, 0.25, 1.0]]])
    assert torch.equal(inverted(mask), torch.tensor([[[1.0, 0.75, 0.0]]]))


def test_where_masks_overlap_they_share_the_place():
    left, all_of_it, dim = block(slice(8), slice(4)), torch.ones(1, 8, 8), torch.full((1, 8, 8), 0.5)
    results = normalised([left, all_of_it, dim])
    for result, (inside, outside) in zip(results, [(1 / 2.5, 0.0), (1 / 2.5, 1 / 1.5), (0.5 / 2.5, 0.5 / 1.5)]):
        expected = torch.full((1, 8, 8), outside)
        expected[..., :4] = inside
        torch.testing.assert_close(result, expected)


def test_where_masks_do_not_overlap_they_keep_their_values():
    one, two = torch.tensor([[[1.0, 1.0, 0.3, 0.0]]]), torch.tensor([[[0.0, 1.0, 0.3, 0.7]]])
    expected = torch.tensor([[[1.0, 0.5, 0.3, 0.0]]]), torch.tensor([[[0.0, 0.5, 0.3, 0.7]]])
    assert all(map(torch.equal, normalised([one, two]), expected))


def test_masks_that_do_not_overlap_stay_the_same_objects():
    soft = feathered(half(30, 50), 0.2)
    apart = [soft, inverted(soft)]
    assert all(before is after for before, after in zip(apart, normalised(apart), strict=True))
    left, right, crossing = block(slice(8), slice(2)), block(slice(8), slice(6, 8)), block(slice(8), slice(5, 8))
    first, second, third = normalised([left, right, crossing])
    assert first is left
    assert second is not right and third is not crossing


def test_without_a_mask_a_reference_is_everywhere():
    left = block(slice(8), slice(4))
    masked, everywhere = normalised([left, None])
    assert torch.equal(masked, left / 2)
    assert torch.equal(everywhere, 1 - left / 2)
    thirds = normalised([None, None, None])
    torch.testing.assert_close(thirds, [torch.full((1, 1, 1), 1 / 3)] * 3)
    black = torch.zeros(1, 8, 8)
    assert normalised([None, black]) == [None, black]
    assert normalised([None]) == [None]
    assert normalised([]) == []


def test_masks_of_several_sizes_become_one():
    low, high = torch.ones(1, 4, 12), torch.ones(1, 16, 6)
    first, second = normalised([low, high])
    torch.testing.assert_close([first, second], [torch.full((1, 16, 12), 0.5)] * 2)
    random = [torch.rand(1, *size, generator=torch.Generator().manual_seed(3)) for size in ((7, 5), (33, 20), (12, 41))]
    results = normalised(random)
    assert {result.shape for result in results} == {(1, 33, 41)}
    assert sum(results).max() <= 1 + 1e-6


def test_a_mask_for_all_pictures_goes_with_one_for_each():
    """It overlaps in the second picture alone."""
    single, film = block(slice(8), slice(4)), torch.zeros(3, 8, 8)
    film[1] = 1.0
    one, each = normalised([single, film])
    assert one.shape == each.shape == (3, 8, 8)
    assert torch.equal(one[0], single[0]) and torch.equal(one[1], single[0] / 2)
    assert torch.equal(each[1], 1 - single[0] / 2) and not each[::2].any()


def test_masks_for_other_numbers_of_pictures_are_refused():
    with pytest.raises(ValueError, match="are for 1, 3, 1, 2 pictures: each must be one mask for all pictures, or as"):
        normalised([torch.ones(1, 8, 8), torch.ones(3, 8, 8), None, torch.ones(2, 4, 4)])
