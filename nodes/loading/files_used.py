"""Which files the loaders of a prompt used: ComfyUI writes it into the pictures beside the workflow.

With `auto`, or once a file was exchanged, the workflow alone does not say it. A loader whose result ComfyUI still has
does not run again, but its files belong into the next picture too. So a loader that runs leaves its files under a key
of all that its result depends on, and a prompt collects them by these keys when a picture is saved.
"""

import hashlib
import logging
import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

from ...model_files.catalogue import BrokenCatalogue
from ...model_files.environment import pack_version
from ...model_files.index import Identity
from ...model_files.pictures import CHUNK
from ..encoding.encoder import ImageEncoder
from ..folders import ENCODER_FOLDER, FEATURES_FOLDER, adapter_place, listed_name, model_path, prompt_server
from .adapter import ImagePromptAdapter
from .model_library import catalogue

LOADERS = ("ImagePromptLoadModels", "ImagePromptLoadEncoder", "ImagePromptLoadAdapter", "ImagePromptLoadFeatures")
KEPT = 4096  # keys with their files; ComfyUI keeps fewer results

UsedFile = dict[str, Any]
Digests = dict[int, tuple[object, str]]  # by the id of an object: the object, which so keeps its id, and a hash of it
_known: OrderedDict[str, list[UsedFile]] = OrderedDict()


class FilesUsed(dict[str, Any]):
    """The files that the loaders of one prompt used, as far as they are known: plain data, brought up to date on use.

    ComfyUI hands this object from the request to the nodes that save. It asks for `items` when it writes JSON. The
    history gets a copy that is plain and stays as it is. No error in here ends a prompt.
    """

    def __init__(self, prompt: Mapping[str, Any]):
        super().__init__(version=pack_version(), files=[])
        self._prompt = prompt  # the very object that runs: ComfyUI adds the fingerprints of files to it
        self._noted: dict[str, list[UsedFile]] = {}
        self._digests: Digests = {}

    def note(self, node_id: str, files: list[UsedFile]) -> None:
        """Take down what a loader of this prompt has loaded. It runs several times if it is given a list of names."""
        with _without_errors():
            if node_id in self._prompt:  # others are made by nodes while they run
                self._note(_key(self._prompt, node_id, self._digests), files)
                self._update()

    def items(self):
        with _without_errors():
            self._update()
        return super().items()

    def __deepcopy__(self, _: object) -> dict[str, Any]:
        return dict(self.items())  # for the queue and the history, which are to hold plain data

    def __reduce_ex__(self, _: object) -> tuple[Any, ...]:
        return dict, (list(self.items()),)

    def _note(self, key: str, files: list[UsedFile]) -> None:
        noted = self._noted.setdefault(key, [])
        noted += [file for file in files if file not in noted]
        _known[key] = list(noted)
        _known.move_to_end(key)
        while len(_known) > KEPT:
            _known.popitem(last=False)

    def _update(self) -> None:
        loaders = [node_id for node_id, node in self._prompt.items() if _class_type(node) in LOADERS]
        self["files"] = [{"node": node_id, **file} for node_id in loaders for file in self._files(node_id)]

    def _files(self, node_id: str) -> list[UsedFile]:
        key = _key(self._prompt, node_id, self._digests)
        return self._noted.get(key) or _known.get(key, [])


@contextmanager
def _without_errors() -> Iterator[None]:
    """Other packs may put anything into a prompt: what a picture says of itself is not worth the picture."""
    try:
        yield
    except Exception:
        _log_once()


@cache
def _log_once() -> None:
    logging.getLogger(__name__).warning("A picture will not say which files made it.", exc_info=True)


class WithoutWorkflow(dict[str, Any]):
    """What is saved with a prompt that came without its workflow: nodes that look into the workflow find it empty."""

    def __missing__(self, key: str) -> dict[str, list[Any]]:
        if key == "workflow":
            return {"nodes": [], "links": []}
        raise KeyError(key)


def register_prompt_handler() -> None:
    """Let every prompt that uses this pack's loaders carry its files, if there is a server."""
    add = getattr(prompt_server(), "add_on_prompt_handler", None)
    if add is not None:
        add(with_files_used)


