"""The nodes that combine features, save them and load them again. Letters: N rows of features."""

import io
import os
from typing import Any

import folder_paths
import torch

from ....clip_vision import VisionFeatures
from ....clip_vision.saving.old_embeds import is_pair
from ....tensor_files.whole_files import NameTaken, new_file
from ... import input_checks
from ...encoding.saving import saved_features
from ..formulas.combining import COMBINING, combined
from ..inputs import Input, choice, optional, socket, text
from ..node import CompatNode, Node, Output, called

SUFFIX = ".ipadpt"
INPUT, OUTPUT = (f" [{place}]" for place in saved_features.PLACES)  # behind the names of files there
NUMBERS = 100_000  # of files with one prefix


def batch(
    self: CompatNode,
    embed1: Any,
    method: Any = "concat",
    embed2: Any = None,
    embed3: Any = None,
    embed4: Any = None,
    embed5: Any = None,
) -> tuple[torch.Tensor]:
    """All rows of the features, or one row that the method makes of them."""
    method = input_checks.choice(method, [*COMBINING], "method")
    given = {"embed2": embed2, "embed3": embed3, "embed4": embed4, "embed5": embed5}
    named = {"embed1": embed1, **{name: each for name, each in given.items() if each is not None}}
    rows = _joined(named, 0)
    if rows.ndim > 3:
        raise ValueError(
            "The embed1 holds references and their negative, as files from before March 2024 do: combine such with "
            "IPAdapter Batch Embeds."
        )
    return (combined(rows, method),)


@called("batch")
def batch_pairs(self: CompatNode, embed1: Any, embed2: Any) -> tuple[torch.Tensor]:
    """All rows of the features, and likewise of the negatives that are stacked with them."""
    named = {"embed1": embed1, "embed2": embed2}
    pairs = {name: is_pair(read_embeds(each, name).shape) for name, each in named.items()}
    if pairs["embed1"] != pairs["embed2"]:
        one = "embed1" if pairs["embed1"] else "embed2"
        raise ValueError(
            f"Only the {one} holds references and their negative, as files from before March 2024 do: connect two "
            "of this kind, or two of the kind from after it."
        )
    return (_joined(named, int(pairs["embed1"])),)


def save(self: CompatNode, embeds: Any, filename_prefix: Any = "IP_embeds") -> tuple[()]:
    """Write features into a new file in ComfyUI's output folder, which IPAdapter_plus can load as well."""
    written = io.BytesIO()
    torch.save(read_embeds(embeds, "embeds").detach().cpu().clone(), written)  # a part would be saved with its whole
    folder, name, first = _place(filename_prefix)
    for number in range(first, NUMBERS):
        try:
            with new_file(os.path.join(folder, f"{name}_{number:05}{SUFFIX}")) as file:
                file.write(written.getbuffer())
            return ()
        except NameTaken:
            continue
    raise ValueError(f"There is no number left for the filename_prefix {name!r}: choose another one.")


def load(self: CompatNode, embeds: Any) -> tuple[torch.Tensor]:
    """The features in a file. The negative is stacked with them in one from before March 2024."""
    saved = saved_features.read(_listed_name(embeds))
    tensors = [_tensor(each) for each in (saved.features, saved.negative) if each is not None]
    return (torch.stack(tensors) if len(tensors) > 1 else tensors[0],)


def read_embeds(value: Any, name: str) -> torch.Tensor:
    """Check features as EMBEDS carries them."""
    advice = "connect the EMBEDS of IPAdapter Encoder, Combine Embeds or Load Embeds"
    input_checks.expect(value, torch.Tensor, name, advice)
    if not 2 <= value.ndim <= 4 or not value.numel() or not value.is_floating_point():
        raise ValueError(f"The {name} is {input_checks.described(value)}, which holds no features: {advice}.")
    return value


