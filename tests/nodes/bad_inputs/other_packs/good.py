"""Inputs with which each node of another pack works: its sockets connected, and its defaults."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import comfy.ops
import face_tools
import folder_paths
import tiny
import torch
from own_files import OWN, put_adapter, put_catalogue, put_encoder
from safetensors.torch import save_file

from image_prompt.clip_vision import load_encoder
from image_prompt.demo import face_packs
from image_prompt.devtools import published
from image_prompt.nodes.compat.node import Node, node_class
from image_prompt.nodes.compat.table import PACKS
from image_prompt.nodes.encoding.encoder import ImageEncoder

from ..made import encoder, unet
from ..row import Inputs

ROWS = {(pack.name, row.id): row for pack in PACKS for row in pack.rows}
SDXL = {"IPAdapterStyleComposition", "IPAdapterStyleCompositionBatch"}  # what acts on no other model
STRATEGY = {"weights": "1, 0", "timing": "linear", "frames": 2, "method": "full batch", "frame_count": 1}
WIDTH = 25  # of features: a square number, because the enhancer asks for one
FEATURES = torch.rand(2, WIDTH)
PICTURES = torch.rand(2, 32, 32, 3)
FACES = face_tools.pictures()
EVA = {"name": "tiny EVA", "heads": 4, "image_size": 56}
LOADED = "tiny.safetensors"  # the file of which loaders have the choice


def run(row: Node, **inputs: Any) -> Any:
    node = node_class(row, "")()
    return getattr(node, node.FUNCTION)(**inputs)


def good(row: Node) -> Inputs:
    """New inputs with which the node works. Those that are files lie in the folders that ComfyUI has now."""
    wires = WIRES[row.pack](row)
    return {
        each.name: wires.get(each.name, wires.get(str(each.type)))
        if each.is_socket
        else wires.get(each.name, each.default)
        for each in row.inputs
        if each.name != "image_negative"
    }


def with_pipe(adapter: Any, encoder: Any) -> dict[str, Any]:
    return {"ipadapter": {"file": "x", "model": adapter}, "clipvision": {"file": "y", "model": encoder}}


@cache
def adapter(base: str, embed: int = WIDTH) -> dict[str, Any]:
    """An adapter as other packs send it."""
    return published.nested(tiny.base_file(unet(base), embed=embed))


@cache
def face_adapter(base: str) -> dict[str, Any]:
    """An adapter that reads faces, as other packs send it."""
    return published.nested(tiny.file_for(unet(base), published.identity))


def region(**changes: Any) -> dict[str, list[Any]]:
    """The parameters of a region, as other packs make them."""
    values = {"image": PICTURES, "attn_mask": None, "weight": 1.0, "weight_type": "linear", "start_at": 0.0}
    return {name: [value] for name, value in (values | {"end_at": 1.0} | changes).items()}


def _of_ipadapter_plus(row: Node) -> Mapping[str, Any]:
    base, seen = "SDXL" if row.id in SDXL else "SD1.5", encoder(WIDTH)
    faces = any(each.name == "insightface" for each in row.inputs)
    known = face_adapter(base) if faces else adapter(base)
    return {
        "MODEL": unet(base),
        "IPADAPTER": with_pipe(known, seen) if row.id == "IPAdapter" else known,
        "CLIP_VISION": seen,
        "INSIGHTFACE": face_tools.two(),
        "IMAGE": FACES if faces else PICTURES,
        "EMBEDS": FEATURES,
        "WEIGHTS_STRATEGY": STRATEGY,
        "IPADAPTER_PARAMS": region(),
        "CONDITIONING": tiny.conditions("SD1.5")[0],
        **(LOADERS[row.id]() if row.id in LOADERS else {}),
    }


def _folder(name: str) -> Path:
    found = Path(folder_paths.folder_names_and_paths[name][0][0])
    found.mkdir(exist_ok=True)
    return found


@cache
def _kept(make: Callable[[], dict[str, torch.Tensor]]) -> tuple[TemporaryDirectory[str], Path]:
    """A file that is large: written once, for all nodes."""
    folder = TemporaryDirectory()
    path = Path(folder.name) / LOADED
    save_file(make(), path)
    return folder, path


def _put(make: Callable[[], dict[str, torch.Tensor]], folder: str) -> None:
    (_folder(folder) / LOADED).symlink_to(_kept(make)[1])


def _catalogued(purpose: str, base: str) -> Inputs:
    """A tiny adapter and its encoder, of which a catalogue of the user says what they are for."""
    folders = _folder("ipadapter").parent
    put_catalogue(folders, {**OWN, "id": LOADED, "purposes": [purpose], "base_model": base, "files": [LOADED]})
    put_adapter(folders, LOADED, base)
    put_encoder(folders)
    return {"MODEL": unet(base), "IPADAPTER": None}


def _face_pack(name: str) -> Inputs:
    face_packs.write_pack(_folder("insightface") / "models", name)
    return {}


def _adapter_file() -> Inputs:
    put_adapter(_folder("ipadapter").parent, LOADED)
    return {"ipadapter_file": LOADED}


def _embeds_file() -> Inputs:
    place = Path(folder_paths.get_input_directory())
    place.mkdir(exist_ok=True)
    torch.save(FEATURES, place / "tiny.ipadpt")
    return {"embeds": "tiny.ipadpt"}


LOADERS: Mapping[str, Callable[[], Inputs]] = {
    "IPAdapterUnifiedLoader": lambda: _catalogued("standard", "SD1.5") | {"preset": "STANDARD (medium strength)"},
    "IPAdapterUnifiedLoaderFaceID": lambda: (
        _catalogued("FaceID", "SD1.5") | _face_pack("buffalo_l") | {"preset": "FACEID", "lora_strength": 0.0}
    ),
    "IPAdapterUnifiedLoaderCommunity": lambda: _catalogued("composition", "SD1.5") | {"preset": "Composition"},
    "IPAdapterModelLoader": _adapter_file,
    "IPAdapterInsightFaceLoader": lambda: _face_pack("buffalo_l"),
    "InsightFaceLoader": lambda: _face_pack("buffalo_l"),
    "IPAdapterLoadEmbeds": _embeds_file,
}


@cache
def instantid() -> dict[str, Any]:
    resampler = lambda context: published.resampler(context, 512, dim=64, heads=1, depth=1)  # noqa: E731
    return published.nested(tiny.file_for(unet("SDXL"), resampler))


def _of_instantid(row: Node) -> Mapping[str, Any]:
    positive, negative = tiny.conditions("SDXL")
    files = row.id == "InstantIDModelLoader"
    if files:
        torch.save(instantid(), _folder("instantid") / "tiny.bin")
    if row.id == "InstantIDFaceAnalysis":
        _face_pack("antelopev2")
    return {
        "INSTANTID": instantid(),
        "FACEANALYSIS": face_tools.two(),
        "CONTROL_NET": face_tools.Control([]),
        "IMAGE": FACES,
        "MODEL": unet("SDXL"),
        "positive": positive,
        "negative": negative,
        "FACE_EMBEDS": {side: torch.rand(2, 4, 2048) for side in ("cond", "uncond")},
        "instantid_file": "tiny.bin",
    }


@cache
def pulid_file() -> dict[str, torch.Tensor]:
    return tiny.file_for(unet("SDXL"), lambda context: published.pulid_former(context, hidden=32, width=32, embeds=24))


@cache
def pulid() -> Any:
    return tiny.wrapped(pulid_file())


@cache
def eva_clip() -> ImageEncoder:
    shapes = published.eva(32, depth=24, mlp=64, projection=24, patch=14, size=56)
    described = {"vision_config": json.dumps(EVA)}
    module = load_encoder(
        published.fill(shapes, 3), metadata=described, ops=comfy.ops.disable_weight_init, dtype=torch.float32
    )
    return ImageEncoder(module, torch.device("cpu"))


def _of_pulid(row: Node) -> Mapping[str, Any]:
    if row.id == "PulidModelLoader":
        _put(pulid_file, "pulid")
    if row.id == "PulidInsightFaceLoader":
        _face_pack("antelopev2")
    return {
        "MODEL": unet("SDXL"),
        "PULID": pulid(),
        "EVA_CLIP": eva_clip(),
        "FACEANALYSIS": face_tools.two(),
        "IMAGE": FACES,
        "pulid_file": LOADED,
    }


@cache
def flux() -> Any:
    return tiny.flux()


@cache
def xlabs_file() -> dict[str, torch.Tensor]:
    return tiny.flux_file(flux())


@cache
def xlabs() -> Any:
    return with_pipe(tiny.wrapped(xlabs_file()), encoder())


def _of_xlabs(row: Node) -> Mapping[str, Any]:
    if row.id == "LoadFluxIPAdapter":
        _put(xlabs_file, "xlabs_ipadapters")
        put_encoder(_folder("clip_vision").parent)
    given = {"MODEL": flux(), "IP_ADAPTER_FLUX": xlabs(), "IMAGE": PICTURES}
    return {**given, "ipadatper": LOADED, "clip_vision": "anything.safetensors"}


@cache
def whole_flux() -> Any:
    return tiny.flux(**tiny.WHOLE_FLUX)


@cache
def instantx_file() -> dict[str, torch.Tensor]:
    return tiny.instantx_file(whole_flux(), embed=24)


@cache
def instantx() -> Any:
    return with_pipe(tiny.wrapped(instantx_file()), encoder())


def _of_instantx_flux(row: Node) -> Mapping[str, Any]:
    if row.id.startswith("IPAdapterFluxLoader"):
        _put(instantx_file, "ipadapter-flux")
        put_encoder(_folder("clip_vision").parent)
    return {
        "MODEL": whole_flux(),
        "IP_ADAPTER_FLUX_INSTANTX": instantx(),
        "IMAGE": PICTURES,
        "ipadapter": LOADED,
    }


@cache
def sd3() -> Any:
    return tiny.sd3()


@cache
def sd3_file() -> dict[str, torch.Tensor]:
    return tiny.sd3_file(sd3())


@cache
def sd3_adapter() -> Any:
    return tiny.wrapped(sd3_file())


def _of_instantx_sd3(row: Node) -> Mapping[str, Any]:
    if row.id == "IPAdapterSD3Loader":
        _put(sd3_file, "ipadapter")
        return {"ipadapter": LOADED}
    return {"MODEL": sd3(), "IP_ADAPTER_SD3_INSTANTX": sd3_adapter(), "CLIP_VISION_OUTPUT": sd3_features()}


def sd3_features(width: int = 24) -> Any:
    found = comfy.clip_vision.Output()
    found.penultimate_hidden_states = torch.randn(2, 7, width, generator=torch.Generator().manual_seed(1))
    return found


WIRES: Mapping[str, Callable[[Node], Mapping[str, Any]]] = {
    "IPAdapter_plus": _of_ipadapter_plus,
    "InstantID": _of_instantid,
    "PuLID": _of_pulid,
    "x-flux": _of_xlabs,
    "IPAdapter-Flux": _of_instantx_flux,
    "InstantX-IPAdapter-SD3": _of_instantx_sd3,
}
