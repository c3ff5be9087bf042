"""Pictures and texts by core's Qwen3-VL, compared with transformers' used in the official way."""

import re
from unittest.mock import patch

import comfy.model_management
import comfy.sd
import core_qwen as cores
import nodes as core
import pytest
import torch
import torch.nn.functional as F
from comfy.sd import CLIPType
from core_qwen import Official, core_qwen, tiny_qwen
from PIL import Image

from image_prompt.nodes.display import SAID
from image_prompt.nodes.embeddings.core_vision_language import CoreVisionLanguage, core_backend, why_not_loaded
from image_prompt.nodes.embeddings.embed_vlm import EmbedByVisionLanguageModel
from image_prompt.nodes.embeddings.similarity import SimilarityOfEmbeddings
from image_prompt.references.embedding import Embedding
from image_prompt.references.space import Space
from image_prompt.references.vision_language import (
    DEFAULT_INSTRUCTION,
    QUERY_INSTRUCTION,
    VisionLanguageEncoder,
    load_vision_language,
)
from image_prompt.tensor_files import Header, TensorInfo

TEXT = "A (red:1.4) bicycle, 35mm\\(x\\) embedding:nobody\n\nin the rain  "
POOLINGS = ("last", "mean")
PLAIN = "a (red:1.2) bicycle"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_qwen.write(tmp_path_factory.mktemp("qwen"), dtype=torch.float32)


@pytest.fixture(scope="module")
def official(folder):
    return Official(folder)


@pytest.fixture(scope="module")
def clip():
    return core_qwen()


@pytest.fixture(scope="module")
def seen():
    """Three pictures (3, 70, 110, 3), whose sides are no multiples of anything."""
    pictures = torch.randint(256, (3, 70, 110, 3), generator=torch.Generator().manual_seed(3))
    return pictures.float() / 255


def embed(clip, image=None, text="", **options):
    return EmbedByVisionLanguageModel.execute(clip, image, text, **options).args[0]


def as_pil(picture):
    return Image.fromarray((picture * 255).round().byte().numpy())


def prompt(clip):
    return core.CLIPTextEncode().encode(clip, PLAIN)[0][0][0]


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("text, shown", [(TEXT, False), ("", True), (TEXT, True)], ids=["text", "picture", "both"])
def test_vectors_are_those_of_transformers(clip, official, seen, text, shown, pooling):
    found = embed(clip, seen[:1] if shown else None, text, pooling=pooling)
    expected = official.vectors([(text, as_pil(seen[0]) if shown else None, DEFAULT_INSTRUCTION)], pooling)
    torch.testing.assert_close(found.vectors, expected, rtol=0, atol=1e-5)
    assert found.of == ("image" if shown else "text")


def test_instruction_pixels_and_dimensions_are_those_of_transformers(clip, official, seen):
    large = F.interpolate(seen[:1].movedim(-1, 1), scale_factor=4).movedim(1, -1)
    found = embed(clip, large, instruction=QUERY_INSTRUCTION, max_pixels=40_000, dimensions=64)
    (whole,) = official.vectors([("", as_pil(large[0]), QUERY_INSTRUCTION)], max_pixels=40_000)
    torch.testing.assert_close(found.vectors[0], F.normalize(whole[:64], dim=0), rtol=0, atol=1e-5)
    assert found.space.dimension == 64


def test_the_text_goes_with_each_picture_of_a_batch(clip, seen):
    """Each is alone with it: the vector is the same, whatever else is in the batch."""
    found = embed(clip, seen, "its wheel")
    alone = torch.cat([embed(clip, seen[number : number + 1], "its wheel").vectors for number in range(3)])
    assert torch.equal(found.vectors, alone) and len(found) == 3
    assert (found.vectors @ found.vectors.T).fill_diagonal_(0).max() < 0.9999


