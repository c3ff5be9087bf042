"""Adapters of ours as the dicts of tensors that nodes of other packs read."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from ...ip_adapter import normalise
from ...ip_adapter.containers import PREFIXES
from ...model_files.catalogue import BrokenCatalogue, ids_of
from ...tensor_files import read_from, read_header
from ...tensor_files.weights import named_weights, on_meta
from ..folders import ADAPTER_FOLDER, model_path
from ..loading.load import load_adapter
from ..loading.model_library import catalogue
from ..loading.wires import FLAGS, OURS, family_of, remember

WORDS = {"faceidplusv2": "plusv2", "portraitunnorm": "unnorm"}  # flag -> what the names of files say of it
PART_OF = {"image_proj": "image_proj", "ip_adapter": "ip_adapter", "lora": "ip_adapter"}  # ours -> theirs


def raw_adapter(name: str, folder: str = ADAPTER_FOLDER, family: str = "") -> dict[str, Any]:
    """A file of a model folder as other packs load it, with our adapter beside the tensors, whose memory it shares.

    family: id of that of the files in this folder; "": the catalogue and the name say which it is

    Raises:
        ValueError: it is not there, or this pack does not apply it. The message says what to use instead.
    """
    loaded = load_adapter(name, folder=folder)
    flags = {} if family else _flags(name)
    adapter = loaded.as_family(family or family_of(flags))
    raw = {**_tensors(model_path(folder, name), name, adapter.module.state_dict()), **flags, OURS: adapter}
    remember(raw, adapter)
    return raw


def _tensors(path: str, name: str, loaded: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors of a file in their parts, under their keys in the file. loaded: what the adapter holds of them"""
    with read_from(name):
        planned = on_meta(read_header(path).state_dict)
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in PART_OF.values()}
    unread: list[tuple[str, str, str]] = []
    for key, part, short, source in _keys(planned):
        if key in loaded:
            parts[part][short] = loaded[key].detach().to("cpu")
        else:
            unread.append((part, short, source))
    if unread:
        with named_weights(path, name) as weights:
            for part, short, source in unread:
                parts[part][short] = weights.read(source)
    return parts


def _keys(planned: Mapping[str, Tensor]) -> Iterator[tuple[str, str, str, str]]:
    """(key in our adapter, part and key for other packs, key in the file) of each tensor that an adapter has."""
    sources, parts = {id(tensor): key for key, tensor in planned.items()}, normalise(planned)
    for ours, theirs in PART_OF.items():
        for key, tensor in getattr(parts, ours).items():
            source = sources.get(id(tensor), "")  # some of the adapter are made of several in the file
            prefix = next((each for each in PREFIXES[theirs] if source.startswith(each)), None)
            yield f"{ours}.{key}", theirs, source.removeprefix(prefix) if prefix else key, source


def _flags(name: str) -> dict[str, bool]:
    """The flags of a file, by the catalogue if it knows the name, else by what the name says: its folders do not."""
    families = _families(name)
    said = name.replace("\\", "/").rpartition("/")[2].lower()
    return {flag: True for flag, family in FLAGS.items() if (family in families if families else WORDS[flag] in said)}


def _families(name: str) -> frozenset[str]:
    try:
        entries = catalogue().named(name)
    except BrokenCatalogue:
        return frozenset()
    return frozenset().union(*(ids_of(entry.family) for entry in entries if entry.kind == "adapter"))
