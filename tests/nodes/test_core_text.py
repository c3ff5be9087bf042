"""Texts by core's CLIP, compared with transformers' `text_embeds`."""

import sys
from contextlib import contextmanager
from types import SimpleNamespace

import comfy.sd
import nodes as core
import pytest
import torch
import torch.nn.functional as F
from core_clips import core_clip, text_embeds
from safetensors.torch import save_file

from image_prompt.nodes.embeddings.core_text import core_text
from image_prompt.nodes.embeddings.embed_vlm import EmbedByVisionLanguageModel

TEXTS = ["a red bicycle", "A photo (35mm:1.4) of \\(x\\), embedding:nobody", "word " * 100]
QUIET = lambda texts: None  # noqa: E731


@pytest.mark.parametrize(
    "kind, part, encoder",
    [
        ("SDXL", "clip_g", "CLIP ViT-bigG/14"),
        ("SD2", "clip_h", "CLIP ViT-H/14"),
        ("SD1.5", "clip_l", "CLIP ViT-L/14"),
    ],
)
def test_texts_are_those_of_transformers_and_the_next_prompt_is_as_before(kind, part, encoder):
    clip = core_clip(kind)
    before = core.CLIPTextEncode().encode(clip, "a (red:1.2) bicycle")[0]
    reads = core_text(clip)
    found = reads.embed(TEXTS, QUIET)
    expected = F.normalize(text_embeds(clip, part, TEXTS), dim=1)
    torch.testing.assert_close(found.vectors, expected, rtol=0, atol=1e-5)
    assert (found.space.encoder, found.of, reads.too_long(TEXTS)) == (encoder, "text", [2])
    after = core.CLIPTextEncode().encode(clip, "a (red:1.2) bicycle")[0]
    assert torch.equal(after[0][0], before[0][0])
    assert torch.equal(after[0][1]["pooled_output"], before[0][1]["pooled_output"])


@pytest.fixture(scope="module")
def sd15():
    return core_clip("SD1.5")


def options(clip):
    """What core's call of the part would do without options of its own."""
    tower = clip.cond_stage_model.clip_l
    return tower.layer, tower.layer_idx, tower.return_projected_pooled, tower.execution_device


def test_options_are_put_back_when_it_is_cancelled_too(sd15):
    clip = sd15
    before = options(clip)

    def cancel(texts):
        assert options(clip) != before
        raise InterruptedError

    core_text(clip).embed(TEXTS, QUIET)
    assert options(clip) == before
    with pytest.raises(InterruptedError):
        core_text(clip).embed(TEXTS, cancel)
    assert options(clip) == before


def test_the_text_of_a_prompt_is_not_what_pictures_compare_with(sd15):
    """Core's own call gives the text before its projection for SD1.5: it points somewhere else."""
    pooled = sd15.encode_from_tokens(sd15.tokenize(TEXTS[0]), return_pooled=True)[1]
    found = core_text(sd15).embed(TEXTS[:1], QUIET)
    assert F.cosine_similarity(pooled, found.vectors).abs() < 0.2


def test_a_clip_without_a_projection_is_refused(folders, sd15):
    with (
        unfilled(sd15, "clip_l"),
        pytest.raises(ValueError, match="no text projection.*openai/clip-vit-large.*clip_vis"),
    ):
        core_text(sd15)


def test_of_two_parts_the_one_with_a_projection_reads(folders):
    clip = core_clip("SDXL")
    with unfilled(clip, "clip_l"):
        assert core_text(clip).space.encoder == "CLIP ViT-bigG/14"
    with unfilled(clip, "clip_g"):
        assert core_text(clip).space.encoder == "CLIP ViT-L/14"
    with unfilled(clip, "clip_g"), unfilled(clip, "clip_l"):
        with pytest.raises(ValueError, match="no text projection.*CLIP-ViT-bigG-14"):
            core_text(clip)


@contextmanager
def unfilled(clip, part):
    """The text projection of a part as memory that nobody has filled mostly is."""
    projection = getattr(clip.cond_stage_model, part).transformer.text_projection
    filled, projection.weight = projection.weight, torch.nn.Parameter(projection.weight * 0 + 2e-43, False)
    yield
    projection.weight = filled


def test_a_projection_that_no_file_holds_is_refused_whatever_its_memory_holds(folders, sd15, tmp_path):
    clip = sd15.clone()
    save_file({"cond_stage_model.a.weight": torch.zeros(1)}, tmp_path / "sd15.safetensors")
    clip.patcher.cached_patcher_init = (comfy.sd.load_checkpoint_clip_patcher, (str(tmp_path / "sd15.safetensors"),))
    with pytest.raises(ValueError, match="no text projection"):
        core_text(clip)
    save_file({"text_projection": torch.zeros(768, 768)}, tmp_path / "full.safetensors")
    clip.patcher.cached_patcher_init = (comfy.sd.load_clip_model_patcher, ([str(tmp_path / "full.safetensors")],))
    assert core_text(clip).space.encoder == "CLIP ViT-L/14"


def test_loras_on_the_part_are_counted(sd15):
    clip = sd15.clone()
    assert core_text(clip).patched == 0
    key = "clip_l.transformer.text_model.encoder.layers.0.mlp.fc1.weight"
    clip.add_patches({key: (torch.ones(64, 768),)})
    assert core_text(clip).patched == 1


def test_a_socket_without_clip_is_refused(encoder):
    with pytest.raises(ValueError, match="The clip is an object of the type ImageEncoder: connect the CLIP output"):
        core_text(encoder)


@pytest.mark.parametrize(
    "module, said",
    [
        (None, "This ComfyUI has no Qwen3-VL: update it to 0.27 or newer"),
        (
            SimpleNamespace(Qwen3VL=object, QWEN3VL_CONFIGS={}),
            "The Qwen3-VL of this ComfyUI reads pictures wrongly",
        ),
    ],
    ids=["none", "that of 0.26"],
)
def test_a_comfyui_without_a_qwen3_vl_that_can_be_used_says_so(monkeypatch, module, said):
    monkeypatch.setitem(sys.modules, "comfy.text_encoders.qwen3vl", module)
    with pytest.raises(ValueError, match=said):
        EmbedByVisionLanguageModel.execute(core_clip("SD1.5"), None, "a bicycle")
