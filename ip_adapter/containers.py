"""Bring adapters from the containers in which they are published into parts with the same key names.

After `normalise`, `image_proj` holds the keys of our projection modules. `ip_adapter` holds `N.to_k_ip.weight`,
`N.to_v_ip.weight` and whatever else a layer has, where N is one of `BaseModel.numbers`, in the order of the original
training code. `lora` holds `N.to_q.down.weight` and the like, and `others` the keys that belong to none of these parts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from .families import Family, Part
from .families.foreign import objections, recognise
from .layers import file_order
from .loading import Read, first

# part -> its prefixes in files; if a file has several (NOOB has both), the first one counts
PREFIXES = {
    "image_proj": (
        "image_proj.",
        "image_proj_model.",
        "ip_adapter_proj_model.",
        "id_adapter.",  # PuLID
        "pulid_encoder.",
        "encoder_hid_proj.image_projection_layers.0.",
    ),
    "ip_adapter": ("ip_adapter.", "adapter_modules.", "id_adapter_attn_layers.", "pulid_ca."),
}

# keys in the files of trainers and diffusers that do not belong to the adapter
BAGGAGE = re.compile(
    r"(unet|image_encoder|preprocessor|conv_in_unet_sd|controlnet_adapter_modules)\.|ip_scale$"
    r"|(conv_in|conv_out|conv_norm_out|time_embedding|add_embedding|down_blocks|up_blocks|mid_block)\."
)

PROCESSOR = re.compile(r"((?:down_blocks|up_blocks|mid_block)\..+)\.processor\.to_([kv])_ip\.0\.weight")
LAYER_KEY = re.compile(r"\d+\.[a-z].*")

# key names of single programs and families -> our names. The keys begin with a part of `PREFIXES`, or with none
SPELLINGS = (
    (r"ip_adapter\.(\d+)\.to_(q|k|v|out)_lora\.", r"lora.\1.to_\2."),
    (r"ip_adapter\.(\d+)\.id_to_([kv])\.", r"ip_adapter.\1.to_\2_ip."),  # PuLID
    (r"(content|style)_image_proj\.", r"image_proj.\1."),  # CSGO
    (r"double_blocks\.(\d+)\.processor\.ip_adapter_double_stream_([kv])_proj\.", r"ip_adapter.\1.to_\2_ip."),  # XLabs
    (r"blocks\.(\d+)\.ip_([kv])_proj\.", r"ip_adapter.\1.to_\2_ip."),  # Anima
    (r"blocks\.(\d+)\.adaln_ip\.1\.", r"ip_adapter.\1.gate."),
    (r"lora\.base_model\.model\.blocks\.(\d+)\.(.+)\.lora_A\.(?:default\.)?", r"lora.\1.\2.down."),
    (r"lora\.base_model\.model\.blocks\.(\d+)\.(.+)\.lora_B\.(?:default\.)?", r"lora.\1.\2.up."),
    (r"(siglip_norm|siglip_compressor|ip_self_attn|null_tokens)(?=\.|$)", r"image_proj.\1"),
    (r"ip_adapter\.(\d+)\.norm_ip_([qk])\.scale", r"ip_adapter.\1.norm_ip_\2.weight"),  # InstantCharacter
)

# what precedes the number of a layer: a projection may have two resamplers (CSGO), three kinds of layers (Instruct), or
# a resampler behind other networks (InstantCharacter)
LAYERS = r"(?:perceiver_resampler\.)?((?:content\.|style\.|resampler\.|prompt_|new_input_)?layers)"
CHARACTER_BLOCK = r"(cross_(?:layer|scale)_blocks\.\d+)"

PROJECTION_KEYS = (
    (r"image_embeds\.", "proj."),  # diffusers: linear
    (r"ff\.net\.0\.proj\.", "proj.0."),  # diffusers: MLP
    (r"ff\.net\.2\.", "proj.2."),
    (r"proj\.net\.0\.proj\.", "proj.0."),  # diffusers: FaceID plus
    (r"proj\.net\.2\.", "proj.2."),
    (r"proj\.3\.", "norm."),  # original: full-face
    (r"perceiver_resampler\.(proj_in|proj_out|norm_out)\.", r"\1."),  # original: FaceID plus
    (rf"{LAYERS}\.(\d+)\.0\.", r"\1.\2."),  # original: resamplers
    (rf"{LAYERS}\.(\d+)\.1\.", r"\1.\2.ff."),
    (rf"{LAYERS}\.(\d+)\.2\.", r"\1.\2.adaln."),
    (r"layers\.(\d+)\.ln0\.", r"layers.\1.norm1."),  # diffusers: resampler
    (r"layers\.(\d+)\.ln1\.", r"layers.\1.norm2."),
    (r"layers\.(\d+)\.attn\.to_out\.0\.", r"layers.\1.to_out."),
    (r"layers\.(\d+)\.attn\.", r"layers.\1."),
    (r"layers\.(\d+)\.ff\.1\.net\.0\.proj\.", r"layers.\1.ff.1."),
    (r"layers\.(\d+)\.ff\.1\.net\.2\.", r"layers.\1.ff.3."),
    (rf"{CHARACTER_BLOCK}\.attn(\d)\.to_out\.0\.", r"\1.attn\2.to_out."),
    (rf"{CHARACTER_BLOCK}\.ff\.net\.0\.proj\.", r"\1.ff.proj."),
    (rf"{CHARACTER_BLOCK}\.ff\.net\.2\.", r"\1.ff.out."),
)


PARTS: tuple[Part, ...] = ("image_proj", "ip_adapter", "lora", "others")


@dataclass(frozen=True)
class AdapterParts:
    """The tensors of an adapter file by part. `lora` and `others` are empty unless files of the family have them."""

    family: Family
    image_proj: dict[str, Tensor]
    ip_adapter: dict[str, Tensor]
    lora: dict[str, Tensor]
    others: dict[str, Tensor]

    def state_dict(self) -> dict[str, Tensor]:
        """The weights of an `IPAdapter` in one dict, with the names of the parts before their keys."""
        parts = {"image_proj": self.image_proj, "ip_adapter": self.ip_adapter}
        return {f"{part}.{key}": tensor for part, tensors in parts.items() for key, tensor in tensors.items()}


def normalise(sd: object, read: Read | None = None) -> AdapterParts:
    """The parts of an adapter, with the same key names whatever the container.

    Args:
        sd: a flat or nested dict of tensors, as read from the file
        read: gives the values of a key if the tensors in a flat `sd` have none

    Raises:
        ForeignFile: it is a known kind of file, but not a supported adapter. The message says what to do with it.
        ValueError: it holds no tensors, something besides tensors, keys that no adapter has, or no known family.
    """
    leaves = _flatten(sd)
    flat = {key: value for key, value in leaves.items() if isinstance(value, Tensor)}
    sources = _unify(flat)
    keys = {name: flat[key] for name, key in sources.items()}
    parts = _divide(keys)
    spelled = keys | {f"image_proj.{_rename(key)}": keys[name] for key, name in parts["image_proj"].items()}
    family = recognise(spelled)
    if others := [f"{key} ({type(value).__name__})" for key, value in leaves.items() if key not in flat]:
        raise ValueError(f"This file holds something other than tensors: {first(others)}. Adapters hold tensors alone.")
    _check_parts(parts, family.parts if family else PARTS[:2], family.optional if family else (), list(flat))
    if family is None:
        found = first([_rename(name) for name in parts["image_proj"]])
        raise ValueError(f"This file is not a known IP-Adapter ({objections(spelled)}). First keys: {found}.")
    image_proj, ip_adapter, lora, rest = (
        {key: read(sources[name]) if read else keys[name] for key, name in names.items()} for names in parts.values()
    )
    return AdapterParts(family, projection_keys(image_proj), _fold_scalers(ip_adapter), lora, rest)


def _divide(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Names with a part before the key, sorted by part: {part: {key: name}}."""
    parts: dict[str, dict[str, str]] = {part: {} for part in PARTS}
    for name in names:
        part, _, key = name.partition(".")
        if part in PARTS[:-1]:
            parts[part][key] = name
        else:
            parts["others"][name] = name
    return parts


