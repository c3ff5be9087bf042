"""Put pictures into a library: encode them, save those that are no files yet, and write what is known of each.

Letters: B pictures, D numbers of a vector.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.utils
import folder_paths
import torch
from comfy.cli_args import args

from ...clip_vision import Crop
from ...clip_vision.pictures.images import to_rgb
from ...clip_vision.pictures.preprocessing import BLACK
from ...model_files.folders import numbered_names
from ...references.duplicates import dhash
from ...references.library import BeingWritten, NewPicture, Picture, Writer, check_name
from ...references.metadata import generation
from ...references.search import open_library
from ...references.search.finding import named, names_of
from ...references.space import Space
from ...tensor_files import printable, without_folders
from ...tensor_files.whole_files import NameTaken, new_file
from .. import input_checks
from ..embeddings.pictures import embed_squares, picture_space
from ..encoding.encoder import Encoder
from ..encoding.squares import squares
from .libraries import folder, names, opened

PICTURES = "pictures"  # a library's own folder of pictures
PATIENCE = 60.0  # seconds to wait for another program that writes to the library
AGAIN = 0.1  # seconds between two looks whether it is done
AT_ONCE = 16  # pictures between two writes: Cancel keeps what was written
ENDINGS = (".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
PLACES = {" [input]": folder_paths.get_input_directory, " [output]": folder_paths.get_output_directory}


@dataclass(frozen=True)
class File:
    """A picture below one of ComfyUI's folders. path: below the root, with / between folders"""

    root: Path
    path: str

    @property
    def whole(self) -> Path:
        return self.root / self.path