def with_files_used(request: Any) -> Any:
    """The body of a request to queue a prompt, with a place for the files that its loaders use.

    A body that is not as ComfyUI expects it is left as it is: ComfyUI answers it.
    """
    prompt = request.get("prompt") if isinstance(request, dict) else None
    if isinstance(prompt, dict) and any(_class_type(node) in LOADERS for node in prompt.values()):
        extra = request.setdefault("extra_data", {})
        if isinstance(extra, dict):
            if extra.get("extra_pnginfo") is None:  # programs send a prompt without its workflow
                extra["extra_pnginfo"] = WithoutWorkflow()
            if isinstance(extra["extra_pnginfo"], dict):
                extra["extra_pnginfo"][CHUNK] = FilesUsed(prompt)
    return request


def note_files(hidden: Any, *files: UsedFile) -> None:
    """Take down which files a node used. `hidden`: what ComfyUI tells the node; None where it runs without ComfyUI."""
    carried = getattr(hidden, "extra_pnginfo", None)
    used = carried.get(CHUNK) if isinstance(carried, dict) else None
    if isinstance(used, FilesUsed):
        used.note(hidden.unique_id, [file for file in files if file])


def adapter_file(name: str, adapter: ImagePromptAdapter) -> UsedFile:
    module = adapter.module
    what = {"family": module.family.id, "base_model": module.base_model, "encoder": module.encoder_name}
    return _file("adapter", *adapter_place(name), {**what, "dtype": _dtype(next(module.parameters()).dtype)})


def encoder_file(name: str, encoder: ImageEncoder) -> UsedFile:
    return _file("encoder", ENCODER_FOLDER, name, {"encoder": encoder.name, "dtype": _dtype(encoder.dtype)})


def features_file(name: str, encoder: str) -> UsedFile:
    """Empty if they are an old file in ComfyUI's input or output folder."""
    return _file("features", FEATURES_FOLDER, name, {"encoder": encoder})


def lora_file(name: str, identity: Identity | None) -> UsedFile:
    what = {"family": identity.family, "base_model": identity.base_model} if identity else {}
    return _file("lora", "loras", name, what)


def _file(kind: str, folder: str, name: str, what: Mapping[str, str]) -> UsedFile:
    """What a picture tells of a file: never its path, since pictures are given away. Empty if the file is gone."""
    try:
        path = model_path(folder, name)
        size = os.stat(path).st_size
    except (OSError, ValueError):
        return {}
    listed = listed_name(folder, path).replace(os.sep, "/")
    file = {"kind": kind, "folder": folder, "name": listed, "size": size, **what}
    entry = _catalogue_id(kind, listed, size)
    return {**file, "catalogue": entry} if entry else file


def _catalogue_id(kind: str, name: str, size: int) -> str:
    try:
        entries = catalogue().named(name)
    except BrokenCatalogue:
        return ""
    return next((entry.id for entry in entries if entry.kind == kind and entry.size in (None, size)), "")


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _class_type(node: object) -> object:
    kind = node.get("class_type") if isinstance(node, dict) else None
    return kind if isinstance(kind, str) else None


def _key(prompt: Mapping[str, Any], node_id: str, digests: Digests) -> str:
    """A hash of a node and of all that is linked into it: classes, inputs, and fingerprints where they are known.

    Nodes are numbered in the order in which they are met, since ComfyUI too finds results whatever the nodes' ids are.
    digests: of the values that earlier keys of this prompt were made of
    """
    numbers, rows = {node_id: 0}, []
    queue = [node_id]
    for each in queue:
        node = prompt[each] if isinstance(prompt[each], dict) else {}
        inputs = node.get("inputs")
        row: list[Any] = [_class_type(node), _digest(node.get("is_changed"), digests)]
        for name, value in sorted(inputs.items()) if isinstance(inputs, dict) else ():
            if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and value[0] in prompt:
                if value[0] not in numbers:
                    numbers[value[0]] = len(numbers)
                    queue.append(value[0])
                row.append([name, "linked", numbers[value[0]], value[1]])
            else:
                row.append([name, "given", _digest(value, digests)])
        rows.append(row)
    return _hash(rows)


def _digest(value: object, digests: Digests) -> str:
    """A hash of a value, made once for each object: it may be a picture of megabytes."""
    if id(value) not in digests:
        try:
            found = _hash(value)
        except Exception:  # from another pack's class: such a value is like no other
            found = os.urandom(32).hex()
        digests[id(value)] = value, found
    return digests[id(value)][1]


def _hash(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()
