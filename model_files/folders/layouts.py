"""The table of directory layouts: where each program keeps its models, and how to recognise its folder.

Sources, in the programs' own files: ComfyUI `folder_paths.py`, `main.py`; ComfyUI Desktop `comfyServerConfig.ts`,
`comfyConfigManager.ts`; krita-ai-diffusion `backend/server.py`; SwarmUI `Settings.cs`, `ComfyUISelfStartBackend.cs`,
`comfy-install-linux.sh`; StabilityMatrix `SharedFolderType.cs`, `SharedFolders.cs`, `Packages/ComfyUI.cs`;
sd-webui-controlnet `scripts/global_state.py`, `annotator/clipvision`; Forge `modules_forge/shared.py`.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from .model_types import MODEL_TYPES

Folders = Mapping[str, tuple[str, ...]]  # type -> folders

COMFYUI_FILES = ("main.py", "folder_paths.py")

COMFYUI: Folders = {name: row.folders for name, row in MODEL_TYPES.items()}
SWARMUI: Folders = {
    "ipadapter": ("ipadapter",),
    "clip_vision": ("clip_vision",),
    "loras": ("Lora", "LyCORIS"),
    "style_models": ("style_models",),
    "checkpoints": ("Stable-Diffusion",),
    "diffusion_models": ("unet", "diffusion_models"),
    "text_encoders": ("clip", "CLIP"),
    "vae": ("VAE",),
    "embeddings": ("Embeddings", "embeddings"),
    "controlnet": ("controlnet", "ControlNet"),
}
STABILITY_MATRIX: Folders = {  # today's names first, then those of 2024 and before
    "ipadapter": ("IpAdapter", "IpAdapters15", "IpAdaptersXl", "InvokeIpAdapters15", "InvokeIpAdaptersXl"),
    "clip_vision": ("ClipVision", "InvokeClipVision"),
    "loras": ("Lora", "LyCORIS"),
    "style_models": ("StyleModels",),
    "model_patches": ("ModelPatches",),
    "checkpoints": ("StableDiffusion",),
    "diffusion_models": ("DiffusionModels", "Unet"),
    "text_encoders": ("TextEncoders", "CLIP"),
    "vae": ("VAE",),
    "embeddings": ("Embeddings", "TextualInversion"),
    "controlnet": ("ControlNet", "T2IAdapter"),
}
CONTROLNET = "extensions/sd-webui-controlnet"
WEBUI: Folders = {  # IP-Adapters are kept with the ControlNets, Forge's image encoders with the preprocessors
    "ipadapter": ("models/ControlNet", f"{CONTROLNET}/models"),
    "clip_vision": ("models/ControlNetPreprocessor", f"{CONTROLNET}/annotator/downloads/clip_vision"),
    "loras": ("models/Lora", "models/LyCORIS"),
    "insightface": ("models/insightface", f"{CONTROLNET}/annotator/downloads/insightface"),
    "checkpoints": ("models/Stable-diffusion",),
    "text_encoders": ("models/text_encoder",),
    "vae": ("models/VAE",),
    "embeddings": ("embeddings",),
    "controlnet": ("models/ControlNet", f"{CONTROLNET}/models"),
}


def _below(folder: str, folders: Folders) -> Folders:
    return {name: tuple(f"{folder}/{path}" for path in paths) for name, paths in folders.items()}


@dataclass(frozen=True)
class Layout:
    name: str
    signs: tuple[tuple[str, ...], ...]  # paths below the root; all of one group must exist
    comfyui: tuple[str, ...] = ()  # patterns of the folders of ComfyUIs; "." is the root, whatever it holds
    folders: Folders = field(default_factory=dict[str, tuple[str, ...]])  # of the program itself
    first: bool = False  # its own folders come before those of its ComfyUI
    config: str = ""  # the extra_model_paths.yaml that it writes for its ComfyUI, under a name of its own
    detected: bool = True  # counts as a ComfyUI when one is searched for

    def matches(self, root: str) -> bool:
        return any(_holds(root, group) for group in self.signs)

    def comfyuis(self, root: str) -> list[str]:
        return [
            os.path.realpath(path)
            for pattern in self.comfyui
            for path in sorted(glob.glob(os.path.join(glob.escape(root), pattern)))
            if pattern == "." or _holds(path, COMFYUI_FILES)
        ]

    def described(self) -> str:
        signs = " or ".join(" with ".join(group) for group in self.signs[:3])
        return f"{self.name} ({signs}{', and so on' if len(self.signs) > 3 else ''})"


def _holds(root: str, names: tuple[str, ...]) -> bool:
    return all(os.path.exists(os.path.join(root, name)) for name in names)


def _any_of(folders: Folders) -> tuple[tuple[str, ...], ...]:
    return tuple((path,) for paths in folders.values() for path in paths)


LAYOUTS = (  # specific first
    Layout("ComfyUI", (COMFYUI_FILES,), comfyui=(".",)),
    Layout(
        "SwarmUI",
        (("SwarmUI.sln",), ("Models", "dlbackend")),
        first=True,
        folders=_below("Models", SWARMUI),
        comfyui=("dlbackend/ComfyUI", "dlbackend/comfy/ComfyUI"),
        config="Data/comfy-auto-model.yaml",
    ),
    Layout(
        "StabilityMatrix",
        (("Models", "Packages"),),
        comfyui=("Packages/*",),
        folders=_below("Models", STABILITY_MATRIX),
    ),
    Layout(
        "portable StabilityMatrix",
        (("Data/Models", "Data/Packages"),),
        comfyui=("Data/Packages/*",),
        folders=_below("Data/Models", STABILITY_MATRIX),
    ),
    Layout("A1111 or Forge", (("webui.py", "modules"),), folders=WEBUI, detected=False),
    Layout("packaged A1111 or Forge", (("webui/webui.py",),), folders=_below("webui", WEBUI), detected=False),
    Layout(
        "Krita AI Diffusion's server",
        (("ComfyUI/main.py", "models", ".version"),),
        comfyui=("ComfyUI",),
        folders=_below("models", COMFYUI),
    ),
    Layout("portable ComfyUI", (("ComfyUI/main.py",),), comfyui=("ComfyUI",)),
    Layout("ComfyUI Desktop's settings", (("extra_models_config.yaml",),), config="extra_models_config.yaml"),
    Layout("ComfyUI Desktop's base path", (("models", "custom_nodes"),), comfyui=(".",)),
    Layout(
        "folder of a models directory",
        _any_of(_below("models", COMFYUI)),
        folders=_below("models", COMFYUI),
        detected=False,
    ),
    Layout("models directory", _any_of(COMFYUI), folders=COMFYUI, detected=False),
)


def layout_of(root: str) -> Layout | None:
    return next((layout for layout in LAYOUTS if layout.matches(root)), None)
