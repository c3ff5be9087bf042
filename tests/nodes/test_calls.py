"""The rows of a call of the model are told apart, whoever calls it: tiles, windows of frames, other packs."""

import comfy.context_windows
import comfy.utils
import pytest
import tiny
import torch
from comfy.patcher_extension import WrappersMP

from image_prompt.ip_adapter import prepare

CLOSE = {"rtol": 1e-4, "atol": 1e-3}


def tiled(model, at_once):
    """Run a model as tiled diffusion does: `at_once` tiles in one call, stacked along the batch."""

    def run(apply_model, call):
        parts = call["input"].chunk(2, dim=3)
        done = []
        for start in range(0, len(parts), at_once):
            x = torch.cat(list(parts[start : start + at_once]))
            repeated = {
                key: comfy.utils.repeat_to_batch_size(value, len(x)) if isinstance(value, torch.Tensor) else value
                for key, value in call["c"].items()
            }
            timestep = comfy.utils.repeat_to_batch_size(call["timestep"], len(x))
            done += apply_model(x, timestep, **repeated).split(len(call["input"]))
        return torch.cat(done, dim=3)

    model = model.clone()
    model.set_model_unet_function_wrapper(run)
    return model


def test_tiles_stacked_along_the_batch_are_mapped_tile_by_tile(base, model, adapter, two_references, apply):
    patched = apply(model, adapter, two_references, batch="one per image")
    one, two = (tiny.sample(tiled(patched, at_once), base, steps=1, batch=2) for at_once in (1, 2))
    torch.testing.assert_close(two, one, **CLOSE)


def test_stacked_tiles_leave_no_place_for_a_mask(features, apply):
    model = tiny.unet("SD1.5")
    patched = apply(model, tiny.adapter(model), features, mask=torch.ones(1, 8, 8))

    def twice(apply_model, call):
        c = {**call["c"], "c_crossattn": call["c"]["c_crossattn"].repeat(2, 1, 1)}
        return apply_model(call["input"].repeat(2, 1, 1, 1), call["timestep"].repeat(2), **c)[: len(call["input"])]

    patched.set_model_unet_function_wrapper(twice)
    with pytest.raises(ValueError, match="on 2 parts of the latent at once.*remove the mask or that node"):
        tiny.sample(patched, "SD1.5")


def test_a_batch_that_is_no_multiple_is_refused(features, apply):
    model = tiny.unet("SD1.5")
    patched = apply(model, tiny.adapter(model), features)

    def one_more(apply_model, call):
        c = {**call["c"], "c_crossattn": call["c"]["c_crossattn"][[0, 1, 1]]}
        return apply_model(call["input"][[0, 1, 1]], call["timestep"][[0, 1, 1]], **c)[:2]

    patched.set_model_unet_function_wrapper(one_more)
    with pytest.raises(ValueError, match="3 rows for 2 conditions and 1 pictures.*Remove that node"):
        tiny.sample(patched, "SD1.5")


def test_a_block_with_rows_of_its_own_is_refused(features, apply):
    """A regional prompter repeats the positive row, so its four rows are not two tiles of positive and negative."""
    model = tiny.unet("SD1.5")
    patched = apply(model, tiny.adapter(model), features)
    rows = [0, 1, 1, 1]
    patched.set_model_patch(lambda n, context, value, options: (n[rows], context[rows], value[rows]), "attn2_patch")
    patched.set_model_patch(lambda n, options: n[:2], "attn2_output_patch")
    with pytest.raises(ValueError, match="4 rows for 2 conditions and 1 pictures .the model was called with 2."):
        tiny.sample(patched, "SD1.5")


def core_window(options, frames):
    options["context_window"] = comfy.context_windows.IndexListContextWindow(frames, dim=0, total_frames=4)


def animatediff_window(options, frames):
    options["ad_params"]["sub_idxs"] = frames


