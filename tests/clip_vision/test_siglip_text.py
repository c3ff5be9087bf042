"""SigLIP and SigLIP2 read texts as in transformers, where their tokenizer is there, and are refused otherwise."""

import io
import random
import sys

import pytest
import sentencepiece
import text_witness
import torch
from safetensors.torch import save_file
from tokenizers.processors import TemplateProcessing
from transformers import Siglip2Tokenizer, SiglipConfig, SiglipModel, SiglipTokenizer

from image_prompt.clip_vision import Tokenizer, encode_texts, fingerprint, load, load_text, load_text_encoder
from image_prompt.clip_vision.text.checkpoint import full_file_of

WORDS = "a photo of red blue green bicycle square the cat dog on grass with small large über café".split()
TEXTS = [
    "a photo of a red bicycle!",
    "  Hello,  World",
    "The CAT's ½ …",
    "ΣΑΣ 日本",
    " ".join(["green bicycle on the grass"] * 30),
    *(" ".join(random.Random(seed).choices([*WORDS, "Red!", "-", "x9"], k=9)) for seed in range(40)),
]


def pieces(end, pad=0, **options):
    """A small sentencepiece model, whose end token, 1, is called `end`."""
    sentences = [" ".join(random.Random(seed).choices(WORDS, k=8)) for seed in range(400)]
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=written,
        eos_id=1,
        eos_piece=end,
        pad_id=pad,
        minloglevel=2,
        hard_vocab_limit=False,
        **options,
    )
    return written.getvalue()


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """spiece.model as SigLIP has it: unigram pieces."""
    path = tmp_path_factory.mktemp("siglip") / "spiece.model"
    path.write_bytes(pieces("</s>", unk_id=2, bos_id=-1, vocab_size=80))
    return path


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """tokenizer.model as Gemma 2 has it, byte pairs with a fallback to bytes, and tokenizer.json made of it."""
    folder = tmp_path_factory.mktemp("siglip2")
    data = pieces(
        "<eos>",
        bos_id=2,
        bos_piece="<bos>",
        unk_id=3,
        vocab_size=420,
        model_type="bpe",
        byte_fallback=True,
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        normalization_rule_name="identity",
        split_by_whitespace=True,
    )
    (folder / "tokenizer.model").write_bytes(data)
    model = sentencepiece.SentencePieceProcessor(model_proto=data)
    names = [model.id_to_piece(number) for number in range(model.get_piece_size())]
    vocabulary = {name: number for number, name in enumerate(names)}
    merges = [
        (vocabulary[name], left, name[len(left) :])
        for name in names[4:]
        for left in (name[:cut] for cut in range(1, len(name)))
        if left in vocabulary and name[len(left) :] in vocabulary and not name.startswith("<0x")
    ]
    merges = [(left, right) for _, left, right in sorted(merges, key=lambda merge: merge[0])]
    reader = Siglip2Tokenizer(vocab=vocabulary, merges=merges, mask_token="<unk>", padding_side="right")
    reader.backend_tokenizer.post_processor = TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    reader.backend_tokenizer.save(str(folder / "tokenizer.json"))
    return folder, reader


def theirs(model, reader, texts):
    ids = reader(texts, padding="max_length", max_length=64, truncation=True, return_tensors="pt")["input_ids"]
    return ids, model.get_text_features(input_ids=ids).pooler_output


def close(ours, expected, tolerance=1e-5):
    assert ours.shape == expected.shape
    assert (ours - expected).abs().max() <= tolerance * expected.abs().max()


def saved(model, path):
    save_file(model.state_dict(), path, metadata=text_witness.description(model))
    return path


def test_siglip_equals_transformers(first, tmp_path):
    reader = SiglipTokenizer(str(first))
    model = text_witness.siglip(48, 4, reader.vocab_size, pad=1)
    encoder = load_text(saved(model, tmp_path / "siglip.safetensors"), "cpu", "fp32", tokenizer=first)
    ids, embeds = theirs(model, reader, TEXTS)
    assert encoder.tokens(TEXTS).tolist() == ids.tolist() and encoder.too_long(TEXTS) == [4]
    close(encode_texts(encoder, TEXTS, chunk_size=7), embeds)
    assert encoder.fingerprint == fingerprint(load(tmp_path / "siglip.safetensors", "cpu", "bf16"))
    assert encoder.logit_scale == pytest.approx(model.logit_scale.exp().item())
    assert encoder.logit_bias == pytest.approx(model.logit_bias.item())


