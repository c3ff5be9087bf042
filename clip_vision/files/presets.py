"""The table of known encoders: what shapes cannot tell (heads, activation, mean and std).

Sources: the configuration files of openai/CLIP, OpenCLIP (`model_configs/`, `pretrained.py`), transformers and timm.
Rows of the same shape differ in how the weights were trained; the first of them is the default, another is taken when
its `hint` is found in the file name, or when the user names it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..config import Kind, Rgb, VisionConfig

OPENAI_MEAN: Rgb = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD: Rgb = (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN: Rgb = (0.485, 0.456, 0.406)
IMAGENET_STD: Rgb = (0.229, 0.224, 0.225)
HALF: Rgb = (0.5, 0.5, 0.5)
COLORS: dict[Kind, tuple[Rgb, Rgb]] = {  # mean and std of an encoder that is not in the table
    "clip": (OPENAI_MEAN, OPENAI_STD),
    "siglip": (HALF, HALF),
    "eva": (OPENAI_MEAN, OPENAI_STD),
    "csd": (OPENAI_MEAN, OPENAI_STD),
    "dino": (IMAGENET_MEAN, IMAGENET_STD),
    "pe": (HALF, HALF),
}

# Folders of an absolute path that say what a file is:
HOME = "clip_vision"  # ComfyUI's folder of encoders, in which those below it are named by a user or a publisher
NAMES_ENCODER = re.compile(r"clip|vit", re.IGNORECASE)
REPOSITORY = re.compile(r"models--")  # in the Hugging Face cache

HEAD_WIDTH = 64  # of every encoder that is not in the table
DEFAULT_ACTIVATION: dict[Kind, str] = {
    "clip": "gelu",
    "siglip": "gelu_pytorch_tanh",
    "eva": "silu",
    "csd": "quick_gelu",
    "dino": "gelu",  # "silu" where it has gates
    "pe": "gelu",
}


@dataclass(frozen=True)
class Sizes:
    """What a state dict says about itself."""

    kind: Kind
    width: int
    depth: int
    mlp_width: int
    patch: int
    grid: int
    has_class_token: bool
    registers: int
    gated: bool
    projection: int | None
    pooling_head: bool


@dataclass(frozen=True)
class Preset:
    name: str
    kind: Kind
    width: int
    depth: int
    mlp_width: int
    patch: int
    image_size: int
    heads: int
    activation: str
    mean: Rgb = OPENAI_MEAN
    std: Rgb = OPENAI_STD
    hint: str = ""  # searched in the file name, ignoring case; the default row has one to outweigh a folder's name
    registers: int = 0
    reads: int | None = None  # pixels along a side of its pictures, where its position embeddings are for image_size

    @property
    def grid(self) -> int:
        return self.image_size // self.patch

    def same_trunk(self, sizes: Sizes | VisionConfig) -> bool:
        mine = (self.kind, self.width, self.depth, self.mlp_width, self.patch, self.registers)
        return mine == (sizes.kind, sizes.width, sizes.depth, sizes.mlp_width, sizes.patch, sizes.registers)

    def computes_like(self, other: Preset) -> bool:
        return (self.activation, self.mean, self.std) == (other.activation, other.mean, other.std)


# MetaCLIP 1 trained with quick-gelu ("2.5b", "2_5b" and "2pt5b" in its names count its data); MetaCLIP 2, called
# worldwide, and MetaCLIP 1.2, called altogether, with gelu, but for H/14 worldwide at 224 pixels
METACLIP_1 = r"metaclip(?!.*(worldwide|altogether|v1.2)|.?2(?!(.|pt)?5b))"
METACLIP_2 = r"worldwide|metaclip.?2(?!(.|pt)?5b)"
QUICK = rf"dfn|quick.?gelu|{METACLIP_1}"
OPENAI = rf"openai|clip.vit.(base|large).patch|laion.?400m|{QUICK}"
GELU = rf"laion|datacomp|commonpool|{METACLIP_2}"


def _clip(
    name: str,
    trunk: tuple[int, int, int, int, int],
    size: int,
    activation: str,
    hint: str = "",
    mean: Rgb = OPENAI_MEAN,
    std: Rgb = OPENAI_STD,
) -> Preset:
    width, depth, mlp_width, patch, heads = trunk
    return Preset(f"CLIP ViT-{name}", "clip", width, depth, mlp_width, patch, size, heads, activation, mean, std, hint)


def _other(name: str, kind: Kind, trunk: tuple[int, int, int, int, int], size: int) -> Preset:
    width, depth, mlp_width, patch, heads = trunk
    return Preset(name, kind, width, depth, mlp_width, patch, size, heads, DEFAULT_ACTIVATION[kind], *COLORS[kind])


def _dino(name: str, trunk: tuple[int, int, int, int, int], activation: str, registers: int) -> Preset:
    width, depth, mlp_width, patch, heads = trunk
    return Preset(
        f"DINOv2 {name}/14{' with registers' if registers else ''}",
        "dino",
        width,
        depth,
        mlp_width,
        patch,
        518,
        heads,
        activation,
        IMAGENET_MEAN,
        IMAGENET_STD,
        registers=registers,
        reads=224,  # as its image processor in transformers
    )


def _siglip(family: str, name: str, trunk: tuple[int, int, int, int, int], size: int) -> Preset:
    width, depth, mlp_width, patch, heads = trunk
    hint = r"siglip.?2" if family == "SigLIP2" else ""
    return Preset(
        f"{family} {name}-{size}",
        "siglip",
        width,
        depth,
        mlp_width,
        patch,
        size,
        heads,
        "gelu_pytorch_tanh",
        HALF,
        HALF,
        hint,
    )


# width, depth, mlp, patch, heads
B32, B16, L14 = (768, 12, 3072, 32, 12), (768, 12, 3072, 16, 12), (1024, 24, 4096, 14, 16)
H14, G14, BIGG14 = (1280, 32, 5120, 14, 16), (1408, 40, 6144, 14, 16), (1664, 48, 8192, 14, 16)
EVA_B16, EVA_L14 = (768, 12, 2048, 16, 12), (1024, 24, 2730, 14, 16)
L16, GIANT16 = (1024, 24, 4096, 16, 16), (1536, 40, 6144, 16, 16)
SO400M14, SO400M16 = (1152, 27, 4304, 14, 16), (1152, 27, 4304, 16, 16)

DINO = (
    ("small", (384, 12, 1536, 14, 6), "gelu"),
    ("base", (768, 12, 3072, 14, 12), "gelu"),
    ("large", L14, "gelu"),
    ("giant", (1536, 40, 4096, 14, 24), "silu"),  # gated
)

PRESETS: tuple[Preset, ...] = (
    _clip("B/32", B32, 224, "quick_gelu", OPENAI),
    _clip("B/32 gelu", B32, 224, "gelu", rf"laion(?!.?400m)|datacomp|commonpool|{METACLIP_2}"),  # LAION-400M is quick
    _clip("B/32-256", B32, 256, "gelu"),
    _clip("B/16", B16, 224, "quick_gelu", OPENAI),
    _clip("B/16 gelu", B16, 224, "gelu", GELU),
    _clip("L/14", L14, 224, "quick_gelu", OPENAI),
    _clip("L/14 gelu", L14, 224, "gelu", rf"laion.?400m|datacomp|commonpool|{METACLIP_2}"),
    _clip("L/14 LAION-2B", L14, 224, "gelu", r"laion", HALF, HALF),
    _clip("L/14-336", L14, 336, "quick_gelu"),
    _clip("H/14", H14, 224, "gelu", r"laion|altogether"),
    _clip("H/14 quick-gelu", H14, 224, "quick_gelu", rf"{QUICK}|{METACLIP_2}"),
    _clip("H/14-378", H14, 378, "quick_gelu", QUICK),
    _clip("H/14-378 gelu", H14, 378, "gelu", METACLIP_2),
    _clip("g/14", G14, 224, "gelu"),
    _clip("bigG/14", BIGG14, 224, "gelu", rf"laion|{METACLIP_2}"),
    _clip("bigG/14 quick-gelu", BIGG14, 224, "quick_gelu", QUICK),
    *(_siglip("SigLIP", "base/16", B16, size) for size in (224, 256, 384, 512)),
    *(_siglip("SigLIP2", "base/16", B16, size) for size in (224, 256, 384, 512)),
    _siglip("SigLIP2", "base/32", B32, 256),
    *(_siglip("SigLIP", "large/16", L16, size) for size in (256, 384)),
    *(_siglip("SigLIP2", "large/16", L16, size) for size in (256, 384, 512)),
    *(_siglip("SigLIP", "so400m/14", SO400M14, size) for size in (224, 384)),
    *(_siglip("SigLIP2", "so400m/14", SO400M14, size) for size in (224, 384)),
    *(_siglip("SigLIP2", "so400m/16", SO400M16, size) for size in (256, 384, 512)),
    *(_siglip("SigLIP2", "giant/16", GIANT16, size) for size in (256, 384)),
    _other("EVA02-CLIP-B-16", "eva", EVA_B16, 224),
    _other("EVA02-CLIP-L-14", "eva", EVA_L14, 224),
    _other("EVA02-CLIP-L-336", "eva", EVA_L14, 336),
    _other("CSD ViT-L/14", "csd", L14, 224),
    *(_dino(*size, registers) for registers in (0, 4) for size in DINO),
    _other("PE-Core-T16-384", "pe", (192, 12, 768, 16, 3), 384),
    _other("PE-Core-S16-384", "pe", (384, 12, 1536, 16, 6), 384),
    _other("PE-Core-B16-224", "pe", B16, 224),
    _other("PE-Core-L14-336", "pe", L14, 336),
    _other("PE-Core-G14-448", "pe", (1536, 50, 8960, 14, 16), 448),
)


def preset(name: str) -> Preset:
    """The row called `name`. ValueError lists the names when there is none."""
    for row in PRESETS:
        if row.name == name:
            return row
    raise ValueError(f"No encoder variant is called {name!r}. Known: auto, {', '.join(row.name for row in PRESETS)}.")


def find_preset(sizes: Sizes, variant: str = "auto", name: str = "") -> Preset | None:
    """The row for an encoder of these sizes; None when no row has its trunk.

    `variant` names the row, or is "auto": rows of the same trunk and image size, of these the one whose hint is in
    `name`, else the first. The last part of `name` is searched before the folders above it. Of an absolute path, these
    are the folders below `clip_vision`, or else the one that holds the file if it is called like an encoder, and that
    of a repository in the Hugging Face cache: others say where a user keeps files, not what they are.
    An unlisted image size of a known trunk takes the rows of the other sizes.
    ValueError when the named row is of another shape than the file.
    """
    if variant != "auto":
        return _checked(preset(variant), sizes)
    rows = _of_shape(sizes)
    return _hinted(rows, name) or next(iter(rows), None)


def log_guess(sizes: Sizes | VisionConfig, name: str) -> None:
    """Log which row "auto" takes where rows of the same shape compute otherwise and no hint decides between them."""
    rows = _of_shape(sizes)
    others = [row.name for row in rows if not row.computes_like(rows[0])]
    if others and not _hinted(rows, name):
        logging.getLogger(__name__).debug(
            "%s is taken for %s; of the same shape are %s. If it is one of them, say so with `variant`.",
            name or "The image encoder",
            rows[0].name,
            ", ".join(others),
        )


def _of_shape(sizes: Sizes | VisionConfig) -> Sequence[Preset]:
    trunk = [row for row in PRESETS if row.same_trunk(sizes)]
    return [row for row in trunk if row.grid == sizes.grid] or trunk


def _hinted(rows: Sequence[Preset], name: str) -> Preset | None:
    hinted = (
        row
        for part in _parts(name)
        for row in (*rows[1:], *rows[:1])  # the default row last
        if row.hint and re.search(row.hint, part, re.IGNORECASE)
    )
    return next(hinted, None)


def _parts(name: str) -> list[str]:
    """File name first, then its folders upwards, as far as they say what the file is."""
    parts = re.split(r"[\\/]", name)[::-1]
    if not re.match(r"[\\/]|[A-Za-z]:", name):
        return parts
    if HOME in parts:
        return parts[: parts.index(HOME)]
    return [parts[0], *filter(NAMES_ENCODER.search, parts[1:2]), *filter(REPOSITORY.match, parts[2:])]


def _checked(row: Preset, sizes: Sizes) -> Preset:
    if row.same_trunk(sizes):
        return row
    raise ValueError(
        f"The variant {row.name!r} is a {row.kind} encoder {row.depth} layers deep, {row.width} wide (mlp "
        f"{row.mlp_width}, patch {row.patch}), but the file holds a {sizes.kind} encoder {sizes.depth} layers deep, "
        f'{sizes.width} wide (mlp {sizes.mlp_width}, patch {sizes.patch}). Choose "auto" or a variant of that shape.'
    )