def windows(mark, frames):
    """A wrapper that runs the model on some frames after the others, as AnimateDiff-Evolved's does."""

    def run(executor, model, conds, x, timestep, model_options):
        found = [torch.zeros_like(x) for _ in conds]
        for window in frames:
            mark(model_options["transformer_options"], window)
            for each, part in zip(found, executor(model, conds, x[window], timestep[window], model_options)):
                each[window] = part
        return found

    return run


@pytest.mark.parametrize("mark", [core_window, animatediff_window])
@pytest.mark.parametrize("inside", [True, False])
def test_windows_in_one_evaluation_take_the_references_of_their_frames(two_references, apply, mark, inside):
    """The order of the two wrappers, that of the windows and ours, makes no difference."""
    model = tiny.unet("SD1.5")
    model.model_options["transformer_options"]["ad_params"] = {"sub_idxs": None}
    adapter, masks = tiny.adapter(model), torch.rand(4, 8, 8)
    expected = tiny.sample(apply(model, adapter, two_references, batch="one per image", mask=masks), "SD1.5", batch=4)
    if inside:
        model = apply(model, adapter, two_references, batch="one per image", mask=masks)
    model.add_wrapper(WrappersMP.CALC_COND_BATCH, windows(mark, [[0, 2], [3, 1]]))
    if not inside:
        model = apply(model, adapter, two_references, batch="one per image", mask=masks)
    torch.testing.assert_close(tiny.sample(model, "SD1.5", batch=4), expected, **CLOSE)


def test_a_window_projects_the_references_of_its_frames_alone(two_references, apply, monkeypatch):
    model = tiny.unet("SD1.5")
    expected = tiny.sample(apply(model, tiny.adapter(model), two_references, batch="one per image"), "SD1.5", batch=4)
    monkeypatch.setattr(prepare, "WINDOW", 1)
    monkeypatch.setattr(prepare, "MANY", 0)
    adapter = tiny.adapter(model)
    patched = apply(model, adapter, two_references, batch="one per image")
    patched.add_wrapper(WrappersMP.CALC_COND_BATCH, windows(core_window, [[0, 2], [3, 1]]))
    tokens, project = [], type(adapter.module).key_value
    monkeypatch.setattr(
        type(adapter.module),
        "key_value",
        lambda self, given, layers: tokens.append(given) or project(self, given, layers),
    )
    torch.testing.assert_close(tiny.sample(patched, "SD1.5", batch=4), expected, **CLOSE)
    assert tokens and max(map(len, tokens)) == 2


def inner_tiles(executor, x, *args, **kwargs):
    """As a pack that tiles the latent around the diffusion model itself, within one call of ComfyUI's model."""
    return torch.cat([executor(part, *args, **kwargs) for part in x.chunk(2, dim=3)], dim=3)


def test_tiles_within_a_call_leave_no_place_for_a_mask(features, apply):
    model = tiny.unet("SD1.5")
    patched = apply(model, tiny.adapter(model), features, mask=torch.ones(1, 8, 8))
    patched.add_wrapper(WrappersMP.DIFFUSION_MODEL, inner_tiles)
    with pytest.raises(ValueError, match="on a part of the latent .8x4 of 8x8."):
        tiny.sample(patched, "SD1.5")


def test_conditions_that_run_one_by_one_within_a_call_are_told_apart(features, apply):
    model = tiny.unet("SD1.5")
    patched = apply(model, tiny.adapter(model), features)
    expected = tiny.sample(patched, "SD1.5")

    def one_by_one(executor, x, timestep, context, y, control, transformer_options, *args, **kwargs):
        done = []
        for row in range(len(x)):
            one = slice(row, row + 1)
            options = {**transformer_options}
            options["cond_or_uncond"], options["uuids"] = options["cond_or_uncond"][one], options["uuids"][one]
            some = (x[one], timestep[one], context[one], None if y is None else y[one], control, options)
            done.append(executor(*some, *args, **kwargs))
        return torch.cat(done)

    patched.add_wrapper(WrappersMP.DIFFUSION_MODEL, one_by_one)
    torch.testing.assert_close(tiny.sample(patched, "SD1.5"), expected, **CLOSE)
