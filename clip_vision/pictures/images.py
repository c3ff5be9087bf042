"""Pictures of any kind -> 8-bit RGB. Letters: B pictures, H height, W width, C channels (1 to 4)."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Union, cast

import torch
from torch import Tensor

from ..config import Rgb

if TYPE_CHECKING:  # for annotations alone: neither package is needed until a picture of its kind is given
    import numpy.typing as npt
    from PIL import Image

Picture = Union["Image.Image", "npt.NDArray[Any]", Tensor, str, os.PathLike[str]]
Pictures = Union[Picture, Sequence[Picture]]

CHANNELS = (1, 2, 3, 4)  # grey, grey + alpha, RGB, RGBA
LONGEST = 300  # characters of a path in a message: a picture as text may be given for one
LOOKS_LIKE_BYTES = 8.0  # a float picture this bright is not in 0..1
STRIP = 1 << 20  # pixels that are laid on a background at once


def to_rgb(images: Pictures, background: Rgb) -> list[Tensor]:
    """Batches of pictures, each (B, 3, H, W) uint8 on the CPU; pictures of one input batch stay together.

    Takes a path, a PIL image, a numpy array or tensor (H, W, C), (C, H, W), (B, H, W, C) or (B, C, H, W), a grey array
    (H, W), or a list of these, whose sizes may differ. Files and PIL images are turned as their EXIF orientation says;
    an animated file is its first picture. Numbers are uint8, or floats that mean 0..1 (clamped, then rounded to 8 bits
    as image files have them). Where both readings of the axes are possible, channels come last. Pictures with alpha are
    laid on `background` (RGB in 0..1).
    ValueError: nothing given, a path that leads to no picture, an empty batch or picture, another rank, channel count
    or type, NaN or infinity.
    """
    check_background(background)
    if isinstance(images, (list, tuple)):
        batches = [_one_batch(image, background) for image in cast("Sequence[Picture]", images)]
    else:
        batches = [_one_batch(cast("Picture", images), background)]
    if not batches:
        raise ValueError("No pictures were given: the list is empty.")
    return batches


def to_png(pixels: Tensor) -> bytes:
    """One picture (3, H, W) uint8 as a PNG."""
    from PIL import Image

    written = io.BytesIO()
    size = (pixels.shape[2], pixels.shape[1])
    data = cast("Any", pixels.permute(1, 2, 0).contiguous()).numpy().tobytes()
    Image.frombytes("RGB", size, data).save(written, "png", optimize=True)
    return written.getvalue()


def from_png(data: bytes) -> Image.Image:
    """The picture in a PNG, and in no other format. ValueError if it is damaged."""
    from PIL import Image

    try:
        image = Image.open(io.BytesIO(data), formats=["PNG"])
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # decoders raise a dozen types for a broken picture
        raise ValueError(f"The PNG could not be read: {str(error)[:LONGEST]}") from error
    return image


def check_background(background: object) -> None:
    """Refuse what is no colour, three numbers in 0..1."""
    numbers = cast("Sequence[object]", background) if isinstance(background, (tuple, list)) else ()
    if len(numbers) != 3 or not all(isinstance(each, (int, float)) and 0 <= each <= 1 for each in numbers):
        raise ValueError(f"The background {background!r:.80} is not three numbers in 0..1 (red, green, blue).")


def _one_batch(image: Picture, background: Rgb) -> Tensor:
    if isinstance(image, Tensor):
        pixels = _with_values(image.detach())
    elif isinstance(image, (str, os.PathLike)):
        pixels = _from_file(os.fsdecode(image))
    elif hasattr(image, "getbands"):
        pixels = decoded(cast("Image.Image", image))
    elif hasattr(image, "__array_interface__"):
        pixels = _from_numpy(cast("npt.NDArray[Any]", image))
    else:
        raise ValueError(
            f"A picture is a path, a PIL image, a numpy array or a torch tensor, not {type(image).__name__}. Give "
            "several as a list; open the bytes of a file with PIL.Image.open(io.BytesIO(data))."
        )
    return on_background(_to_bytes(_channels_first(pixels)), background).contiguous()


def _with_values(image: Tensor) -> Tensor:
    if image.layout != torch.strided or image.is_meta or image.itemsize == 1 and image.is_floating_point():
        raise ValueError(
            f"A picture of dtype {image.dtype}, layout {image.layout}, on {image.device}: expected a plain tensor of "
            "uint8 (0..255) or floats (0..1)."
        )
    return image


def _from_numpy(image: npt.NDArray[Any]) -> Tensor:
    if str(image.dtype) not in ("uint8", "float16", "float32", "float64"):
        raise ValueError(f"Pixels of type {image.dtype}: expected uint8 (0..255) or floats (0..1).")
    return torch.as_tensor(cast("Any", image).copy())  # torch takes no negative strides


def _from_file(path: str) -> Tensor:
    from PIL import Image, UnidentifiedImageError

    shown = repr(path if len(path) <= LONGEST else f"{path[:LONGEST]}...")
    if os.path.isdir(path):
        raise ValueError(f"{shown} is a folder, not a picture: give the paths of the pictures in it as a list.")
    try:
        image = Image.open(path)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(
            f"There is no picture {shown}: give the path of a file that is there. Addresses are not fetched."
        ) from None
    except UnidentifiedImageError:
        raise ValueError(f"{shown} is not a picture that PIL can read: give a PNG, JPEG or WebP file.") from None
    except MemoryError:
        raise
    except Exception as error:  # a path that cannot be one, or a picture so large that PIL takes it for an attack
        raise ValueError(f"The picture {shown} could not be read: {str(error)[:LONGEST]}") from error
    with image:
        return decoded(image, shown)


def decoded(image: Image.Image, file: str = "") -> Tensor:
    """A PIL image as an array (H, W, C). PIL reads the pixels of a file only now, whoever has opened it."""
    try:
        return _from_pil(image)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise a dozen types for a broken file
        if isinstance(error, ValueError) and not file:
            raise
        raise ValueError(f"The picture {file or 'that PIL has opened'} could not be read: {error}") from error


def _from_pil(image: Image.Image) -> Tensor:
    """A PIL image as an array (H, W, C), turned as its EXIF orientation says."""
    from PIL import ImageOps

    if _orientation(image) != 1:  # otherwise it would be copied
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        return _bytes_of(image.convert("I"), torch.int32).float() / 65535
    if image.mode in ("I", "F"):
        raise ValueError(
            f"A PIL image of mode {image.mode!r} does not say which number is white. "
            'Convert it to "L" or "RGB", or give a float array in 0..1.'
        )
    with_alpha = "A" in image.getbands() or "transparency" in image.info
    return _bytes_of(image.convert("RGBA" if with_alpha else "RGB"), torch.uint8)


def _orientation(image: Image.Image) -> int:
    """What the EXIF data say of it; 1, which is upright, if they are damaged: the pixels may be right nevertheless."""
    from PIL import ExifTags

    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # PIL raises several types
        return 1


def _bytes_of(image: Image.Image, dtype: torch.dtype) -> Tensor:
    if not image.width or not image.height:
        return torch.empty(image.height, image.width, len(image.getbands()))
    return torch.frombuffer(bytearray(image.tobytes()), dtype=dtype).view(image.height, image.width, -1)


def _channels_first(pixels: Tensor) -> Tensor:
    """Any accepted shape -> (B, C, H, W)."""
    shape = tuple(pixels.shape)
    if pixels.ndim == 2:
        pixels = pixels.unsqueeze(-1)
    if pixels.ndim == 3:
        pixels = pixels.unsqueeze(0)
    if pixels.ndim != 4:
        raise ValueError(f"A picture of shape {shape}: expected (H, W, C), (C, H, W) or a batch of these.")
    if pixels.shape[-1] in CHANNELS:
        pixels = pixels.permute(0, 3, 1, 2)
    if pixels.shape[1] not in CHANNELS:
        raise ValueError(
            f"A picture of shape {shape} has no axis of 1 to 4 channels, neither last nor before the "
            "height. A mask (B, H, W) is not a picture: add a channel axis."
        )
    if not pixels.numel():
        raise ValueError(f"An empty picture or batch, shape {shape}: give at least one picture of at least 1x1 pixels.")
    return pixels


def _to_bytes(pixels: Tensor) -> Tensor:
    if pixels.dtype == torch.uint8:
        return pixels.cpu()
    if not pixels.is_floating_point():
        raise ValueError(f"Pixels of type {pixels.dtype}: expected uint8 (0..255) or floats (0..1).")
    low, high = pixels.aminmax()
    if not torch.isfinite(low + high):
        raise ValueError("The picture holds NaN or infinity. Check the node or program that made it.")
    if high > LOOKS_LIKE_BYTES:
        raise ValueError(f"Float pixels reach {float(high):g}, but 1 is white: divide by 255, or give uint8.")
    return (pixels.float() * 255).round_().clamp_(0, 255).to(torch.uint8).cpu()


def on_background(pixels: Tensor, background: Rgb) -> Tensor:
    """Grey and transparent pictures as RGB on the background: (B, C, H, W) -> (B, 3, H, W)."""
    has_alpha = pixels.shape[1] in (2, 4)
    color = pixels[:, :-1] if has_alpha else pixels
    color = color.expand(-1, 3, -1, -1)
    if not has_alpha:
        return color
    behind = torch.tensor(background).view(3, 1, 1) * 255
    blended = torch.empty(color.shape, dtype=torch.uint8)
    rows = max(1, STRIP // max(1, color.shape[0] * color.shape[3]))
    for top in range(0, color.shape[2], rows):  # as floats, a large picture would take many times its bytes
        strip = slice(top, top + rows)
        alpha = pixels[:, -1:, strip].float() / 255
        blended[:, :, strip] = (color[:, :, strip] * alpha + behind * (1 - alpha)).round().to(torch.uint8)
    return blended
