"""Make any text fit for one line: names of files and of tensors may hold any character."""


def printable(text: str, longest: int | None = None) -> str:
    """The text without characters that move the cursor or begin a line, cut after `longest` characters."""
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[:longest])
    return shown if len(shown) == len(text) else f"{shown}..."
