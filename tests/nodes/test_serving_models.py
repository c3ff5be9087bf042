"""The encoders that the service inside ComfyUI offers: the files that it lists, and what core loads of Qwen3-VL."""

import comfy.model_management
import folder_paths
import full_files
import numpy as np
import pytest
import torch
from core_qwen import tiny_qwen, tiny_sizes
from PIL import Image
from safetensors.torch import save_file

from image_prompt.nodes.embeddings.embed_vlm import EmbedByVisionLanguageModel
from image_prompt.nodes.folders import all_shared
from image_prompt.nodes.serving.models import ComfyModels
from image_prompt.references.inputs import Input
from image_prompt.service.embedding import EmbeddingService
from image_prompt.service.embedding.model import UnknownModel, Wish

CLIP, QWEN = "full.safetensors", "qwen3vl.safetensors"


@pytest.fixture
def files(folders, monkeypatch):
    """A CLIP, a tiny Qwen3-VL that core takes for the 8B, and a text encoder of another kind."""
    text = folders / "text_encoders"
    text.mkdir(exist_ok=True)
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "text_encoders", ([str(text)], {".safetensors"}))
    (folders / "clip_vision" / "sub").mkdir()
    full_files.save(full_files.full_clip(), folders / "clip_vision" / CLIP)
    save_file(tiny_qwen.weights(dtype=torch.float32), text / QWEN)
    save_file({"encoder.block.0.weight": torch.ones(2, 2)}, text / "t5.safetensors")
    (text / "damaged.safetensors").write_text("<html>")
    with tiny_sizes():
        yield folders


@pytest.fixture
def service(files):
    with EmbeddingService(ComfyModels()) as service:
        yield service


def test_the_names_are_those_that_comfyui_lists(files):
    models = ComfyModels()
    assert models.names() == [CLIP, QWEN]
    (files / "text_encoders" / QWEN).rename(files / "text_encoders" / CLIP)
    assert models.names() == [CLIP, f"text_encoders/{CLIP}"]
    with pytest.raises(UnknownModel):
        models.load(QWEN)


def test_a_qwen_gives_what_its_node_gives(files, service):
    image = Image.effect_mandelbrot((96, 64), (-2, -1, 1, 1), 50).convert("RGB")
    inputs = [Input("a red bicycle"), Input(image=image), Input("its wheel", image)]
    found = service.embed(QWEN, inputs, Wish(instruction="Find it.", pooling="mean", dimensions=None))
    clip = comfy.sd.load_clip([str(files / "text_encoders" / QWEN)])
    pixels = torch.from_numpy(np.asarray(image).astype(np.float32) / 255)[None]
    options = {"instruction": "Find it.", "pooling": "mean"}
    expected = [
        EmbedByVisionLanguageModel.execute(clip, shown, text, **options).args[0].vectors
        for shown, text in ((None, "a red bicycle"), (pixels, ""), (pixels, "its wheel"))
    ]
    torch.testing.assert_close(found.embedding.vectors, torch.cat(expected), rtol=0, atol=1e-5)
    assert found.of == ("text", "image", "image") and found.tokens > 30
    assert [loaded for folder, loaded in all_shared() if folder == "text_encoders"]


def test_core_moves_nothing_while_a_qwen_is_read(files, monkeypatch):
    """Core would move it without a lock, as what is on the CPU is to be computed there."""
    monkeypatch.setattr(comfy.model_management, "load_models_gpu", None)
    model = ComfyModels().load(QWEN)
    assert next(model._held.now().patcher.model.parameters()).device == torch.device("cpu")


def test_a_qwen_that_core_does_not_load_is_refused_with_the_reason(files, service):
    weights = tiny_qwen.weights(dtype=torch.float32)
    merger = "model.visual.merger.linear_fc2.weight"
    weights[merger] = torch.zeros(2048, weights[merger].shape[1])
    save_file(weights, files / "text_encoders" / "2b.safetensors")
    with pytest.raises(ValueError, match="2b.safetensors is a Qwen3-VL of 2048 numbers, and ComfyUI"):
        service.embed("2b.safetensors", [Input("a")])


def test_a_file_that_is_no_encoder_says_what_it_is(files, service):
    save_file({"proj.weight": torch.ones(2, 2)}, files / "clip_vision" / "sub" / "adapter.safetensors")
    with pytest.raises(ValueError, match="adapter.safetensors"):
        service.embed("sub/adapter.safetensors", [Input("a")])


def test_a_text_and_pictures_are_compared_with_probabilities(files, service):
    image = Image.effect_mandelbrot((96, 64), (-2, -1, 1, 1), 50).convert("RGB")
    compared = service.compare(CLIP, [Input("a red bicycle"), Input("a house")], [Input(image=image)])
    torch.testing.assert_close(compared.probabilities.sum(dim=0), torch.ones(1))
