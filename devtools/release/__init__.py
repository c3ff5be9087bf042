"""A release: its version, the archive for the registry, the wheel and the notes. Standard library only."""
