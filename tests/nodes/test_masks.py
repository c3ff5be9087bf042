"""A mask is placed on the right tokens."""

import pytest
import tiny
import torch

from image_prompt.nodes import input_checks
from image_prompt.nodes.applying.hosts.unet import CrossAttentionPatch
from image_prompt.nodes.applying.masks import Grid, token_mask


def test_a_mask_is_averaged_onto_the_grid():
    mask = torch.arange(24.0).view(1, 4, 6)
    expected = torch.tensor([[3.5, 5.5, 7.5], [15.5, 17.5, 19.5]]).flatten().unsqueeze(0)  # means of 2x2 cells
    torch.testing.assert_close(token_mask(mask, (8, 12), None, Grid(2, 3)), expected)


def test_a_thin_line_is_not_lost():
    mask = torch.zeros(1, 64, 64)
    mask[:, 5] = 1.0
    torch.testing.assert_close(token_mask(mask, (64, 64), None, Grid(8, 8)).view(8, 8)[0], torch.full((8,), 1 / 8))


def test_an_area_is_cut_out_of_the_latent():
    mask = torch.zeros(1, 6, 10)
    mask[:, 2:4, 7:] = 1.0
    cut = token_mask(mask, (6, 10), (2, 4, 2, 6), Grid(2, 4))  # height, width, top, left
    torch.testing.assert_close(cut.view(2, 4), torch.tensor([[0.0, 1, 1, 1]] * 2))


def test_tokens_that_the_model_pads_take_the_pixels_they_have():
    """A latent of 3x5 in tokens of 2x2, and before them two tokens of text."""
    mask = torch.zeros(1, 3, 5)
    mask[:, 2:, 3:] = 1.0
    expected = torch.tensor([[0.25, 0.25, 0, 0, 0, 0, 0.5, 1]])
    torch.testing.assert_close(token_mask(mask, (3, 5), None, Grid(2, 3, padding=(1, 1), before=2)), expected)


def test_a_mask_just_outside_is_clamped_and_inside_is_left_as_it_is():
    """Resizing and compositing overshoot a little; values further out are refused (bad_inputs.py)."""
    torch.testing.assert_close(
        input_checks.mask(torch.tensor([[[-0.01, 0.3, 1.01]]])), torch.tensor([[[0.0, 0.3, 1.0]]])
    )
    assert torch.equal(input_checks.mask(torch.tensor([[[True, False]]])), torch.tensor([[[1.0, 0.0]]]))


@pytest.mark.parametrize("rows", [slice(0, 4), slice(5, 12)])
def test_only_the_tokens_under_the_mask_change(features, apply, rows, monkeypatch):
    """What one block adds is compared at the block itself, for a latent of 12x7."""
    model = tiny.unet("SD1.5")
    mask = torch.zeros(1, 12, 7)
    mask[:, rows] = 1.0
    patched = apply(model, tiny.adapter(model), features, mask=mask)
    added = []
    call = CrossAttentionPatch.__call__

    def spy(self, q, k, v, extra_options):
        out = call(self, q, k, v, extra_options)
        if q.shape[1] == 12 * 7:
            added.append((out - self._text(q, k, v, extra_options)).abs().amax((0, 2)).view(12, 7))
        return out

    monkeypatch.setattr(CrossAttentionPatch, "__call__", spy)
    tiny.sample(patched, "SD1.5", steps=1, size=(12, 7))
    assert added
    for change in added:
        inside = torch.zeros(12, 7, dtype=torch.bool)
        inside[rows] = True
        assert change[inside].min() > 1e-3 and change[~inside].max() < 1e-6