def file_names() -> list[str]:
    """The files in ComfyUI's input folder, and those in its output folder with a note that says so."""
    return [*saved_features.old_names("input"), *(f"{name}{OUTPUT}" for name in saved_features.old_names("output"))]


def file_state(embeds: str | None = None) -> str:
    """A value that differs once the file does."""
    return saved_features.fingerprint(None if embeds is None else _with_place(embeds))


def _joined(named: dict[str, torch.Tensor], axis: int) -> torch.Tensor:
    """Features, one behind the other along the axis of rows."""
    first = read_embeds(named["embed1"], "embed1")
    for name, each in named.items():
        if (
            read_embeds(each, name).ndim != first.ndim
            or each.shape[:axis] + each.shape[axis + 1 :] != first.shape[:axis] + first.shape[axis + 1 :]
        ):
            raise ValueError(
                f"The {name} has the shape {tuple(each.shape)}, and embed1 {tuple(first.shape)}, which cannot be "
                "combined: make both with the same encoder and for the same adapter."
            )
    return torch.cat([each.to(first) for each in named.values()], axis)


def _place(prefix: Any) -> tuple[str, str, int]:
    """The folder of a new file, its name without the number, and the first number that is free."""
    input_checks.expect(prefix, str, "filename_prefix", "type a name such as embeds/cat")
    try:
        if not prefix.strip("./\\ ") or not prefix.isprintable():
            raise ValueError("It is no name.")
        folder, name, first, *_ = folder_paths.get_save_image_path(prefix, folder_paths.get_output_directory())
    except Exception as error:  # which core raises of no other type
        raise ValueError(
            f"The filename_prefix is {input_checks.described(prefix)}: give the name of a file in ComfyUI's output "
            "folder, which may be written to, such as embeds/cat."
        ) from error
    return folder, name, first


def _with_place(name: str) -> str:
    return name if name.endswith((INPUT, OUTPUT)) else f"{name}{INPUT}"


def _listed_name(name: Any) -> str:
    """The name of a file with the folder where it is. ValueError if it is not there."""
    input_checks.expect(name, str, "input embeds", "choose a file")
    if name.removesuffix(INPUT) not in file_names():
        raise ValueError(
            f"{name[:200]!r} is not an {SUFFIX} file in ComfyUI's input or output folder: choose one that is there, or "
            "save one with IPAdapter Save Embeds."
        )
    return _with_place(name)


def _tensor(features: VisionFeatures) -> torch.Tensor:
    found = features.image_embeds if features.image_embeds is not None else features.penultimate
    assert found is not None  # an old file holds one of the two
    return found.float()


_EMBEDS = (Output("EMBEDS", "EMBEDS"),)
_BATCH = "In new graphs use Combine Image Prompts."

ROWS = (
    Node(
        "IPAdapterCombineEmbeds",
        "IPAdapter Combine Embeds",
        (
            socket("embed1", "EMBEDS"),
            choice("method", *COMBINING),
            *(optional(socket(f"embed{number}", "EMBEDS")) for number in (2, 3, 4, 5)),
        ),
        _EMBEDS,
        batch,
        _BATCH,
    ),
    Node(
        "IPAdapterSaveEmbeds",
        "IPAdapter Save Embeds",
        (socket("embeds", "EMBEDS"), text("filename_prefix", "IP_embeds")),
        (),
        save,
        "In new graphs use Save Image Prompt Features.",
        is_output=True,
    ),
    Node(
        "IPAdapterLoadEmbeds",
        "IPAdapter Load Embeds",
        (Input("embeds", file_names),),
        _EMBEDS,
        load,
        "In new graphs use Load Image Prompt Features, which reads these files too.",
        is_changed=file_state,
    ),
    Node(
        "IPAdapterBatchEmbeds",
        "IPAdapter Batch Embeds",
        (socket("embed1", "EMBEDS"), socket("embed2", "EMBEDS")),
        _EMBEDS,
        batch_pairs,
        _BATCH,
    ),
)
