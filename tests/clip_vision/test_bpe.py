"""Texts are split into CLIP's tokens as transformers and OpenCLIP split them."""

import json
import os
import random
import time
import unicodedata
from pathlib import Path

import open_clip
import pytest
from transformers import CLIPTokenizer

from image_prompt.clip_vision.text.bpe import BytePairs

FILES = Path(os.environ["COMFYUI_PATH"], "comfy", "sd1_tokenizer")
HARD = [
    *("x½", "½½", "Ⅷ", "a Ⅷ½ 12", "x²³", "٣٤", "一二三", "²nd 3rd"),
    *("it's we'll I'D", "'s't", "don''t", "'ſ", "x'VE", "o'clock '"),
    *("ΣΑΣ Σ", "İstanbul", "ẞ straße", "e\u0301", "ﬁ ǆ", "日本語の犬", "हिन्दी", "عربى", "👩‍👩‍👧 🚲!"),
    *("<|endoftext|>", "a <|endoftext|> b", "<|ENDOFTEXT|>", "<|startoftext|>x<|startoftext|>", "<|endoftext"),
    *(
        "&amp; x*40 <b>",
        "hello   world\n\t",
        "\x1c a\x1d",
        "a\u200bb\u3000c\x85d",
        "_a_b__",
        "(photo:1.2) [35mm]",
        "\x00",
    ),
]
MIXED = "abc xyz'stmdrelv 12½Ⅷ²_-!?.,éÉßİΣς\u0301 \x1c\u3000<|>endoftx"


@pytest.fixture(scope="module")
def pairs():
    return BytePairs()


@pytest.fixture(scope="module")
def theirs():
    return CLIPTokenizer.from_pretrained(FILES)


def known_to_all(character):
    """Whether every version of Unicode has it, with one combining class: the tables of `tokenizers` are old."""
    kind = unicodedata.category(character)
    return kind not in ("Cn", "Cs", "Co") and (kind[0] != "M" or unicodedata.ucd_3_2_0.category(character) != "Cn")


def test_the_vocabulary_follows_from_the_merges(pairs):
    assert pairs.numbers == json.loads((FILES / "vocab.json").read_text("utf-8"))


def test_tokens_are_those_of_transformers(pairs, theirs):
    chance = random.Random(0)
    letters = [letter for letter in map(chr, range(0x110000)) if known_to_all(letter)]
    common = [*letters[:3000], *" " * 200]
    texts = list(HARD)
    for alphabet, length in ((letters, 12), (MIXED, 30), (common, 30)):
        texts += ("".join(chance.choices(alphabet, k=chance.randint(1, length))) for _ in range(1500))
    found = {text: ids[1:-1] for text, ids in zip(texts, theirs(texts)["input_ids"], strict=True)}
    assert {text: pairs(text) for text in texts} == found


def test_a_long_word_is_read_as_transformers_read_it_and_soon(pairs, theirs):
    chance = random.Random(2)
    words = ["".join(chance.choices(letters, k=20_000)) for letters in ("etaoinshrdlu", "ab", "a", "日本語の犬é")]
    begin = time.process_time()
    found = [pairs(word) for word in words]
    assert time.process_time() - begin < 5
    assert found == [ids[1:-1] for ids in theirs(words)["input_ids"]]


def test_tokens_are_those_of_openclip(pairs):
    """In texts that OpenCLIP does not repair first (ftfy, HTML)."""
    chance = random.Random(1)
    alphabet = "abcdefghij  klmnopqrstuvwxyz ABC 0123456789 .,:!?()-+*/'é日犬"
    texts = ["".join(chance.choices(alphabet, k=chance.randint(1, 40))).strip() or "x" for _ in range(500)]
    found = open_clip.tokenize(texts, context_length=77).tolist()
    assert [[49406, *pairs(text), 49407] for text in texts] == [row[: row.index(49407) + 1] for row in found]


def test_lone_surrogates_are_read_as_question_marks(pairs):
    assert pairs("a \ud800") == pairs("a ?")
