"""Answer "identify FILE --verify": compute with a file here and in another library, and show the differences."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...model_files.index import Identity, identify
from ...model_files.matching import identity_words
from ...tensor_files import read_header
from ..terminal import Answer, described, wrapped

COSINE = 0.99999  # at least
RELATIVE = 1e-4  # at most; both compute in fp32, and may sum in another order

Outputs = dict[str, Tensor]  # by what they are


@dataclass(frozen=True)
class Difference:
    """How far two tensors are apart. relative: the largest difference, as a part of the largest number"""

    what: str
    largest: float
    relative: float
    cosine: float

    @property
    def agrees(self) -> bool:
        return self.largest == 0 or self.cosine >= COSINE and self.relative <= RELATIVE  # zeros have no direction


@dataclass(frozen=True)
class Comparison:
    """What both sides computed. notes: what is not compared independently"""

    library: str
    ours: Outputs
    theirs: Outputs
    notes: Sequence[str]


def answer(files: Sequence[str], picture: str | None = None) -> Answer:
    """The comparison of each file, one after the other, or why it is not compared."""
    found = [_answer(file, picture) for file in files]
    code = int(any(each.code for each in found))
    return Answer([each.data for each in found], [line for each in found for line in each.lines], code)


def _answer(file: str, picture: str | None) -> Answer:
    try:
        return compare(file, picture)
    except (ValueError, OSError) as error:
        problem = " ".join(str(error).split())
        empty: list[object] = []
        data = {"file": file, "what": "", "library": "", "differences": empty, "notes": empty, "agrees": False}
        return Answer({**data, "problem": problem}, [*wrapped(file), *wrapped(f"NOT COMPARED: {problem}", "  ")], 1)


def compare(file: str, picture: str | None = None) -> Answer:
    """Compare what a file gives here with what another library computes with it, in fp32 on the CPU.

    picture: for an encoder; by default, one that is made by a formula

    Raises:
        ValueError: the file or the picture cannot be used, the library is missing, or it cannot load such files.
    """
    identity = _usable(file)
    with torch.inference_mode():
        compared = _comparison(identity)(file, picture)
    found = [difference(what, ours, compared.theirs[what]) for what, ours in compared.ours.items()]
    agrees = all(each.agrees for each in found)
    verdict = f"{'AGREES' if agrees else 'DIFFERS'}: {_summary(found, agrees)}"
    data = {
        "file": file,
        "what": identity_words(identity),
        "library": compared.library,
        "differences": [asdict(each) | {"agrees": each.agrees} for each in found],
        "notes": list(compared.notes),
        "agrees": agrees,
        "problem": "",
    }
    heads = [("what", identity_words(identity)), ("compared with", compared.library)]
    notes = [line for note in compared.notes for line in wrapped(note, "  ")]
    return Answer(
        data, [*wrapped(file), *described(heads), *_table(found), *notes, *wrapped(verdict, "  ")], int(not agrees)
    )


def difference(what: str, ours: Tensor, theirs: Tensor) -> Difference:
    """How far two tensors are apart. Raises a ValueError if they have not the same shape."""
    if ours.shape != theirs.shape:
        raise ValueError(f"{what} has the shape {list(ours.shape)} here and {list(theirs.shape)} there.")
    a, b = ours.double().flatten(), theirs.double().flatten()
    largest = (a - b).abs().max().item()
    cosine = torch.cosine_similarity(a, b, dim=0).item()
    return Difference(what, largest, largest / max(b.abs().max().item(), 1e-30), cosine)


def library(name: str) -> Any:
    """A package to compare with. Raises a ValueError that says what to do if it is missing or broken."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != name.partition(".")[0]:
            raise ValueError(f"{name} needs {error.name}, which is not installed: pip install {error.name}") from error
        raise ValueError(
            f"{name} is not installed, and is what the file is compared with: pip install {name}"
        ) from error
    except Exception as error:  # packages that do not fit together fail in many ways
        raise ValueError(f"{name} is installed and cannot be imported: {type(error).__name__}: {error}") from error


def version(name: str) -> str:
    """The package with its version, for people."""
    return f"{name} {metadata.version(name)}"


def _comparison(identity: Identity) -> Callable[[str, str | None], Comparison]:
    """The comparison for what a file is."""
    if identity.kind == "encoder":
        from .encoder import compare_encoder

        return compare_encoder
    if identity.kind == "adapter":
        from .adapter import compare_adapter

        return lambda file, _: compare_adapter(file)
    raise ValueError(
        f"The file is {identity_words(identity)}. Image encoders are compared with transformers, IP-Adapters with "
        "diffusers, and nothing else is compared: give one of these."
    )


def _usable(file: str) -> Identity:
    if not Path(file).exists():
        raise ValueError(f"There is no file {file}. Give the path of an image encoder or an IP-Adapter.")
    identity = identify(read_header(file), file)
    if identity.problem:
        raise ValueError(f"The file cannot be used, and is not compared. {identity.problem}")
    return identity


def _table(found: Sequence[Difference]) -> list[str]:
    width = max(len("feature"), *(len(each.what) for each in found))
    lines = [f"  {'feature':{width}}  largest  relative  cosine"]
    for each in found:
        mark = "" if each.agrees else "  <- differs"
        lines.append(f"  {each.what:{width}}  {each.largest:7.1e}   {each.relative:7.1e}  {each.cosine:.7f}{mark}")
    return lines


def _summary(found: Sequence[Difference], agrees: bool) -> str:
    if agrees:
        worst = max(found, key=lambda each: each.relative)
        return f"all {len(found)} are equal up to rounding; the largest relative difference is {worst.relative:.1e}."
    wrong = [each.what for each in found if not each.agrees]
    return f"{len(wrong)} of {len(found)} are not equal up to rounding; the first is {wrong[0]}."