def _check_parts(
    parts: Mapping[str, Mapping[str, str]], wanted: Sequence[Part], optional: Sequence[Part], keys: list[str]
) -> None:
    """Raise a ValueError unless a file has all the parts that are wanted, and besides only optional ones."""
    if missing := [part for part in wanted if not parts[part]]:
        raise ValueError(
            f"This file is not a known IP-Adapter: it has no {' and '.join(missing)} part. First keys: {first(keys)}."
        )
    if left := [name for part, names in parts.items() if part not in (*wanted, *optional) for name in names.values()]:
        raise ValueError(f"This file holds keys that no known IP-Adapter has: {first(left)}.")


def _flatten(sd: object) -> dict[str, object]:
    """A nested dict as a flat one, whose keys are the nested keys joined with dots."""
    if isinstance(sd, (str, os.PathLike)):
        path = os.fspath(cast("str | os.PathLike[str]", sd))
        raise ValueError(f"{path!r} is a path: give the tensors of the file, or use ip_adapter.load(path).")
    if not isinstance(sd, Mapping):
        raise ValueError(f"This file holds a {type(sd).__name__} where a dict of tensors was expected.")
    leaves = dict(_walk(cast("Mapping[object, object]", sd), ""))
    if not leaves:
        raise ValueError("This file is empty: it holds no tensors.")
    return leaves


