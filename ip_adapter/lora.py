"""The LoRA that was trained together with an adapter: inside its file, or in a file of its own beside it (FaceID).

Both hold the same weights, so one of them is applied. Neither has an alpha: the scale is 1.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from torch import Tensor

from .layers import file_order
from .loading import first

Lora = Mapping[str, Tensor]  # {"N.to_q.down.weight": (rank, width), "N.to_q.up.weight": (width, rank)}


@dataclass(frozen=True)
class Layout:
    """How the keys of a LoRA are made: the number of a part of the model, a module in it, and "down" or "up".

    modules: a pattern of the names of the modules
    parts: how many parts each layer of the adapter has, which are numbered one after the other
    sizes: gives (rows, columns) of a weight, by its module, whether its part has an odd number, the width of the block
        and that of the text
    """

    modules: str
    parts: int
    sizes: Callable[[str, bool, int, int], tuple[int, int]]

    def match(self, key: str) -> re.Match[str] | None:
        return re.fullmatch(rf"(\d+)\.({self.modules})\.(down|up)\.weight", key)


def _of_attentions(module: str, odd: bool, width: int, text: int) -> tuple[int, int]:
    return width, text if odd and module in ("to_k", "to_v") else width


def _of_blocks(module: str, odd: bool, width: int, text: int) -> tuple[int, int]:
    reads = {"cross_attn.k_proj": text, "cross_attn.v_proj": text, "mlp.layer2": 4 * width}
    return 4 * width if module == "mlp.layer1" else width, reads.get(module, width)


LAYOUTS = (
    Layout(r"to_(?:q|k|v|out)", 2, _of_attentions),  # FaceID: self-attentions have even numbers, cross-attentions odd
    Layout(r"(?:self|cross)_attn\.(?:q|k|v|output)_proj|mlp\.layer[12]", 1, _of_blocks),  # Anima
)
COMPANION = re.compile(
    r"lora_unet_(down_blocks_\d+|up_blocks_\d+|mid_block)_attentions_(\d+)_transformer_blocks_(\d+)"
    r"_attn([12])_to_(q|k|v|out)(?:_0)?\.lora_(down|up)\.weight"
)


def from_companion(sd: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a LoRA file of its own under the keys that they have inside the file of an adapter.

    Raises:
        ValueError: it holds other keys.
    """
    found = {key: COMPANION.fullmatch(key) for key in sd}
    if odd := [key for key, match in found.items() if match is None]:
        raise ValueError(f"This is not the LoRA of a FaceID adapter: it holds {first(odd)}.")
    matches = {key: match for key, match in found.items() if match}
    numbers = {path: number for number, path in enumerate(file_order({_path(match) for match in matches.values()}))}
    return {
        f"{2 * numbers[_path(match)] + int(match[4]) - 1}.to_{match[5]}.{match[6]}.weight": sd[key]
        for key, match in matches.items()
    }


class Pair(NamedTuple):
    """The two halves of the change of one weight.

    number, module: as the file names it
    layer: the number of the adapter's layer in the same block
    sizes: gives (rows, columns) of the weight, by the width of the block and that of the text
    """

    number: int
    module: str
    layer: int
    down: Tensor
    up: Tensor
    sizes: Callable[[int, int], tuple[int, int]]


def pairs(lora: Lora) -> Iterator[Pair]:
    """The changes of all weights.

    Raises:
        ValueError: a key is none of a LoRA, or half of a pair is missing.
    """
    for key, down in lora.items():
        layout, match = next(((each, found) for each in LAYOUTS if (found := each.match(key))), (None, None))
        other = key.replace(".down.", ".up.") if ".down." in key else key.replace(".up.", ".down.")
        if layout is None or match is None or other not in lora:
            raise ValueError(f"The LoRA is damaged: {key} is odd, or stands alone.")
        if match[3] == "down":
            number, module = int(match[1]), match[2]
            sizes = partial(layout.sizes, module, bool(number % 2))
            yield Pair(number, module, number // layout.parts, down, lora[other], sizes)


def check_lora(lora: Lora, widths: Sequence[int], text_width: int) -> None:
    """Check that a LoRA fits a model.

    widths: of the blocks, in the order of the file, as `IPAdapter.layer_widths`
    text_width: of the text that its cross-attentions read

    Raises:
        ValueError: it has odd keys, halves of pairs, or shapes of another model.
    """
    for pair in pairs(lora):
        name = f"{pair.number}.{pair.module}"
        if pair.layer >= len(widths):
            raise ValueError(f"The LoRA does not fit: it has {name}, and the adapter has {len(widths)} layers.")
        rows, columns = pair.sizes(widths[pair.layer], text_width)
        down, up = pair.down, pair.up
        if down.ndim != 2 or up.shape != (rows, len(down)) or down.shape[1] != columns:
            raise ValueError(
                f"The LoRA does not fit: {name} is {list(up.shape)} times {list(down.shape)}, expected "
                f"[{rows}, rank] times [rank, {columns}]."
            )


def _path(match: re.Match[str]) -> str:
    """The path of a transformer block in diffusers' names."""
    block = match[1] if match[1] == "mid_block" else ".".join(match[1].rsplit("_", 1))
    return f"{block}.attentions.{match[2]}.transformer_blocks.{match[3]}"
