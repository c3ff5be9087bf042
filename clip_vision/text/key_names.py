"""Names of the weights of text encoders in published files, beside those of the image encoders."""

from __future__ import annotations

import re
from collections.abc import Collection

from ..files.key_names import Layout, Rules, apply, first_keys

_LAYER = r"text_model\.encoder\.layers\.(\d+)\."
_PARAMETER = r"(weight|bias)"

TRANSFORMERS: Rules = (
    (r"text_model\.embeddings\.token_embedding\.weight", "token_embedding"),
    (r"text_model\.embeddings\.position_embedding\.weight", "position_embedding"),
    (_LAYER + r"layer_norm([12])\." + _PARAMETER, r"layers.\1.norm\2.\3"),
    (_LAYER + r"self_attn\.([qkv])_proj\." + _PARAMETER, r"layers.\1.attention.\2.\3"),
    (_LAYER + r"self_attn\.out_proj\." + _PARAMETER, r"layers.\1.attention.out.\2"),
    (_LAYER + r"mlp\.fc([12])\." + _PARAMETER, r"layers.\1.mlp.fc\2.\3"),
    (r"text_model\.final_layer_norm\." + _PARAMETER, r"final_norm.\1"),
    (r"text_projection\.weight", "projection.weight"),
    (r"text_model\.head\." + _PARAMETER, r"projection.\1"),
    (r"logit_scale", "logit_scale"),
    (r"logit_bias", "logit_bias"),
)

_TEXT = r"(?:text\.)?"  # of files whose text model is a module of its own
_RESBLOCK = _TEXT + r"transformer\.resblocks\.(\d+)\."

OPENCLIP: Rules = (
    (_TEXT + r"token_embedding\.weight", "token_embedding"),
    (_TEXT + r"positional_embedding", "position_embedding"),
    (_RESBLOCK + r"ln_([12])\." + _PARAMETER, r"layers.\1.norm\2.\3"),
    (_RESBLOCK + r"attn\.in_proj_" + _PARAMETER, r"layers.\1.attention.qkv.\2"),
    (_RESBLOCK + r"attn\.out_proj\." + _PARAMETER, r"layers.\1.attention.out.\2"),
    (_RESBLOCK + r"mlp\.c_fc\." + _PARAMETER, r"layers.\1.mlp.fc1.\2"),
    (_RESBLOCK + r"mlp\.c_proj\." + _PARAMETER, r"layers.\1.mlp.fc2.\2"),
    (_TEXT + r"ln_final\." + _PARAMETER, r"final_norm.\1"),
    (_TEXT + r"text_projection", "projection.transposed"),
    (r"logit_scale", "logit_scale"),
    (r"logit_bias", "logit_bias"),
)

TEXT_RULES: dict[str, Rules] = {  # name of the layout of the image encoder -> rules of the text encoder beside it
    "transformers": TRANSFORMERS,
    "openclip": OPENCLIP,
    "eva-clip": OPENCLIP,
    "timm": OPENCLIP,
    "pe-core": OPENCLIP,
    "pe-core in timm": OPENCLIP,
}

OF_TEXT = r"(?:(text|text_model|transformer)\.|token_embedding|positional_embedding|ln_final|text_projection).*"
UNUSED = r".*(attn_mask|position_ids)"  # tables that are computed here


def rename_text(keys: Collection[str], layout: Layout) -> dict[str, str]:
    """{key in the file: our name} of the text encoder beside an image encoder in this layout; empty if there is none.

    ValueError names the keys of a text encoder that no rule of the layout knows.
    """
    rules = TEXT_RULES.get(layout.name, ())
    renamed = {key: name for key in keys if (name := apply(rules, key))}
    of_text = [key for key in keys if re.fullmatch(OF_TEXT, key)]
    if not of_text:
        return {}
    if strangers := [key for key in of_text if key not in renamed and not re.fullmatch(UNUSED, key)]:
        raise ValueError(
            "The text encoder in this file is no transformer of CLIP or SigLIP: its layout "
            f"({layout.name}) does not know some of its weights. Choose a CLIP with CLIP's own text encoder. "
            f"{first_keys(strangers)}"
        )
    return renamed


def is_text_alone(keys: Collection[str]) -> bool:
    """Whether a file that holds no image encoder holds the text encoder of a CLIP."""
    return any(apply(rules, key) == "token_embedding" for rules in (TRANSFORMERS, OPENCLIP) for key in keys)
