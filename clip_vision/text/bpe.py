"""The byte pair encoding of CLIP (https://arxiv.org/abs/1508.07909), as transformers' CLIPTokenizer reads texts."""

from __future__ import annotations

import gzip
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from heapq import heappop, heappush
from pathlib import Path
from typing import cast

MERGES = Path(__file__).with_name("merges.txt.gz")
START, END = "<|startoftext|>", "<|endoftext|>"
SPECIAL = re.compile(rf"({re.escape(START)}|{re.escape(END)})")
CONTRACTION = re.compile(r"'(?:s|t|re|ve|m|ll|d)")
SPACES = re.compile(r"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+")  # without \x1c-\x1f of `\s`
LAST = "</w>"  # marks the last symbol of a word
KEPT_WORDS, LONGEST_KEPT = 2**14, 64  # words, and letters of one


class BytePairs:
    """Texts -> the numbers of CLIP's 49,408 tokens, without start and end."""

    def __init__(self, merges: Path = MERGES):
        with gzip.open(merges, "rt", encoding="utf-8") as file:
            pairs = [(first, second) for first, second in map(str.split, file.read().splitlines()[1:])]
        self.ranks = {pair: rank for rank, pair in enumerate(pairs)}
        self.symbols = _symbols()
        order = sorted(self.symbols, key=lambda byte: ord(self.symbols[byte]))  # those that stand for themselves first
        single = [self.symbols[byte] for byte in order]
        tokens = [*single, *(symbol + LAST for symbol in single), *(first + second for first, second in pairs)]
        self.numbers = {token: number for number, token in enumerate([*tokens, START, END])}
        self._kept = lru_cache(KEPT_WORDS)(self._word)

    def __call__(self, text: str) -> list[int]:
        """The tokens of a text. One that names the start or the end token holds that token."""
        found: list[int] = []
        for part in SPECIAL.split(text):
            if part in (START, END):
                found.append(self.numbers[part])
            else:
                for word in words(part):
                    found += self.word(word)
        return found

    def word(self, word: str) -> tuple[int, ...]:
        """The tokens of a word: of neighbours that the merges name, the first pair of them is joined, and so on."""
        return self._kept(word) if len(word) <= LONGEST_KEPT else self._word(word)

    def _word(self, word: str) -> tuple[int, ...]:
        parts: list[str | None] = [self.symbols[byte] for byte in word.encode("utf-8", "replace")]
        parts[-1] = f"{parts[-1]}{LAST}"
        before, after = list(range(-1, len(parts) - 1)), list(range(1, len(parts) + 1))
        waiting: list[tuple[int, int, str, str]] = []  # (rank, place of the first, both) of pairs, the next one first

        def wait(place: int) -> None:
            if place >= 0 and after[place] < len(parts):
                pair = cast("tuple[str, str]", (parts[place], parts[after[place]]))
                if pair in self.ranks:
                    heappush(waiting, (self.ranks[pair], place, *pair))

        for place in range(len(parts)):
            wait(place)
        while waiting:
            _, place, first, second = heappop(waiting)
            other = after[place]
            if parts[place] != first or other == len(parts) or parts[other] != second:
                continue  # one of them was joined with another since
            parts[place], parts[other], after[place] = first + second, None, after[other]
            if after[place] < len(parts):
                before[after[place]] = place
            wait(place)
            wait(before[place])
        return tuple(self.numbers[part] for part in parts if part is not None)


def words(text: str) -> Iterator[str]:
    """The words of a text, folded: runs of letters, single numbers, endings such as 's, and runs of anything else."""
    folded = "".join(map(str.lower, unicodedata.normalize("NFC", text)))  # one by one: no sigma is a final one
    for part in SPACES.split(folded):
        start = 0
        while start < len(part):
            end = _end_of_word(part, start)
            yield part[start:end]
            start = end


def _end_of_word(text: str, start: int) -> int:
    if match := CONTRACTION.match(text, start):
        return match.end()
    kind = _kind(text[start])
    if kind == "N":
        return start + 1
    end = start + 1
    while end < len(text) and _kind(text[end]) == kind:
        end += 1
    return end


def _kind(character: str) -> str:
    """L for letters, N for numbers, which are more than digits, and nothing for others."""
    kind = unicodedata.category(character)[0]
    return kind if kind in "LN" else ""


def _symbols() -> dict[int, str]:
    """{byte: the character that the merges write for it}: itself where it is visible, otherwise one from 256 on."""
    visible = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + place) for place, byte in enumerate(others)}
