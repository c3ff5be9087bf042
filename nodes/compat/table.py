"""All nodes of cubiq/ComfyUI_IPAdapter_plus, and those that it has removed."""

from .methods import apply, features, simple, tiled, v1

NODES = (
    *simple.ROWS,
    *apply.ROWS,
    *features.ROWS,
    *tiled.ROWS,
    *v1.ROWS,
)
