"""What image prompts do to a model, in words for the node that applies them."""

from collections.abc import Sequence

from ..display import megabytes
from .image_prompt import ImagePrompt


def report(prompts: Sequence[ImagePrompt], references: int, layers: int, seconds: float) -> str:
    """What image prompts of references do to a model, in two lines: tokens, layers, memory and time.

    layers: how many layers the model has in which they may act
    """
    acting = [prompt for prompt in prompts if not prompt.strength.is_nothing]
    if not acting:
        return "No reference acts.\nThe model is as it was."
    tokens = sum(prompt.tokens for prompt in acting)
    touched = {site for prompt in acting for site in prompt.layers}
    kept = {id(patcher): patcher for prompt in acting for patcher in prompt.models()}
    size = sum(patcher.model_size() for patcher in kept.values())
    what = "1 reference" if references == 1 else f"{references} references"
    return f"{what}, {tokens} tokens\n{len(touched)} of {layers} layers, {megabytes(size)}, {seconds * 1000:.0f} ms"
