"""Find versions, and which optional parts are present, absent or broken. Needs no torch."""

from .parts import PACK, OptionalPart, broken_parts, optional_parts, pack_version, versions

__all__ = ["PACK", "OptionalPart", "broken_parts", "optional_parts", "pack_version", "versions"]