def test_cores_own_call_gives_another_vector(clip, official):
    """It is the state before the final norm: equal only without core's layer."""
    text = f"<|im_start|>system\n{DEFAULT_INSTRUCTION}<|im_end|>\n<|im_start|>user\na bicycle<|im_end|>\n"
    tokens = clip.tokenize(text + "<|im_start|>assistant\n")
    (expected,) = official.vectors([("a bicycle", None, DEFAULT_INSTRUCTION)])
    default = clip.encode_from_tokens(tokens)[0, -1]
    assert F.cosine_similarity(default, expected, dim=0) < 0.999
    model = clip.cond_stage_model
    model.reset_clip_options()
    model.set_clip_options({"layer": None, "execution_device": clip.patcher.load_device})
    without = model.encode_token_weights(tokens)[0][0, -1]
    model.reset_clip_options()
    torch.testing.assert_close(F.normalize(without, dim=0), F.normalize(expected, dim=0), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        embed(clip, text="a bicycle").vectors[0], F.normalize(expected, dim=0), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("kind", [CLIPType.QWEN_IMAGE, CLIPType.IDEOGRAM4, CLIPType.BOOGU])
def test_prompts_are_as_before_also_after_a_cancel(seen, monkeypatch, kind):
    """And vectors do not depend on the model for pictures for which the file was loaded."""
    clip, states, done = core_qwen(kind), CoreVisionLanguage.states, []
    before = prompt(clip)
    found = embed(clip, seen[:1], TEXT)
    assert torch.equal(prompt(clip), before)
    assert torch.equal(found.vectors, embed(core_qwen(), seen[:1], TEXT).vectors)

    def cancelled(*given):
        done.append(states(*given))
        comfy.model_management.interrupt_current_processing()
        return done[-1]

    monkeypatch.setattr(CoreVisionLanguage, "states", cancelled)
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        embed(clip, seen)
    assert len(done) == 1 and torch.equal(prompt(clip), before)


def test_a_clip_of_joyimage_is_refused():
    message = "The clip is a Qwen3VL8B_JoyImage, which sees pictures in its own way: choose the type qwen_image in Load"
    with pytest.raises(ValueError, match=message):
        embed(core_qwen(CLIPType.JOYIMAGE), text="a bicycle")


def test_special_tokens_in_a_text_are_text(clip, seen):
    words = "<|im_end|> <|image_pad|><|endoftext|>"
    assert max(core_backend(clip).tokens(words)) < 151_643  # the first of the special ones
    prompts = clip.tokenizer.qwen3vl_8b.tokenizer.backend_tokenizer  # which another thread may use now
    assert prompts.encode("<|im_end|>").ids == [151_645]
    assert len(embed(clip, seen[:1], words)) == 1


def test_cores_own_loader_takes_a_published_file(folder, clip, seen):
    """As Load CLIP has it read a file, whose tensors are called as those of the published ones."""
    with cores.tiny_sizes():
        loaded = comfy.sd.load_clip([str(folder / "model.safetensors")], clip_type=CLIPType.QWEN_IMAGE)
    assert torch.equal(embed(loaded, seen[:1]).vectors, embed(clip, seen[:1]).vectors)


def test_the_space_is_that_of_the_folder_by_transformers(folder, clip):
    encoder = VisionLanguageEncoder(core_backend(clip))
    with load_vision_language(folder, "cpu") as other:
        assert encoder.space == other.space
        assert encoder.backend.about == other.backend.about


def test_a_copy_in_bf16_is_in_the_same_space(clip, seen):
    copy = core_qwen(dtype=torch.bfloat16)
    assert core_backend(copy).about == core_backend(clip).about
    assert core_backend(copy).info()["dtype"] == "bfloat16" and core_backend(clip).info()["dtype"] == "float32"
    alike = (embed(copy, seen[:1]).vectors * embed(clip, seen[:1]).vectors).sum()
    assert alike > 0.9999


def test_loras_are_counted_and_do_not_change_the_space(clip):
    patched, about = clip.clone(), core_backend(clip).about
    key = "qwen3vl_8b.transformer.model.layers.3.mlp.down_proj.weight"
    patched.add_patches({key: (-3 * clip.patcher.model.state_dict()[key],)})  # its signs turn
    found = EmbedByVisionLanguageModel.execute(patched, text="a bicycle")
    (said,) = found.ui[SAID]
    assert said.splitlines()[1].startswith("LoRAs have changed 1 weight of this CLIP")
    plain = EmbedByVisionLanguageModel.execute(clip, text="a bicycle")
    assert plain.ui[SAID] == ["Qwen3-VL of 4 layers, 80 wide (80 numbers, last token)"]
    patched.load_model()
    assert core_backend(patched).about == core_backend(clip).about == about  # while its weights are the changed ones
    assert (found.args[0].vectors * plain.args[0].vectors).sum() < 0.999


def test_a_text_that_is_too_long_is_cut_and_said(clip, monkeypatch):
    monkeypatch.setattr(clip.cond_stage_model.qwen3vl_8b.transformer.model.config, "max_position_embeddings", 64)
    found = EmbedByVisionLanguageModel.execute(clip, text="bicycle " * 100)
    assert found.ui[SAID][0].endswith("The input is longer than 64 tokens; the rest is not seen.")
    assert torch.equal(found.args[0].vectors, embed(clip, text="bicycle " * 200).vectors)


def test_similarity_has_no_probability_and_other_spaces_are_refused(clip, seen):
    text, pictures = embed(clip, text="a bicycle"), embed(clip, seen)
    similarity, table = SimilarityOfEmbeddings.execute(text, pictures).args
    assert similarity == pytest.approx(float(text.vectors[0].double() @ pictures.vectors[0].double()), abs=1e-6)
    assert table.splitlines()[0].split() == ["text", "picture", "cosine"]
    with pytest.raises(ValueError, match="last token.*mean of tokens.*do not compare"):
        SimilarityOfEmbeddings.execute(text, embed(clip, seen, pooling="mean"))
    other = Embedding.of_vectors(torch.ones(1, 768), Space("CLIP ViT-L/14", 768), "text")
    with pytest.raises(ValueError, match=r"Qwen3-VL .*CLIP ViT-L/14.*do not compare"):
        SimilarityOfEmbeddings.execute(text, other)


def test_a_model_that_lacks_a_part_is_refused(clip):
    network = clip.cond_stage_model.qwen3vl_8b.transformer
    with (
        patch.dict(network.model._modules, norm=None),
        pytest.raises(ValueError, match="the first 4 layers of a Qwen3-VL without its final norm. Load a Qwen3-VL"),
    ):
        core_backend(clip)
    for part in (network.visual.merger.linear_fc2, network.model.layers[-1].mlp.down_proj):
        unfilled = torch.nn.Parameter(part.weight * 0 + 2e-43, False)  # as memory is that nobody has filled
        with (
            patch.dict(part._parameters, weight=unfilled),
            pytest.raises(ValueError, match="The file of the clip lacks a part of the Qwen3-VL. Load a"),
        ):
            core_backend(clip)


def test_a_file_that_was_loaded_without_its_vision_is_refused_by_name(clip, folder):
    """As Load CLIP does with the type flux2, whose text encoder has the true size, gigabytes."""
    made = clip.clone()
    made.cond_stage_model = torch.nn.Module()
    made.patcher.cached_patcher_init = (comfy.sd.load_clip_model_patcher, ([str(folder / "model.safetensors")],))
    with pytest.raises(
        ValueError, match="^model.safetensors is a Qwen3-VL that was loaded for another model.*qwen_image"
    ):
        core_backend(made)


WHOLE = {
    "visual.deepstack_merger_list.0.norm.weight": (4096,),
    "visual.merger.linear_fc2.weight": (4096, 4608),
    "language_model.embed_tokens.weight": (151936, 4096),
    "language_model.norm.weight": (4096,),
}


def header(prefix="model.", without="nothing", **shapes):
    shapes = {name: shape for name, shape in (WHOLE | shapes).items() if without not in name}
    return Header("safetensors", {f"{prefix}{name}": TensorInfo("BF16", shape) for name, shape in shapes.items()})


def of_width(width):
    return header(**{"visual.merger.linear_fc2.weight": (width, 4096)})


@pytest.mark.parametrize(
    "given, expected",
    [
        (of_width(4096), "$"),
        (of_width(2560), "$"),
        (of_width(2048), r"is a Qwen3-VL of 2048 numbers, .* only those of 2560 \(4B\) and 4096 \(8B\)$"),
        (header(without="language_model.norm"), "is one of several files"),
        (header(without="embed_tokens"), "is one of several files"),
        (header(without="linear_fc2"), "is one of several files"),
        (header(prefix=""), "is a Qwen3-VL whose tensors are not called"),
    ],
)
def test_files_that_core_does_not_load_are_told_apart(given, expected):
    assert re.match(expected, why_not_loaded(given))


def test_other_files_are_none():
    assert why_not_loaded(header(without="deepstack")) is None
