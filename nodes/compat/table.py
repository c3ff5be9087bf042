"""The packs whose nodes this pack has as well, with all nodes of each, also those that the pack has removed."""

from dataclasses import dataclass

from .methods import apply, embeds, features, loaders, pictures, regions, simple, tiled, v1, weights
from .node import Node
from .other_packs import instantid, instantx_flux, instantx_sd3, pulid, xlabs


@dataclass(frozen=True)
class Pack:
    """Another pack.

    name: what people call it
    project: its name in `pyproject.toml`
    file: a file in its folder, which forks under any name have too
    """

    name: str
    project: str
    file: str
    rows: tuple[Node, ...]


IPADAPTER_PLUS = Pack(
    "IPAdapter_plus",
    "comfyui_ipadapter_plus",
    "IPAdapterPlus.py",
    (
        *loaders.ROWS,
        *simple.ROWS,
        *apply.ROWS,
        *features.ROWS,
        *embeds.ROWS,
        *tiled.ROWS,
        *pictures.ROWS,
        *weights.ROWS,
        *regions.ROWS,
        *v1.ROWS,
    ),
)
INSTANTID = Pack(instantid.PACK, "comfyui_instantid", "InstantID.py", instantid.ROWS)
PULID = Pack(pulid.PACK, "pulid_comfyui", "pulid.py", pulid.ROWS)
XLABS = Pack(xlabs.PACK, "x-flux-comfyui", "xflux/src/flux/util.py", xlabs.ROWS)
INSTANTX_FLUX = Pack(instantx_flux.PACK, "comfyui-ipadapter-flux", "ipadapter_flux.py", instantx_flux.ROWS)
INSTANTX_SD3 = Pack(instantx_sd3.PACK, "comfyui-instantx-ipadapter-sd3", "models/jointblock.py", instantx_sd3.ROWS)
PACKS = (IPADAPTER_PLUS, INSTANTID, PULID, XLABS, INSTANTX_FLUX, INSTANTX_SD3)
NODES = IPADAPTER_PLUS.rows
