"""Rewrite prompts and workflows with nodes of cubiq/ComfyUI_IPAdapter_plus to our own nodes, without ComfyUI and torch.

found = migrate(text)
found.text, found.changes, found.stays
"""

from .layers import BASES, Base
from .migrating import LARGEST, MIDDLE, STILL, Change, Kept, Migration, migrate

__all__ = ["BASES", "LARGEST", "MIDDLE", "STILL", "Base", "Change", "Kept", "Migration", "migrate"]
