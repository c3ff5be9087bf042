"""The node that encodes the pictures of a folder."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import comfy.model_management
import comfy.utils
import folder_paths
import torch
from comfy_api.latest import io

from ...clip_vision.pictures.tiling import ALONG, check_along
from .. import activity, input_checks
from ..folders import digest, file_state
from ..sockets import CATEGORY, AdapterInput
from .encode import encode_for
from .encoder import Encoder, as_encoder
from .squares import BACKGROUNDS, CROPS_AND_TILES, background_input, squares, tiles_input

HERE = "."  # ComfyUI's input folder itself
ENDINGS = (".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
MOST = 0xFFFFFFFFFFFFFFFF  # of a seed, as core's samplers have it
SHOWN = 10  # folders in a message


def _by_chance(names: Sequence[str], count: int, number: int) -> list[str]:
    """Some of the names, the same for the same number. A file that comes or goes changes one of them at most."""
    drawn = set(sorted(names, key=lambda name: hashlib.sha256(f"{number} {name}".encode()).digest())[:count])
    return [name for name in names if name in drawn]


def _in_turn(names: Sequence[str], count: int, number: int) -> list[str]:
    """The first `count` names for 0, the next for 1 and so on, and from the start again after the last."""
    taken = min(count, len(names))
    return [names[place % len(names)] for place in range(number * taken, (number + 1) * taken)]


# what is chosen of names, given how many and a number
CHOICES: dict[str, Callable[[Sequence[str], int, int], list[str]]] = {
    "all": lambda names, count, number: list(names),
    "at random": _by_chance,
    "in turn": _in_turn,
}


class EncodeFolder(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptEncodeFolder",
            display_name="Encode Folder of Pictures",
            category=CATEGORY,
            description="Turns the pictures in a folder below ComfyUI's input folder into features for Apply "
            "IP-Adapter and Image Prompt Reference: all of them, some at random, or some after the others in each run.",
            search_aliases=[
                "load images from folder",
                "batch references",
                "random image",
                "directory",
                "image prompt",
                "batch",
                "tiled",
                "ipadapter batch",
            ],
            inputs=[
                io.ClipVision.Input("clip_vision", tooltip="The image encoder; one from a core loader works too."),
                io.Combo.Input(
                    "folder",
                    options=folders(),
                    tooltip="A folder below ComfyUI's input folder; '.' is the input folder itself. The pictures in "
                    "its own sub-folders are left out.",
                ),
                io.Combo.Input(
                    "pictures",
                    options=list(CHOICES),
                    default="all",
                    optional=True,
                    tooltip="Which pictures become references: all; some at random, which the number decides; or some "
                    "in turn, the next ones for each higher number.",
                ),
                io.Int.Input(
                    "count",
                    default=1,
                    min=1,
                    max=4096,
                    optional=True,
                    tooltip="How many pictures to take at random or in turn, or all if there are fewer.",
                ),
                io.Int.Input(
                    "number",
                    default=0,
                    min=0,
                    max=MOST,
                    optional=True,
                    control_after_generate=io.ControlAfterGenerate.fixed,
                    tooltip="At random: the seed. In turn: 0 takes the first pictures by name, 1 the next, and so on, "
                    "and from the start again after the last. Set control after generate to 'increment' to get the "
                    "next ones in each run, and leave it 'fixed' otherwise: each new number runs the graph again.",
                ),
                io.Combo.Input(
                    "crop",
                    options=list(CROPS_AND_TILES),
                    default="center",
                    optional=True,
                    tooltip="How a picture becomes square: keep its centre or the named side, 'pad' it to keep all of "
                    "it, or 'squash' it. 'tiles' makes squares that cover it, each a reference of its own.",
                ),
                background_input("and behind transparent parts"),
                tiles_input(),
                AdapterInput(
                    "adapter",
                    optional=True,
                    tooltip="The IP-Adapter that will read the features. With it, only what it reads is computed and "
                    "kept: faster, and a fraction of the memory. Core nodes need it left out.",
                ),
            ],
            outputs=[
                io.ClipVisionOutput.Output(display_name="features", tooltip="Features; core nodes accept them too."),
                io.Image.Output(display_name="seen", tooltip="The square pictures that the encoder saw."),
                io.String.Output(display_name="names", tooltip="The names of the pictures, one on each line."),
            ],
        )

    @classmethod
    def fingerprint_inputs(
        cls,
        folder: str | None = None,
        pictures: str | None = "all",
        count: int | None = 1,
        number: int | None = 0,
        **_: object,
    ) -> object:
        """A hash of the files that would be taken. Where an input is linked (None), it covers all that it may be."""
        try:
            names = {each: picture_names(each) for each in ([folder] if folder else folders())}
            if pictures and count and number is not None:
                names = {each: CHOICES[pictures](found, count, number) for each, found in names.items() if found}
            return digest([file_state(_path(each, name)) for each, found in names.items() for name in found])
        except (ValueError, KeyError, OSError):  # the node says what is wrong when it runs
            return float("nan")

    @classmethod
    def execute(
        cls,
        clip_vision: Any,
        folder: str,
        pictures: str = "all",
        count: int = 1,
        number: int = 0,
        crop: str = "center",
        background: str = "black",
        tiles: int = ALONG,
        adapter: Any = None,
    ) -> io.NodeOutput:
        encoder = as_encoder(clip_vision)
        input_checks.choice(pictures, list(CHOICES), "pictures")
        input_checks.choice(crop, CROPS_AND_TILES, "crop")
        input_checks.choice(background, list(BACKGROUNDS), "background")
        check_along(tiles)
        names = CHOICES[pictures](_some(folder), _whole(count, 1, "count"), _whole(number, 0, "number"))
        with activity.timed("encode folder"):
            seen = _read(encoder, [_path(folder, name) for name in names], crop, background, tiles)
            features = encode_for(encoder, seen, adapter)
        return io.NodeOutput(features, seen, "\n".join(names))


def folders() -> list[str]:
    """The folders below ComfyUI's input folder as "a/b", and it, each once: as it is called without links if it can be.

    Folders whose names begin with a dot are left out. The input folder comes last, for it is seldom meant as a whole.
    They are listed again only if one of them has changed.
    """
    root = folder_paths.get_input_directory()
    if _listed.get(root) is None or _listed[root].states != _states(_listed[root].states):
        _listed.clear()
        _listed[root] = _list_folders(root)
    return list(_listed[root].names)


class Listed(NamedTuple):
    """The folders below a folder. states: when each folder that was looked into was last changed"""

    names: list[str]
    states: dict[str, int]


_listed: dict[str, Listed] = {}


def _states(folders: Iterable[str]) -> dict[str, int]:
    found = dict[str, int]()
    for path in folders:
        with suppress(OSError):  # it is gone
            found[path] = os.stat(path).st_mtime_ns
    return found


def _list_folders(root: str) -> Listed:
    found, states = {os.path.realpath(root): root}, dict[str, int]()
    for follow in (False, True):
        for place, below, _ in os.walk(root, followlinks=follow):
            states |= _states([place])
            paths = {name: os.path.join(place, name) for name in sorted(below) if not name.startswith(".")}
            if not follow:
                paths = {name: path for name, path in paths.items() if not os.path.islink(path)}
            below[:] = [name for name, path in paths.items() if found.setdefault(os.path.realpath(path), path) == path]
    names = [Path(path).relative_to(root).as_posix() for path in found.values()]
    names.sort(key=lambda name: (name == HERE, [_natural(part) for part in name.split("/")]))
    return Listed(names, states)


def picture_names(folder: str) -> list[str]:
    """The names of the pictures in a folder, in the order in which people count: 2 before 10.

    Raises:
        ValueError: there is no such folder below ComfyUI's input folder.
    """
    known = folders()
    if not isinstance(folder, str) or folder not in known:
        offered = ", ".join(known[:SHOWN]) + (", ..." if len(known) > SHOWN else "")
        raise ValueError(
            f"The folder is {input_checks.described(folder)}: choose a folder below ComfyUI's input folder ({offered})."
        )
    with os.scandir(_path(folder)) as entries:
        names = [each.name for each in entries if each.name.lower().endswith(ENDINGS) and each.is_file()]
    return sorted((name for name in names if not name.startswith(".")), key=_natural)


def _some(folder: str) -> list[str]:
    if names := picture_names(folder):
        return names
    raise ValueError(
        f"The folder {folder!r} in ComfyUI's input folder holds no pictures: put some into it, or choose another. "
        f"Pictures are files that end in {', '.join(ENDINGS)}."
    )


def _path(folder: str, name: str = "") -> str:
    """The path of a folder that `folders` lists, or of a picture in it."""
    return os.path.join(folder_paths.get_input_directory(), *folder.split("/"), name)


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    parts = re.split(r"([0-9]+)", name.casefold())
    return [(int(part), "") if number % 2 else (0, part) for number, part in enumerate(parts)], name


def _whole(value: Any, least: int, name: str) -> int:
    if not isinstance(value, int) or not least <= value <= MOST:
        raise ValueError(f"The {name} is {input_checks.described(value)}: it must be a whole number from {least} on.")
    return value


def _read(encoder: Encoder, paths: Sequence[str], crop: str, background: str, tiles: int) -> torch.Tensor:
    """The squares of the pictures in files. Only these stay in memory, whatever the size of the pictures."""
    bar = comfy.utils.ProgressBar(len(paths))
    found: list[torch.Tensor] = []
    for path in paths:
        comfy.model_management.throw_exception_if_processing_interrupted()
        found.append(squares(encoder, path, crop, background, tiles))
        bar.update(1)
    activity.count("pictures", len(paths))
    return torch.cat(found)
