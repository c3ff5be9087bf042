"""What the presets of IPAdapter_plus's unified loaders stand for, and which files they take.

That pack takes the first file, in the order of the names, in whose name a pattern is found. So do we if the file is
what the preset says. Otherwise the files decide by what is in them.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import folder_paths

from ...ip_adapter import IPAdapter
from ...model_files.matching import Need
from ..folders import ADAPTER_FOLDER, ENCODER_FOLDER, LORA_FOLDER, digest, file_state, model_names
from ..loading.model_library import chosen_files, companion_need, encoder_need, indexed, is_by_content, look_for
from ..loading.models import GLANCE, indexed_state, required
from ..remedies import listed

MODEL = r"\.(safetensors|bin)$"
VIT_H = rf"(ViT.H.14.*s32B.b79K|ipadapter.*sd15|sd1.?5.*model){MODEL}"
BIG_G = rf"(ViT.bigG.14.*39B.b160k|ipadapter.*sdxl|sdxl.*model){MODEL}"
VIT_L_336 = rf"clip.vit.large.patch14.336{MODEL}"

Patterns = tuple[str, ...]  # the first one that fits a file decides


@dataclass(frozen=True)
class Preset:
    """One preset of a unified loader.

    text: its value in saved files
    purpose: what its adapters are for, as the catalogue says it
    adapters: the model that is connected -> patterns for the adapter; others are refused
    encoder: pattern for the image encoder
    loras: the model that is connected -> pattern for the LoRA that belongs to the adapter
    made_for: the model that the adapters are made for, where it is another
    """

    text: str
    purpose: str
    adapters: Mapping[str, Patterns]
    encoder: str = VIT_H
    loras: Mapping[str, str] = field(default_factory=dict[str, str])
    made_for: str = ""

    @property
    def begins(self) -> str:
        """The words before the explanation, by which the preset is known."""
        return re.split(r" \(| - ", self.text.lower())[0]

    @property
    def reads_faces(self) -> bool:
        return self.begins.startswith("faceid")

    def need(self, base: str) -> Need:
        return Need("adapter", self.purpose, self.made_for or base)


def _sd15_sdxl(sd15: str = "", sdxl: str = "", *earlier: str, end: str = MODEL) -> dict[str, Patterns]:
    """Patterns by model. earlier: those for SD1.5 that are tried before"""
    rows = {"SD1.5": (*earlier, sd15) if sd15 else (), "SDXL": (sdxl,) if sdxl else ()}
    return {base: tuple(f"{pattern}{end}" for pattern in patterns) for base, patterns in rows.items() if patterns}


def _loras(name: str, *bases: str) -> dict[str, str]:
    words = {"SD1.5": "sd15", "SDXL": "sdxl"}
    return {base: rf"{name}.{words[base]}.lora\.safetensors$" for base in bases}


KOLORS = (rf"(ip_adapter_plus_general|kolors.ip.adapter.plus){MODEL}",)

PRESETS = (
    Preset(
        "LIGHT - SD1.5 only (low strength)",
        "light",
        _sd15_sdxl("sd15.light", "", "sd15.light.v11"),
    ),
    Preset("STANDARD (medium strength)", "standard", _sd15_sdxl("ip.adapter.sd15", "ip.adapter.sdxl.vit.h")),
    Preset("VIT-G (medium strength)", "vit-G", _sd15_sdxl("sd15.vit.g", "ip.adapter.sdxl"), BIG_G),
    Preset("PLUS (high strength)", "plus", _sd15_sdxl("ip.adapter.plus.sd15", "plus.sdxl.vit.h")),
    Preset("PLUS FACE (portraits)", "plus face", _sd15_sdxl("plus.face.sd15", "plus.face.sdxl.vit.h")),
    Preset("FULL FACE - SD1.5 only (portraits stronger)", "full face", _sd15_sdxl("full.face.sd15")),
    Preset(
        "FACEID",
        "FaceID",
        _sd15_sdxl("faceid.sd15", "faceid.sdxl"),
        loras=_loras("faceid", "SD1.5", "SDXL"),
    ),
    Preset(
        "FACEID PLUS - SD1.5 only",
        "FaceID plus",
        _sd15_sdxl("faceid.plus.sd15"),
        loras=_loras("faceid.plus", "SD1.5"),
    ),
    Preset(
        "FACEID PLUS V2",
        "FaceID plus v2",
        _sd15_sdxl("faceid.plusv2.sd15", "faceid.plusv2.sdxl"),
        loras=_loras("faceid.plusv2", "SD1.5", "SDXL"),
    ),
    Preset(
        "FACEID PORTRAIT (style transfer)",
        "FaceID portrait",
        _sd15_sdxl("portrait.sd15", "portrait.sdxl", "portrait.v11.sd15"),
    ),
    Preset(
        "FACEID PORTRAIT UNNORM - SDXL only (strong)",
        "FaceID portrait unnorm",
        _sd15_sdxl("", "portrait.sdxl.unnorm"),
    ),
    Preset(
        "Composition",
        "composition",
        _sd15_sdxl("plus.composition.sd15", "plus.composition.sdxl", end=r"\.safetensors$"),
    ),
    Preset("Kolors", "plus", {"SDXL": KOLORS, "Kolors": KOLORS}, VIT_L_336, made_for="Kolors"),
)


def preset_named(text: object) -> Preset:
    """The preset of this name. Programs write it without what explains it, or in small letters.

    Raises:
        ValueError: there is none.
    """
    given = text.lower() if isinstance(text, str) else ""
    fitting = [row for row in PRESETS if given.startswith(row.begins) and (given == "faceid" or row.begins != "faceid")]
    if not fitting:
        raise ValueError(f"The preset is {text!r:.60}: choose one of {', '.join(row.text for row in PRESETS)}.")
    return max(fitting, key=lambda row: len(row.begins))


def check_base(preset: Preset, base: str) -> None:
    """Raise a ValueError unless the preset has adapters for this model."""
    if base not in preset.adapters:
        others = [row.text for row in PRESETS if base in row.adapters]
        instead = f"choose {' or '.join(others)}" if 0 < len(others) < 3 else "choose another preset"
        raise ValueError(
            f"The preset {preset.text!r} is for {' and '.join(preset.adapters)} models, and the model is {base}: "
            f"{instead if others else 'connect one of these models'}."
        )


def adapter_of(preset: Preset, base: str) -> str:
    """The name of the adapter's file. ValueError: there is none that can be applied; the message says which to get."""
    return _first(ADAPTER_FOLDER, preset.adapters[base], preset.need(base)) or _searched(preset.need(base))


