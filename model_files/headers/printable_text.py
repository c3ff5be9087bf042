"""Names of files and of tensors may hold anything: as text on one line."""


def printable(text: str, longest: int | None = None) -> str:
    """Without what moves a cursor or begins a line, and not longer than that."""
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:longest])
    return shown if len(shown) == len(text) else f"{shown}..."
