"""Numbers as text in columns."""

from collections.abc import Sequence

from ...references.embedding import Embedding
from ...references.similarity import cosines, probabilities

MOST = 2000  # pairs in a table
NAMES = {"text": "text", "image": "picture"}  # Embedding.of -> the head of a column


def columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines of a table: each column is as wide as its longest cell, and numbers end below each other."""
    widths = [max(map(len, cells)) for cells in zip(heads, *rows)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(cells, widths)) for cells in (heads, *rows)]
    return "\n".join(line.rstrip() for line in lines)


def number(value: float) -> str:
    return f"{value:.4f}"


def similarity_table(a: Embedding, b: Embedding) -> str:
    """The cosine of each pair, and how likely a picture goes with a text where the encoder's file says how."""
    cosine, likely = cosines(a, b), _likely(a, b)
    heads = [NAMES[a.of], NAMES[b.of] if a.of != b.of else f"other {NAMES[b.of]}", "cosine"]
    pairs = [(one, other) for one in range(len(a)) for other in range(len(b))][:MOST]
    rows = [[str(one + 1), str(other + 1), number(float(cosine[one, other]))] for one, other in pairs]
    if likely is not None:
        heads.append("probability")
        rows = [[*row, number(float(likely[pair]))] for row, pair in zip(rows, pairs)]
    more = cosine.numel() - len(pairs)
    return columns(heads, rows) + (f"\nand {more:,} more pairs" if more else "")


def _likely(a: Embedding, b: Embedding):
    """Probabilities (A, B) of texts and pictures; None where they would say nothing.

    CLIP's are shares among all texts, so that a single text would always have 1.
    """
    texts, pictures = (a, b) if a.of == "text" else (b, a)
    logit = texts.logit or pictures.logit
    if (texts.of, pictures.of) != ("text", "image") or logit is None or (len(texts) == 1 and not logit.pairs):
        return None
    found = probabilities(texts, pictures)
    return found if texts is a else found.T