def encoder_of(preset: Preset, adapter: IPAdapter) -> str:
    """The name of the encoder's file, for the adapter that was loaded; "" if it reads none. Raises as `adapter_of`."""
    if not adapter.encoder_name:
        return ""
    need = encoder_need(adapter)
    return _first(ENCODER_FOLDER, (preset.encoder,), need) or _searched(
        need, f"The preset {preset.text!r} needs the image encoder that its adapter reads."
    )


def lora_of(preset: Preset, base: str, adapter: str) -> str:
    """The name of the LoRA that belongs to an adapter; "" if none does. ValueError: as `adapter_of`."""
    found = indexed(ADAPTER_FOLDER, adapter)
    need = companion_need(replace(look_for(preset.need(base), patience=0), found=found))
    if need is None:
        return ""
    patterns = (preset.loras[base],) if base in preset.loras else ()
    return _first(LORA_FOLDER, patterns, need) or _searched(need, f"{adapter} was trained with a LoRA.")


def files_state(text: str | None) -> object:
    """A value that differs once a unified loader may take another file. text: of the preset; None: it is linked"""
    rows = PRESETS if text is None else (preset_named(text),)
    needs = [[row.need(base)] for row in rows for base in row.adapters]
    by_name = [
        file_state(path) for folder, name in _all_first(rows) if (path := folder_paths.get_full_path(folder, name))
    ]
    return digest([by_name, [[indexed_state(file) for file in files] for files in chosen_files(needs, GLANCE)]])


def _all_first(rows: Iterable[Preset]) -> Iterator[tuple[str, str]]:
    for row in rows:
        patterns = [(ENCODER_FOLDER, (row.encoder,)), *((ADAPTER_FOLDER, each) for each in row.adapters.values())]
        for folder, each in [*patterns, *((LORA_FOLDER, (lora,)) for lora in row.loras.values())]:
            yield folder, _matching(folder, each)


def _matching(folder: str, patterns: Patterns) -> str:
    """The first name in which the first of the patterns is found that is found in any; "" if there is none."""
    names = model_names(folder)
    return next((name for each in patterns for name in names if re.search(each, name, re.IGNORECASE)), "")


def _first(folder: str, patterns: Patterns, need: Need) -> str:
    """The file that IPAdapter_plus would take, if it is what is needed or the index cannot say; else ""."""
    name = _matching(folder, patterns)
    if not name:
        return ""
    found = indexed(folder, name)
    return name if found is None or is_by_content(found, need) else ""


def _searched(need: Need, given: str = "") -> str:
    return listed(required(look_for(need), given))
