"""What an encoder of pictures and texts cannot do, said in words."""

from ...references.inputs import Input
from ...references.space import Space
from ...service.embedding.model import Wish


def check_no_wish(wish: Wish, space: Space) -> None:
    """Raises a ValueError if this asks for what only vision-language models do."""
    if wish.dimensions not in (None, space.dimension):
        raise ValueError(
            f"{space.encoder} gives vectors of {space.dimension} numbers, and was not trained for fewer: leave "
            f"dimensions out, or give {space.dimension}."
        )
    for name, value in (("instruction", wish.instruction), ("pooling", wish.pooling)):
        if value is not None:
            raise ValueError(f"{space.encoder} takes no {name}, as only vision-language models do: leave it out.")


def check_alone(given: Input, space: Space) -> None:
    """Raises a ValueError if this is a picture with a text."""
    if given.image is not None and given.text.strip():
        raise ValueError(
            f"{space.encoder} embeds a text or a picture, not both as one: give them as two inputs, or ask a "
            "vision-language model."
        )
