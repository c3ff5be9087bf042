"""The words by which catalogues of users, `--json` and routes name families and other kinds of file.

These words are older than the ids and never change, whatever the texts for people say. Families added later have no
word of their own: they are named by their id.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

WORDS: Mapping[str, str] = MappingProxyType(  # id -> word
    {
        # families that are applied
        "base": "base",
        "plus": "plus",
        "full-face": "full-face",
        "kolors-plus": "Kolors plus",
        "flux-xlabs": "an XLabs IP-Adapter for Flux",
        # families of faces
        "faceid": "FaceID",
        "faceid-plus": "FaceID plus",
        "faceid-plus-v2": "FaceID plus v2",
        "faceid-portrait": "FaceID portrait",
        "faceid-portrait-unnorm": "FaceID portrait unnorm",
        "kolors-faceid-plus": "Kolors FaceID plus",
        "instantid": "InstantID",
        "pulid-sdxl": "PuLID",
        "pulid-sdxl-v1.1": "PuLID",  # told apart later
        "pulid-flux": "PuLID",
        "infiniteyou": "InfiniteYou",
        # other relatives
        "flux-instantx": "InstantX's IP-Adapter for Flux",
        "sd3-instantx": "InstantX's IP-Adapter for Stable Diffusion 3.5",
        "instantcharacter": "InstantCharacter for Flux",
        "hunyuandit": "an IP-Adapter for HunyuanDiT",
        "anima": "an IP-Adapter for Anima",
        "anima-pe-core": "an IP-Adapter for Anima (PE-Core)",
        "redux": "FLUX.1 Redux",
        "uso": "USO's style projector",
        "photomaker": "PhotoMaker",
        "photomaker-v2": "PhotoMaker v2",
        "csgo": "CSGO",
        "instruct": "IP-Adapter-Instruct",
        "art": "IP-Adapter-Art",
        # other kinds of file
        "faceid-lora": "FaceID LoRA",
        "lora": "a LoRA",
        "controlnet": "a ControlNet",
        "checkpoint": "a full checkpoint",
        "vae": "a VAE",
        "image-encoder": "an image encoder (CLIP vision or SigLIP)",
        "text-encoder": "a text encoder",
        "vision-transformer": "a vision transformer that is not a CLIP (DINO or the like)",
        "diffusion-model": "a diffusion model",
        "textual-inversion": "a textual inversion embedding",
        "unknown-adapter": "an unknown IP-Adapter",
        "unknown-encoder": "an image encoder",
        "unknown": "an unknown kind of file",
        "many-tensors": "a file of very many tensors",
        "damaged": "a damaged model file",
    }
)
_IDS = {word: frozenset(family_id for family_id in WORDS if WORDS[family_id] == word) for word in WORDS.values()}
_OF_A_MODEL = {("PuLID", "Flux"): "pulid-flux"}


def word_of(family_id: str) -> str:
    return WORDS.get(family_id, family_id)


def ids_of(family: str) -> frozenset[str]:
    """The ids that an id or a word may mean; any other text stands for itself."""
    return frozenset({family}) if family in WORDS else _IDS.get(family, frozenset({family}))


def may_be_one(family: str, other: str) -> bool:
    """Whether two ids or words may mean the same family."""
    return not ids_of(family).isdisjoint(ids_of(other))


def id_of(family: str, base_model: str) -> str:
    """The id that an id or a word means for a base model; an ambiguous word is returned as it is."""
    found = ids_of(family)
    return next(iter(found)) if len(found) == 1 else _OF_A_MODEL.get((family, base_model), family)
