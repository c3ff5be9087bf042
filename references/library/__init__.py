"""A library of pictures on disk: what is known of each, and its vector. Needs numpy and no torch.

with Writer.open(folder, space) as writer:
    writer.add([NewPicture(...)], vectors)
with Library.open(folder) as library:
    pictures = library.pictures(library.ids()[library.where(rating=1)])

library.json       the format, and the space of the vectors
pictures.sqlite    what is known of each picture, and in which row of which part its vector is
vectors/           part-NNNNN.safetensors, fp16 (rows, D) and the ids (rows,); every part but the last has 4,096 rows
"""

from .checking import Report, check
from .names import check_name, libraries_folder, library_names
from .picture import Failure, NewPicture, Picture
from .reader import Library
from .writer import WORTH_COMPACTING, Writer
from .writer_lock import BeingWritten, NotWritten

__all__ = [
    "BeingWritten",
    "Failure",
    "Library",
    "NewPicture",
    "NotWritten",
    "Picture",
    "Report",
    "WORTH_COMPACTING",
    "Writer",
    "check",
    "check_name",
    "libraries_folder",
    "library_names",
]
