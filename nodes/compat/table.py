"""All nodes of cubiq/ComfyUI_IPAdapter_plus, and those that it has removed."""

from .methods import apply, embeds, features, loaders, pictures, regions, simple, tiled, v1, weights

NODES = (
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
)
