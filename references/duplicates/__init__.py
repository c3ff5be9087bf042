"""Which pictures of many are the same file, the same picture, or similar: three words for three things.

Nothing is deleted here: groups say which picture stands for which others.
"""

from .groups import Group, same_file, same_picture, similar, unique
from .hashing import dhash, distance

__all__ = ["Group", "dhash", "distance", "same_file", "same_picture", "similar", "unique"]