def open_writer(folder: Path, space: Space | None = None) -> Writer:
    """Open a library for writing, and wait for another ComfyUI that writes to it. Raises as `Writer.open`."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return Writer.open(folder, space)
        except BeingWritten:
            if time.monotonic() >= end:
                raise
        comfy.model_management.throw_exception_if_processing_interrupted()
        time.sleep(AGAIN)


class Adding:
    """Writes to a library. One that is not there yet is made with its first picture: empty, it would be bound to the
    encoder for nothing."""

    def __init__(self, folder: Path, space: Space, stack: ExitStack):
        self.folder, self.name = folder, folder.name
        self._space, self._stack = space, stack
        self._writer: Writer | None = None
        self._failed = list[tuple[str, str, Path]]()

    def open(self) -> Writer:
        if self._writer is None:
            self._writer = self._stack.enter_context(open_writer(self.folder, self._space))
            for failed in self._failed:
                self._writer.fail(*failed)
        return self._writer

    def add(self, pictures: Sequence[NewPicture], vectors: Any) -> list[int]:
        """The ids of the pictures in the library."""
        return self.open().add(pictures, vectors)

    def fail(self, path: str, reason: str, root: Path) -> None:
        """Keep why a file could not be read, if the library is there or will be."""
        if self._writer is None:
            self._failed.append((path, reason, root))
        else:
            self._writer.fail(path, reason, root)


@contextmanager
def writer_of(library: Any, encoder: Encoder) -> Iterator[Adding]:
    """Open a library to add to it; if there is none, one is made with the first picture.

    Raises:
        ValueError: the name cannot be that of a library, another encoder made it, it is read only, or something else
            writes to it now.
    """
    space = picture_space(encoder)
    name = check_name(input_checks.expect(library, str, "library", "give a name").strip())
    if is_there := name in names():
        known = opened(name)
        if not known.space.is_same(space):
            raise ValueError(
                f'The library "{name}" was made with {known.space.title}, and the clip_vision is '
                f"{space.title}: connect the encoder of the library, or give another name."
            )
    with ExitStack() as stack:
        writer = Adding(folder() / name, space, stack)
        if is_there:  # before pictures are encoded for nothing, where something else writes to it
            writer.open()
        yield writer


@contextmanager
def existing_writer(library: Any, paths: Sequence[str]) -> Iterator[tuple[Writer, list[Picture]]]:
    """Open a library to change what it says of these pictures, and give each of them once.

    Raises:
        ValueError: it is not there, is read only, or holds no picture of a path, or several; or something else writes
            to it now.
    """
    known = opened(library)
    pictures = {picture.id: picture for picture in (named(known, path) for path in paths)}
    with open_writer(folder() / library) as writer:
        yield writer, [*pictures.values()]


def output_files(files: Any) -> list[File]:
    """The pictures that a text names, one on each line, each once.

    Raises:
        ValueError: one is not there, or leads out of ComfyUI's folders.
    """
    input_checks.expect(files, str, "files", "name pictures of ComfyUI's output folder, one on each line")
    lines = [line.strip() for line in files.splitlines() if line.strip()]
    return list(dict.fromkeys(file for line in lines for file in _files(line)))


def names_of_added(writer: Adding, ids: Sequence[int]) -> list[str]:
    """The names of pictures that were added, as `named` finds them."""
    if not ids:
        return []
    library = open_library(writer.folder)
    return names_of(library, library.pictures(ids))


def add_files(
    writer: Adding, encoder: Encoder, files: Sequence[File], crop: Crop, text: str, rating: int
) -> tuple[list[int], list[str]]:
    """Add files where they are. Returns the ids of those that were added, and what was wrong with the others."""
    bar = comfy.utils.ProgressBar(len(files))
    added, problems = list[int](), list[str]()
    for start in range(0, len(files), AT_ONCE):
        seen, pictures = list[torch.Tensor](), list[NewPicture]()
        for file in files[start : start + AT_ONCE]:
            comfy.model_management.throw_exception_if_processing_interrupted()
            try:
                pixels = to_rgb(file.whole, BLACK)[0]
                row, square = _row(file, pixels, text, rating), squares(encoder, pixels, crop, "black")
            except (OSError, ValueError) as error:
                reason = printable(without_folders(str(error)), 200)
                writer.fail(file.path, reason, file.root)
                problems.append(f"{printable(file.path)} ({reason})")
                continue
            pictures.append(row)
            seen.append(square)
        added += _add(writer, encoder, pictures, seen)
        bar.update_absolute(len(added) + len(problems), len(files))
    return added, problems


def add_images(
    writer: Adding, encoder: Encoder, images: torch.Tensor, crop: Crop, text: str, rating: int, hidden: Any
) -> list[int]:
    """Save images (B, H, W, C) in the library's own folder, and add them. Returns their ids.

    hidden: the workflow, as ComfyUI tells the node
    """
    root = writer.folder / PICTURES
    bar = comfy.utils.ProgressBar(len(images))
    added = list[int]()
    for chunk in images.split(AT_ONCE):
        comfy.model_management.throw_exception_if_processing_interrupted()
        saved = list[File]()
        try:
            seen, pictures = list[torch.Tensor](), list[NewPicture]()
            for image in chunk.split(1):
                pixels = to_rgb(image, BLACK)[0]
                seen.append(squares(encoder, pixels, crop, "black"))
                root.mkdir(parents=True, exist_ok=True)
                saved.append(save_png(root, pixels, hidden))
                pictures.append(_row(saved[-1], pixels, text, rating))
            added += _add(writer, encoder, pictures, seen)
        except BaseException:  # Cancel too: a picture that the library does not know would stay for ever
            for file in saved:
                with suppress(OSError):
                    file.whole.unlink()
            with suppress(OSError):  # they hold something
                root.rmdir()
                writer.folder.rmdir()
            raise
        bar.update_absolute(len(added), len(images))
    return added


def save_png(root: Path, pixels: torch.Tensor, hidden: Any) -> File:
    """Write a picture (1, 3, H, W) uint8 into a new file with the workflow, whole or not at all."""
    from PIL import Image

    image = Image.fromarray(pixels[0].movedim(0, -1).contiguous().numpy())
    for path in numbered_names(str(root), "picture", ".png"):
        try:
            with new_file(path) as file:
                image.save(file, "png", pnginfo=_workflow(hidden), compress_level=4)
        except NameTaken:  # meanwhile, by another process
            continue
        return File(root, os.path.basename(path))
    raise ValueError(f"There is no number left for a picture in the library {root.parent.name}: use another one.")


def _workflow(hidden: Any) -> Any:
    """The workflow as Save Image writes it; None where ComfyUI is told to leave it out."""
    from PIL.PngImagePlugin import PngInfo

    if args.disable_metadata:
        return None
    texts = PngInfo()
    prompt, more = getattr(hidden, "prompt", None), getattr(hidden, "extra_pnginfo", None)
    for name, value in {**({"prompt": prompt} if prompt else {}), **(more or {})}.items():
        texts.add_text(name, json.dumps(value))
    return texts


def _row(file: File, pixels: torch.Tensor, text: str, rating: int) -> NewPicture:
    """What the library says of a file whose pixels are (1, 3, H, W)."""
    status = os.stat(file.whole)
    return NewPicture(
        file.root,
        file.path,
        status.st_size,
        status.st_mtime_ns,
        hashlib.sha256(file.whole.read_bytes()).hexdigest(),
        width=pixels.shape[3],
        height=pixels.shape[2],
        hash64=dhash(pixels[0].movedim(0, -1)),
        text=text.strip(),
        metadata=generation(file.whole),
        rating=rating,
    )


def _add(writer: Adding, encoder: Encoder, pictures: Sequence[NewPicture], seen: Sequence[torch.Tensor]) -> list[int]:
    """The ids of the pictures in the library."""
    if not pictures:
        return []
    return writer.add(pictures, embed_squares(encoder, torch.cat([*seen]), shown=False).vectors.numpy())


def _files(line: str) -> list[File]:
    """The picture that a line names, or all of the folder that it names, in the order of their names."""
    ending = next((ending for ending in PLACES if line.endswith(ending)), " [output]")
    name = line.removesuffix(ending)
    root = Path(os.path.realpath(PLACES[ending]()))
    place = Path(os.path.realpath(root / name.replace("\0", "")))
    kind = ending.strip(" []")
    if not place.is_relative_to(root) or "\0" in name:
        raise ValueError(f"{printable(line, 200)!r} leads out of ComfyUI's {kind} folder: name a picture in it.")
    if os.path.isdir(place):  # unlike pathlib, it raises nothing for a name that cannot be one
        found = sorted(each for each in place.rglob("*") if each.suffix.lower() in ENDINGS and each.is_file())
        inside = [each for each in found if Path(os.path.realpath(each)).is_relative_to(root)]
        if not inside:
            raise ValueError(f"The folder {printable(name, 200)!r} in ComfyUI's {kind} folder holds no pictures.")
        return [File(root, each.relative_to(root).as_posix()) for each in inside]
    if not os.path.isfile(place):
        raise ValueError(
            f"There is no picture {printable(name, 200)!r} in ComfyUI's {kind} folder: give a path such as "
            "cats/tom_00001_.png, or put [input] behind one of the input folder."
        )
    return [File(root, place.relative_to(root).as_posix())]
