"""Models in words, for people."""

from __future__ import annotations

from .catalogue import Entry
from .identify import Identity


def identity_words(identity: Identity) -> str:
    """Completes "This file is ..."."""
    base = f" for {identity.base_model}" if identity.base_model else ""
    if identity.kind == "adapter" and identity.encoder:
        return f"an IP-Adapter ({identity.family}){base} that reads {identity.encoder}"
    if identity.kind == "face adapter":
        return f"a face adapter ({identity.family}){base}"
    if identity.kind == "encoder" and identity.encoder:
        return f"the image encoder {identity.family}{'' if identity.projection else ' without its visual projection'}"
    if identity.kind == "lora" and base:
        return f"a {identity.family}{base}"
    return identity.family


def entry_words(entry: Entry) -> str:
    """Completes "Get ...": name, size, licence."""
    return f"{entry.files[0]} ({', '.join(filter(None, (size_words(entry.size), licence_words(entry))))})"


def licence_words(entry: Entry) -> str:
    use = {True: "commercial use allowed", False: "no commercial use", None: ""}[entry.commercial]
    return ", ".join(filter(None, (f"licence {entry.licence}" if entry.licence else "licence not known", use)))


def size_words(size: int | None) -> str:
    if size is None:
        return ""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