@pytest.mark.parametrize("file", ["tokenizer.json", "tokenizer.model", "gemma_2.safetensors"])
def test_siglip2_equals_transformers_with_its_tokenizer_in_any_file(file, second, tmp_path):
    folder, reader = second
    if file.endswith(".safetensors"):
        data = torch.frombuffer(bytearray((folder / "tokenizer.model").read_bytes()), dtype=torch.uint8)
        save_file({"spiece_model": data, "model.norm.weight": torch.ones(4)}, folder / file)
    model = text_witness.siglip(48, 4, len(reader), pad=0, projection=48)
    encoder = load_text(saved(model, tmp_path / "siglip2.safetensors"), "cpu", "fp32", tokenizer=folder / file)
    ids, embeds = theirs(model, reader, TEXTS)
    assert encoder.tokens(TEXTS).tolist() == ids.tolist() and encoder.too_long(TEXTS) == [4]
    close(encode_texts(encoder, TEXTS), embeds)


def test_the_tokenizer_beside_the_encoder_is_found(first, second, tmp_path):
    """By its own name, or after that of the encoder where several encoders share a folder."""
    reader = SiglipTokenizer(str(first))
    path = saved(text_witness.siglip(48, 4, reader.vocab_size, pad=1), tmp_path / "siglip.safetensors")
    other = tmp_path / "tokenizer.json"
    other.write_bytes((second[0] / "tokenizer.json").read_bytes())
    with pytest.raises(ValueError, match="Beside it tokenizer.json has 420 tokens: another model's"):
        load_text(path, "cpu")
    for name in ("spiece.model", "siglip.tokenizer.model"):
        beside = tmp_path / name
        beside.write_bytes(first.read_bytes())
        assert load_text(path, "cpu").tokens(["cat"]).tolist() == theirs_of(reader, "cat")
        beside.unlink()


def theirs_of(reader, text):
    return reader([text], padding="max_length", max_length=64)["input_ids"]


def test_without_a_tokenizer_it_is_refused_with_what_to_get(tmp_path):
    path = saved(text_witness.siglip(48, 4, 80, pad=1), tmp_path / "siglip.safetensors")
    with pytest.raises(
        ValueError, match="tokenizer of 80 tokens, which its file does not hold. Get tokenizer.json from"
    ):
        load_text(path, "cpu")
    assert full_file_of("SigLIP2 so400m/14-384") == "google/siglip2-so400m-patch14-384"
    assert full_file_of("SigLIP2 giant/16-256") == "google/siglip2-giant-opt-patch16-256"


def test_a_tokenizer_that_does_not_fit_is_refused(first, second, tmp_path):
    path = saved(text_witness.siglip(48, 4, 77, pad=1), tmp_path / "siglip.safetensors")
    (tmp_path / "t5.model").write_bytes(pieces("<other>", unk_id=2, bos_id=-1, vocab_size=80))
    (tmp_path / "broken.model").write_bytes(b"not this")
    (tmp_path / "broken.json").write_text("{}")
    save_file({"model.norm.weight": torch.ones(4)}, tmp_path / "gemma_3.safetensors")
    for file, message in {
        first: "tokenizer has 45 tokens, but .* knows 77: it is another model's. Use that of",
        tmp_path / "t5.model": "is no tokenizer of a SigLIP: its token 1 is '<other>', not one of </s>, <eos>",
        tmp_path / "broken.model": "is no sentencepiece file that can be read",
        tmp_path / "broken.json": "is no tokenizer.json that can be read",
        tmp_path / "gemma_3.safetensors": "it holds no tokenizer .spiece_model.. Give a Gemma 2",
        tmp_path / "none.json": "There is no file .*none.json",
        3: "given by its path",
    }.items():
        with pytest.raises(ValueError, match=message):
            load_text(path, "cpu", tokenizer=file)


@pytest.mark.parametrize(("package", "file"), [("tokenizers", "tokenizer.json"), ("sentencepiece", "tokenizer.model")])
def test_a_missing_package_is_named(package, file, second, tmp_path, monkeypatch):
    path = saved(text_witness.siglip(48, 4, 420, pad=0), tmp_path / "siglip.safetensors")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=f"is read with the package {package}: pip install {package}"):
        load_text(path, "cpu", tokenizer=second[0] / file)


def test_text_encoders_1152_wide_have_heads_of_72():
    """So those of so400m are configured in transformers, and that of SigLIP2 giant."""
    sizes = {"hidden_size": 1152, "num_hidden_layers": 1, "num_attention_heads": 16, "intermediate_size": 8}
    with torch.device("meta"):
        sd = SiglipModel(SiglipConfig(text_config=sizes | {"projection_size": 1152}, vision_config=sizes)).state_dict()
    zeros = {key: torch.zeros(()).expand(tensor.shape) for key, tensor in sd.items()}
    encoder = load_text_encoder(zeros, tokenizer=Tokenizer(lambda text: [3], 32000, end=1, pad=1))
    assert (encoder.config.heads, encoder.config.activation) == (16, "gelu_pytorch_tanh")
