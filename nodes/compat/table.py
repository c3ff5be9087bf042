"""All nodes of cubiq/ComfyUI_IPAdapter_plus, and those that it has removed."""

from .methods import apply, features, pictures, regions, simple, tiled, v1, weights

NODES = (
    *simple.ROWS,
    *apply.ROWS,
    *features.ROWS,
    *tiled.ROWS,
    *pictures.ROWS,
    *weights.ROWS,
    *regions.ROWS,
    *v1.ROWS,
)
