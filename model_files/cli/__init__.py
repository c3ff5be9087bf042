"""The command line: one module per command. Each command imports torch only if it needs it."""

from .command import main
from .environment import optional_parts, versions

__all__ = ["main", "optional_parts", "versions"]
