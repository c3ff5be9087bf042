"""Put models into words, for the people who read them."""

from __future__ import annotations

from ...ip_adapter import FAMILIES
from ...ip_adapter.families.foreign import FOREIGN
from ..catalogue import Entry
from ..index import Identity

OTHERS = {  # id -> completes "This file is ..."
    "unknown-adapter": "an unknown IP-Adapter",
    "unknown-encoder": "an image encoder",
    "unknown": "an unknown kind of file",
    "many-tensors": "a file of very many tensors",
    "damaged": "a damaged model file",
    "InsightFace": "an ONNX file, such as those of which a face pack consists",
}
COMPANIONS = {"faceid-lora": "FaceID LoRA"}  # names of kinds that needs and files are called by


def family_name(family: str) -> str:
    """The name that people know of a family of adapters, or of its LoRA; any other word is returned as it is."""
    names = {row.id: row.name for row in FAMILIES} | COMPANIONS
    return names.get(family, family)


def kind_words(family: str) -> str:
    """The kind of a file, to complete "This file is ..."; the name of an encoder is returned as it is."""
    kinds = {row.id: row.kind for row in (*FAMILIES, *FOREIGN)} | OTHERS
    return kinds.get(family, family)


def identity_words(identity: Identity) -> str:
    """What a file is, to complete "This file is ..."."""
    base = f" for {identity.base_model}" if identity.base_model else ""
    name = family_name(identity.family)
    if identity.kind == "adapter" and (reads := _reads(identity)):
        return f"an IP-Adapter ({name}){base} that reads {reads}"
    if identity.kind == "face adapter":
        return f"a face adapter ({name}){base}"
    if identity.kind == "encoder" and identity.encoder:
        return f"the image encoder {identity.family}{'' if identity.projection else ' without its visual projection'}"
    if identity.kind == "lora" and base:
        return f"a {name}{base}"
    return kind_words(identity.family)


def _reads(identity: Identity) -> str:
    """What an adapter reads: faces, by the name of the face pack, and the features of an encoder."""
    packs = {row.id: row.face_pack for row in FAMILIES}
    pack = packs.get(identity.family, "")
    return " and ".join(filter(None, (f"faces ({pack})" if pack else "", identity.encoder)))


def entry_words(entry: Entry) -> str:
    """The file name, size and licence of an entry, to complete "Get ..."."""
    return f"{entry.files[0]} ({', '.join(filter(None, (size_words(entry.size), licence_words(entry))))})"


def licence_words(entry: Entry) -> str:
    use = {True: "commercial use allowed", False: "no commercial use", None: ""}[entry.commercial]
    return ", ".join(filter(None, (f"licence {entry.licence}" if entry.licence else "licence not known", use)))


def size_words(size: int | None) -> str:
    if size is None:
        return ""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
