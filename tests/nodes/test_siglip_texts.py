"""Texts of a SigLIP2, whose tokenizer ComfyUI has in a Gemma, and what is refused without one."""

import io

import pytest
import sentencepiece
import torch
from safetensors.torch import save_file
from transformers import SiglipConfig, SiglipModel

from image_prompt.clip_vision.text.siglip_tokenizers import read_tokenizer
from image_prompt.nodes.embeddings.embed_text import EmbedText
from image_prompt.nodes.embeddings.pictures import embed_pictures
from image_prompt.nodes.loading.load import LoadImageEncoder

COMMON = {"hidden_size": 64, "num_attention_heads": 1, "intermediate_size": 48, "num_hidden_layers": 1}
TEXTS = "a red bicycle\nthe Green cat"


def pieces(end: str) -> bytes:
    """A small sentencepiece model, whose end token, 1, is called `end`."""
    written = io.BytesIO()
    sentences = ["a red bicycle on the grass", "the green cat with a small dog", "large blue square"] * 40
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=written,
        vocab_size=60,
        **{"pad_id": 0, "eos_id": 1, "eos_piece": end, "bos_id": 2, "unk_id": 3, "minloglevel": 2},
        hard_vocab_limit=False,
    )
    return written.getvalue()


def text_encoder(path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    save_file({"spiece_model": torch.frombuffer(bytearray(data), dtype=torch.uint8), "norm": torch.ones(4)}, path)


@pytest.fixture
def clip_vision(folders, tmp_path):
    (tmp_path / "gemma.model").write_bytes(pieces("<eos>"))
    text = COMMON | {"vocab_size": read_tokenizer(tmp_path / "gemma.model").vocabulary, "max_position_embeddings": 64}
    torch.manual_seed(0)
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=COMMON | {"image_size": 32, "patch_size": 8}))
    save_file(model.state_dict(), folders / "clip_vision" / "siglip2.safetensors")
    return LoadImageEncoder.execute("siglip2.safetensors", dtype="fp32").args[0]


def embed(clip_vision):
    return EmbedText.execute(TEXTS, clip_vision, texts="one in each line").args[0]


def test_the_tokenizer_in_a_gemma_reads_the_texts(folders, clip_vision, pictures):
    text_encoder(folders / "text_encoders" / "a_t5.safetensors", pieces("</s>"))  # as many tokens, of another model
    (folders / "text_encoders" / "broken.safetensors").write_bytes(b"no model")
    text_encoder(folders / "text_encoders" / "gemma.safetensors", pieces("<eos>"))
    found = embed(clip_vision)
    assert found.space.is_same(embed_pictures(clip_vision, pictures).space)
    clip_vision.text_half = None
    beside = folders / "clip_vision" / "siglip2.tokenizer.model"
    beside.write_bytes(pieces("<eos>"))
    torch.testing.assert_close(embed(clip_vision).vectors, found.vectors, rtol=0, atol=0)
    assert float(found.vectors[0] @ found.vectors[1]) < 0.9999


def test_without_one_it_says_what_to_put_where(folders, clip_vision):
    text_encoder(folders / "text_encoders" / "t5.safetensors", pieces("</s>"))
    with pytest.raises(ValueError, match="beside it as siglip2.tokenizer.json") as refused:
        embed(clip_vision)
    assert "`tokenizer`" not in str(refused.value)