def _walk(sd: Mapping[object, object], prefix: str) -> Iterator[tuple[str, object]]:
    for key, value in sd.items():
        if isinstance(value, Mapping):
            yield from _walk(cast("Mapping[object, object]", value), f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _unify(keys: Iterable[str]) -> dict[str, str]:
    """{key with one of our prefixes, `image_proj.` or `ip_adapter.`: key in the file}.

    Duplicates are left out, and in a file with layers of an adapter also the keys of `BAGGAGE`.
    """
    flat = _number_processors(keys)
    chosen = {
        part: next((p for p in prefixes if any(key.startswith(p) for key in flat)), "")
        for part, prefixes in PREFIXES.items()
    }
    found: dict[str, str] = {}
    for key, source in flat.items():
        part = next((part for part, prefixes in PREFIXES.items() if key.startswith(prefixes)), None)
        if part is None:
            if not (chosen["ip_adapter"] and BAGGAGE.match(key)):
                found[FILE_SPELLINGS(key)] = source
        elif key.startswith(chosen[part]):
            found[FILE_SPELLINGS(f"{part}.{key.removeprefix(chosen[part])}")] = source
    return found


def _number_processors(keys: Iterable[str]) -> dict[str, str]:
    """{key with the number of its layer: key in the file}.

    Diffusers names a layer by its place in the UNet. The original files number them, with odd numbers for
    cross-attentions.
    """
    matches = {key: match for key in keys if (match := PROCESSOR.fullmatch(key))}
    numbers = {path: 2 * n + 1 for n, path in enumerate(file_order({match[1] for match in matches.values()}))}
    return {
        f"ip_adapter.{numbers[matches[key][1]]}.to_{matches[key][2]}_ip.weight" if key in matches else key: key
        for key in keys
    }


def projection_keys(image_proj: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a projection with the keys of our networks. They come without the name of the part before them."""
    return _fuse_key_value({_rename(key): tensor for key, tensor in image_proj.items()})


def _rename(key: str) -> str:
    return PROJECTION_SPELLINGS(key)


class Spellings:
    """Renames keys by the first of these patterns that fits the start of a key."""

    def __init__(self, table: Iterable[tuple[str, str]]) -> None:
        self._rules = [(re.compile(pattern), replacement) for pattern, replacement in table]
        self._fits = re.compile("|".join(f"(?:{pattern.pattern})" for pattern, _ in self._rules)).match

    def __call__(self, key: str) -> str:
        if self._fits(key):  # most keys are ours already, and one look shows that
            for pattern, replacement in self._rules:
                if pattern.match(key):
                    return pattern.sub(replacement, key, count=1)
        return key


FILE_SPELLINGS, PROJECTION_SPELLINGS = Spellings(SPELLINGS), Spellings(PROJECTION_KEYS)


def _fuse_key_value(sd: dict[str, Tensor]) -> dict[str, Tensor]:
    """Stack the resampler's key and value weights, as the original code has them; diffusers splits them."""
    fused = dict(sd)
    for key, tensor in sd.items():
        value = sd.get(key.replace(".to_k.", ".to_v."))
        if ".to_k." in key and value is not None and _are_halves(tensor, value):
            del fused[key], fused[key.replace(".to_k.", ".to_v.")]
            fused[key.replace(".to_k.", ".to_kv.")] = _stacked(tensor, value)
    return fused


def _are_halves(key: Tensor, value: Tensor) -> bool:
    """Whether the weights can be stacked. If one of them is quantised, it would be taken for a float afterwards."""
    return key.ndim == 2 and key.shape == value.shape and key.is_floating_point() == value.is_floating_point()


def _stacked(key: Tensor, value: Tensor) -> Tensor:
    if key.is_meta:  # to concatenate these torch would import its compiler, which takes a second
        return torch.empty((len(key) + len(value), *key.shape[1:]), dtype=key.dtype, device="meta")
    return torch.cat((key, value))


def _fold_scalers(sd: dict[str, Tensor]) -> dict[str, Tensor]:
    """Multiply the weights of each layer by its `ip_scaler`, a factor for the image tokens that ai-toolkit may train.

    Raises:
        ValueError: a layer has a factor for each token.
    """
    scalers = {key.split(".")[0]: tensor for key, tensor in sd.items() if key.endswith(".ip_scaler")}
    if per_token := [f"{layer}.ip_scaler" for layer, tensor in scalers.items() if tensor.numel() != 1]:
        raise ValueError(f"Adapters with one trained factor per token are not supported: {first(per_token)}.")
    return {
        key: tensor * scalers[layer].to(tensor) if (layer := key.split(".")[0]) in scalers else tensor
        for key, tensor in sd.items()
        if not key.endswith(".ip_scaler")
    }
