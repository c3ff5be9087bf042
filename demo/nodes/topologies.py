"""The blocks of SD1.5 and SDXL UNets as ComfyUI's model classes want to be told, for any width."""

from typing import Any

COMMON = {
    "use_checkpoint": False,
    "image_size": 32,
    "use_spatial_transformer": True,
    "legacy": False,
    "in_channels": 4,
    "out_channels": 4,
    "use_temporal_resblock": False,
    "use_temporal_attention": False,
}
TOPOLOGIES: dict[str, dict[str, Any]] = {
    "SD1.5": {
        "adm_in_channels": None,
        "context_dim": 768,
        "use_linear_in_transformer": False,
        "num_res_blocks": [2, 2, 2, 2],
        "channel_mult": [1, 2, 4, 4],
        "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
        "transformer_depth_middle": 1,
        "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    },
    "SDXL": {
        "adm_in_channels": 2816,
        "num_classes": "sequential",
        "context_dim": 2048,
        "use_linear_in_transformer": True,
        "num_res_blocks": [2, 2, 2],
        "channel_mult": [1, 2, 4],
        "transformer_depth": [0, 0, 2, 2, 10, 10],
        "transformer_depth_middle": 10,
        "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
    },
}


def unet_config(base_model: str, channels: int = 320, **changes: Any) -> dict[str, Any]:
    """The published topology with another number of channels."""
    return {**COMMON, **TOPOLOGIES[base_model], "model_channels": channels, **changes}
