"""Build installations of the programs that people use, from empty files and folders laid out as those programs do.

Each builder returns {type: the folder in which the program itself keeps models of that type}.
"""

from pathlib import Path

# file names of each program for one adapter, its encoder
NAMES = {
    "comfyui": ("ip-adapter-plus_sd15.safetensors", "CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors"),
    "krita": ("ip-adapter-plus_sd15.safetensors", "clip-vision_vit-h.safetensors"),
    "swarmui": ("plus_sd15.safetensors", "clip_vision_h.safetensors"),
    "stability_matrix": ("ip-adapter-plus_sd15.bin", "image_encoder/model.safetensors"),
    "webui": ("ip-adapter-plus_sd15.pth", "CLIP-ViT-H-14.safetensors"),
}

CORE = (
    "checkpoints",
    "clip",
    "clip_vision",
    "controlnet",
    "diffusion_models",
    "embeddings",
    "loras",
    "model_patches",
    "photomaker",
    "style_models",
    "text_encoders",
    "unet",
    "vae",
)

KRITA = """
krita-managed:
    base_path: ../models
    checkpoints: checkpoints
    clip: clip
    clip_vision: clip_vision
    controlnet: controlnet
    diffusion_models: diffusion_models
    embeddings: embeddings
    inpaint: inpaint
    ipadapter: ipadapter
    loras: loras
    model_patches: model_patches
    style_models: style_models
    text_encoders: text_encoders
    unet: unet
    vae: vae
"""
SWARMUI = """
swarmui:
    base_path: {models}
    is_default: true
    checkpoints: |
       Stable-Diffusion
    vae: |
       VAE
    loras: |
       Lora
       LyCORIS
    embeddings: |
       Embeddings
       embeddings
    controlnet: |
       controlnet
       ControlNet
    clip: |
       clip
       CLIP
    clip_vision: |
       clip_vision
    unet: |
       unet
    diffusion_models: |
       diffusion_models
    ipadapter: |
       ipadapter
    style_models: |
       style_models

# apart, so that it is not is_default
swarmui_nodes:
    custom_nodes: |
       {root}/src/BuiltinExtensions/ComfyUIBackend/DLNodes
"""
STABILITY_MATRIX = """
stability_matrix:
  checkpoints: |-
    {models}/StableDiffusion
  loras: |-
    {models}/Lora
    {models}/LyCORIS
  clip: |-
    {models}/TextEncoders
  clip_vision: |-
    {models}/ClipVision
  vae: |-
    {models}/VAE
  controlnet: |-
    {models}/ControlNet
    {models}/T2IAdapter
  ipadapter: |-
    {models}/IpAdapter
    {models}/IpAdapters15
    {models}/IpAdaptersXl
  diffusion_models: |-
    {models}/DiffusionModels
"""
DESKTOP = """# ComfyUI extra_model_paths.yaml for linux
comfyui_desktop:
  is_default: "true"
  custom_nodes: /opt/comfyui-desktop/resources/ComfyUI/custom_nodes
  download_model_base: {downloads}
  base_path: {base}
migrated:
  ipadapter: {old}/models/ipadapter/
  loras: {old}/models/loras/
"""
OLD_DESKTOP = """
comfyui:
  base_path: {base}
  is_default: true
  clip_vision: models/clip_vision/
  ipadapter: models/ipadapter/
  insightface: models/insightface/
  loras: models/loras/
"""


def put(path: Path, data: bytes | str = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def folders(root: Path, *names: str) -> None:
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)


def comfyui(root: Path, extra: str | None = None) -> dict[str, Path]:
    for name in ("main.py", "folder_paths.py", "nodes.py"):
        put(root / name)
    names = (*CORE, "ipadapter", "insightface")
    folders(root, "custom_nodes", "input", "output", *(f"models/{name}" for name in names))
    if extra is not None:
        put(root / "extra_model_paths.yaml", extra)
    return {name: root / "models" / name for name in names}


def portable(root: Path) -> dict[str, Path]:
    folders(root, "python_embeded", "update")
    put(root / "run_nvidia_gpu.bat")
    return comfyui(root / "ComfyUI")


def krita(root: Path) -> dict[str, Path]:
    comfyui(root / "ComfyUI", KRITA)
    put(root / ".version", "1.50.0 cuda")
    folders(root, "uv", "venv", *(f"models/{name}" for name in (*CORE, "ipadapter")))
    return {name: root / "models" / name for name in (*CORE, "ipadapter", "insightface")}


def swarmui(root: Path, started: bool = True, windows: bool = False) -> dict[str, Path]:
    """SwarmUI. Before its first start the file for its ComfyUI does not exist."""
    put(root / "SwarmUI.sln")
    put(root / "src/Core/Settings.cs")
    models = root / "Models"
    folders(models, "Stable-Diffusion", "Lora", "VAE", "Embeddings", "controlnet", "clip", "clip_vision")
    comfyui(root / ("dlbackend/comfy/ComfyUI" if windows else "dlbackend/ComfyUI"))
    if started:
        put(root / "Data/comfy-auto-model.yaml", SWARMUI.format(models=models, root=root))
    return {
        "ipadapter": models / "ipadapter",
        "clip_vision": models / "clip_vision",
        "loras": models / "Lora",
        "checkpoints": models / "Stable-Diffusion",
    }


def stability_matrix(root: Path, is_portable: bool = False, package: str = "ComfyUI") -> dict[str, Path]:
    library = root / "Data" if is_portable else root
    models = library / "Models"
    put(library / "settings.json", "{}")
    if is_portable:
        put(library / ".sm-portable")
    folders(
        models,
        "StableDiffusion",
        "Lora",
        "LyCORIS",
        "VAE",
        "ControlNet",
        "ClipVision",
        "IpAdapter",
        "IpAdapters15",
        "IpAdaptersXl",
        "TextEncoders",
        "DiffusionModels",
        "Embeddings",
    )
    comfyui(library / "Packages" / package, STABILITY_MATRIX.format(models=models))
    webui(library / "Packages" / "Stable Diffusion WebUI Forge")
    return {
        "ipadapter": models / "IpAdapter",
        "clip_vision": models / "ClipVision",
        "loras": models / "Lora",
        "checkpoints": models / "StableDiffusion",
    }


def webui(root: Path) -> dict[str, Path]:
    for name in ("webui.py", "launch.py"):
        put(root / name)
    folders(
        root,
        "modules",
        "extensions/sd-webui-controlnet/models",
        "embeddings",
        "models/ControlNet",
        "models/Lora",
        "models/ControlNetPreprocessor",
        "models/Stable-diffusion",
        "models/VAE",
    )
    return {
        "ipadapter": root / "models/ControlNet",
        "clip_vision": root / "models/ControlNetPreprocessor",
        "loras": root / "models/Lora",
        "checkpoints": root / "models/Stable-diffusion",
    }


def desktop(base: Path) -> dict[str, Path]:
    """The base path that the user of ComfyUI Desktop chose; the program itself is elsewhere."""
    names = (*CORE, "insightface")
    folders(base, "custom_nodes", "input", "output", "user/default", *(f"models/{name}" for name in names))
    return {name: base / "models" / name for name in (*names, "ipadapter")}


def desktop_settings(root: Path, base: Path, old: Path, downloads: str = "models") -> Path:
    """The settings folder of ComfyUI Desktop, which names the base path and the folders of an older ComfyUI."""
    text = DESKTOP.format(base=base, old=old, downloads=downloads)
    return put(root / "extra_models_config.yaml", text).parent
