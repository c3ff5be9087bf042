"""Write the stand-ins: small image encoders and IP-Adapters, in the layouts of the published files, and features of one
picture as Save Image Prompt Features writes them.

    python -m demo.make_models MODELS_FOLDER

The weights are random and seeded: equal bytes on every run. The text context widths are the true ones, 768 and 2048;
the layer widths are those of the narrow UNets in `nodes/unet.py`.
"""

import json
import sys
from pathlib import Path

from devtools import published
from devtools.published import Shapes

Files = dict[str, tuple[Shapes, dict[str, str] | None]]  # name -> shapes and metadata

ENCODER_WIDTH, PROJECTION = 64, 32
POSITIONS = 257  # of patches of 14 pixels, and one of the whole picture
VISION_CONFIG = {"name": "demo ViT", "heads": 4, "activation": "gelu"}
WIDE_CONFIG = {"name": "demo wide ViT", "heads": 12, "activation": "gelu"}
EVA_WIDTH, EVA_PROJECTION = 32, 24
EVA_CONFIG = {"name": "demo EVA", "heads": 4, "image_size": 56}
FLUX_WIDTH, SD35_WIDTH, ANIMA_WIDTH, DIT_TEXT = 128, 64, 48, 4096
SD15_LAYERS = [32] * 2 + [64] * 2 + [128] * 5 + [64] * 3 + [32] * 3 + [128]  # down, up, middle block last
SDXL_LAYERS = [32] * 4 + [64] * 50 + [32] * 6 + [64] * 10


def encoder(width: int = ENCODER_WIDTH) -> Shapes:
    return published.encoder(width, depth=3, mlp=128, projection=PROJECTION, patch=14)


def wide_encoder() -> Shapes:
    """For adapters whose layers take its hidden states as they are."""
    return published.encoder(768, depth=1, mlp=64, projection=16, patch=28)


def eva() -> Shapes:
    """It has as many layers as the published one, since PuLID reads some of them by their numbers."""
    return published.eva(EVA_WIDTH, depth=24, mlp=64, projection=EVA_PROJECTION, patch=14, size=56)


def faceid_plus_v2(context: int, layers: list[int]) -> Shapes:
    projection = published.identity_perceiver(context, ENCODER_WIDTH, depth=1, hidden=32, times=1)
    return published.adapter(projection, layers, context) | published.lora(layers, context, rank=2)


def instantid(context: int, layers: list[int]) -> Shapes:
    return published.adapter(published.resampler(context, width=512), layers, context)


def pulid(context: int, layers: list[int]) -> Shapes:
    projection = published.pulid_former(context, hidden=32, width=EVA_WIDTH, embeds=EVA_PROJECTION)
    return published.adapter(projection, layers, context)


def plus(context: int, layers: list[int]) -> Shapes:
    return published.adapter(published.resampler(context, ENCODER_WIDTH), layers, context)


def xlabs() -> Shapes:
    return published.xlabs(published.base(DIT_TEXT, PROJECTION), [FLUX_WIDTH] * 19, DIT_TEXT)


def instantx() -> Shapes:
    projection = published.linear("proj.0", 16, PROJECTION) | published.linear("proj.2", 4 * DIT_TEXT, 16)
    return published.numbered(
        projection | published.norm("norm", DIT_TEXT), [published.key_value(FLUX_WIDTH, DIT_TEXT)] * 57
    )


def instantx_sd35() -> Shapes:
    projection = published.time_resampler(SD35_WIDTH, ENCODER_WIDTH, depth=1)
    return published.numbered(projection, [published.timed_layer(SD35_WIDTH, SD35_WIDTH, embedding=64)] * 38)


def anima() -> Shapes:
    return published.anima(ANIMA_WIDTH)


LOUDER = {"_ip.": 2.0, "double_stream_": 2.0, ".ip_": 2.0}  # keys and values of images
FILES: Files = {
    "clip_vision/demo-encoder.safetensors": (encoder(), {"vision_config": json.dumps(VISION_CONFIG)}),
    "ipadapter/demo-ip-adapter-plus_sd15.safetensors": (plus(768, SD15_LAYERS), None),
    "ipadapter/demo-ip-adapter-plus_sdxl.safetensors": (plus(2048, SDXL_LAYERS), None),
    "ipadapter/demo-ip-adapter_sdxl.safetensors": (
        published.adapter(published.base(2048, PROJECTION), SDXL_LAYERS, 2048),
        None,
    ),
    "image_prompts/demo-features.safetensors": (
        dict.fromkeys(("penultimate", "empty.penultimate"), (1, POSITIONS, ENCODER_WIDTH)),
        {
            "image_prompt_features": "1",
            "encoder": VISION_CONFIG["name"],
            "widths": json.dumps({"penultimate": ENCODER_WIDTH}),
        },
    ),
    "clip_vision/demo-eva.safetensors": (eva(), {"vision_config": json.dumps(EVA_CONFIG)}),
    "ipadapter/demo-faceid-plusv2_sdxl.safetensors": (faceid_plus_v2(2048, SDXL_LAYERS), None),
    "ipadapter/demo-instantid_sdxl.safetensors": (instantid(2048, SDXL_LAYERS), None),
    "ipadapter/demo-pulid_sdxl.safetensors": (pulid(2048, SDXL_LAYERS), None),
}
DITS: Files = {  # larger, since they have as many layers as the published ones, for texts as wide
    "ipadapter/demo-xlabs.safetensors": (xlabs(), None),
    "ipadapter/demo-instantx.safetensors": (instantx(), None),
    "ipadapter/demo-instantx_sd35.safetensors": (instantx_sd35(), None),
    "ipadapter/demo-anima.safetensors": (anima(), None),
    "clip_vision/demo-wide-encoder.safetensors": (wide_encoder(), {"vision_config": json.dumps(WIDE_CONFIG)}),
    "diffusion_models/demo-flux.safetensors": (published.flux_model(FLUX_WIDTH), None),
}


def main(folder: Path, files: Files = FILES) -> None:
    for seed, (name, (shapes, metadata)) in enumerate(files.items()):
        write(folder / name, shapes, seed, metadata)


def write(path: Path, shapes: Shapes, seed: int, metadata: dict[str, str] | None = None) -> None:
    """Write a file in half precision, with larger weights for the keys and values of images."""
    published.save(path, published.halves(published.fill(shapes, seed, louder=LOUDER)), metadata)


if __name__ == "__main__":
    main(Path(sys.argv[1]), FILES | DITS)
