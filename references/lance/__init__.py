"""The library of a team: a LanceDB table in a folder or on an object store, read only. Needs lancedb.

export_lance(library, "s3://team/libraries", "cats")       (of `references.exports`) whoever has the pictures makes it
connect(folder, "s3://team/libraries", "cats")             everybody gives it a name among the own libraries
library = LanceLibrary.open(folder)                        `references.search.open_library` does the same
"""

from .pointer import Pointer, connect, read_pointer
from .team_library import LanceLibrary

__all__ = ["LanceLibrary", "Pointer", "connect", "read_pointer"]
