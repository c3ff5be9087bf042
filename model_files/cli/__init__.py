"""The command line: one module per command. Commands that need no torch do not import it."""

from .command import main
from .environment import optional_parts, versions

__all__ = ["main", "optional_parts", "versions"]
