"""The LoRA that was trained together with a FaceID adapter: inside its file, or in a file of its own beside it.

Both hold the same weights, so one of them is applied. Neither has an alpha: the scale is 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from torch import Tensor

from .layers import file_order
from .loading import first

Lora = Mapping[str, Tensor]  # {"N.to_q.down.weight": (rank, width), "N.to_q.up.weight": (width, rank)}

INNER = re.compile(r"(\d+)\.to_(q|k|v|out)\.(down|up)\.weight")
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


def pairs(lora: Lora) -> Iterator[tuple[int, bool, str, Tensor, Tensor]]:
    """(number of the layer, whether it is a cross-attention, "q", "k", "v" or "out", down, up) of each weight.

    The number counts cross-attentions from 0 in the order of the file, as `match_layers` does.

    Raises:
        ValueError: a key is none of a LoRA, or half of a pair is missing.
    """
    for key, down in lora.items():
        match = INNER.fullmatch(key)
        other = key.replace(".down.", ".up.") if ".down." in key else key.replace(".up.", ".down.")
        if match is None or other not in lora:
            raise ValueError(f"The LoRA is damaged: {key} is odd, or stands alone.")
        if match[3] == "down":
            yield int(match[1]) // 2, bool(int(match[1]) % 2), match[2], down, lora[other]


def check_lora(lora: Lora, widths: Sequence[int], context_width: int) -> None:
    """Check that a LoRA fits the attentions of a model.

    widths: of the cross-attentions, in the order of the file, as `IPAdapter.layer_widths`

    Raises:
        ValueError: it has odd keys, halves of pairs, or shapes of another model.
    """
    for layer, is_cross, to, down, up in pairs(lora):
        name = f"{2 * layer + is_cross}.to_{to}"
        if layer >= len(widths):
            raise ValueError(f"The LoRA does not fit: it has {name}, and the adapter has {len(widths)} layers.")
        read = context_width if is_cross and to in ("k", "v") else widths[layer]
        if down.ndim != 2 or up.shape != (widths[layer], len(down)) or down.shape[1] != read:
            raise ValueError(
                f"The LoRA does not fit: {name} is {list(up.shape)} times {list(down.shape)}, expected "
                f"[{widths[layer]}, rank] times [rank, {read}]."
            )


def _path(match: re.Match[str]) -> str:
    """The path of a transformer block in diffusers' names."""
    block = match[1] if match[1] == "mid_block" else ".".join(match[1].rsplit("_", 1))
    return f"{block}.attentions.{match[2]}.transformer_blocks.{match[3]}"
