"""The command line: one module per command. Commands that need no torch do not import it."""

from .command import main

__all__ = ["main"]
