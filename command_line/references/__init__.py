"""The commands of reference libraries: one module per command. None of them imports torch before it needs it."""

from .arguments import add_commands

__all__ = ["add_commands"]
